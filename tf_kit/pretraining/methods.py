"""Pretraining methods by name, with the declarations of their options.

The options of a method are declared here once. Its constructor checks its arguments by the declaration, and the flags
of `tf-kit pretrain METHOD`, the `config.json` of a run and the table of methods in the README are derived from it.
Nothing heavy is imported, so that `--help` answers at once.

To add a method, write its class in this package, and add its `…Options` and an entry of `METHODS` here.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from tf_kit.checks import choice, number, refuse
from tf_kit.options import Options, flag_of, option

# Options of the methods, in the order of the lecture


@dataclasses.dataclass(frozen=True)
class AutoencoderOptions(Options):
    """Options of `Autoencoder`."""

    subject = "Autoencoder"

    tied: bool = option(True, "Whether the decoder uses the encoder's own weights, transposed")
    loss: str = option(
        "auto",
        "Reconstruction loss; auto takes cross-entropy for data in [0, 1], squared error for others",
        choices=("auto", "cross_entropy", "squared_error"),
    )


@dataclasses.dataclass(frozen=True)
class DenoisingOptions(AutoencoderOptions):
    """Options of `DenoisingAutoencoder`."""

    subject = "DenoisingAutoencoder"

    rate: float = option(
        0.25,
        "Probability that a feature is corrupted; for gaussian corruption the standard deviation of the noise",
        at_least=0,
    )
    corruption: str = option(
        "masking", "Kind of corruption", choices=("masking", "gaussian", "salt_and_pepper")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.corruption != "gaussian":
            number(f"{self.subject}.rate", self.rate, at_least=0, below=1)


@dataclasses.dataclass(frozen=True)
class RBMOptions(Options):
    """Options of `RBM`."""

    subject = "RBM"

    gibbs_steps: int = option(1, "Gibbs steps k of contrastive divergence (CD-k)", at_least=1)
    persistent: bool = option(False, "Whether the chains continue from update to update (PCD-k)")
    visible: str = option(
        "bernoulli",
        "Visible units of the first layer: bernoulli for inputs in [0, 1], gaussian for standardized ones",
        choices=("bernoulli", "gaussian"),
    )
    num_chains: int = option(100, "Persistent chains", at_least=1)


@dataclasses.dataclass(frozen=True)
class JointEmbeddingOptions(Options):
    """Options of all methods with two views."""

    subject = "JointEmbedding"

    chunk_size: int | None = option(
        None,
        "Examples that the encoder processes at a time, for batches that do not fit into memory; the gradient stays "
        "that of the whole batch. Not for encoders with batch norm, nor for several replicas",
        at_least=1,
        default_text="all at once",
    )


@dataclasses.dataclass(frozen=True)
class SimCLROptions(JointEmbeddingOptions):
    """Options of `SimCLR`."""

    subject = "SimCLR"

    temperature: float = option(
        0.5, "Temperature τ; the smaller, the more the hardest negatives count", above=0
    )


@dataclasses.dataclass(frozen=True)
class TeacherOptions(JointEmbeddingOptions):
    """Options of the methods with two views and a slow teacher."""

    momentum: float = option(
        0.99,
        "Share ρ of itself that the teacher keeps in each step; 1 never changes it",
        at_least=0,
        at_most=1,
    )


@dataclasses.dataclass(frozen=True)
class BYOLOptions(TeacherOptions):
    """Options of `BYOL`."""

    subject = "BYOL"


@dataclasses.dataclass(frozen=True)
class DINOOptions(TeacherOptions):
    """Options of `DINO`."""

    subject = "DINO"

    local_views: int = option(2, "Views of a small part of the image, next to two of most of it", at_least=0)
    num_prototypes: int = option(512, "Directions to which views are assigned", at_least=1)
    temperature: float = option(0.1, "Temperature τ of the student's assignments", above=0)
    teacher_temperature: float = option(
        0.04, "Temperature of the teacher's assignments; the smaller, the sharper", above=0
    )
    center_momentum: float = option(
        0.9,
        "Share of itself that the center of the teacher's scores keeps in each step",
        at_least=0,
        at_most=1,
    )


@dataclasses.dataclass(frozen=True)
class SimSiamOptions(JointEmbeddingOptions):
    """Options of `SimSiam`."""

    subject = "SimSiam"


@dataclasses.dataclass(frozen=True)
class NNCLROptions(JointEmbeddingOptions):
    """Options of `NNCLR`."""

    subject = "NNCLR"

    temperature: float = option(
        0.1, "Temperature τ; the smaller, the more the most similar predictions count", above=0
    )
    queue_size: int = option(4096, "Earlier embeddings among which the neighbors are searched", at_least=1)


@dataclasses.dataclass(frozen=True)
class SupConOptions(JointEmbeddingOptions):
    """Options of `SupCon`."""

    subject = "SupCon"

    temperature: float = option(
        0.1, "Temperature τ; the smaller, the more the hardest negatives count", above=0
    )


@dataclasses.dataclass(frozen=True)
class BarlowTwinsOptions(JointEmbeddingOptions):
    """Options of `BarlowTwins`."""

    subject = "BarlowTwins"

    redundancy_weight: float = option(0.005, "Weight λ of the correlations between features", at_least=0)


@dataclasses.dataclass(frozen=True)
class VICRegOptions(JointEmbeddingOptions):
    """Options of `VICReg`."""

    subject = "VICReg"

    invariance_weight: float = option(25.0, "Weight λ of the distance between the views", at_least=0)
    variance_weight: float = option(
        25.0, "Weight μ of the variance; at 0 nothing keeps embeddings from shrinking to a point", at_least=0
    )
    covariance_weight: float = option(1.0, "Weight ν of the covariance between features", at_least=0)


@dataclasses.dataclass(frozen=True)
class LeJEPAOptions(JointEmbeddingOptions):
    """Options of `LeJEPA`."""

    subject = "LeJEPA"

    normality_weight: float = option(
        0.05,
        "Weight λ of the distance from a normal distribution; at 0 nothing keeps embeddings from shrinking to a point",
        at_least=0,
        at_most=1,
    )
    num_directions: int = option(
        256, "Random directions of each step on which embeddings are to be normal", at_least=1
    )


@dataclasses.dataclass(frozen=True)
class MaskedAutoencoderOptions(Options):
    """Options of `MaskedAutoencoder`."""

    subject = "MaskedAutoencoder"

    mask_ratio: float = option(0.75, "Share of the patches that is hidden", above=0, below=1)
    normalize_patches: bool = option(
        False, "Whether the target is each patch less its mean, in units of its standard deviation"
    )
    decoder_width: int = option(
        32, "Length of a token in the decoder, divisible by 4 and by its heads", at_least=1
    )
    decoder_depth: int = option(1, "Blocks of the decoder", at_least=1)
    decoder_heads: int = option(4, "Attention heads of the decoder", at_least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        width, heads = self.decoder_width, self.decoder_heads
        if width % 4:
            refuse(f"{self.subject}.decoder_width", "be divisible by 4", f"decoder_width={width}")
        if width % heads:
            requirement = f"divide the width of the decoder, {width}"
            refuse(f"{self.subject}.decoder_heads", requirement, f"decoder_heads={heads}")


@dataclasses.dataclass(frozen=True)
class MaskedVectorsOptions(AutoencoderOptions):
    """Options of `MaskedVectors`."""

    subject = "MaskedVectors"

    mask_ratio: float = option(0.5, "Share of the features that is hidden", above=0, below=1)


@dataclasses.dataclass(frozen=True)
class MaskedTokensOptions(Options):
    """Options of `MaskedTokens`."""

    subject = "MaskedTokens"

    mask_ratio: float = option(0.15, "Share of the tokens that is hidden", above=0, below=1)


# Options of a pretraining run


@dataclasses.dataclass(frozen=True)
class TrainingOptions(Options):
    """Length and learning rate of a pretraining; the defaults depend on the method."""

    subject = "pretrain"

    epochs: int | None = option(
        None, "Passes over the data, for each layer if the method goes layer by layer", at_least=1
    )
    batch_size: int | None = option(None, "Examples per step", at_least=1)
    learning_rate: float | None = option(None, "Learning rate of the optimizer", above=0)
    precision: str | None = option(
        None,
        "Precision of products; auto takes bfloat16 where it is faster and the method as good",
        choices=("auto", "float32", "bfloat16"),
        default_text="float32",
    )


@dataclasses.dataclass(frozen=True)
class EncoderOptions(Options):
    """Kind and sizes of the encoder; sizes that are not given follow from the size of the images."""

    subject = "pretrain"

    encoder: str | None = option(
        None,
        "Kind of encoder: cnn, mlp, vit, resnet18, resnet50, keras:NAME (a model of keras.applications), or the path "
        "of a Keras file that maps images to vectors",
    )
    units: tuple[int, ...] | None = option(
        None,
        "Units of each dense layer",
        at_least=1,
        default_text="200,200,200 for mlp, 128 for cnn",
    )
    activation: str | None = option(
        None,
        "Activation of the hidden layers",
        choices=("sigmoid", "tanh", "relu", "leaky_relu"),
        default_text="sigmoid layer by layer, else relu",
    )
    filters: tuple[int, ...] | None = option(
        None, "Filters of each convolution", at_least=1, default_text="by image size"
    )
    patch_size: int | None = option(
        None, "Side of a patch in pixels", at_least=1, default_text="by image size"
    )
    width: int | None = option(None, "Length of a token", at_least=1, default_text="64")
    depth: int | None = option(None, "Blocks of the transformer", at_least=1, default_text="2")


@dataclasses.dataclass(frozen=True)
class ViewOptions(Options):
    """Augmentation of a method with two views."""

    subject = "pretrain"

    augment: str | None = option(
        None,
        "Augmentation that makes the views",
        choices=("none", "digits", "fashion", "natural"),
        default_text="by the data set's name and colors",
    )


@dataclasses.dataclass(frozen=True)
class MonitorOptions(Options):
    """Measurements on validation images during a pretraining, and the epoch whose weights are kept."""

    subject = "pretrain"

    monitor_every: int | None = option(
        None,
        "Epochs between two measurements of nearest neighbors and collapse on validation images; 0 only "
        "looks for a collapse at the end",
        at_least=0,
        default_text="as often as takes about 5 % of the time",
    )
    keep: str = option(
        "last",
        "Epoch whose encoder is saved: best:knn, in which nearest neighbors of validation images are right most often, "
        "best:rankme, in which embeddings use most directions, best:loss, or the last one. knn and rankme choose among "
        "the measured epochs; --monitor-every 1 measures all",
        choices=("best:knn", "best:rankme", "best:loss", "last"),
    )


@dataclasses.dataclass(frozen=True)
class TextOptions(Options):
    """Division of a text into examples."""

    subject = "pretrain"

    length: int = option(64, "Characters per example", at_least=2)


KERAS, FILE = "keras:NAME", "FILE.keras"  # a model of `keras.applications`, and any Keras file
SIZES = {  # kind of encoder → its sizes, each a field of `EncoderOptions`
    "mlp": ("units", "activation"),
    "cnn": ("filters", "units", "activation"),
    "vit": ("patch_size", "width", "depth"),
    "text": ("width", "depth"),
    "resnet18": (),
    "resnet50": (),
    KERAS: (),
    FILE: (),
}


def family_of(encoder: str) -> str:
    """Return the kind, a key of `SIZES`, to which the name of an encoder belongs; an unknown name is returned as it is.

    Example:
        >>> family_of("cnn"), family_of("keras:MobileNetV2"), family_of("runs/mine/encoder.keras")
        ('cnn', 'keras:NAME', 'FILE.keras')
    """
    return KERAS if encoder.startswith("keras:") else FILE if encoder.endswith(".keras") else encoder


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
