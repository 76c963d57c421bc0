"""Data sets as arrays, from scikit-learn, tensorflow-datasets or a formula, and minibatches of them.

`load("digits")` needs only scikit-learn; TensorFlow is imported by the functions that read or batch with it.
"""

from tf_kit.data.batches import epoch_order, minibatches
from tf_kit.data.load import load
from tf_kit.data.splits import Split, check_images

__all__ = ["Split", "check_images", "epoch_order", "load", "minibatches"]
