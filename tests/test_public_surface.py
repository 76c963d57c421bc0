"""The public surface: every signature has types, and a type checker or an editor finds every public name."""

import ast
import functools
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tf_kit

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tf_kit"


# Signatures


def is_ours(thing):
    return (getattr(thing, "__module__", None) or "").split(".")[0] == "tf_kit"


def members_of(module):
    """(name, object) of the public functions and classes of a module that has no `__all__`."""
    for name, thing in vars(module).items():
        if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__:
            yield name, thing


def signatures_of(name, thing):
    """(name, function) of a public thing: itself, or its methods and properties, inherited ones too."""
    if inspect.ismodule(thing):
        for inner, member in members_of(thing):
            yield from signatures_of(f"{name}.{inner}", member)
    elif inspect.isclass(thing):
        for owner in filter(is_ours, thing.__mro__):
            for inner, member in vars(owner).items():
                if not inner.startswith("_") or inner == "__init__":
                    if isinstance(member, property):
                        member = member.fget
                    elif isinstance(member, functools.cached_property):
                        member = member.func
                    elif isinstance(member, classmethod | staticmethod):
                        member = member.__func__
                    if inspect.isfunction(member):
                        yield f"{owner.__module__}.{owner.__qualname__}.{inner}", member
    elif inspect.isfunction(inspect.unwrap(thing)):
        yield f"{thing.__module__}.{thing.__qualname__}", inspect.unwrap(thing)


def missing_types(name, function):
    """Parameters of a function without a type, and `return`."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if "." in function.__qualname__ and parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    missing = [
        each.name
        for each in parameters
        if each.annotation is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if signature.return_annotation is signature.empty and not name.endswith("__init__"):
        missing.append("return")
    return missing


def public_functions():
    for wing in tf_kit.WINGS:
        module = importlib.import_module(f"tf_kit.{wing}")
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.ismodule(thing) or is_ours(thing):
                yield from signatures_of(f"tf_kit.{wing}.{name}", thing)


def test_public_signatures_have_types():
    functions = dict(public_functions())
    assert len(functions) > 300
    untyped = {name: missing_types(name, function) for name, function in sorted(functions.items())}
    assert {name: missing for name, missing in untyped.items() if missing} == {}


def test_missing_types_are_found():
    def function(untyped, typed: int, *args, **kwargs):
        pass

    assert missing_types("function", function) == ["untyped", "return"]


# Names

NAMES = {
    "data": "load",
    "networks": "mlp cnn Sigmoid Tanh ReLU LeakyReLU backpropagate gradient_norms",
    "optimizers": "SGD Momentum Nesterov AdaGrad RMSProp RMSPropNesterov Adam AdamW LARS RobbinsMonro WarmupCosine "
    "LinearDecay",
    "regularization": "Dropout DropConnect BatchNorm EarlyStopping predict_by_mask_sampling predict_by_weight_scaling "
    "GaussianNoise RandomFlip RandomCrop RandomRotation RandomResizedCrop ColorJitter AddNoise compose preset",
    "design": "Standardize PCAWhitening ZCAWhitening memory_bill grid random successive_halving",
    "training": "Trainer strategy",
    "pretraining": "Autoencoder DenoisingAutoencoder RBM DeepBeliefNetwork Supervised pretrain_greedily "
    "MaskedAutoencoder MaskedTokens MaskedVectors PatchEncoder TokenEncoder SimCLR BYOL BarlowTwins VICReg nt_xent "
    "barlow_twins vicreg byol SimSiam NNCLR SupCon LeJEPA DINO dino simsiam nnclr supcon lejepa sigreg finetune "
    "linear_probe knn_accuracy",
    "scaling": "strategy split traffic_bill check_replicas prune quantize distill energy_bill",
    "grading": "check labs.find selftest.solved notebooks.student_notebook",
    "errors": "InputError WorkerLost",
}


@pytest.mark.parametrize(("wing", "name"), [(wing, name) for wing in NAMES for name in NAMES[wing].split()])
def test_public_name_exists(wing, name):
    thing = importlib.import_module(f"tf_kit.{wing}")
    for part in name.split("."):
        thing = getattr(thing, part)
    assert callable(thing)


@pytest.mark.parametrize(
    "name",
    [
        *(f"networks.{name}.derivative" for name in ("Sigmoid", "Tanh", "ReLU", "LeakyReLU")),
        *(
            f"design.{name}.{method}"
            for name in ("Standardize", "PCAWhitening", "ZCAWhitening")
            for method in ("adapt", "call", "inverse")
        ),
        "pretraining.SimCLR.compile",
        "pretraining.SimCLR.fit",
    ],
)
def test_public_method_exists(name):
    wing, owner, method = name.split(".")
    assert callable(getattr(getattr(importlib.import_module(f"tf_kit.{wing}"), owner), method))


def test_splits_have_their_fields():
    train, val, test = tf_kit.data.load("digits", labels=100, seed=0)
    for split in (train, val, test):
        assert (split.x.dtype, split.y.dtype) == ("float32", "int64")
        assert split.x.ndim == 4
        assert len(split.class_names) == 10
    assert (len(train), len(train.all_x)) == (100, 100 + len(train.unlabelled_x))


# Type checkers


def typed_imports(path):
    """(module, name, name after `as`) of the imports under `if TYPE_CHECKING:` of a package."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for statement in node.body:
                for alias in statement.names:
                    yield statement.module, alias.name, alias.asname


