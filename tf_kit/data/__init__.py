"""Data sets as arrays, from scikit-learn, tensorflow-datasets, a folder or a formula, and their minibatches.

`load("digits")` needs only scikit-learn; TensorFlow is imported by the functions that need it.
"""

from tf_kit.data.batches import epoch_order, minibatches
from tf_kit.data.catalogue import Available, available
from tf_kit.data.fetch import get
from tf_kit.data.inspection import Report, check
from tf_kit.data.loading import load, stream
from tf_kit.data.overlap import find_overlap, refuse_overlap
from tf_kit.data.raw import import_raw
from tf_kit.data.sharing import Share
from tf_kit.data.splits import Split, check_images
from tf_kit.data.text import Text, load_text

__all__ = [
    "Available",
    "Report",
    "Share",
    "Split",
    "Text",
    "available",
    "check",
    "check_images",
    "epoch_order",
    "find_overlap",
    "get",
    "import_raw",
    "load",
    "load_text",
    "minibatches",
    "refuse_overlap",
    "stream",
]
