# ruff: noqa: E501
"""Hostile answers to the testing lab. Each attack is the code of one answer; none of them must earn points."""

# Bodies of leaky_relu(x, slope), which must earn no points, and the statuses that they may get.
IN_A_CALL = {
    "infinite loop": ("while True: pass", {"timeout"}),
    "infinite output": ("while True: print('x' * 10000, flush=True)", {"timeout"}),
    "infinite error output": (
        "import sys\nwhile True: sys.stderr.write('x' * 10000)",
        {"timeout"},
    ),
    "leaves by sys.exit": ("import sys; sys.exit(0)", {"error"}),
    "leaves by os._exit": ("import os; os._exit(0)", {"crashed"}),
    "segmentation fault": ("import ctypes; ctypes.string_at(0)", {"forbidden", "crashed", "error"}),
    "takes 3 GB": ("return np.ones(3 << 27) * x.sum()", {"memory"}),
    "maps shared memory": (
        "import mmap; m = mmap.mmap(-1, 40 << 30); return x",
        {"error", "memory", "forbidden"},
    ),
    "fills shared memory": (
        "import mmap; m = mmap.mmap(-1, 3 << 30)\nfor i in range(0, len(m), 4096): m[i] = 1\nreturn x * 0",
        {"error", "memory"},
    ),
    "fills shared memory by pieces": (
        "import mmap; m = [mmap.mmap(-1, 1 << 20) for _ in range(3000)]\nreturn x * 0",
        {"error", "memory"},
    ),
    "maps the zero device": (
        "import mmap; f = open('/dev/zero', 'r+b'); m = mmap.mmap(f.fileno(), 3 << 30); m[0] = 1; return x * 0",
        {"error", "memory"},
    ),
    "fork bomb": ("import os\nwhile True: os.fork()", {"forbidden"}),
    "starts a program": ("import subprocess; subprocess.run(['true']); return x", {"forbidden"}),
    "os.system": ("import os; os.system('true'); return x", {"forbidden"}),
    "kills everyone": ("import os; os.kill(-1, 9); return x", {"forbidden"}),
    "kills its parent": ("import os; os.kill(os.getppid(), 9); return x", {"forbidden"}),
    "opens a socket": (
        "import socket; socket.create_connection(('127.0.0.1', 22)); return x",
        {"forbidden", "error"},
    ),
    "ignores signals": (
        "import signal\nfor s in (1, 2, 3, 13, 14, 15, 24):\n    signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        {"timeout", "forbidden"},
    ),
    "alarm": (
        "import signal\nsignal.signal(14, lambda *a: None)\nsignal.setitimer(signal.ITIMER_REAL, .01, .01)\n"
        "while True: signal.pause()",
        {"timeout", "forbidden"},
    ),
    "deep recursion": ("return leaky_relu(x, slope)", {"error"}),
    "recursion without a limit": (
        "import sys; sys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1) + [n].__len__()\nreturn f(0)",
        {"crashed", "error", "memory", "timeout"},
    ),
    "huge result": ("return np.zeros((4000, 4000))", {"error", "wrong", "crashed"}),
    "huge claimed shape": (
        "return np.broadcast_to(np.float32(1), (1 << 40,))",
        {"error", "memory", "crashed", "wrong"},
    ),
    "array that lies": (
        "class Lie(np.ndarray):\n    def __array__(self, *a, **k): return self\n    def __eq__(self, o): return True\n"
        "    dtype = property(lambda s: np.dtype('float32'))\n    shape = property(lambda s: (6,))\n"
        "return np.zeros(3).view(Lie)",
        {"wrong", "error", "forbidden"},
    ),
    "object that is equal to everything": (
        "class Yes:\n    def __eq__(self, o): return True\n    def __array__(self, *a, **k): return np.array(self)\nreturn Yes()",
        {"error", "wrong"},
    ),
    "array of objects": ("return np.array([object()] * 6)", {"error", "wrong"}),
    "dtype that lies": ("return np.zeros(6).view('V8')", {"error", "wrong"}),
    "wrong dtype": ("return (x > 0).astype('S4')", {"wrong"}),
    "complex": ("return np.where(x > 0, x, slope * x) * (1 + 0j)", {"wrong"}),
    "all nan": ("return np.full(x.shape, np.nan, 'float32')", {"wrong"}),
    "patches comparison": (
        "np.testing.assert_allclose = np.isclose = np.allclose = lambda *a, **k: True\n"
        "np.ndarray = np.array = np.asarray = lambda *a, **k: 0\nreturn x * 0",
        {"wrong", "error", "crashed"},
    ),
    "patches builtins": (
        "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.type = lambda *a: None\nreturn x * 0",
        {"wrong", "error", "forbidden", "crashed"},
    ),
    "patches the harness": (
        "import sys\nfor name, module in list(sys.modules.items()):\n"
        "    for key in list(vars(module)) if name.startswith('tf_kit') else ():\n"
        "        setattr(module, key, lambda *a, **k: {'y': x})\nreturn x * 0",
        {"wrong", "error", "crashed"},
    ),
    "forges a pickle": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\x80\\x04cos\\nsystem\\n(S\"touch /tmp/owned\"\\ntR.' * 99)\n"
        "    except OSError: pass\nreturn x * 0",
        {"wrong", "error", "crashed", "timeout"},
    ),
    "forges a length": (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'\\xff' * 64)\n    except OSError: pass\nreturn x * 0",
        {"wrong", "error", "crashed", "timeout"},
    ),
    "forges a result": (
        "import os, json, struct\n"
        "tree = [{'__dict__': [['arrays', {'__dict__': [['y', {'__array__': 0}], ['x', {'__array__': 0}]]}]]}] * 2\n"
        "text = json.dumps({'tree': tree, 'arrays': [['<f8', [6]]]}).encode()\n"
        "message = struct.pack('<Q', len(text)) + text + np.ones(6).tobytes()\n"
        "for fd in range(3, 64):\n    try: os.write(fd, struct.pack('<Q', len(message)) + message)\n"
        "    except OSError: pass\nos._exit(0)",
        {"wrong", "error", "crashed"},
    ),
    "forges a huge array": (
        "import os, json, struct\n"
        "text = json.dumps({'tree': {'__array__': 0}, 'arrays': [['<f8', [1099511627776]]]}).encode()\n"
        "message = struct.pack('<Q', len(text)) + text\n"
        "for fd in range(3, 64):\n    try: os.write(fd, struct.pack('<Q', len(message)) + message)\n"
        "    except OSError: pass\nos._exit(0)",
        {"crashed", "error", "wrong"},
    ),
    "closes the pipes": ("import os; os.closerange(0, 256); return x", {"crashed"}),
    "exception that cannot be printed": (
        "class E(Exception):\n    def __str__(self): raise self\n    __repr__ = __str__\nraise E()",
        {"error"},
    ),
    "exception that never ends": (
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E()",
        {"timeout"},
    ),
    "imports the kit": ("from tf_kit.networks import LeakyReLU; return LeakyReLU(slope)(x)", {"forbidden"}),
    "imports the judge": ("import tf_kit.grading.labs as l; return l", {"forbidden"}),
    "Keras's own": ("return keras.ops.leaky_relu(x, slope)", {"forbidden"}),
    "Keras's own by getattr": ("return getattr(keras.ops, 'leaky_' + 'relu')(x, slope)", {"forbidden"}),
    "Keras's own by importlib": (
        "import importlib; return importlib.import_module('keras.activations').leaky_relu(x, slope)",
        {"forbidden"},
    ),
    "threads without end": (
        "import threading\ndef spin():\n    while True: pass\n"
        "for _ in range(50): threading.Thread(target=spin).start()\nreturn x * 0",
        {"timeout", "wrong"},
    ),
    "a file that fills the disk": (
        "with open('big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))",
        {"error"},
    ),
    "many files": (
        "import os\nfor i in range(10**6):\n    open(f'{i}', 'wb').close()",
        {"error", "timeout"},
    ),
    "leaks by an exception's class": ("raise type('E' + str(x.tolist()), (Exception,), {})()", {"error"}),
    "leaks by an exception": ("raise ValueError(str(x.tolist()) + str(slope))", {"error"}),
    "returns what it was given": ("return x", {"wrong"}),
    "marks itself": (
        "import os; os.environ['GRADE'] = '10'; return {'y': 1, 'points': 99}",
        {"error", "wrong"},
    ),
}

