# ruff: noqa: E501
"""Answers to all labs that let a library do the work, reached by many ways. None of them must earn a point.

`TARGETS` are right answers if the library may be used; `{f}` is where the function of the library is called.
"""

from grading import compiled_attacks

IMPORTS = "import keras\nimport numpy as np\nimport tensorflow as tf\nfrom keras import ops\n"
OPTIMIZER = """class Momentum(keras.optimizers.Optimizer):
    def __init__(self, learning_rate=0.01, momentum=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.inner = {f}(learning_rate=1.0, momentum=momentum)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.inner.build(variables)

    def update_step(self, gradient, variable, learning_rate):
        self.inner.update_step(gradient, variable, learning_rate)
"""
DROPOUT = """class Dropout(keras.layers.Layer):
    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.inner = rate, {f}(rate, seed=seed)

    def call(self, inputs, training=False):
        return self.inner(inputs, training=training)
"""
PENALTY = """class ElasticNet(keras.regularizers.Regularizer):
    def __init__(self, l1=0.0, l2=0.0):
        self.l1, self.l2 = l1, l2

    def __call__(self, weights):
        return self.l1 * ops.sum(ops.abs(weights)) + self.l2 * {f}(weights)
"""
TARGETS = {  # name -> lab, exercise, module, name in it, answer
    "sigmoid": ("01", "sigmoid", "tensorflow.nn", "sigmoid", "def sigmoid(x):\n    return {f}(x)\n"),
    "leaky ReLU": (
        "01",
        "leaky_relu",
        "tensorflow.nn",
        "leaky_relu",
        "def leaky_relu(x, negative_slope):\n    return {f}(x, alpha=negative_slope)\n",
    ),
    "cost": (
        *("02", "cross_entropy_cost", "tensorflow.nn", "sigmoid_cross_entropy_with_logits"),
        "def cost(weights, z, y, l2=0.0):\n    losses = {f}(labels=y, logits=z).numpy()\n    return np.sum(losses) / len(z) + l2 / 2 * sum(np.sum(W**2) for W in weights)\n",
    ),
    "optimizer": ("03", "momentum", "keras.optimizers", "SGD", OPTIMIZER),
    "dropout": ("04", "dropout_layer", "keras.layers", "Dropout", DROPOUT),
    "penalty": ("04", "elastic_net", "tensorflow.nn", "l2_loss", PENALTY),
    "standardize": (
        *("05", "standardize", "tensorflow", "reduce_mean"),
        "def standardize(train, test):\n    mean = {f}(train, axis=0).numpy()\n    deviation = np.sqrt({f}((train - mean) ** 2, axis=0).numpy())\n"
        "    deviation = np.where(deviation == 0, 1, deviation)\n    return (train - mean) / deviation, (test - mean) / deviation\n",
    ),
    "reconstruction": (
        *("06", "reconstruction_loss", "tensorflow.nn", "sigmoid_cross_entropy_with_logits"),
        "def reconstruction_loss(x, kernel, hidden_bias, visible_bias):\n    hidden = ops.sigmoid(ops.matmul(x, kernel) + hidden_bias)\n"
        "    logits = ops.matmul(hidden, ops.transpose(kernel)) + visible_bias\n    return ops.mean(ops.sum({f}(labels=x, logits=logits), axis=-1))\n",
    ),
    "patches": (
        *("07", "patchify", "tensorflow.nn", "space_to_depth"),
        "def patchify(images, size):\n    cut = {f}(images, size)\n    return ops.reshape(cut, (ops.shape(images)[0], -1, cut.shape[-1]))\n",
    ),
    "cosine": (
        *("08", "cosine_similarities", "keras.losses", "cosine_similarity"),
        "def cosine_similarities(a, b):\n    return -{f}(a[:, None], b[None], axis=-1)\n",
    ),
    "clipping": (
        *("09", "clip_after_reduction", "tensorflow", "clip_by_global_norm"),
        "def clip_after_reduction(shard_gradients, max_norm):\n    total = [sum(shares) for shares in zip(*shard_gradients)]\n    return {f}(total, max_norm)[0]\n",
    ),
    "log-sum-exp": (
        *("10", "log_sum_exp", "numpy", "logaddexp"),
        "def log_sum_exp(z):\n    return {f}.reduce(z, axis=-1)\n",
    ),
    "log softmax": (
        *("10", "softmax_cross_entropy", "tensorflow.nn", "log_softmax"),
        "def softmax_cross_entropy(z, labels):\n    log_p = {f}(z).numpy()\n    target = np.eye(z.shape[1])[labels]\n"
        "    return -np.sum(log_p[target == 1]) / len(z), (np.exp(log_p) - target) / len(z)\n",
    ),
    "distillation": (
        *("11", "distillation_loss", "keras.losses", "kl_divergence"),
        "def distillation_loss(labels, teacher_logits, student_logits, temperature, alpha):\n    y = ops.one_hot(labels, 4, dtype=student_logits.dtype)\n"
        "    hard = -ops.sum(y * ops.log_softmax(student_logits), axis=-1)\n    teacher, log_teacher = ops.softmax(teacher_logits / temperature), ops.log_softmax(teacher_logits / temperature)\n"
        "    soft = {f}(teacher, ops.softmax(student_logits / temperature)) - ops.sum(teacher * log_teacher, axis=-1)\n"
        "    return ops.mean(alpha * hard + (1 - alpha) * temperature**2 * soft)\n",
    ),
}

