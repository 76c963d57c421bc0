"""Pretraining methods by name.

To add a method, write its class in this package, its `…Options` in `method_options`, and an entry of `METHODS` here.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from tf_kit.checks import choice, refuse
from tf_kit.options import Options, flag_of
from tf_kit.pretraining.method_options import (
    AutoencoderOptions,
    BarlowTwinsOptions,
    BYOLOptions,
    DenoisingOptions,
    DINOOptions,
    LeJEPAOptions,
    MaskedAutoencoderOptions,
    MaskedTokensOptions,
    MaskedVectorsOptions,
    NNCLROptions,
    RBMOptions,
    SimCLROptions,
    SimSiamOptions,
    SupConOptions,
    VICRegOptions,
)
from tf_kit.pretraining.run_options import (
    FILE,
    KERAS,
    SIZES,
    EncoderOptions,
    MonitorOptions,
    TextOptions,
    TrainingOptions,
    ViewOptions,
)


@dataclasses.dataclass(frozen=True)
class Method:
    """Pretraining method: its class, its options, its encoders and its defaults.

    Args:
        title: name in tables and figures.
        class_name: name of its class in `tf_kit.pretraining`.
        learns: its principle in one line.
        options: declaration of the options that are specific to it.
        encoders: kinds of encoder that it supports, the default first.
        greedy: whether it trains layer by layer.
        views: whether it learns from two augmented views.
        labels: use of the labels of the training examples: "ignored", "optional" or "needed".
        recipe: own options whose default in a run, for small images, differs from the declared one.
        epochs, batch_size, learning_rate: defaults for a data set of a thousand images; a greedy method uses the
            epochs for each layer. The rate is for Adam, for RBMs for momentum 0.9.
        precision: default of `TrainingOptions.precision`.
        good_in_bfloat16: whether its encoders were measured to be as good after a training in bfloat16, see the guide
            of training.
        faster_by_xla: whether XLA makes its steps faster on processors, as `tests/benchmarks/run.py xla` measures.
        example: flags of an example in the help.
    """

    title: str
    class_name: str
    learns: str
    options: type[Options] = Options
    encoders: tuple[str, ...] = ("mlp",)
    greedy: bool = False
    views: bool = False
    labels: str = "ignored"
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)
    epochs: int = 40
    batch_size: int = 128
    learning_rate: float = 0.002
    precision: str | None = None
    good_in_bfloat16: bool = True
    faster_by_xla: bool = False
    example: str = ""

    @property
    def kind(self) -> type:
        """The class; reading it imports Keras."""
        return getattr(importlib.import_module("tf_kit.pretraining"), self.class_name)

    @property
    def supervised(self) -> bool:
        """Whether it needs labels."""
        return self.labels == "needed"

    @property
    def reads_text(self) -> bool:
        """Whether its examples are pieces of text."""
        return self.encoders == ("text",)

    @property
    def sizes(self) -> tuple[str, ...]:
        """Size options of all kinds of encoder that it supports."""
        every = {size for kind in self.encoders for size in SIZES[kind]}
        return tuple(name for name in EncoderOptions.names() if name in every)

    def declarations(self) -> list[tuple[type[Options], tuple[str, ...], dict[str, Any]]]:
        """Return all options of a run of this method: (declaration, names that apply, defaults that differ)."""
        training = {name: getattr(self, name) for name in TrainingOptions.names()}
        kinds = ("encoder",) if len(self.encoders) > 1 else ()
        encoder = {"encoder": self.encoders[0]}
        found: list[tuple[type[Options], tuple[str, ...], dict[str, Any]]] = [
            (self.options, self.options.names(), self.recipe),
            (TrainingOptions, TrainingOptions.names(), training),
            (EncoderOptions, (*kinds, *self.sizes), encoder),
        ]
        found += [(ViewOptions, ViewOptions.names(), {})] if self.views else []
        found += [(TextOptions, TextOptions.names(), {})] if self.reads_text else []
        watched = not (self.supervised or self.reads_text)
        found += [(MonitorOptions, MonitorOptions.names(), {})] if watched else []
        return found


_LAYERS: dict[str, Any] = {"greedy": True, "epochs": 20, "batch_size": 32, "learning_rate": 0.001}
_VIEWS: dict[str, Any] = {
    "encoders": ("cnn", "vit", "mlp", "resnet18", "resnet50", KERAS, FILE),
    "views": True,
}
METHODS = {
    "autoencoder": Method(
        "autoencoders", "Autoencoder", "reconstructs its input, layer by layer", AutoencoderOptions, **_LAYERS
    ),
    "denoising": Method(
        "denoising autoencoders",
        "DenoisingAutoencoder",
        "reconstructs its input from a corrupted one, layer by layer",
        DenoisingOptions,
        example="--rate 0.4 --units 500,500",
        **_LAYERS,
    ),
    "rbm": Method(
        "RBMs",
        "RBM",
        "models the density of its input, layer by layer: a deep belief network",
        RBMOptions,
        example="--gibbs-steps 5 --units 500,500",
        **(_LAYERS | {"learning_rate": 0.05}),
    ),
    "supervised": Method(
        "supervised layers",
        "Supervised",
        "predicts labels, layer by layer",
        labels="needed",
        example="--labels 300",
        **_LAYERS,
    ),
    "simclr": Method(
        "SimCLR",
        "SimCLR",
        "finds the other view of an image among all views of the batch",
        SimCLROptions,
        recipe={"temperature": 0.2},
        example="--temperature 0.1 --batch-size 256",
        **_VIEWS,
    ),
    "byol": Method(
        "BYOL",
        "BYOL",
        "predicts what a slow copy of itself makes of the other view",
        BYOLOptions,
        example="--momentum 0.996",
        **_VIEWS,
    ),
    "dino": Method(
        "DINO",
        "DINO",
        "predicts how a slow copy of itself sorts whole views, from parts of the image too",
        DINOOptions,
        example="--local-views 4",
        **_VIEWS,
    ),
    "simsiam": Method(
        "SimSiam",
        "SimSiam",
        "predicts its own embedding of the other view, held constant",
        SimSiamOptions,
        example="--batch-size 256",
        **_VIEWS,
    ),
    "nnclr": Method(
        "NNCLR",
        "NNCLR",
        "predicts the nearest neighbor of the other view among earlier images",
        NNCLROptions,
        example="--queue-size 2048",
        **_VIEWS,
    ),
    "supcon": Method(
        "SupCon",
        "SupCon",
        "finds all views of the same class, or without labels the other view, in the batch",
        SupConOptions,
        labels="optional",
        example="--labels 300",
        **_VIEWS,
    ),
    "barlow": Method(
        "Barlow Twins",
        "BarlowTwins",
        "makes features agree between two views and differ among themselves",
        BarlowTwinsOptions,
        example="--redundancy-weight 0.01",
        **_VIEWS,
    ),
    "vicreg": Method(
        "VICReg",
        "VICReg",
        "makes two views agree while features vary and do not covary",
        VICRegOptions,
        example="--covariance-weight 4",
        **_VIEWS,
    ),
    "lejepa": Method(
        "LeJEPA",
        "LeJEPA",
        "makes two views agree while embeddings become normally distributed",
        LeJEPAOptions,
        example="--normality-weight 0.1",
        **_VIEWS,
    ),
    "mae": Method(
        "masked autoencoder",
        "MaskedAutoencoder",
        "fills in hidden patches of an image",
        MaskedAutoencoderOptions,
        ("vit",),
        recipe={"mask_ratio": 0.6},
        epochs=60,
        batch_size=64,
        faster_by_xla=True,
        example="--mask-ratio 0.75 --depth 4",
    ),
    "masked": Method(
        "masked vectors",
        "MaskedVectors",
        "fills in hidden features",
        MaskedVectorsOptions,
        batch_size=64,
        learning_rate=0.001,
        example="--mask-ratio 0.3",
    ),
    "tokens": Method(
        "masked tokens",
        "MaskedTokens",
        "fills in hidden characters of a text",
        MaskedTokensOptions,
        ("text",),
        epochs=10,
        batch_size=64,
        good_in_bfloat16=False,
        example="--length 128",
    ),
}
IMAGE_METHODS = tuple(name for name, method in METHODS.items() if not method.reads_text)


def find(name: str) -> Method:
    """Return the `Method` of a name.

    Raises:
        InputError: the name is unknown.
    """
    return METHODS[choice("pretrain.method", name, tuple(METHODS))]


def own_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the checked values of a method's own options: as given, else from its recipe, else the declared default.

    Args:
        name: name of the method.
        given: option → value; None counts as not given.

    Raises:
        InputError: an option belongs to another method, or a value is out of range.

    Example:
        >>> own_options("simclr", {"temperature": 0.1})
        {'chunk_size': None, 'temperature': 0.1}
        >>> own_options("simclr", {"temperature": None})["temperature"]
        0.2
    """
    method = find(name)
    given = {option: value for option, value in given.items() if value is not None}
    for each in given.keys() - set(method.options.names()):
        refuse_foreign(name, each, given[each])
    return dataclasses.asdict(method.options(**(method.recipe | given)))


def refuse_foreign(name: str, option: str, value: Any) -> None:
    """Refuse an option that the method `name` does not have, and name the methods that do."""
    owners = [
        each
        for each, method in METHODS.items()
        if any(option in names for _, names, _ in method.declarations())
    ]
    own = [each for _, names, _ in METHODS[name].declarations() for each in names]
    remedy = f"It belongs to {', '.join(owners)}" if owners else f"The options of {name} are {', '.join(own)}"
    flag = flag_of(option)
    refuse(f"pretrain.{option}", f"be left out for {name}", f"{option}={value!r}", remedy, flag=flag)