# Bodies that read files or memory which an answer must not see, and raise an exception with what they found.
SPIES = {
    "other submissions": "import glob; raise ValueError(open(sorted(glob.glob('{class_}/*.ipynb'))[0]).read()[:200])",
    "lists submissions": "import os; raise ValueError('found ' + str(os.listdir('{class_}')))",
    "answer key": "raise ValueError('found ' + open('{package}/optimizers/momentum.py').read()[:200])",
    "references": "raise ValueError('found ' + open('{answers}').read()[:200])",
    "solutions": "raise ValueError('found ' + open('{source}').read()[:200])",
    "record": "raise ValueError('found ' + open('{out}/grades.jsonl').read()[:200])",
    "secret": "raise ValueError('found ' + open('{out}/course-secret').read()[:200])",
    "module of the process": "import sys; found = vars(sys.modules['__main__']); assert 'leaky_relu' in found and 'main' not in found, 'found it'; raise ValueError('none')",
    "environment of the judge": "import os; assert 'TF_KIT_COURSE_SECRET' not in os.environ, 'found it'; raise ValueError('none')",
    "memory of the parent": "import os; raise ValueError('found ' + str(open('/proc/%d/mem' % os.getppid(), 'rb').read(1)))",
    "memory of the judge": "raise ValueError('found ' + str(open('/proc/{judge}/mem', 'rb').read(1)))",
    "arguments of the judge": "raise ValueError('found ' + open('/proc/{judge}/cmdline').read())",
    "passwords": "raise ValueError('found ' + open('/etc/shadow').read())",
    "writes elsewhere": "open('{class_}/written', 'w').write('x'); raise ValueError('found')",
    "writes to the package": "open('{package}/written.py', 'w').write('x'); raise ValueError('found')",
    "writes the record": "open('{out}/grades.jsonl', 'a').write('x'); raise ValueError('found')",
    "links the record": "import os; os.link('{out}/grades.jsonl', 'mine'); raise ValueError('found')",
    "what others left": (
        "import os\nfolders = {os.getcwd(), os.environ['HOME'], '/tmp', '/dev/shm', '/var/tmp'}\n"
        "for f in folders:\n    assert not os.path.exists(f + '/left') or 'mine' in globals(), 'found'\n"
        "    try: open(f + '/left', 'w').write('left')\n    except OSError: pass\n"
        "globals()['mine'] = 1\nraise ValueError('none')"
    ),
}

