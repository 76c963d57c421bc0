"""Model parallelism: a stack of layers split over devices, for a network that is too large for one device.

One device computes the first layers, the next device the following ones, and so on; activations cross the cuts
forward and their gradients cross them backward. The memory is divided among the devices; the time is not, since each
device waits for the one before it. `traffic_bill` compares the bytes moved per step with those of data parallelism.

Reference: Dean et al., 2012, Large scale distributed deep networks, section 3.
"""

import numbers
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_kit.checks import refuse
from tf_kit.keras_internals import mask_of, with_mask
from tf_kit.scaling.traffic import balanced_cuts
from tf_kit.training.converted import converted
from tf_kit.typing import Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class Split(keras.Model):
    """Stack of layers on several devices, with the same outputs, gradients and training as on one device.

    For stage k = 1 … K on device k, which keeps the weights θ_k,

        a_k = f_k(a_{k−1}; θ_k),  a_0 = x                                              (1)
        ∂J/∂θ_k = (∂a_k/∂θ_k)ᵀ ∂J/∂a_k                                                 (2)
        ∂J/∂a_{k−1} = (∂a_k/∂a_{k−1})ᵀ ∂J/∂a_k                                         (3)

    where (1), (2), (3) and the update of θ_k are computed on device k, which also holds the optimizer's slots; only a_k
    and ∂J/∂a_k cross a cut. The model is compiled, trained, saved and loaded like any Keras model; XLA is off, since it
    compiles for one device. `split` makes one from another model.

    Args:
        layers: Keras layers that follow one another, each with one input and one output.
        cuts: indices of the first layers of the stages 2 … K. None means the cuts that balance the weights over the
            devices, computed when the model is built. Defaults to None.
        devices: TensorFlow's names of the devices, such as `"GPU:1"`; stage k is on device k, starting again after the
            last. None means all GPUs, or else the logical devices of the processor. Devices are not saved: a file
            written with eight devices can be loaded with two. Defaults to None.

    Raises:
        InputError: cuts are not increasing indices within the stack, or there is a `tf.distribute` strategy.

    Example:
        >>> dense = keras.layers.Dense
        >>> model = Split([dense(8, "relu"), dense(8, "relu"), dense(1)], cuts=[2])
        >>> model.compile("sgd", "mse")
        >>> _ = model.fit(tf.ones((4, 3)), tf.ones((4, 1)), verbose=0)
        >>> [len(stage) for stage in model.stages]
        [2, 1]

    Reference: Dean et al., 2012, section 3.
    """

    def __init__(
        self,
        layers: Sequence[keras.layers.Layer],
        cuts: Sequence[int] | None = None,
        devices: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not layers or not all(isinstance(layer, keras.layers.Layer) for layer in layers):
            refuse("Split.layers", "be a list of Keras layers", f"{layers!r}"[:80])
        self.stack = list(layers)
        self.cuts: list[int] | None = None
        if cuts is not None:
            whole = all(isinstance(cut, numbers.Integral) for cut in cuts)
            self.cuts = [int(cut) for cut in cuts] if whole else []
            inside = all(0 < cut < len(layers) for cut in self.cuts)
            if not whole or self.cuts != sorted(set(self.cuts)) or not inside:
                rule = f"be increasing indices from 1 to {len(layers) - 1}"
                refuse("Split.cuts", rule, f"cuts={list(cuts)}")
        self.devices = tuple(devices or _devices())

    @property
    def stages(self) -> list[list[keras.layers.Layer]]:
        """Layers of each stage; one stage until the cuts are known."""
        ends = [*(self.cuts or ()), len(self.stack)]
        return [self.stack[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def device_of(self, stage: int) -> str:
        """Return the name of the device of a stage, counted from 0."""
        return self.devices[stage % len(self.devices)]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if tf.distribute.has_strategy():
            refuse(
                "Split",
                "be built outside the scope of a strategy, since it places its layers itself",
                type(tf.distribute.get_strategy()).__name__,
            )
        if self.cuts is None:
            parts = min(len(self.devices), len(self.stack))
            self.cuts = balanced_cuts(_sizes(self.stack, input_shape), parts)
        shape = input_shape
        for stage, layers in enumerate(self.stages):
            with tf.device(self.device_of(stage)):
                for layer in layers:
                    if not layer.built:
                        layer.build(shape)
                    shape = layer.compute_output_shape(shape)
        self.built = True

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile like `keras.Model.compile`, without XLA."""
        super().compile(*args, **{**kwargs, "jit_compile": False})

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Train like `keras.Model.fit`, after creating weights and slots, which a traced step would put anywhere."""
        x = converted("Split.fit.x", x)
        if not self.built:
            x_spec = keras.utils.unpack_x_y_sample_weight(getattr(x, "element_spec", x))[0]
            self.build((None, *x_spec.shape[1:]))
        if self.compiled and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return super().fit(x, *args, **kwargs)

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        a = inputs
        for stage, layers in enumerate(self.stages):
            a = _on_device(self.device_of(stage), layers, a, training)  # (1)
        return a

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        for layer in self.stack:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self) -> dict[str, Any]:
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.stack]
        return {**super().get_config(), "layers": layers, "cuts": self.cuts}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Split":
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


def split(
    model: keras.Sequential, cuts: Sequence[int | str] | None = None, devices: Sequence[str] | None = None
) -> Split:
    """Make a `Split` with copies of the layers and weights of a sequential model, which does not change.

    Args:
        model: built `keras.Sequential`.
        cuts, devices: as for `Split`; a cut may also be the name of the first layer of a stage.

    Returns:
        The built `Split`.

    Raises:
        InputError: the model is not a built `keras.Sequential`, or a cut is not one of its layers.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8), keras.layers.Dense(1)])
        >>> x = tf.ones((2, 3))
        >>> bool(tf.reduce_all(split(model, cuts=[1])(x) == model(x)))
        True
    """
    if not isinstance(model, keras.Sequential) or not model.built:
        refuse(
            "split.model",
            "be a built Sequential model, a stack of layers",
            f"{type(model).__name__} {getattr(model, 'name', '')!r}",
            "Give a Sequential model a keras.Input; the layers of other models have no single order",
        )
    names = [layer.name for layer in model.layers]
    indices = None
    if cuts is not None:
        known = [names.index(cut) if cut in names else cut for cut in cuts]
        indices = [int(cut) for cut in known if isinstance(cut, numbers.Integral)]
        unknown = [cut for cut in known if not isinstance(cut, numbers.Integral)]
        if unknown:
            refuse("split.cuts", f"be layers of the model: {', '.join(names)}", f"{unknown}")
    layers = [type(layer).from_config(layer.get_config()) for layer in model.layers]
    made = Split(layers, indices, devices, name=f"{model.name}_split")
    made.build(model.input_shape)
    for layer, source in zip(layers, model.layers, strict=True):
        for copy, variable in zip(layer.variables, source.variables, strict=True):
            copy.assign(variable)  # including the states of random number generators
    return made


def _on_device(device, layers, inputs, training):
    """Compute layers on a device, and their gradients on the same device, which a tape alone would not ensure.

    Keras attaches masks to tensors. Copies of tensors lose them, so the mask is passed on at both ends.
    """
    mask, made = mask_of(inputs), []

    @tf.custom_gradient
    def run(a):
        with tf.device(device), tf.GradientTape() as tape:
            a = tf.identity(a)  # crosses the cut
            tape.watch(a)
            outputs = with_mask(a, mask)
            for layer in layers:
                outputs = layer(
                    outputs, training=training
                )  # Keras drops the argument if `call` does not take it

        made.append(mask_of(outputs))

        def gradient(upstream, variables=None):
            with tf.device(device):
                sources = [a, *(variables or ())]
                first, *others = tape.gradient(outputs, sources, upstream)  # (3), (2)
            return (first, others) if variables is not None else first

        return outputs, gradient

    with tf.device(device):  # for the copy of the outputs that custom_gradient makes
        outputs = run(tf.convert_to_tensor(inputs))
    return with_mask(outputs, made[-1])


def _devices():
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in found]


def _sizes(layers, input_shape):
    """Count the weights of each layer on a temporary copy, since the layer may not be built yet."""
    sizes, shape = [], input_shape
    for layer in layers:
        copy = type(layer).from_config(layer.get_config())
        with tf.device("CPU"):
            copy.build(shape)
        sizes.append(copy.count_params())
        shape = layer.compute_output_shape(shape)
    return sizes
