"""Data sets as arrays, from scikit-learn, tensorflow-datasets or a formula, and minibatches of them.

`load("digits")` needs only scikit-learn; TensorFlow is imported by the functions that read or batch with it.
"""

from tf_kit.data.batches import epoch_order, minibatches
from tf_kit.data.catalogue import Available, available
from tf_kit.data.fetch import get
from tf_kit.data.loading import load, stream
from tf_kit.data.raw import import_raw
from tf_kit.data.sharing import Share
from tf_kit.data.splits import Split, check_images
from tf_kit.data.text import Text, load_text

__all__ = [
    "Available",
    "Share",
    "Split",
    "Text",
    "available",
    "check_images",
    "epoch_order",
    "get",
    "import_raw",
    "load",
    "load_text",
    "minibatches",
    "stream",
]
