"""`represent`: outputs of a layer for arrays and data sets."""

import keras
import numpy as np
import tensorflow as tf

from tf_kit.training.representation import represent


def test_represents_arrays_and_data_sets(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    labels = np.arange(40) % 3
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
        ]
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.2, 1, each.shape) for each in model.get_weights()])
    expected = np.asarray(model(x))
    np.testing.assert_allclose(represent(model, x, batch_size=7), expected, rtol=1e-6)
    dataset = tf.data.Dataset.from_tensor_slices((x, labels)).batch(7)
    for cache in (None, tmp_path / "cache"):
        outputs, targets = zip(*represent(model, dataset, cache), strict=True)
        np.testing.assert_allclose(np.concatenate(outputs), expected, rtol=1e-6)
        np.testing.assert_array_equal(np.concatenate(targets), labels)
    (unlabelled,) = represent(model, tf.data.Dataset.from_tensors(x))
    np.testing.assert_allclose(unlabelled, expected, rtol=1e-6)
