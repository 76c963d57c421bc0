"""Options of a pretraining run: its length, its encoder, its views, what is watched, and how a text is divided."""

from __future__ import annotations

import dataclasses

from tf_kit.options import Options, option


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