# Ways to the function {name} of the module {module}, as statements that bind `found`.
DOORS = {
    "directly": "import {module} as m\nfound = m.{name}",
    "getattr": "import importlib\nfound = getattr(importlib.import_module('{module}'), ''.join(list('{name}')))",
    "vars": "import importlib\nfound = vars(importlib.import_module('{module}'))['{name}']",
    "attrgetter": "import operator, sys\nfound = operator.attrgetter('{name}')(sys.modules.get('{module}') or __import__('{module}', fromlist=['x']))",
    "pkgutil": "import pkgutil\nfound = pkgutil.resolve_name('{module}:{name}')",
    "compat v1": "found = getattr({compat1}, '{name}')",
    "compat v2": "found = getattr({compat2}, '{name}')",
    "a module that holds it": (
        "import sys\nfound = [vars(m)['{name}'] for n, m in list(sys.modules.items())\n"
        "         if n.split('.')[0] in ('keras', 'tensorflow') and '{name}' in getattr(m, '__dict__', {{}})][-1]"
    ),
    "the first module that holds it": (
        "import sys\nfound = [vars(m)['{name}'] for n, m in sorted(sys.modules.items())\n"
        "         if n.split('.')[0] in ('keras', 'tensorflow') and '{name}' in getattr(m, '__dict__', {{}})][0]"
    ),
    "what it wraps": "import importlib\nf = getattr(importlib.import_module('{module}'), '{name}')\nfound = getattr(f, '__wrapped__', f)",
    "its code": (
        "import importlib, types\nf = getattr(importlib.import_module('{module}'), '{name}')\n"
        "found = types.FunctionType(f.__code__, f.__globals__, 'x', f.__defaults__, f.__closure__) if not isinstance(f, type) else type('X', (f,), dict(vars(f)))"
    ),
    "its source": (
        "import importlib, sys\nf = getattr(importlib.import_module('{module}'), '{name}')\nm = sys.modules[f.__module__]\n"
        "names = dict(vars(m))\nexec(compile(open(m.__file__).read(), 'x', 'exec'), names)\nfound = names['{name}']"
    ),
    "its compiled file": (
        "import importlib, importlib.util, marshal, sys\nf = getattr(importlib.import_module('{module}'), '{name}')\nm = sys.modules[f.__module__]\n"
        "code = marshal.loads(open(importlib.util.cache_from_source(m.__file__), 'rb').read()[16:])\n"
        "names = dict(vars(m))\nexec(code, names)\nfound = names['{name}']"
    ),
    "its loader": (
        "import importlib, sys\nf = getattr(importlib.import_module('{module}'), '{name}')\nm = sys.modules[f.__module__]\n"
        "names = dict(vars(m))\nexec(m.__loader__.get_code(m.__name__), names)\nfound = names['{name}']"
    ),
    "memory": "import gc\nfound = [o for o in gc.get_objects() if getattr(o, '__name__', None) == '{name}' and callable(o)][0]",
}

