"""Base class of the augmentations: a Keras layer, and a pure function of images and keys."""

from typing import Any

import keras
from keras import ops

from tf_kit.checks import count, refuse
from tf_kit.randomness.keys import example_keys
from tf_kit.randomness.saved_seed import SavesItsSeed
from tf_kit.replicas import place_in_global_batch
from tf_kit.typing import ArrayLike, Tensor
from tf_kit.xla import compiled, without_gradients


class Augmentation(SavesItsSeed, keras.layers.Layer):
    """Random transformation of images, drawn independently for each example; base class of the augmentations.

    There are three ways to use it:

        augment(images, training=True)     in a model; draws from the generator of the layer, which is saved
        augment.augment(images, key)       anywhere, also in tf.data and train_step; a pure function
        augment(images)                    at inference; returns the images unchanged

    The transformation of an example depends only on its key: neither on its batch, its place in the batch nor the
    replica. The keys of the layer itself are `example_keys(seed, number of the call, place in the global batch)`, so
    they do not depend on the number of replicas either.

        numbers = draw(key, shape of an image)                           (1)
        y = apply(images, numbers)                                       (2)

    A subclass defines these two methods. On TensorFlow, XLA compiles each of them into a separate kernel, since in a
    common kernel it might draw the numbers of an image again for every pixel.

    Args:
        seed: whole number that fixes the draws of the layer. Defaults to None, draws that differ from run to run.

    Call arguments:
        images: floats (n, height, width, channels), in [0, 1] for changes of color, which clip their results to it:
            divide pixels of 0 to 255 by 255 first, and standardize after the augmentation.
        training: whether to transform the images instead of returning them unchanged.

    Input shape: (n, height, width, channels). Output shape: the same.
    """

    known_axes: tuple[int, ...] = ()  # axes of the images whose sizes must be known when a graph is made

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

    def augment(self, images: ArrayLike, key: ArrayLike) -> Tensor:
        """Transform images by their keys; the same key always transforms an image in the same way.

        Args:
            images: floats (n, height, width, channels).
            key: integers (n, 2), from `example_keys`.

        Returns:
            Images of the same shape and dtype.

        Raises:
            ValueError: the images are not floats of rank 4, or the keys are not integers (n, 2).
        """
        images, key = ops.convert_to_tensor(images), ops.convert_to_tensor(key)
        if len(images.shape) != 4 or not keras.backend.is_float_dtype(images.dtype):
            received = f"{keras.backend.standardize_dtype(images.dtype)} of shape {tuple(images.shape)}"
            remedy = "Cast to float32, divide by 255, and keep the axis of channels"
            refuse(
                f"{type(self).__name__}.images", "be floats (n, height, width, channels)", received, remedy
            )
        if any(images.shape[axis] is None for axis in self.known_axes):
            remedy = "tf.ensure_shape(x, (None, height, width, channels)) sets them in the map of a data set"
            refuse(
                f"{type(self).__name__}.images",
                "have a known height, width and number of channels",
                f"images of shape {tuple(images.shape)}",
                remedy,
            )
        with without_gradients():
            numbers = self._draw(key, tuple(images.shape[1:]))
        return self._apply(images, numbers)

    def draw(self, key: Tensor, shape: tuple[int, ...]) -> Any:
        """Draw the random numbers of each image, equation (1).

        Args:
            key: integers (n, 2). `randomness.uniform(randomness.stream(key, purpose), count)` draws numbers from them.
            shape: (height, width, channels).

        Returns:
            One or several tensors (n, …).
        """
        raise NotImplementedError(f"{type(self).__name__} does not define draw(key, shape)")

    def apply(self, images: Tensor, numbers: Any) -> Tensor:
        """Transform images by the numbers that `draw` returned, equation (2)."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply(images, numbers)")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