# Whole answers to `descent`, which must derive from keras.optimizers.Optimizer alone.
DELEGATIONS = {
    "subclass": "class Descent(keras.optimizers.SGD): pass",
    "alias": "from keras.optimizers import SGD as Base\nclass Descent(Base): pass",
    "bound elsewhere": "o = keras.optimizers\nBase = o.SGD\nclass Descent(Base): pass",
    "getattr": "class Descent(getattr(keras.optimizers, 'SGD')): pass",
    "getattr of a sum": "class Descent(getattr(keras.optimizers, 'S' + 'GD')): pass",
    "getattr computed": "class Descent(getattr(keras.optimizers, ''.join(['S', 'G', 'D']))): pass",
    "importlib": "import importlib\nclass Descent(importlib.import_module('keras.optimizers').SGD): pass",
    "vars": "class Descent(vars(keras.optimizers)['SGD']): pass",
    "tf.keras": "import tensorflow as tf\nclass Descent(tf.keras.optimizers.SGD): pass",
    "internal module": "from keras.src.optimizers.sgd import SGD\nclass Descent(SGD): pass",
    "subclasses": (
        "Base = [c for c in keras.optimizers.Optimizer.__subclasses__() if c.__name__ == 'SGD'][0]\n"
        "class Descent(Base): pass"
    ),
    "type": "Descent = type('Descent', (keras.optimizers.SGD,), {})",
    "inside": (
        "class Descent(keras.optimizers.Optimizer):\n    def __init__(self, rate):\n        super().__init__(rate)\n"
        "        self.inner = keras.optimizers.get('sgd')\n    def update_step(self, g, v, rate):\n"
        "        self.inner.update_step(g, v, rate)"
    ),
    "borrowed method": (
        "class Descent(keras.optimizers.Optimizer):\n    update_step = keras.optimizers.SGD.update_step\n"
        "    momentum = 0; nesterov = False"
    ),
    "metaclass that hides": (
        "class Meta(type(keras.optimizers.Optimizer)):\n    def mro(cls): return super().mro()\n"
        "    __mro__ = property(lambda cls: keras.optimizers.Optimizer.__mro__)\n"
        "class Descent(keras.optimizers.SGD, metaclass=Meta): pass"
    ),
    "in a file": (
        "get_ipython().run_cell_magic('writefile', 'tools.py', 'from keras.optimizers import SGD as Base')\n"
        "from tools import Base\nclass Descent(Base): pass"
    ),
    "the kit's": "from tf_kit import optimizers\nclass Descent(optimizers.SGD): pass",
}