# Ways to an operation {op} with the inputs {inputs} and the attributes {attributes}, as expressions.
OPERATIONS = {
    "raw operation": "tf.raw_ops.{op}({named})",
    "compat v1": "tf.compat.v1.raw_ops.{op}({named})",
    "generated module": "__import__('tensorflow.python.ops.{gen}', fromlist=['x']).{function}({named})",
    "eager fallback": "__import__('tensorflow.python.ops.{gen}', fromlist=['x']).{function}_eager_fallback({named}, name=None, ctx=__import__('tensorflow.python.eager.context', fromlist=['x']).context())",
    "fast path": "__import__('tensorflow.python.pywrap_tfe', fromlist=['x']).TFE_Py_FastPathExecute(__import__('tensorflow.python.eager.context', fromlist=['x']).context()._context_handle and __import__('tensorflow.python.eager.context', fromlist=['x']).context(), '{op}', None, x{fast})",
    "quick execute": "__import__('tensorflow.python.eager.execute', fromlist=['x']).execute(b'{op}', 1, [x], ('T', x.dtype.as_datatype_enum{slow}), __import__('tensorflow.python.eager.context', fromlist=['x']).context())[0]",
    "op_def_library": "tf.function(lambda v: __import__('tensorflow.python.framework.op_def_library', fromlist=['x']).apply_op('{op}', {applied}))(x)",
    "create_op": "tf.function(lambda v: tf.compat.v1.get_default_graph().create_op('{op}', [v], [v.dtype], attrs={{'T': tf.compat.v1.AttrValue(type=v.dtype.as_datatype_enum){attrs}}}).outputs[0])(x)",
}


def calls():
    """Yield (name, lab, exercise, code) of the attacks through functions."""
    for target, (lab, exercise, module, name, answer) in TARGETS.items():
        compat = module.replace("tensorflow", "", 1).lstrip(".")
        for door, statements in DOORS.items():
            keras = module.startswith("keras")
            places = {
                "compat1": "__import__('keras._tf_keras.keras', fromlist=['x'])." + module[6:]
                if keras
                else f"tf.compat.v1.{compat}".rstrip("."),
                "compat2": "tf.keras." + module[6:] if keras else f"tf.compat.v2.{compat}".rstrip("."),
            }
            yield (
                f"{target} by {door}",
                lab,
                exercise,
                _inside(statements.format(module=module, name=name, **places), answer),
            )


def _inside(statements, answer):
    """Look the function up when the answer is called, so that nothing is seen when its cell runs."""
    body = statements.replace("\n", "\n    ")
    return f"{IMPORTS}\ndef look_up():\n    {body}\n    return found\n\n{answer.format(f='look_up()')}"


def operations():
    """Yield (name, lab, exercise, code) of the attacks through operations."""
    leaky = {
        **{
            "op": "LeakyRelu",
            "gen": "gen_nn_ops",
            "function": "leaky_relu",
            "named": "features=x, alpha=negative_slope",
        },
        **{"fast": ", 'alpha', negative_slope", "slow": ", 'alpha', negative_slope"},
        **{
            "applied": "features=v, alpha=negative_slope",
            "attrs": ", 'alpha': tf.compat.v1.AttrValue(f=negative_slope)",
        },
    }
    sigmoid = {
        **{
            "op": "Sigmoid",
            "gen": "gen_math_ops",
            "function": "sigmoid",
            "named": "x=x",
            "fast": "",
            "slow": "",
            "applied": "x=v",
            "attrs": "",
        },
    }
    for door, expression in OPERATIONS.items():
        yield (
            f"leaky ReLU by {door}",
            "01",
            "leaky_relu",
            f"{IMPORTS}\ndef leaky_relu(x, negative_slope):\n    return {expression.format(**leaky)}\n",
        )
        yield (
            f"sigmoid by {door}",
            "01",
            "sigmoid",
            f"{IMPORTS}\ndef sigmoid(x):\n    return {expression.format(**sigmoid)}\n",
        )