LAZY = sorted(
    path for path in PACKAGE.rglob("__init__.py") if "= lazily(" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("path", LAZY, ids=lambda path: path.parent.name)
def test_type_checkers_see_the_names_of_lazy_packages(path):
    package = ".".join(path.parent.relative_to(ROOT).parts)
    module = importlib.import_module(package)
    imports = list(typed_imports(path))
    assert sorted(name for _, name, _ in imports) == sorted(module.__all__)
    for home, name, alias in imports:
        assert alias == name, "only `import name as name` is an export for a type checker"
        assert getattr(importlib.import_module(home), name) is getattr(module, name)


SCRIPT = """
import keras
import numpy as np

import tf_kit
from tf_kit import data, design, grading, networks, optimizers, pretraining, regularization, scaling, training
from tf_kit.errors import InputError, WorkerLost

train, val, test = data.load("digits", seed=0)
few, _, _ = data.load("mnist", data_dir=None, labels=1000, seed=0)
own, _, _ = data.load("path/to/folder", image_size=(32, 32))
x: np.ndarray = few.all_x
rest: np.ndarray = few.unlabelled_x
names: tuple[str, ...] = train.class_names

model = networks.mlp(units=(1000, 1000), num_classes=10, activation="sigmoid", input_shape=None, seed=0)
pictures = networks.cnn(num_classes=10)
for layer in (networks.Sigmoid(), networks.Tanh(), networks.ReLU(), networks.LeakyReLU(negative_slope=0.01)):
    layer.derivative(x)
cost, dW, db = networks.backpropagate([x], [x], x, train.y, "sigmoid", "cross_entropy", l2=0.0)
steepest: float = cost + max(networks.gradient_norms(model, train.x, train.y, "mse").values())

optimizers.SGD(learning_rate=0.1)
optimizers.Momentum(form="average")
optimizers.Nesterov(momentum=0.9)
optimizers.AdaGrad(0.1)
optimizers.RMSProp(rho=0.9)
optimizers.RMSPropNesterov(momentum=0.9)
optimizers.Adam(optimizers.WarmupCosine(0.1, 10, 100), beta_1=0.9, beta_2=0.999, epsilon=1e-8)
optimizers.AdamW(optimizers.LinearDecay(0.1, 100), weight_decay=0.01)
optimizers.LARS(optimizers.RobbinsMonro(initial=0.1, power=0.75, delay=10.0))

regularization.Dropout(rate=0.5, seed=0)
regularization.DropConnect(units=10, rate=0.5)
regularization.GaussianNoise(stddev=0.3, seed=0)
regularization.BatchNorm(momentum=0.99, epsilon=1e-3)
regularization.EarlyStopping(monitor="val_loss", patience=3)
regularization.predict_by_mask_sampling(model, x, num_masks=20, seed=0).mean()
regularization.predict_by_weight_scaling(model, x).mean()
augment = regularization.compose(
    regularization.RandomFlip(),
    regularization.RandomCrop(padding=2),
    regularization.RandomRotation(degrees=15),
    regularization.RandomResizedCrop(scale=(0.5, 1.0)),
    regularization.ColorJitter(strength=0.5),
    regularization.AddNoise(stddev=0.1),
)
regularization.preset("digits")

for whitening in (design.Standardize(), design.PCAWhitening(), design.ZCAWhitening()):
    whitening.adapt(x)
    whitening.inverse(whitening.call(x))
design.memory_bill(model, batch_size=32, optimizer=None)
design.grid({"rate": [0.1, 0.2]})
candidates = design.random({"rate": [0.1, 0.2]}, 4, seed=0)
design.successive_halving(lambda candidate, budget: candidate["rate"] / budget, candidates)

training.Trainer(seed=0)
with training.strategy("auto", replicas=None).scope(), scaling.strategy("none").scope():
    pass

pretraining.Autoencoder(model)
pretraining.DenoisingAutoencoder(model)
pretraining.DeepBeliefNetwork([pretraining.RBM(num_hidden=100, gibbs_steps=1, persistent=False)])
pretraining.Supervised(model, 10)
pretraining.pretrain_greedily(
    model, x, y=None, block=pretraining.DenoisingAutoencoder, epochs=10, batch_size=128, seed=0
)
pretraining.MaskedAutoencoder(pretraining.PatchEncoder(patch_size=4))
pretraining.MaskedTokens(pretraining.TokenEncoder(num_tokens=30), mask_token=29)
pretraining.MaskedVectors(model)
method = pretraining.SimCLR(pictures, projector=None, augment=augment, temperature=0.5, seed=0)
method.compile("adam")
method.fit(x, batch_size=64, epochs=1)
pretraining.BYOL(pictures, augment=augment)
pretraining.BarlowTwins(pictures, augment=augment)
pretraining.VICReg(pictures, augment=augment)
pretraining.SimSiam(pictures, augment=augment)
pretraining.NNCLR(pictures, augment=augment, queue_size=512)
pretraining.SupCon(pictures, augment=augment, temperature=0.1)
pretraining.LeJEPA(pictures, augment=augment, num_directions=64)
pretraining.lejepa(x, x)
pretraining.DINO(pictures, augment=augment, local_views=4)
pretraining.dino(x, x)
pretraining.sigreg(x, x.T)
pretraining.simsiam(x, x)
pretraining.nnclr(x, x)
pretraining.supcon(x, x, [0, 1])
pretraining.nt_xent(x, x, temperature=0.5)
pretraining.barlow_twins(x, x)
pretraining.vicreg(x, x)
pretraining.byol(x, x)
pretraining.finetune(model, num_classes=10).fit(few.x, few.y)
pretraining.linear_probe(model, num_classes=10).fit(few.x, few.y)
accuracy: float = pretraining.knn_accuracy(model, few, val, k=20)

scaling.split(model, cuts=[2])
scaling.traffic_bill(model, 8, batch_size=128)
scaling.check_replicas(model, train.x, train.y)
small: keras.Model = scaling.quantize(scaling.prune(model, 0.9))
scaling.distill(model, small)
joules: float = tf_kit.scaling.energy_bill(model, batch_size=128).total_joules

try:
    grading.check("momentum")
except (InputError, WorkerLost):
    raise
lab = grading.labs.find("optimizers")
grading.selftest.solved(lab, "solution", {"momentum": "pass"})
grading.notebooks.student_notebook(lab)
"""
MISTAKES = """
import tf_kit
from tf_kit import grading, networks, pretraining, scaling
tf_kit.pretrainin  # attr-defined
pretraining.SimCRL  # attr-defined
grading.chek  # attr-defined
networks.mpl  # attr-defined
from tf_kit.pretraining import byoll  # attr-defined
networks.mlp(unit=(10,))  # call-arg
pretraining.barlow_twins(1, 2, redundancy=3)  # call-arg
pretraining.finetune(networks.mlp(), classes=10)  # call-arg
grading.labs.find(lab="optimizers")  # call-arg
"""


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Errors that mypy reports in the two scripts: (script, line) -> codes."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    folder = tmp_path_factory.mktemp("scripts")
    for name, text in (("script", SCRIPT), ("mistakes", MISTAKES)):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    command = [
        "-m",
        "mypy",
        "--config-file",
        "pyproject.toml",
        "--cache-dir",
        folder / "cache",
        "--show-error-codes",
    ]
    scripts = [folder / "script.py", folder / "mistakes.py"]
    shown = subprocess.run([sys.executable, *command, *scripts], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode in (0, 1), shown.stdout + shown.stderr
    found = {}
    for script, line, code in re.findall(
        r"^.*?(\w+)\.py:(\d+): error: .*\[([\w-]+)\]$", shown.stdout, re.MULTILINE
    ):
        found.setdefault((script, int(line)), []).append(code)
    return found


@pytest.mark.slow
def test_script_of_a_user_has_no_type_errors(reported):
    unused = [
        f"{wing}.{name}"
        for wing in NAMES
        for name in NAMES[wing].split()
        if not re.search(rf"\b{wing}\.{name}\b" if wing != "errors" else rf"\b{name}\b", SCRIPT)
    ]
    assert unused == []
    lines = SCRIPT.splitlines()
    assert {lines[at - 1]: codes for (script, at), codes in reported.items() if script == "script"} == {}


@pytest.mark.slow
def test_type_checkers_find_misspelled_names_and_arguments(reported):
    expected = {
        at: line.partition("  # ")[2] for at, line in enumerate(MISTAKES.splitlines(), 1) if "  # " in line
    }
    assert {at: reported.get(("mistakes", at)) for at in expected} == {
        at: [code] for at, code in expected.items()
    }
