"""Joint-embedding pretraining: the embeddings of two views of an example are trained to agree.

A constant embedding would agree as well. Each method prevents it differently: by negatives, the other examples of the
batch (`SimCLR`, `NNCLR`, `SupCon`), by features that vary and are not redundant (`BarlowTwins`, `VICReg`), by
embeddings that are normally distributed (`LeJEPA`), or by targets that are not trained: those of a slow teacher
(`BYOL`, `DINO`), or of the network itself (`SimSiam`).
"""

from tf_kit.pretraining.joint_embedding.barlow_twins import BarlowTwins, barlow_twins
from tf_kit.pretraining.joint_embedding.byol import BYOL, byol
from tf_kit.pretraining.joint_embedding.dino import DINO, dino
from tf_kit.pretraining.joint_embedding.frame import BatchObjective, JointEmbedding
from tf_kit.pretraining.joint_embedding.lejepa import LeJEPA, lejepa, sigreg
from tf_kit.pretraining.joint_embedding.nnclr import NNCLR, nearest, nnclr
from tf_kit.pretraining.joint_embedding.projection import projection_head
from tf_kit.pretraining.joint_embedding.simclr import SimCLR, nt_xent
from tf_kit.pretraining.joint_embedding.simsiam import SimSiam, simsiam
from tf_kit.pretraining.joint_embedding.supcon import SupCon, supcon
from tf_kit.pretraining.joint_embedding.vicreg import VICReg, vicreg

__all__ = [
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
    "nearest",
    "nnclr",
    "nt_xent",
    "projection_head",
    "sigreg",
    "simsiam",
    "supcon",
    "vicreg",
]