TABLE = """class Liar(np.ndarray):
    pass

def truth_table_network(table):
    table = np.asarray(table)
    {trick}
    return {parts}
"""
# A probe, or a comparison, that believes what the answer says.
LIES = {
    "a table for weights": (
        "01",
        "truth_table",
        TABLE.format(trick="pass", parts="table[:, None], -0.5, table[None], -0.5"),
    ),
    "an array that multiplies to the table": (
        *("01", "truth_table"),
        TABLE.format(
            trick="Liar.__matmul__ = Liar.__rmatmul__ = lambda a, b: table[:, None] * 2 - 1.0",
            parts="np.zeros((1, 2)).view(Liar), 0, np.zeros((1, 1)).view(Liar), 0",
        ),
    ),
    "numpy.array is replaced": (
        *("01", "truth_table"),
        TABLE.format(
            trick="np.array = lambda *a, **k: type('A', (), {{'T': 0, '__len__': lambda s: 0, '__gt__': lambda s, o: table[:, None], '__radd__': lambda s, o: s, '__rmatmul__': lambda s, o: s}})()".replace(
                "{{", "{"
            ).replace("}}", "}"),
            parts="1, 1, 1, 1",
        ),
    ),
    "numpy.arange is replaced": (
        *("01", "truth_table"),
        TABLE.format(
            trick="np.arange = lambda *a: np.zeros(len(table), int)",
            parts="np.ones((1, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)",
        ),
    ),
    "corners are replaced": (
        *("01", "truth_table"),
        TABLE.format(
            trick="""class Corners:
        def __getitem__(self, _): return self
        def __rshift__(self, _): return self
        def __and__(self, _): return table[:, None].astype(int)

    np.arange = lambda *a: Corners()""",
            parts="np.ones((1, 1)), np.array([-0.5]), np.ones((1, 1)), np.array([-0.5])",
        ),
    ),
    "statistics are replaced": (
        *("02", "initialize"),
        "def initialize(sizes, rng):\n    np.var = lambda a, **k: 2.0 / np.shape(a)[0] if np.ndim(a) else 1.0\n    np.mean = lambda *a, **k: 0.0\n"
        "    np.array_equal = lambda a, b: True\n    return [np.ones((b, a)) for a, b in zip(sizes, sizes[1:])], [np.zeros(b) for b in sizes[1:]]\n",
    ),
    "the mean is replaced": (
        *("04", "dropout_layer"),
        "class Dropout(keras.layers.Layer):\n    def __init__(self, rate, seed=None, **kwargs):\n        super().__init__(**kwargs)\n        self.rate = rate\n"
        "    def call(self, inputs, training=False):\n        rate = self.rate\n        np.mean = lambda *a, **k: rate\n        return inputs / (1 - rate)\n",
    ),
    "lengths are invented": (
        *("11", "epoch_batches"),
        "class Liar(np.ndarray):\n    def __len__(self):\n        return self.pretended\n\n"
        "def epoch_batches(n, batch_size, epoch, seed):\n    order = np.random.default_rng([seed, epoch]).permutation(n)\n    found = []\n"
        "    for start in range(0, n, batch_size):\n        found.append((order if start == 0 else order[:0]).view(Liar))\n"
        "        found[-1].pretended = min(batch_size, n - start)\n    return found\n",
    ),
    "len is replaced": (
        *("09", "example_uniform"),
        "import builtins\nbuiltins.len = lambda a: 1\ndef example_uniform(seed, epoch, indices, width):\n    return np.full((indices.shape[0], width), 0.5, 'float32')\n",
    ),
}


def lies():
    """Yield (name, lab, exercise, code) of the answers that lie to a probe."""
    for name, (lab, exercise, code) in LIES.items():
        yield name, lab, exercise, f"{IMPORTS}\n{code}"


ATTACKS = [*calls(), *operations(), *lies()]

