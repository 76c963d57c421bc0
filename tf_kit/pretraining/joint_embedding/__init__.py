"""Joint-embedding pretraining: the embeddings of two views of an example are trained to agree.

A constant embedding would agree as well. Each method prevents it differently: by negatives, the other examples of the
batch (`SimCLR`), by features that vary and are not redundant (`BarlowTwins`, `VICReg`), or by a teacher that is not
trained (`BYOL`).
"""

from tf_kit.pretraining.joint_embedding.barlow_twins import BarlowTwins, barlow_twins
from tf_kit.pretraining.joint_embedding.byol import BYOL, byol
from tf_kit.pretraining.joint_embedding.frame import BatchObjective, JointEmbedding
from tf_kit.pretraining.joint_embedding.projection import projection_head
from tf_kit.pretraining.joint_embedding.simclr import SimCLR, nt_xent
from tf_kit.pretraining.joint_embedding.vicreg import VICReg, vicreg

__all__ = [
    "BYOL",
    "BarlowTwins",
    "BatchObjective",
    "JointEmbedding",
    "SimCLR",
    "VICReg",
    "barlow_twins",
    "byol",
    "nt_xent",
    "projection_head",
    "vicreg",
]
