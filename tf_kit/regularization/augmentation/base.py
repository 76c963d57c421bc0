"""The frame of every augmentation: a Keras layer, and a pure function of images and keys."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import count, refuse
from tf_kit.randomness.keys import example_keys
from tf_kit.randomness.saved_seed import SavesItsSeed
from tf_kit.replicas import place_in_global_batch
from tf_kit.typing import Tensor
from tf_kit.xla import compiled


class Augmentation(SavesItsSeed, keras.layers.Layer):
    """A random transformation of images, drawn for each example by itself. Abstract: give it `draw` and `apply`.

    Use it in one of three ways:

        layer(images, training=True)       in a model; draws from the layer's own generator, which is saved
        augment.augment(images, key)       anywhere, also in tf.data and train_step; a pure function
        augment(images)                    at inference: the images, unchanged

    What happens to an example depends on its key alone: not on the batch it is in, its place there, or the
    replica. A layer's own keys are `example_keys(seed, number of the call, place in the global batch)`, so
    they do not depend on the number of replicas either.

        numbers = draw(key, shape of an image)                           (1)
        y = apply(images, numbers)                                       (2)

    On TensorFlow, XLA compiles each of the two into a kernel of its own: in one kernel, it may draw the numbers of
    an image again for every pixel.

    Args:
        seed: whole number that fixes the layer's own draws, or None.

    Call arguments:
        images: floats (n, height, width, channels), in [0, 1] where colors are concerned.
        training: transform, or pass on.

    Output shape: that of the images.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed if seed is None else count(f"{type(self).__name__}.seed", seed, at_least=0)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._draw, self._apply = compiled(self.draw), compiled(self.apply)

    def call(self, images: Tensor, training: bool | None = None) -> Tensor:
        if not training:
            return images
        num_examples = ops.shape(images)[0]
        first, _ = place_in_global_batch(num_examples)
        seed, number_of_the_call = ops.unstack(self.seed_generator.next())
        index = ops.cast(first, "int64") + ops.arange(num_examples, dtype="int64")
        return self.augment(images, example_keys(seed, number_of_the_call, index))

    def augment(self, images, key):
        """The images transformed as their keys say; the same key does the same to an image anywhere.

        Args:
            images: floats (n, height, width, channels).
            key: integers (n, 2); `example_keys` makes them.

        Returns: images of the same shape and dtype.

        Raises: ValueError: when the images are not floats of rank 4, or the keys not integers (n, 2).
        """
        images, key = ops.convert_to_tensor(images), ops.convert_to_tensor(key)
        if len(images.shape) != 4 or not keras.backend.is_float_dtype(images.dtype):
            received = f"{keras.backend.standardize_dtype(images.dtype)} of shape {tuple(images.shape)}"
            remedy = "Cast to float32, divide by 255, and keep an axis of channels"
            refuse(
                f"{type(self).__name__}.images", "be floats (n, height, width, channels)", received, remedy
            )
        return self._apply(images, self._draw(key, tuple(images.shape[1:])))

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        """Equation (1): what is random about each image, a tensor (n, …) or several.

        Args:
            key: integers (n, 2); `draws.uniform(draws.stream(key, purpose), count)` makes numbers of them.
            shape: (height, width, channels).
        """
        raise NotImplementedError(f"{type(self).__name__} gives no draw(key, shape)")

    def apply(self, images: Tensor, numbers: Any) -> Tensor:
        """Equation (2): the transformation itself, for the numbers that `draw` gave."""
        raise NotImplementedError(f"{type(self).__name__} gives no apply(images, numbers)")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
