"""Pretraining: learn from unlabelled data first, then fine-tune on labels."""

from tf_kit.pretraining.autoencoder import Autoencoder, DenoisingAutoencoder, reconstruction_loss
from tf_kit.pretraining.bootstrap import BYOL
from tf_kit.pretraining.greedy import Supervised, pretrain_greedily
from tf_kit.pretraining.joint_embedding import BarlowTwins, SimCLR, VICReg, projection_head
from tf_kit.pretraining.joint_embedding_losses import barlow_twins, byol, nt_xent, vicreg
from tf_kit.pretraining.masked import (
    MaskedAutoencoder,
    MaskedTokens,
    MaskedVectors,
    PatchEncoder,
    TokenEncoder,
)
from tf_kit.pretraining.monitors import CollapseMonitor, CollapseWarning, KNNMonitor
from tf_kit.pretraining.overlap import find_overlap, refuse_overlap
from tf_kit.pretraining.pretrainer import Pretrainer, Trainer
from tf_kit.pretraining.quality import alignment, feature_deviation, rankme, uniformity
from tf_kit.pretraining.randomness import ExampleRandom
from tf_kit.pretraining.rbm import RBM, DeepBeliefNetwork
from tf_kit.pretraining.transfer import Classifier, finetune, knn_accuracy, linear_probe

__all__ = [
    "BYOL",
    "RBM",
    "Autoencoder",
    "BarlowTwins",
    "Classifier",
    "CollapseMonitor",
    "CollapseWarning",
    "DeepBeliefNetwork",
    "DenoisingAutoencoder",
    "ExampleRandom",
    "KNNMonitor",
    "MaskedAutoencoder",
    "MaskedTokens",
    "MaskedVectors",
    "PatchEncoder",
    "Pretrainer",
    "SimCLR",
    "Supervised",
    "TokenEncoder",
    "Trainer",
    "VICReg",
    "alignment",
    "barlow_twins",
    "byol",
    "feature_deviation",
    "find_overlap",
    "finetune",
    "knn_accuracy",
    "linear_probe",
    "nt_xent",
    "pretrain_greedily",
    "projection_head",
    "rankme",
    "reconstruction_loss",
    "refuse_overlap",
    "uniformity",
    "vicreg",
]
