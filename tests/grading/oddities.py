# ruff: noqa: E501
"""Honest notebooks of unusual form: cells that a student ran from top to bottom, with a `check` after each answer.

Two exercises of the testing lab are answered: `leaky` (2 points) and `descent` (3 points). Each notebook must get from
the grader what its checks gave in IPython.
"""

IMPORTS = "import keras\nimport numpy as np\nfrom keras import ops\nfrom tf_kit.grading import check"
LEAKY = "def leaky_relu(x, slope):\n    return np.where(x > 0, x, slope * x)"
BODY = "def leaky_relu(x, slope):\n    return "
DESCENT = (
    "class Descent(keras.optimizers.Optimizer):\n    def update_step(self, gradient, variable, learning_rate):\n"
    "        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * gradient)"
)
CLIMB = DESCENT.replace("assign_sub", "assign_add")
CHECK, CHECK_2 = 'check("leaky")', 'check("descent")'
MARK = "# exercise: leaky\n"
COUNTING = LEAKY.replace("    return", "    global calls\n    calls += 1\n    return")
PAIR = BODY + "(x, np.where(x > 0, x, slope * x))"
SUM = BODY + "np.where(x > sum([0.0, 0.0]), x, slope * x)"
RESHAPED = BODY + "(lambda x: ops.where(x > 0, x, slope * x).reshape(x.shape))(ops.convert_to_tensor(x))"
GUARD = BODY + "np.where(x > table['edge'], x, slope * x)"


def leaky(*above, answer=LEAKY, after=()):
    """A notebook with an answer to `leaky`."""
    return [IMPORTS, *above, answer, CHECK, *after]


def using(expression, *above, after=()):
    """A notebook whose leaky ReLU has an expression for the zero that it compares with."""
    return leaky(*above, answer=f"{BODY}np.where(x > {expression}, x, slope * x)", after=after)


