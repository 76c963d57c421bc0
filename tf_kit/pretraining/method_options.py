"""Options of the pretraining methods, in the order of the lecture.

The options of a method are declared here once. Its constructor checks its arguments by the declaration, and the flags
of `tf-kit pretrain METHOD`, the `config.json` of a run and the table of methods in the README are derived from it.
Nothing heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses

from tf_kit.checks import number, refuse
from tf_kit.options import Options, option


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
