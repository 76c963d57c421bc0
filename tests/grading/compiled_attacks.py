# ruff: noqa: E501
"""Answers that reach a library's work by compiled code, by a copy of the library, or by an operation that runs others.

Each earned points where these doors were open.
"""

IMPORTS = "import importlib\nimport sys\n\nimport keras\nimport numpy as np\nimport tensorflow as tf\n\n"
SIGMOID = """def sigmoid(x):
    @tf.custom_gradient
    def by_values(x):
        y = tf.convert_to_tensor(compute(x.numpy()), x.dtype)
        return y, lambda upstream: upstream * y * (1 - y)

    return by_values(x)
"""
SIGMOIDS = {  # name -> statements that define `compute`, a function of an array
    "a ufunc in the compiled module": "def compute(x):\n    return importlib.import_module('scipy.special._ufuncs').expit(x)",
    "a ufunc in any module": (
        "def compute(x):\n    found = [v for m in list(sys.modules.values()) for v in list(getattr(m, '__dict__', {}).values())\n"
        "             if isinstance(v, np.ufunc) and v.__name__ == 'expit']\n    return found[0](x)"
    ),
    "scipy for Cython": "def compute(x):\n    f = importlib.import_module('scipy.special.cython_special').expit\n    return np.vectorize(lambda v: f(float(v)))(x)",
    "a loss of scikit-learn": (
        "def compute(x):\n    from sklearn._loss._loss import CyHalfBinomialLoss\n    z = np.ravel(np.asarray(x, 'float64'))\n    y = np.zeros_like(z)\n"
        "    CyHalfBinomialLoss().gradient(np.zeros_like(z), z, None, y, 1)\n    return y.reshape(np.shape(x)).astype(x.dtype)"
    ),
    "the source of another backend": (
        "def compute(x):\n    import os\n    import keras.src.backend as b\n    text = open(os.path.join(os.path.dirname(b.__file__), 'numpy', 'nn.py')).read()\n"
        "    at, names = text.index('def sigmoid'), {'np': np}\n    exec(text[at:text.index('def ', at + 5)].replace('convert_to_tensor', 'np.asarray'), names)\n"
        "    return names['sigmoid'](x)"
    ),
    "a graph in a text": (
        "def compute(x):\n    from tensorflow.core.framework import graph_pb2\n    data = tf.data.Dataset.from_tensors(x).map(lambda v: tf.raw_ops.Tanh(x=v))\n"
        "    graph = graph_pb2.GraphDef.FromString(data._as_serialized_graph().numpy())\n"
        "    for node in [node for function in graph.library.function for node in function.node_def if node.op == 'Tanh']:\n        node.op = 'Sigmoid'\n"
        "    made = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())\n"
        "    return tf.raw_ops.DatasetToSingleElement(dataset=made, output_types=[x.dtype], output_shapes=[x.shape])[0].numpy()"
    ),
    "a graph that is computed in advance": (
        "def compute(x):\n    from tensorflow.core.protobuf import config_pb2, meta_graph_pb2\n    from tensorflow.python.grappler import tf_optimizer\n"
        "    meta, kind = meta_graph_pb2.MetaGraphDef(), tf.as_dtype(x.dtype).as_datatype_enum\n"
        "    node = meta.graph_def.node.add(name='a', op='Const')\n    node.attr['dtype'].type = kind\n    node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(x))\n"
        "    meta.graph_def.node.add(name='b', op='Sigmoid', input=['a']).attr['T'].type = kind\n"
        "    meta.graph_def.node.add(name='c', op='Identity', input=['b']).attr['T'].type = kind\n    meta.graph_def.versions.producer = 1000\n"
        "    meta.collection_def['train_op'].node_list.value.append('c')\n    config = config_pb2.ConfigProto()\n"
        "    config.graph_options.rewrite_options.min_graph_nodes = -1\n    config.graph_options.rewrite_options.optimizers.append('constfold')\n"
        "    found = [each for each in tf_optimizer.OptimizeGraph(config, meta).node if each.op == 'Const']\n"
        "    return tf.make_ndarray(found[-1].attr['value'].tensor).reshape(np.shape(x))"
    ),
}
MEANS = """def combine_means(means, counts):
    kept = [(np.array(mean), count) for mean, count in zip(means, counts) if count]
    shares, counts = np.stack([mean for mean, _ in kept]), np.array([count for _, count in kept], kept[0][0].dtype)
    table = shares.reshape(len(kept), -1)
    {statements}
"""
AVERAGES = {
    "another module of numpy": "return importlib.import_module('numpy.lib._function_base_impl').average(shares, axis=0, weights=counts)",
    "masked arrays": "return np.asarray(importlib.import_module('numpy.ma').average(shares, axis=0, weights=counts))",
    "what a dispatcher wraps": (
        "found = [v.__wrapped__ for m in list(sys.modules.values()) for v in list(getattr(m, '__dict__', {}).values())\n"
        "             if type(v).__name__ == '_ArrayFunctionDispatcher' and v.__name__ == 'average']\n    return found[0](shares, axis=0, weights=counts)"
    ),
    "moments": "return tf.nn.weighted_moments(shares, 0, counts.reshape([-1] + [1] * (shares.ndim - 1)))[0]",
    "statistics": (
        "import statistics\n    mean = [statistics.fmean(column.tolist(), counts.tolist()) for column in table.T]\n"
        "    return np.array(mean, shares.dtype).reshape(shares.shape[1:])"
    ),
    "a metric": (
        "means = []\n    for column in table.T:\n        metric = keras.metrics.Mean(dtype=str(shares.dtype))\n        metric.update_state(column, sample_weight=counts)\n"
        "        means.append(float(metric.result()))\n    return np.array(means, shares.dtype).reshape(shares.shape[1:])"
    ),
}
LOG_SUM_EXPS = {
    "another module of numpy": "importlib.import_module('numpy._core.numeric').logaddexp",
    "any module": "[v for m in list(sys.modules.values()) for v in list(getattr(m, '__dict__', {}).values()) if isinstance(v, np.ufunc) and v.__name__ == 'logaddexp'][0]",
}
OTHERS = {
    "differences by another module of numpy": (
        *("02", "numerical_gradient"),
        "def numerical_gradient(function, theta, h=1e-5):\n    theta = np.array(theta, 'float64')\n    found = np.zeros_like(theta)\n"
        "    for i in np.ndindex(theta.shape):\n        step = np.zeros_like(theta)\n        step[i] = h\n"
        "        found[i] = importlib.import_module('numpy.lib._function_base_impl').gradient([function(theta - step), 0.0, function(theta + step)], h)[1]\n"
        "    return found\n",
    ),
    "Adam of scikit-learn": (
        *("03", "adam"),
        "from sklearn.neural_network._stochastic_optimizers import AdamOptimizer\n\nclass Adam(keras.optimizers.Optimizer):\n"
        "    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **kwargs):\n        super().__init__(learning_rate=learning_rate, **kwargs)\n"
        "        self.betas, self.epsilon = dict(beta_1=beta_1, beta_2=beta_2), epsilon\n\n    def build(self, variables):\n        if self.built:\n            return\n"
        "        super().build(variables)\n        self.inner = [AdamOptimizer([np.array(v, 'float64')], **self.betas) for v in variables]\n\n"
        "    def update_step(self, gradient, variable, learning_rate):\n        inner = self.inner[self._get_variable_index(variable)]\n"
        "        inner.learning_rate_init = float(learning_rate)\n        inner.epsilon = self.epsilon * np.sqrt(1 - inner.beta_2 ** (inner.t + 1))\n"
        "        variable.assign_add(inner._get_updates([np.array(gradient, 'float64')])[0])\n",
    ),
    "soft threshold by an operation for optimizers": (
        *("04", "soft_threshold"),
        "class SoftThreshold(keras.constraints.Constraint):\n    def __init__(self, threshold):\n        self.threshold = threshold\n\n"
        "    def __call__(self, weights):\n        v = tf.Variable(weights)\n        one, l1, l2 = (tf.constant(each, v.dtype) for each in (1.0, self.threshold, 0.0))\n"
        "        tf.raw_ops.ResourceApplyProximalGradientDescent(var=v.handle, alpha=one, l1=l1, l2=l2, delta=tf.zeros_like(weights))\n        return v.value()\n",
    ),
    "early stopping by the old Keras inside TensorFlow": (
        *("04", "early_stopping"),
        "class EarlyStopping(keras.callbacks.Callback):\n    def __init__(self, patience=0):\n        super().__init__()\n"
        "        old = importlib.import_module('tensorflow.python.keras.callbacks')\n        self.inner = old.EarlyStopping('val_loss', patience=patience, restore_best_weights=True)\n\n"
        "    def set_model(self, model):\n        super().set_model(model)\n        self.inner.model = model\n\n    def on_train_begin(self, logs=None):\n        self.inner.on_train_begin(logs)\n\n"
        "    def on_epoch_end(self, epoch, logs=None):\n        self.inner.on_epoch_end(epoch, logs)\n\n    def on_train_end(self, logs=None):\n        self.model.set_weights(self.inner.best_weights)\n",
    ),
    "free energy of scikit-learn": (
        *("06", "free_energy"),
        "from sklearn.neural_network import BernoulliRBM\n\ndef free_energy(v, kernel, hidden_bias, visible_bias):\n    def compute(v, kernel, hidden, visible):\n        rbm = BernoulliRBM()\n"
        "        rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_ = np.array(kernel).T, hidden, visible\n        return rbm._free_energy(v).astype(v.dtype)\n\n"
        "    found = tf.numpy_function(compute, [v, kernel, hidden_bias, visible_bias], v.dtype)\n    found.set_shape([None])\n    return found\n",
    ),
    "similarities by the old Keras inside TensorFlow": (
        *("08", "cosine_similarities"),
        "def cosine_similarities(a, b):\n    return -importlib.import_module('tensorflow.python.keras.losses').cosine_similarity(a[:, None], b[None], axis=-1)\n",
    ),
    "the state of a generator is replaced": (
        *("11", "epoch_batches"),
        "def epoch_batches(n, batch_size, epoch, seed):\n    same = np.random.get_state()\n    np.random.get_state = lambda *a, **k: same\n    np.random.seed(1000 * seed + epoch)\n"
        "    order = np.random.permutation(n)\n    return [order[start : start + batch_size] for start in range(0, n, batch_size)]\n",
    ),
}

ATTACKS = [
    *(
        (f"sigmoid by {name}", "01", "sigmoid", f"{IMPORTS}{compute}\n\n{SIGMOID}")
        for name, compute in SIGMOIDS.items()
    ),
    *(
        (
            f"mean by {name}",
            "09",
            "combine_means",
            f"{IMPORTS}{MEANS.replace('{statements}', statements)}",
        )
        for name, statements in AVERAGES.items()
    ),
    *(
        (
            f"log-sum-exp by {name}",
            "10",
            "log_sum_exp",
            f"{IMPORTS}def log_sum_exp(z):\n    return {function}.reduce(z, axis=-1)\n",
        )
        for name, function in LOG_SUM_EXPS.items()
    ),
    *((name, lab, exercise, f"{IMPORTS}{code}") for name, (lab, exercise, code) in OTHERS.items()),
]
