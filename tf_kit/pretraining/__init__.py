"""Pretraining: learn an encoder from unlabelled data, then fine-tune it on labels."""

from typing import TYPE_CHECKING

from tf_kit.lazy import lazily

if TYPE_CHECKING:
    from tf_kit.data.overlap import find_overlap as find_overlap
    from tf_kit.data.overlap import refuse_overlap as refuse_overlap
    from tf_kit.networks.transformer import PatchEncoder as PatchEncoder
    from tf_kit.networks.transformer import TokenEncoder as TokenEncoder
    from tf_kit.pretraining.autoencoder import Autoencoder as Autoencoder
    from tf_kit.pretraining.autoencoder import DenoisingAutoencoder as DenoisingAutoencoder
    from tf_kit.pretraining.autoencoder import reconstruction_loss as reconstruction_loss
    from tf_kit.pretraining.greedy import Supervised as Supervised
    from tf_kit.pretraining.greedy import pretrain_greedily as pretrain_greedily
    from tf_kit.pretraining.joint_embedding import BYOL as BYOL
    from tf_kit.pretraining.joint_embedding import DINO as DINO
    from tf_kit.pretraining.joint_embedding import NNCLR as NNCLR
    from tf_kit.pretraining.joint_embedding import BarlowTwins as BarlowTwins
    from tf_kit.pretraining.joint_embedding import BatchObjective as BatchObjective
    from tf_kit.pretraining.joint_embedding import JointEmbedding as JointEmbedding
    from tf_kit.pretraining.joint_embedding import LeJEPA as LeJEPA
    from tf_kit.pretraining.joint_embedding import SimCLR as SimCLR
    from tf_kit.pretraining.joint_embedding import SimSiam as SimSiam
    from tf_kit.pretraining.joint_embedding import SupCon as SupCon
    from tf_kit.pretraining.joint_embedding import VICReg as VICReg
    from tf_kit.pretraining.joint_embedding import nt_xent as nt_xent
    from tf_kit.pretraining.joint_embedding import projection_head as projection_head
    from tf_kit.pretraining.joint_embedding.barlow_twins import barlow_twins as barlow_twins
    from tf_kit.pretraining.joint_embedding.byol import byol as byol
    from tf_kit.pretraining.joint_embedding.dino import dino as dino
    from tf_kit.pretraining.joint_embedding.lejepa import lejepa as lejepa
    from tf_kit.pretraining.joint_embedding.lejepa import sigreg as sigreg
    from tf_kit.pretraining.joint_embedding.nnclr import nnclr as nnclr
    from tf_kit.pretraining.joint_embedding.simsiam import simsiam as simsiam
    from tf_kit.pretraining.joint_embedding.supcon import supcon as supcon
    from tf_kit.pretraining.joint_embedding.vicreg import vicreg as vicreg
    from tf_kit.pretraining.masked import MaskedAutoencoder as MaskedAutoencoder
    from tf_kit.pretraining.masked import MaskedTokens as MaskedTokens
    from tf_kit.pretraining.masked import MaskedVectors as MaskedVectors
    from tf_kit.pretraining.monitors import CollapseMonitor as CollapseMonitor
    from tf_kit.pretraining.monitors import CollapseWarning as CollapseWarning
    from tf_kit.pretraining.monitors import KNNMonitor as KNNMonitor
    from tf_kit.pretraining.pretrainer import Pretrainer as Pretrainer
    from tf_kit.pretraining.quality import alignment as alignment
    from tf_kit.pretraining.quality import feature_deviation as feature_deviation
    from tf_kit.pretraining.quality import rankme as rankme
    from tf_kit.pretraining.quality import uniformity as uniformity
    from tf_kit.pretraining.rbm import RBM as RBM
    from tf_kit.pretraining.rbm import DeepBeliefNetwork as DeepBeliefNetwork
    from tf_kit.pretraining.transfer import finetune as finetune
    from tf_kit.pretraining.transfer import knn_accuracy as knn_accuracy
    from tf_kit.pretraining.transfer import linear_probe as linear_probe
    from tf_kit.randomness.step import ExampleRandom as ExampleRandom
    from tf_kit.training.classifier import Classifier as Classifier
    from tf_kit.training.trainer import Trainer as Trainer
else:  # hidden from type checkers, which would accept any name if there were a `__getattr__`
    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "tf_kit.pretraining.autoencoder": ("Autoencoder", "DenoisingAutoencoder", "reconstruction_loss"),
            "tf_kit.pretraining.greedy": ("Supervised", "pretrain_greedily"),
            "tf_kit.pretraining.joint_embedding": (
                "BYOL",
                "DINO",
                "NNCLR",
                "BarlowTwins",
                "BatchObjective",
                "JointEmbedding",
                "LeJEPA",
                "SimCLR",
                "SimSiam",
                "SupCon",
                "VICReg",
                "barlow_twins",
                "byol",
                "dino",
                "lejepa",
                "nnclr",
                "nt_xent",
                "projection_head",
                "sigreg",
                "simsiam",
                "supcon",
                "vicreg",
            ),
            "tf_kit.pretraining.masked": ("MaskedAutoencoder", "MaskedTokens", "MaskedVectors"),
            "tf_kit.pretraining.monitors": ("CollapseMonitor", "CollapseWarning", "KNNMonitor"),
            "tf_kit.pretraining.pretrainer": ("Pretrainer",),
            "tf_kit.pretraining.quality": ("alignment", "feature_deviation", "rankme", "uniformity"),
            "tf_kit.pretraining.rbm": ("RBM", "DeepBeliefNetwork"),
            "tf_kit.pretraining.transfer": ("finetune", "knn_accuracy", "linear_probe"),
            # earlier places of these names
            "tf_kit.data.overlap": ("find_overlap", "refuse_overlap"),
            "tf_kit.networks.transformer": ("PatchEncoder", "TokenEncoder"),
            "tf_kit.randomness.step": ("ExampleRandom",),
            "tf_kit.training.classifier": ("Classifier",),
            "tf_kit.training.trainer": ("Trainer",),
        },
    )