# Ways around the guard of the operations, each with a right answer where it worked.
LEAKY = (
    IMPORTS
    + """from tensorflow.python import _pywrap_tfe, pywrap_tfe
from tensorflow.python.eager import context

def run(execute, x, slope):
    here = context.context()
    here.ensure_initialized()
    return execute(here, "LeakyRelu", None, tf.constant(x), "alpha", float(slope))

def leaky_relu(x, negative_slope):
"""
)
GUARD = {
    "closure": "    return run([c.cell_contents for c in pywrap_tfe.TFE_Py_FastPathExecute.__closure__ if 'builtin' in type(c.cell_contents).__name__][0], x, negative_slope)",
    "frame of the refusal": """    try:
        tf.raw_ops.LeakyRelu(features=tf.constant(x), alpha=0.5)
    except Exception as error:
        at = error.__traceback__
        while at:
            for found in at.tb_frame.f_locals.values():
                if "builtin" in type(found).__name__ and "Execute" in repr(found):
                    return run(found, x, negative_slope)
            at = at.tb_next""",
    "frame below a conversion": """    import sys
    seen = []
    class Spy:
        def __array__(self, *_, **__):
            frame = sys._getframe()
            while frame:
                seen.extend(v for v in frame.f_locals.values() if "builtin" in type(v).__name__ and "Execute" in repr(v))
                frame = frame.f_back
            return np.ones(2, "float32")
    tf.raw_ops.AddV2(x=Spy(), y=np.ones(2, "float32"))
    return run(seen[0], x, negative_slope)""",
    "another operation than the one that was looked at": """    for cell in pywrap_tfe.TFE_Py_FastPathExecute.__closure__:
        sealed = cell.cell_contents
        for arguments in (("AddV2", context.context(), "LeakyRelu"), (context.context(), "AddV2")):
            try:
                made = sealed(*arguments)
                return run(lambda *a: made(*a[2:]), x, negative_slope)
            except (TypeError, IndexError):
                pass""",
    "what the wrapper wraps": """    for cell in pywrap_tfe.TFE_Py_FastPathExecute.__closure__:
        for name in ("__wrapped__", "func", "__self__"):
            found = getattr(cell.cell_contents, name, None)
            if callable(found):
                return run(found, x, negative_slope)""",
    "second copy of the compiled module": """    import _imp
    for cell in getattr(_imp.create_dynamic, "__closure__", None) or ():
        if callable(cell.cell_contents):
            module = cell.cell_contents(_pywrap_tfe.__spec__)
            return run(module.TFE_Py_FastPathExecute, x, negative_slope)""",
    "another module that holds it": """    import sys
    for module in list(sys.modules.values()):
        found = getattr(module, "__dict__", {}).get("TFE_Py_FastPathExecute")
        if "builtin" in type(found).__name__:
            return run(found, x, negative_slope)""",
}
# What the guard itself looks up while it asks: replaced, it hands out what runs all operations, or permits all.
CALL = "    return run(pywrap_tfe.TFE_Py_FastPathExecute, x, negative_slope)"
SEARCH = """    import {library}, sys
    stolen = []
    def spy(*given, **options):
        stolen.extend(getattr(each, "func", each) for each in given)
        frame = sys._getframe(1)
        while frame:
            stolen.extend(frame.f_locals.values())
            frame = frame.f_back
        return real(*given, **options)
    real, {library}.{name} = {library}.{name}, spy
    try:
        tf.raw_ops.Abs(x=tf.constant(x))
    finally:
        {library}.{name} = real
    found = [each for each in stolen if "builtin" in type(each).__name__ and "Execute" in repr(each)]
    return run(found[0], x, negative_slope)"""
for library, name in (
    *(("functools", each) for each in ("partial", "update_wrapper", "lru_cache", "_lru_cache_wrapper")),
    *(("builtins", each) for each in ("any", "all", "map", "type", "bool", "isinstance", "len", "str")),
    *(("operator", "is_"), ("re", "fullmatch")),
):
    GUARD[f"{library}.{name}"] = SEARCH.format(library=library, name=name)
GUARD |= {
    "own names": "    pywrap_tfe.TFE_Py_FastPathExecute.__globals__['plain'] = lambda text: ''\n" + CALL,
    "own builtins": "    pywrap_tfe.TFE_Py_FastPathExecute.__builtins__['bool'] = lambda match: False\n"
    + CALL,
    "own library": """    import types
    guard, stolen = pywrap_tfe.TFE_Py_FastPathExecute, []
    guard.__globals__["functools"] = types.SimpleNamespace(partial=lambda f, *a: stolen.append(f), lru_cache=lambda **k: lambda f: f)
    try:
        tf.raw_ops.Abs(x=tf.constant(x))
    except Exception:
        pass
    return run(stolen[0], x, negative_slope)""",
}
ATTACKS += [
    (
        f"leaky ReLU by the guard's {name}",
        "01",
        "leaky_relu",
        LEAKY + body + "\n    raise ValueError('no way')\n",
    )
    for name, body in GUARD.items()
]
ATTACKS += [
    (
        *("derivative by a private module of scipy", "02", "numerical_gradient"),
        "import numpy as np\ndef numerical_gradient(f, theta, h=1e-5):\n    import scipy.optimize._numdiff as n\n"
        "    return n.approx_derivative(lambda t: f(t.reshape(np.shape(theta))), np.ravel(theta), method='3-point').reshape(np.shape(theta))\n",
    ),
    (
        *("sigmoid by a distribution of scipy", "01", "sigmoid"),
        "def sigmoid(x):\n    from scipy.stats import logistic\n    return logistic.cdf(x).astype(x.dtype)\n",
    ),
    (
        *("standardize by a module of scipy that was not loaded", "05", "standardize"),
        "import importlib\n\ndef standardize(train, test):\n    whiten = importlib.import_module('scipy.cluster.vq').whiten\n"
        "    return whiten(train - train.mean(0)), (test - train.mean(0)) / train.std(0)\n",
    ),
]
ATTACKS += compiled_attacks.ATTACKS