NOTEBOOKS = {
    "as it should be": [*leaky(), DESCENT, CHECK_2],
    # helpers and constants of one name
    "two helpers of one name": [
        *(IMPORTS, "def helper(a):\n    return a * 1"),
        *(BODY + "np.where(x > 0, helper(x), slope * x)", CHECK),
        "def helper(a):\n    return a * -1",
        *(DESCENT.replace("gradient)", "-helper(gradient))"), CHECK_2),
    ],
    "helpers of one name in the cells of the answers": [
        IMPORTS,
        "def step(a):\n    return a\n\n" + BODY + "np.where(x > 0, step(x), slope * x)",
        CHECK,
        "def step(a):\n    return -a\n\n" + DESCENT.replace("gradient)", "-step(gradient))"),
        CHECK_2,
    ],
    "a constant used again in a loop": using(
        "edge", "edge = 0.0", after=["for edge in (1.0, 2.0):\n    print(edge)"]
    ),
    "a constant used again in an experiment": using("edge", "edge = 0.0", after=["edge = 5\nx = edge"]),
    "a constant set twice above": using("edge", "edge = 5.0", "edge = 0.0"),
    "a constant that a loop leaves": using("edge", "for edge in (2.0, 1.0, 0.0):\n    pass"),
    "a constant that is counted down": using("edge", "edge = 2.0\nedge -= 1\nedge -= 1"),
    "a constant from others": using("c", "a = 1\nb = a\na = 5\nc = b - 1"),
    "a constant in a with": using(
        "edge", "import contextlib\nwith contextlib.nullcontext(0.0) as edge:\n    pass"
    ),
    "a constant by a walrus": using("edge", "print(edge := 0.0)"),
    "several at once": using("edge", "edge, *others = 0.0, 1, 2"),
    "a chain": using("edge", "other = edge = 0.0"),
    "an annotation": using("edge", "edge: float = 0.0"),
    "an answer in an if": leaky(answer="if True:\n    " + LEAKY.replace("\n", "\n    ")),
    "an answer in a try": leaky(
        "try:\n    import nothing_of_this_name\nexcept ImportError:\n    nothing = None",
        answer="try:\n    " + LEAKY.replace("\n", "\n    ") + "\nexcept ValueError:\n    pass",
    ),
    "a del": using("edge", "edge = 5", "del edge", "edge = 0"),
    # objects that are changed
    "a table filled in a loop": leaky(
        "table = {}\nfor key in ('edge', 'other'):\n    table[key] = 0.0", answer=GUARD
    ),
    "setdefault": leaky("table = {}", "table.setdefault('edge', 0.0)", answer=GUARD),
    "setdefault with a result": leaky("table = {}", "kept = table.setdefault('edge', 0.0)", answer=GUARD),
    "an item set in an if": leaky(
        "table = {}\nif 'edge' not in table:\n    table['edge'] = 0.0", answer=GUARD
    ),
    "an item set in a try": leaky(
        "table = {}\ntry:\n    table['edge'] = 0.0\nfinally:\n    pass", answer=GUARD
    ),
    "an item set in a while": leaky(
        "table = {'edge': 2}\nwhile table['edge']:\n    table['edge'] -= 1", answer=GUARD
    ),
    "update": leaky("table = dict()\ntable.update(edge=0.0)", answer=GUARD),
    "|=": leaky("table = {'other': 1}\ntable |= {'edge': 0.0}", answer=GUARD),
    "a table filled by a function": leaky(
        "table = {}\ndef fill(where):\n    where['edge'] = 0.0", "fill(table)", answer=GUARD
    ),
    "a table filled by a function that knows it": leaky(
        "table = {}\ndef fill():\n    table['edge'] = 0.0", "fill()", answer=GUARD
    ),
    "a table with two names": leaky("table = {}\nsame = table", "same['edge'] = 0.0", answer=GUARD),
    "a table in an object": leaky(
        "class Settings:\n    pass\n\ntable = Settings()\ntable.edge = 7",
        "setattr(table, 'edge', 0.0)",
        answer=GUARD.replace("table['edge']", "table.edge"),
    ),
    "a global set by a function": using("edge", "def begin():\n    global edge\n    edge = 0.0", "begin()"),
    "a registry with a decorator": leaky(
        "known = {}\ndef register(f):\n    known[f.__name__] = f\n    return f",
        "@register\ndef chosen(x, slope):\n    return np.where(x > 0, x, slope * x)",
        answer=BODY + "known['chosen'](x, slope)",
    ),
    "a list sorted in place": using("edges[0]", "edges = [3, 0, 2]", "edges.sort()"),
    "an array filled in place": using("edges[0]", "edges = np.ones(3)", "np.copyto(edges, 0.0)"),
    "an array filled by out": using("edges[0]", "edges = np.ones(3)", "np.multiply(edges, 0, out=edges)"),
    "an array set by a slice": using("edges[0]", "edges = np.ones(3)", "edges[:] = 0"),
    "an experiment that fails": leaky("table = {'edge': 0.0}", "table['other'] = 1 / 0", answer=GUARD),
    "heapq": using("heap[0]", "import heapq\nheap = [2, 3]", "heapq.heappush(heap, 0)"),
    # the syntax of IPython
    "help": leaky("ops.tanh?", "?np.where", "np.where??"),
    "a shell command with a result": leaky("files = !ls\nprint(files)"),
    "a shell command in the cell of the answer": leaky(answer=f"!echo begin\n{LEAKY}\n!echo end"),
    "a shell command over several lines": leaky(
        "!echo -n \\\n    one \\\n    two", answer=f"!echo \\\n    three\n{LEAKY}"
    ),
    "%time of a call that the answer needs": using(
        "TABLE['edge']", "def table():\n    return {'edge': 0.0}", "%time TABLE = table()"
    ),
    "timeit with a result": leaky("t = %timeit -o -n 1 -r 1 sum(range(3))"),
    "timeit in the cell of the answer": leaky(
        answer=f"{LEAKY}\n%timeit -n 1 -r 1 leaky_relu(np.ones(3), 0.1)"
    ),
    "indented magics": leaky("if True:\n    %matplotlib inline\n    scale = 1", answer=LEAKY),
    "an indented magic in the cell of the answer": leaky(
        answer=f"for _ in range(1):\n    %precision 3\n{LEAKY}"
    ),
    "%%time": leaky(answer=f"%%time\n{LEAKY}"),
    "%%prun": leaky(answer=f"%%prun -q\n{LEAKY}"),
    "%%capture": leaky(answer=f"%%capture shown\n{LEAKY}"),
    "%time": using("edge", "%time edge = 0.0"),
    "%%writefile": leaky("%%writefile /dev/null\nthis is not Python ("),
    "%%writefile of a module": leaky(
        "%%writefile mine_1.py\nimport numpy as np\n\n" + LEAKY,
        answer="from mine_1 import leaky_relu as mine\n" + BODY + "mine(x, slope)",
    ),
    "%%writefile of modules that import each other": leaky(
        "%%file mine_2.py\nedge = 1",
        "%%writefile mine_3.py\nimport mine_2\nlower = mine_2.edge",
        "%%writefile -a mine_3.py\nlower -= 1",
        answer=BODY + "np.where(x > __import__('mine_3').lower, x, slope * x)",
    ),
    "%%writefile of numbers": leaky(
        '%%writefile mine_4.json\n{"edge": 0}',
        answer="import json\ntable = json.load(open('mine_4.json'))\n" + GUARD,
    ),
    "a file of an array": using(
        "np.load('mine_5.npy')[0]", "import numpy as np\nnp.save('mine_5', np.zeros(1))"
    ),
    "a file of text": using(
        "float(Path('out/mine_6.txt').read_text())",
        "from pathlib import Path\nfolder = Path('out')\nfolder.mkdir(exist_ok=True)",
        "(folder / 'mine_6.txt').write_text('0')",
    ),
    "a file that is written twice": using(
        "json.loads(Path('mine_7.json').read_text())['edge']",
        "import json\nfrom pathlib import Path\nPath('mine_7.json').write_text('{\"edge\": 5}')",
        "with open('mine_7.json', 'w') as file:\n    json.dump({'edge': 0}, file)",
    ),
    "%%bash": leaky("%%bash\nfor f in *; do true; done"),
    "a line that begins with %": leaky(
        "%matplotlib inline", answer=f"{LEAKY.replace('slope * x)', 'slope * x * (6')}\n% 5))"
    ),
    "a string that looks like a magic": leaky(answer=f'note = """\n%time\n!ls\n"""\n{LEAKY}\n!echo end'),
    "display": leaky(answer=f"{LEAKY}\ndisplay(leaky_relu(np.ones(2), 0.5))"),
    "display in a call": leaky(answer=LEAKY.replace("    return", "    display(slope)\n    return")),
    "display that is imported": leaky(
        "from IPython.display import display, clear_output",
        answer=LEAKY.replace("    return", "    display(x)\n    return"),
    ),
    "get_ipython in a helper": leaky(
        "def quiet():\n    get_ipython().run_line_magic('precision', '3')",
        answer=LEAKY.replace("    return", "    quiet()\n    return"),
    ),
    "prompts that were copied": leaky(
        answer=">>> def leaky_relu(x, slope):\n...     return np.where(x > 0, x, slope * x)"
    ),
    "an indented cell": leaky(answer="    " + LEAKY.replace("\n", "\n    ")),
    "a semicolon": leaky(answer=f"{LEAKY}\nleaky_relu(np.ones(2), 0.5);"),
    "await": leaky("import asyncio\nawait asyncio.sleep(0)\nedge = 0.0"),
    "a result that is awaited": using(
        "edge",
        "import asyncio\nasync def begin():\n    await asyncio.sleep(0)\n    return 0.0",
        "edge = await begin()",
    ),
    "an environment variable": using(
        "float(os.environ['TF_KIT_EDGE'])", "import os\nos.environ['TF_KIT_EDGE'] = '0'"
    ),
    "an environment variable by a magic": using(
        "float(os.environ['TF_KIT_EDGE'])", "%env TF_KIT_EDGE=0", "import os"
    ),
    # more than one version
    "a wrong version below": leaky(after=[LEAKY.replace("slope * x)", "x)")]),
    "a wrong version above": [
        IMPORTS,
        "# exercise: leaky\n" + BODY + "x",
        "# exercise: leaky\n" + LEAKY,
        CHECK,
    ],
    "a version that was mended": [IMPORTS, BODY + "x", CHECK, LEAKY, CHECK],
    "a class mended below": [
        *(IMPORTS, CLIMB, CHECK_2, "def step(self, gradient, variable, learning_rate):"),
        "def step(self, gradient, variable, learning_rate):\n"
        "    self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * gradient)\nDescent.update_step = step",
        CHECK_2,
    ],
    "an old version kept under another name": leaky(answer=f"{BODY}x\n\nold = leaky_relu\n\n{LEAKY}"),
    "a wrapped version": leaky(
        answer=f"{LEAKY}\n\nplain = leaky_relu\n\ndef leaky_relu(x, slope):\n    return plain(x, slope)"
    ),
    "all checks at the end": [IMPORTS, LEAKY, DESCENT, f"{CHECK}\n{CHECK_2}"],
    "checks repeated at the end": [*leaky(), DESCENT, CHECK_2, f"{CHECK}\n{CHECK_2}"],
    # other forms
    "everything in one cell": ["\n".join([IMPORTS, LEAKY, DESCENT, CHECK, CHECK_2])],
    "a star import": leaky("from numpy import *", answer=LEAKY.replace("np.", "")),
    "star imports of two modules": leaky(
        "from math import *\nfrom numpy import *", answer=LEAKY.replace("np.", "")
    ),
    "a star import that replaces Python's own functions": leaky(
        "from numpy import *", answer=BODY + "max([x, slope * x], 0)"
    ),
    "a star import of Keras that replaces Python's own functions": leaky(
        "from keras.ops import *", answer=BODY + "max([x, slope * x], 0)"
    ),
    "a star import below a function that it replaces": leaky(
        "def floor(x):\n    return 7.0",
        "from math import *",
        answer=f"{BODY}np.where(x > floor(0.5), x, slope * x)",
    ),
    "a star import above a function that replaces it": leaky(
        "from math import *\ndef floor(x):\n    return 0.0",
        answer=f"{BODY}np.where(x > floor(7.0), x, slope * x)",
    ),
    "a star import that fails and is not needed": leaky("from nothing_of_this_name import *"),
    "another name of numpy": leaky("import numpy", answer=LEAKY.replace("np.", "numpy.")),
    "an import in the function": leaky(
        answer=LEAKY.replace("    return", "    import numpy as np\n    return")
    ),
    "functools.partial": leaky(
        "from functools import partial\ndef general(x, slope, edge):\n    return np.where(x > edge, x, slope * x)",
        answer="leaky_relu = partial(general, edge=0.0)",
    ),
    "a callable object": leaky(
        answer="class Leaky:\n    def __call__(self, x, slope):\n        return np.where(x > 0, x, slope * x)\n\nleaky_relu = Leaky()"
    ),
    "a generator of functions": leaky(
        answer="def make(edge):\n    def f(x, slope):\n        return np.where(x > edge, x, slope * x)\n    return f\n\nleaky_relu = make(0.0)"
    ),
    "defaults from above": leaky(
        "EDGE = 0.0", answer=LEAKY.replace("slope)", "slope, edge=EDGE)", 1), after=["EDGE = 9"]
    ),
    "a dataclass": using(
        "Settings().edge",
        "import dataclasses\n\n@dataclasses.dataclass\nclass Settings:\n    edge: float = 0.0",
    ),
    "a dataclass whose annotations are strings": using(
        "Settings(1.0).edge + Settings.lower",
        "from __future__ import annotations\nimport dataclasses\nfrom typing import ClassVar",
        "@dataclasses.dataclass(slots=True)\nclass Settings:\n    given: dataclasses.InitVar[float]\n"
        "    edge: float = 0.0\n    lower: ClassVar[float] = -1.0\n\n"
        "    def __post_init__(self, given):\n        self.edge = given",
    ),
    "a dataclass made in a call": leaky(
        "from __future__ import annotations\nimport dataclasses\nfrom typing import ClassVar",
        answer="def leaky_relu(x, slope):\n    @dataclasses.dataclass(slots=True)\n    class Settings:\n"
        "        edge: ClassVar[float] = 0.0\n\n    return np.where(x > Settings.edge, x, slope * x)",
    ),
    "a base class of its own": [
        *(IMPORTS, "class Named:\n    title = 'descent'"),
        *(DESCENT.replace("Optimizer)", "Optimizer, Named)"), CHECK_2),
    ],
    "match": leaky(answer=BODY + "np.where(x > 0, x, slope * x)\n\nmatch 1:\n    case 1:\n        pass"),
    "unused code that cannot run": leaky("def unused():\n    return nothing_of_this_name"),
    "Ünicode": using("größe", "größe = 0.0"),
    "noise": leaky(answer=LEAKY.replace("    return", "    print(x)\n    return")),
    "a seed": using("np.random.default_rng(0).integers(1)"),
    "a wrong answer": leaky(answer=BODY + "x"),
    "a name that is not defined": leaky(answer=BODY + "np.where(x > zero, x, slope * x)"),
    "half of the exercises": [*leaky(), CLIMB, CHECK_2],
    # folders
    "a folder made above": leaky(
        "from pathlib import Path\nPath('made_1').mkdir(exist_ok=True)",
        answer=LEAKY.replace("    return", "    np.save('made_1/x.npy', x)\n    return"),
    ),
    "folders made in an if, in a loop and by a command": leaky(
        "import os\nif not os.path.exists('made_2'):\n    os.mkdir('made_2')",
        "for folder in ('a', 'b'):\n    os.makedirs(f'made_2/{folder}', exist_ok=True)",
        "!mkdir -p made_2/c",
        answer=LEAKY.replace(
            "    return", "    for each in 'abc':\n        np.save(f'made_2/{each}/x.npy', x)\n    return"
        ),
    ),
    "a folder that is there already": leaky("import os\nos.mkdir('.')"),
    # found by looking for more
    "nonlocal": leaky(
        "def maker():\n    edge = 1.0\n    def lower():\n        nonlocal edge\n        edge -= 1\n        return edge\n"
        "    return lower\n\nlower = maker()\nlowest = lower()",
        answer=BODY + "np.where(x > lowest, x, slope * x)",
    ),
    "an exception that keeps the value": using(
        "edge", "try:\n    raise ValueError(0.0)\nexcept ValueError as error:\n    edge = error.args[0]"
    ),
    "a dictionary by a comprehension with a condition": leaky(
        "names = ['edge', 'other']\ntable = {name: 0.0 for name in names if len(name) == 4}", answer=GUARD
    ),
    "an attribute of a function": using("limits.edge", "def limits():\n    pass\n\nlimits.edge = 0.0"),
    "setattr": using("box.edge", "class Box:\n    pass\n\nbox = Box()\nsetattr(box, 'edge', 0.0)"),
    "exec": using("edge", "exec('edge = 0.0')"),
    "a zip of lists": using("edge", "for name, edge in zip(['a', 'b'], [1.0, 0.0]):\n    print(name)"),
    "a function defined by its name in a string": leaky(
        answer="exec('def leaky_relu(x, slope):\\n    return np.where(x > 0, x, slope * x)')"
    ),
    "a cached property": using(
        "Box().edge",
        "import functools\nclass Box:\n    @functools.cached_property\n    def edge(self):\n        return 0.0",
    ),
    "a method taken from a class": leaky(
        "class Kit:\n    @staticmethod\n    def leaky(x, slope):\n        return np.where(x > 0, x, slope * x)",
        answer="leaky_relu = Kit.leaky",
    ),
    "a type alias and overloads": leaky(
        "import typing\nArray = typing.Union[np.ndarray, float]",
        answer=LEAKY.replace("(x, slope)", "(x: Array, slope: 'Array') -> Array"),
    ),
    # names by strings
    "a constant in globals": using("edge", "globals()['edge'] = 0.0"),
    "a constant from globals": using("globals()['edge']", "edge = 0.0", after=["edge = 5"]),
    "a constant in the names of IPython": using("edge", "get_ipython().user_ns['edge'] = 0.0"),
    "a constant from the names of IPython": using("get_ipython().user_ns['edge']", "edge = 0.0"),
    "constants pushed": using("edge", "get_ipython().push({'edge': 0.0, 'other': 1.0})"),
    "constants updated": using("edge + other", "globals().update({'edge': 1.0}, other=-1.0)"),
    "a default in globals": using("edge", "globals().setdefault('edge', 0.0)"),
    "a global that a function sets": using("edge", "def begin():\n    globals()['edge'] = 0.0\n\nbegin()"),
    "an answer in globals": leaky(
        "def mine(x, slope):\n    return np.where(x > 0, x, slope * x)",
        answer="globals()['leaky_relu'] = mine",
    ),
    "an answer in the names of IPython": leaky(
        answer="get_ipython().user_ns['leaky_relu'] = lambda x, slope: np.where(x > 0, x, slope * x)"
    ),
    # counters and caches that a function keeps outside of itself
    "a counter in the cell of the answer": leaky(answer=f"calls = 0\n\n{COUNTING}"),
    "a counter above": leaky("calls = 0", answer=COUNTING),
    "a counter in a class": [
        *(IMPORTS, "steps = 0"),
        *(DESCENT.replace("        self", "        global steps\n        steps += 1\n        self"), CHECK_2),
    ],
    "a cache that a helper fills": using(
        "table()['edge']",
        "_table = None\n\ndef table():\n    global _table\n    if _table is None:\n"
        "        _table = {'edge': 0.0}\n    return _table",
    ),
    "two functions that share a global": using(
        "(enter(), leave())[1]",
        "depth = 0",
        "def enter():\n    global depth\n    depth += 1",
        "def leave():\n    global depth\n    depth -= 1\n    return depth",
    ),
    "a counter by a string": leaky(
        "calls = 0", answer=LEAKY.replace("    return", "    globals()['calls'] = calls + 1\n    return")
    ),
    # the answer in another cell than the marked one
    "a wrong attempt in the marked cell": [IMPORTS, MARK + BODY + "x", LEAKY, CHECK],
    "an attempt in the marked cell that fails": [IMPORTS, MARK + BODY + "zero", LEAKY, CHECK],
    "an attempt in the marked cell that is not allowed": [
        *(IMPORTS, MARK + BODY + "keras.ops.leaky_relu(x, slope)", LEAKY, CHECK)
    ],
    "a wrong attempt in the marked cell, checked": [IMPORTS, MARK + BODY + "x", CHECK, LEAKY, CHECK],
    "a wrong class in the marked cell": [IMPORTS, "# exercise: descent\n" + CLIMB, DESCENT, CHECK_2],
    "an experiment below the marked cell": [
        *(IMPORTS, MARK + LEAKY, CHECK, BODY + "x", "print(leaky_relu(np.ones(2), 0.5))", DESCENT, CHECK_2)
    ],
    "an experiment below the marked cell, and all checks again": [
        *(IMPORTS, MARK + LEAKY, CHECK, BODY + "x", DESCENT, f"{CHECK}\n{CHECK_2}")
    ],
    "a wrong attempt, checked, then all exercises": [*(IMPORTS, MARK + BODY + "x", CHECK, LEAKY, "check()")],
    "a wrong attempt, checked, then by keyword": [
        *(IMPORTS, MARK + BODY + "x", CHECK, LEAKY, 'check(id="leaky")')
    ],
    "a wrong attempt, checked, then in a loop": [
        *(
            IMPORTS,
            MARK + BODY + "x",
            CHECK,
            LEAKY,
            DESCENT,
            'for each in ["leaky", "descent"]:\n    check(each)',
        )
    ],
    "a check that was commented out": [IMPORTS, MARK + LEAKY, CHECK, BODY + "x", f"# {CHECK}"],
    # the answer made from an earlier one
    "wrapped in a later cell": leaky(PAIR, "first = leaky_relu", answer=BODY + "first(x, slope)[1]"),
    "the marked cell wrapped in a later cell": [
        *(IMPORTS, MARK + PAIR, "first = leaky_relu\n\n" + BODY + "first(x, slope)[1]", CHECK)
    ],
    "the marked cell wrapped, then an experiment": [
        *(IMPORTS, MARK + PAIR, "first = leaky_relu", BODY + "first(x, slope)[1]", CHECK),
        *(BODY + "x", CHECK),
    ],
    "wrapped twice": [
        *(IMPORTS, MARK + PAIR, "first = leaky_relu\n\n" + BODY + "(first(x, slope)[1],)"),
        *("second = leaky_relu\n\n" + BODY + "second(x, slope)[0]", CHECK),
    ],
    "decorated in a later cell": leaky(
        PAIR,
        "def second(f):\n    return lambda *inputs: f(*inputs)[1]",
        answer="leaky_relu = second(leaky_relu)",
    ),
    "defined again in an if that does not run": leaky(
        "fast = False", LEAKY, answer=f"if fast:\n    {BODY}x".replace("\n    return", "\n        return")
    ),
    "defined again in an if that runs": leaky(
        "fast = False", MARK + BODY + "x", answer="if not fast:\n    " + LEAKY.replace("\n", "\n    ")
    ),
    "a class made from the marked one": [
        *(IMPORTS, "# exercise: descent\n" + CLIMB, "climb = Descent.update_step"),
        "class Descent(keras.optimizers.Optimizer):\n    def update_step(self, gradient, variable, learning_rate):\n"
        "        climb(self, -gradient, variable, learning_rate)",
        CHECK_2,
    ],
    # a name of Python's own that is bound below
    "sum below": [IMPORTS, MARK + SUM, CHECK, "sum = 0\nfor i in range(3):\n    sum += i"],
    "sum below a helper": [
        *(IMPORTS, "def edge():\n    return sum([0.0])"),
        *(MARK + BODY + "np.where(x > edge(), x, slope * x)", CHECK, "sum = 3"),
    ],
    "max below by a loop": leaky(
        answer=BODY + "np.where(x > float(max(0, -1)), x, slope * x)",
        after=["for min, max in [(1, 2)]:\n    pass"],
    ),
    "sum deleted above": leaky("sum = 0", "del sum", answer=SUM),
    "a name of a star import that is bound below": leaky(
        "from numpy import *", answer=BODY + "where(x > 0, x, slope * x)", after=["where = 3"]
    ),
    "a helper below, with a star import": [
        *(IMPORTS, "from math import *", MARK + BODY + "np.where(x > helper(), x, slope * x)"),
        *("def helper():\n    return 0.0", CHECK),
    ],
    # options of libraries
    "methods of arrays for tensors": leaky(
        "import tensorflow as tf\ntf.experimental.numpy.experimental_enable_numpy_behavior()", answer=RESHAPED
    ),
    "methods of arrays for tensors, the older way": leaky(
        "from tensorflow.python.ops.numpy_ops import np_config\nnp_config.enable_numpy_behavior()",
        answer=RESHAPED,
    ),
    "methods of arrays for tensors, by a function": leaky(
        "import tensorflow as tf\ndef begin():\n    tf.experimental.numpy.experimental_enable_numpy_behavior()",
        "begin()",
        answer=RESHAPED,
    ),
    "the limit of recursion": using(
        "deep(6000)",
        "import sys\nsys.setrecursionlimit(20_000)\ndef deep(n):\n    return deep(n - 1) if n else 0.0",
    ),
    "an option that is an attribute": using(
        "1 - (decimal.getcontext().prec == 50)", "import decimal\ndecimal.getcontext().prec = 50"
    ),
    "a seed that a function sets": using(
        "(abs(first - 0.32383276) > 1e-6)",
        "import random\nSEED = 7\ndef seed_all(seed):\n    random.seed(seed)\n    np.random.seed(seed)",
        "seed_all(SEED)",
        "first = random.random()",
    ),
    "a folder on the path": leaky(
        "import os, sys\nos.makedirs('made_3', exist_ok=True)\nsys.path.insert(0, 'made_3')",
        "%%writefile made_3/mine_8.py\nimport numpy as np\n\n" + LEAKY,
        answer="import mine_8\n" + BODY + "mine_8.leaky_relu(x, slope)",
    ),
    "the garbage is collected": leaky(
        "import gc\ngc.collect()",
        "def begin():\n    global edge\n    edge = 0.0",
        "begin()",
        answer=BODY + "np.where(x > edge, x, slope * x)",
    ),
    # modules
    "two parts of a library": leaky(
        "import wsgiref.util",
        "import wsgiref.headers",
        answer=BODY + "np.where(wsgiref.util.FileWrapper and x > 0, x, slope * x)",
    ),
    "the answer in a module": leaky(
        "%%writefile mine_9.py\nimport numpy as np\n\n" + LEAKY, answer="from mine_9 import leaky_relu"
    ),
    "the answer in a module, all of it imported": leaky(
        "%%writefile mine_10.py\nimport numpy as np\n\n" + LEAKY, answer="from mine_10 import *"
    ),
    "subclasses that their base keeps": leaky(
        "class Base:\n    known = []\n    def __init_subclass__(cls):\n        Base.known.append(cls)",
        "class Mine(Base):\n    edge = 0.0",
        answer=BODY + "np.where(x > Base.known[0].edge, x, slope * x)",
    ),
    # the check by another name, in a function, in the middle of a cell
    "a check by another name": [
        IMPORTS.replace("check", "points, check as test"),
        *(MARK + BODY + "x", LEAKY, 'test("leaky")', DESCENT, 'test("descent")'),
    ],
    "a check in a function": [IMPORTS, f"def test():\n    {CHECK}", MARK + BODY + "x", LEAKY, "test()"],
    "a check in a function, then an experiment": [
        *(IMPORTS, f"def test():\n    {CHECK}", LEAKY, "test()", BODY + "x")
    ],
    "checks by map": [
        *(IMPORTS, MARK + LEAKY, DESCENT, "list(map(check, ['leaky', 'descent']))", BODY + "x", CLIMB)
    ],
    "an experiment below the check in its cell": [IMPORTS, f"{MARK}{LEAKY}\n{CHECK}\n{BODY}x"],
    "two versions and checks in a cell": [IMPORTS, f"{MARK}{BODY}x\n{CHECK}\n{LEAKY}\n{CHECK}"],
}
