"""Model parallelism: a stack of layers split over devices, for a network that no single device can hold.

One device computes the first layers, the next the following ones, and so on; activations go forward over the cuts
and their gradients come back. Memory is shared out; time is not, since a device waits for the one before it. What a
step moves, and when that is less than data parallelism moves: `traffic_bill`.

Reference: Dean et al., 2012, Large scale distributed deep networks, section 3.
"""

import keras
import tensorflow as tf

from tf_kit.checks import refuse
from tf_kit.scaling.traffic import balanced_cuts


@keras.saving.register_keras_serializable(package="tf_kit")
class Split(keras.Model):
    """A stack of layers, each on its device: the same function, gradients and training as the stack on one.

    For stage k = 1 … K on device k, with weights θ_k that never leave it,

        a_k = f_k(a_{k−1}; θ_k),  a_0 = x                                              (1)
        ∂J/∂θ_k = (∂a_k/∂θ_k)ᵀ ∂J/∂a_k                                                 (2)
        ∂J/∂a_{k−1} = (∂a_k/∂a_{k−1})ᵀ ∂J/∂a_k                                         (3)

    where (1), (2), (3), the optimizer's slots of θ_k and its update of them are all computed on device k; only a_k and
    ∂J/∂a_k cross a cut. It is compiled, trained, saved and loaded as any Keras model; XLA is off, as it compiles for
    one device. `split` makes one from a model.

    Args:
        layers: Keras layers that follow one another, each with one input and one output.
        cuts: indices of the first layers of the stages 2 … K. Defaults to the cuts that balance the weights over the
            devices, made when the model is built.
        devices: names as TensorFlow's, `"GPU:1"`; stage k is on device k, beginning again after the last. Defaults to
            all GPUs, or without one to the logical devices of the processor. Not saved: a file that was written with
            eight devices loads with two.

    Raises:
        InputError: for cuts that are no rising indices within the stack; under a `tf.distribute` strategy.

    Example:
        >>> dense = keras.layers.Dense
        >>> model = Split([dense(8, "relu"), dense(8, "relu"), dense(1)], cuts=[2])
        >>> model.compile("sgd", "mse")
        >>> _ = model.fit(tf.ones((4, 3)), tf.ones((4, 1)), verbose=0)
        >>> [len(stage) for stage in model.stages]
        [2, 1]

    Reference: Dean et al. 2012, section 3.
    """

    def __init__(self, layers, cuts=None, devices=None, **kwargs):
        super().__init__(**kwargs)
        if not layers or not all(isinstance(layer, keras.layers.Layer) for layer in layers):
            refuse("Split.layers", "be a list of Keras layers", f"{layers!r}"[:80])
        self.stack = list(layers)
        self.cuts = None if cuts is None else [int(cut) for cut in cuts]
        if cuts is not None and (
            self.cuts != sorted(set(self.cuts)) or not all(0 < cut < len(layers) for cut in self.cuts)
        ):
            refuse("Split.cuts", f"be rising indices from 1 to {len(layers) - 1}", f"cuts={list(cuts)}")
        self.devices = tuple(devices or _devices())

    @property
    def stages(self):
        """The layers of each stage, once the cuts are known."""
        ends = [*(self.cuts or ()), len(self.stack)]
        return [self.stack[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def device_of(self, stage):
        """Device of a stage, counted from 0."""
        return self.devices[stage % len(self.devices)]

    def build(self, input_shape):
        if tf.distribute.has_strategy():
            refuse(
                "Split",
                "be used without a strategy: it places its layers itself",
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

    def compile(self, *args, **kwargs):
        """As `keras.Model.compile`, without XLA."""
        super().compile(*args, **{**kwargs, "jit_compile": False})

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, *args, **kwargs):
        """As `keras.Model.fit`. Weights and slots are made first: within a traced step they forget their device."""
        if not self.built:
            x_spec = keras.utils.unpack_x_y_sample_weight(getattr(x, "element_spec", x))[0]
            self.build((None, *x_spec.shape[1:]))
        if self.compiled and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return super().fit(x, *args, **kwargs)

    def call(self, inputs, training=False):
        a = inputs
        for stage, layers in enumerate(self.stages):
            a = _on_device(self.device_of(stage), layers, a, training)  # (1)
        return a

    def compute_output_shape(self, input_shape):
        for layer in self.stack:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.stack]
        return {"name": self.name, "layers": layers, "cuts": self.cuts}

    @classmethod
    def from_config(cls, config):
        layers = [keras.saving.deserialize_keras_object(layer) for layer in config["layers"]]
        return cls(**{**config, "layers": layers})


def split(model, cuts=None, devices=None):
    """A `Split` with copies of the layers and weights of a sequential model, which stays as it is.

    Args:
        model: a built `keras.Sequential`.
        cuts, devices: as for `Split`; a cut may be the name of the first layer of a stage.

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
            "Give it a keras.Input; other graphs have no single order to cut",
        )
    names = [layer.name for layer in model.layers]
    if cuts is not None:
        cuts = [names.index(cut) if cut in names else cut for cut in cuts]
        strange = [cut for cut in cuts if not isinstance(cut, int)]
        if strange:
            refuse("split.cuts", f"be layers of the model: {', '.join(names)}", f"{strange}")
    layers = [type(layer).from_config(layer.get_config()) for layer in model.layers]
    made = Split(layers, cuts, devices, name=f"{model.name}_split")
    made.build(model.input_shape)
    for layer, source in zip(layers, model.layers, strict=True):
        for copy, variable in zip(layer.variables, source.variables, strict=True):
            copy.assign(variable)  # also where the random numbers of a dropout stand
    return made


def _on_device(device, layers, inputs, training):
    """The layers on a device, and their gradients on the same: a tape alone would compute them anywhere."""

    @tf.custom_gradient
    def run(a):
        with tf.device(device), tf.GradientTape() as tape:
            a = tf.identity(a)  # here it crosses the cut
            tape.watch(a)
            outputs = a
            for layer in layers:
                takes_training = layer._call_has_training_arg
                outputs = layer(outputs, training=training) if takes_training else layer(outputs)

        def gradient(upstream, variables=None):
            with tf.device(device):
                sources = [a, *(variables or ())]
                first, *others = tape.gradient(outputs, sources, upstream)  # (3), (2)
            return (first, others) if variables is not None else first

        return outputs, gradient

    with tf.device(device):  # for the copy of the outputs that custom_gradient makes
        return run(tf.convert_to_tensor(inputs))


def _devices():
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in found]


def _sizes(layers, input_shape):
    """Number of weights of each layer, also of those not built yet: found on copies, which are thrown away."""
    sizes, shape = [], input_shape
    for layer in layers:
        copy = type(layer).from_config(layer.get_config())
        with tf.device("CPU"):
            copy.build(shape)
        sizes.append(copy.count_params())
        shape = layer.compute_output_shape(shape)
    return sizes
