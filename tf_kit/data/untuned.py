"""Data sets of TensorFlow without the thread that tunes their iterators, for which the end of one may wait.

`keras_internals.untuned_data_sets` does the same for those of a training, and says why.
"""

from tf_kit.typing import Dataset


def untuned(dataset: Dataset) -> Dataset:
    """Return the data set with the option `autotune.enabled` set to False.

    Example:
        >>> import tensorflow as tf
        >>> untuned(tf.data.Dataset.range(3)).options().autotune.enabled
        False
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
