"""Pruning by magnitude: the weights near zero become zero and stay zero, the others go on learning.

A pruned layer keeps a mask beside its kernel and computes with mask ⊙ kernel. So the loss has no gradient at a
pruned weight, whatever optimizer follows; a projection after each step holds the stored zeros too, and a
file stores the other weights alone, with one bit for each place.

Reference: Han, Pool, Tran, Dally, 2015, Learning both weights and connections for efficient neural networks;
Zhu, Gupta, 2017, To prune, or not to prune, equation 1.
"""

import keras
import numpy as np
from keras import ops

from tf_kit.checks import choice, count, number, refuse
from tf_kit.scaling.compression._rebuilding import config_of, layers_within, rebuild

_SCOPES = ("global", "layer")


class _Pruned:
    """Mixed into a Keras layer with a kernel: the mask, and the file that stores what it leaves."""

    def build(self, input_shape):
        super().build(input_shape)
        self.mask = self.add_weight(
            name="mask", shape=self._kernel.shape, initializer="ones", dtype="bool", trainable=False
        )
        projection = self._kernel.constraint or (lambda kernel: kernel)
        self._kernel.constraint = lambda kernel: self._masked(projection(kernel))

    @property
    def kernel(self):
        return self._masked(super().kernel)  # (2)

    def _masked(self, kernel):
        kernel = ops.convert_to_tensor(kernel)
        return ops.where(self.mask, kernel, ops.zeros_like(kernel))

    def keep(self, mask):
        """Sets the mask to `mask`, an array of the kernel's shape; what it does not keep becomes zero."""
        self.mask.assign(mask)
        self._kernel.assign(self._masked(self._kernel.value))

    def copy_from(self, layer):
        """Takes over the weights of the layer that this one replaces."""
        self._kernel.assign(layer.kernel)
        if self.bias is not None:
            self.bias.assign(layer.bias)
        if isinstance(layer, _Pruned):
            self.mask.assign(layer.mask)

    @property
    def stored_kernel_bytes(self):
        """Bytes of the kernel in a file: a bit for each place, and the weights that are kept."""
        mask = ops.convert_to_numpy(self.mask)
        return -(-mask.size // 8) + np.dtype(self.variable_dtype).itemsize * int(mask.sum())

    def save_own_variables(self, store):
        mask = ops.convert_to_numpy(self.mask)
        store["mask"] = np.packbits(mask)
        store["values"] = ops.convert_to_numpy(self._kernel)[mask]
        if self.bias is not None:
            store["bias"] = self.bias

    def load_own_variables(self, store):
        shape = tuple(self._kernel.shape)
        mask = np.unpackbits(np.array(store["mask"]), count=np.prod(shape)).reshape(shape).astype(bool)
        values = np.array(store["values"])
        kernel = np.zeros(shape, values.dtype)
        kernel[mask] = values
        self.mask.assign(mask)
        self._kernel.assign(kernel)
        if self.bias is not None:
            self.bias.assign(store["bias"])


@keras.saving.register_keras_serializable(package="tf_kit")
class PrunedDense(_Pruned, keras.layers.Dense):
    """A dense layer whose kernel is masked; `prune` makes it of `keras.layers.Dense`.

        z = x (M ⊙ W) + b                                                (1)

    where M = `mask` is True at the weights that are kept. Arguments are those of `keras.layers.Dense`.

    Example:
        >>> import numpy as np
        >>> layer = PrunedDense(1, kernel_initializer="ones")
        >>> layer.build((None, 3))
        >>> layer.keep(np.array([[True], [False], [True]]))
        >>> float(layer(np.array([[1.0, 10.0, 100.0]]))[0, 0])
        101.0

    Reference: Han et al., 2015, section 3.
    """


@keras.saving.register_keras_serializable(package="tf_kit")
class PrunedConv1D(_Pruned, keras.layers.Conv1D):
    """A one-dimensional convolution with a masked kernel; otherwise `keras.layers.Conv1D`. See `PrunedDense`."""


@keras.saving.register_keras_serializable(package="tf_kit")
class PrunedConv2D(_Pruned, keras.layers.Conv2D):
    """A two-dimensional convolution with a masked kernel; otherwise `keras.layers.Conv2D`. See `PrunedDense`."""


@keras.saving.register_keras_serializable(package="tf_kit")
class PrunedConv3D(_Pruned, keras.layers.Conv3D):
    """A three-dimensional convolution with a masked kernel; otherwise `keras.layers.Conv3D`. See `PrunedDense`."""


_KINDS = {
    keras.layers.Dense: PrunedDense,
    keras.layers.Conv1D: PrunedConv1D,
    keras.layers.Conv2D: PrunedConv2D,
    keras.layers.Conv3D: PrunedConv3D,
}


def prune(model, sparsity: float, scope: str = "global", layers=None):
    """Magnitude pruning: a copy of a network without its smallest weights, ready to be trained further.

    Trained networks keep their accuracy without most of their weights if the rest may adapt: compile and
    fit the copy for some epochs. (On several replicas, where Keras averages uneven minibatches wrongly, a
    network that ends in the layer "logits", as those of `networks`, trains exactly in a
    `pretraining.Classifier`.) The zeros stay exactly zero under any optimizer, with momentum and averages
    of weights too, and through `.keras` files; what was pruned before stays pruned.

        k   = round(s · n)                                               (1)
        M_i = 0 for the k weights of smallest |w|, 1 for the others      (2)
        Ŵ   = M ⊙ W                                                      (3)

    where s = `sparsity` and n counts the weights of all kernels together (scope "global") or of each kernel
    (scope "layer"). Among equal magnitudes the first go first.

    Args:
        model: a built Sequential or functional model. It is left as it is. Its dense layers and convolutions
            (of one, two and three dimensions) are pruned, within nested models too; biases and other layers
            are copied.
        sparsity: share of the weights that become zero, in [0, 1). 0 prunes nothing and makes the copy ready
            for `GradualPruning`.
        scope: "global" compares the weights of all layers, "layer" takes the same share from each.
            Defaults to "global".
        layers: names of the layers to prune; None takes all that can be. Defaults to None.

    Returns:
        The pruned model, compiled as `model` is, with a new optimizer. Its file holds only what is kept.

    Raises:
        ValueError: when `sparsity` is outside [0, 1), when it would leave a layer without any weight, when a
            name in `layers` is not that of a layer that can be pruned, or when the model is of another kind.

    Example:
        >>> import keras, numpy as np
        >>> from tf_kit.scaling import prune
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="logits")])
        >>> model.set_weights([np.array([[0.1, -3.0], [2.0, -0.5]]), np.zeros(2)])
        >>> prune(model, sparsity=0.5).get_layer("logits").kernel.numpy().tolist()
        [[0.0, -3.0], [2.0, 0.0]]

    Reference: Han et al., 2015, section 3.
    """
    sparsity = number("prune.sparsity", sparsity, at_least=0, below=1)
    choice("prune.scope", scope, _SCOPES)
    chosen = None if layers is None else {layers} if isinstance(layers, str) else set(layers)
    able = [layer.name for layer in layers_within(model) if _kind(layer)] if hasattr(model, "layers") else []
    for name in sorted(chosen or ()):
        choice("prune.layers", name, able)

    def replacement(layer):
        if _kind(layer) and (chosen is None or layer.name in chosen):
            return _kind(layer).from_config(config_of(layer))
        return None

    pruned, pairs = rebuild("prune.model", model, replacement)
    if not pairs:
        refuse("prune.model", "have a Dense, Conv1D, Conv2D or Conv3D layer", f"{model.name}")
    for layer, new in pairs:
        new.copy_from(layer)
    _prune_layers("prune.sparsity", [new for _, new in pairs], sparsity, scope)
    return pruned


def _kind(layer):
    if isinstance(layer, _Pruned):
        return type(layer)
    return _KINDS.get(getattr(layer, "same_as", type(layer)))


def _prune_layers(subject, layers, sparsity, scope):
    """Narrows the masks of the layers until the share of zeros is reached; pruned weights stay pruned."""
    magnitudes = [
        np.where(
            ops.convert_to_numpy(layer.mask), np.abs(ops.convert_to_numpy(layer.kernel), dtype="float32"), -1
        )
        for layer in layers
    ]
    masks = largest(magnitudes, sparsity, scope)
    empty = [layer.name for layer, mask in zip(layers, masks, strict=True) if not mask.any()]
    if empty:
        remedy = 'Take less, scope="layer", or name the other layers'
        refuse(
            subject, "leave every layer a weight", f"{sparsity:g}, which empties {', '.join(empty)}", remedy
        )
    for layer, mask in zip(layers, masks, strict=True):
        layer.keep(mask)


def largest(magnitudes, sparsity, scope):
    """Masks of the weights that are kept; a magnitude below 0 is never kept."""
    if scope == "layer":
        return [largest([each], sparsity, "global")[0] for each in magnitudes]
    every = np.concatenate([each.ravel() for each in magnitudes])
    num_zeros = round(sparsity * every.size)  # (1)
    mask = every >= 0
    mask[np.argsort(every, kind="stable")[:num_zeros]] = False  # (2)
    ends = np.cumsum([each.size for each in magnitudes])[:-1]
    return [part.reshape(each.shape) for part, each in zip(np.split(mask, ends), magnitudes, strict=True)]


class GradualPruning(keras.callbacks.Callback):
    """Prunes while the network trains: much at first, when many weights are idle, little towards the end.

        s_t = s_f + (s_i − s_f) (1 − (t − t_0) / (t_1 − t_0))³           (1)

    where t counts optimizer steps and takes the values t_0, t_0 + Δ, t_0 + 2Δ, … and t_1; s_i is
    `initial_sparsity`, s_f `final_sparsity`, t_0 `begin_step`, t_1 `end_step`, Δ `frequency`. Steps are those
    the optimizer has counted, so training can be resumed. A weight that is pruned loses its momentum and its
    average too.

    Args:
        final_sparsity: share of zeros in the end, in [0, 1).
        end_step: step at which it is reached.
        begin_step: step at which pruning begins. Defaults to 0.
        initial_sparsity: share of zeros there. Defaults to 0.
        frequency: steps from one pruning to the next. Defaults to 100.
        scope: as in `prune`. Defaults to "global".

    Attributes after training:
        sparsities: the step of each pruning and the share of zeros that was set.

    Raises:
        ValueError: when an argument is outside its range, when the model has no layers that can be masked, or
            when a layer would be left without any weight.

    Example:
        >>> from tf_kit.scaling import GradualPruning
        >>> schedule = GradualPruning(0.8, end_step=1000)
        >>> [round(schedule.sparsity_at(step), 2) for step in (0, 250, 500, 1000, 2000)]
        [0.0, 0.46, 0.7, 0.8, 0.8]

        Use: `model = prune(model, 0); model.compile(…); model.fit(…, callbacks=[GradualPruning(0.9, 500)])`

    Reference: Zhu, Gupta, 2017, equation 1.
    """

    def __init__(
        self, final_sparsity, end_step, begin_step=0, initial_sparsity=0.0, frequency=100, scope="global"
    ):
        super().__init__()
        self.final_sparsity = number("GradualPruning.final_sparsity", final_sparsity, at_least=0, below=1)
        self.begin_step = count("GradualPruning.begin_step", begin_step, at_least=0)
        self.end_step = count("GradualPruning.end_step", end_step, at_least=self.begin_step + 1)
        self.initial_sparsity = number(
            "GradualPruning.initial_sparsity", initial_sparsity, at_least=0, at_most=self.final_sparsity
        )
        self.frequency = count("GradualPruning.frequency", frequency)
        self.scope = choice("GradualPruning.scope", scope, _SCOPES)
        self.sparsities = {}

    def sparsity_at(self, step):
        """s_t, the share of zeros that the schedule asks for at a step."""
        progress = min(max((step - self.begin_step) / (self.end_step - self.begin_step), 0), 1)
        return (
            self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * (1 - progress) ** 3
        )  # (1)

    def on_train_begin(self, logs=None):
        trained = {id(variable) for variable in self.model.trainable_variables}
        self._layers = [
            layer
            for layer in layers_within(self.model)
            if isinstance(layer, _Pruned) and id(layer._kernel) in trained
        ]
        if not self._layers:
            remedy = "Train prune(model, 0), whose layers can be masked"
            refuse("GradualPruning.model", "have pruned layers", f"{self.model.name}", remedy)
        self._prune_if_due()

    def on_train_batch_end(self, batch, logs=None):
        self._prune_if_due()

    def _prune_if_due(self):
        step = int(self.model.optimizer.iterations.numpy())
        if step < self.begin_step:
            return
        due = step - (step - self.begin_step) % self.frequency if step < self.end_step else self.end_step
        if due in self.sparsities:
            return
        sparsity = self.sparsity_at(due)
        _prune_layers("GradualPruning.final_sparsity", self._layers, sparsity, self.scope)
        for layer in self._layers:
            _forget(self.model.optimizer, layer._kernel, layer.mask)
        self.sparsities[due] = sparsity


def _forget(optimizer, variable, mask):
    """Zeroes what the optimizer remembers of the pruned entries: its slots are lists parallel to its variables."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.built:
        return
    index = optimizer._get_variable_index(variable)
    num_variables = len(optimizer._trainable_variables)
    for slots in vars(optimizer).values():
        if (
            isinstance(slots, list)
            and len(slots) == num_variables
            and slots is not optimizer._trainable_variables
        ):
            slot = slots[index]
            if getattr(slot, "shape", None) == variable.shape:
                slot.assign(ops.where(mask, slot, ops.zeros_like(slot)))
