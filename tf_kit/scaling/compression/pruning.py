"""Pruning by magnitude: weights near zero become zero and stay zero, the others continue to be trained.

A pruned layer has a mask and computes with mask ⊙ kernel, so the gradient at a pruned weight is zero with any
optimizer. A projection after each step keeps the stored weights at zero too, and a file stores only the other
weights, with one bit per position.

Reference: Han, Pool, Tran, Dally, 2015, Learning both weights and connections for efficient neural networks,
arXiv:1506.02626; Zhu, Gupta, 2017, To prune, or not to prune, equation 1, arXiv:1710.01878.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_kit.checks import choice, count, number, refuse
from tf_kit.keras_internals import slots_of, stored_kernel
from tf_kit.networks.inspection import layers_within
from tf_kit.scaling.compression.rebuilding import config_of, rebuild
from tf_kit.typing import ArrayLike, LayerMixin, Tensor

_SCOPES = ("global", "layer")


class _Pruned(LayerMixin):
    """Mixin for a Keras layer with a kernel: adds a mask, and saves only the weights that it keeps."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        kernel = stored_kernel(self)
        self.mask = self.add_weight(
            name="mask", shape=kernel.shape, initializer="ones", dtype="bool", trainable=False
        )
        projection = kernel.constraint or (lambda kernel: kernel)
        kernel.constraint = lambda kernel: self._masked(projection(kernel))

    @property
    def kernel(self) -> Tensor:
        return self._masked(super().kernel)  # (2)

    def _masked(self, kernel):
        kernel = ops.convert_to_tensor(kernel)
        return ops.where(self.mask, kernel, ops.zeros_like(kernel))

    def keep(self, mask: ArrayLike) -> None:
        """Set the mask and make all other weights zero.

        Args:
            mask: array with the shape of the kernel, True at the weights to keep.
        """
        self.mask.assign(mask)
        kernel = stored_kernel(self)
        kernel.assign(self._masked(kernel.value))

    def copy_from(self, layer: keras.layers.Layer) -> None:
        """Copy the weights of the layer that this one replaces."""
        stored_kernel(self).assign(layer.kernel)
        if self.bias is not None:
            self.bias.assign(layer.bias)
        if isinstance(layer, _Pruned):
            self.mask.assign(layer.mask)

    @property
    def stored_kernel_bytes(self) -> int:
        """Bytes of the kernel in a file: one bit per position, and the weights that are kept."""
        mask = ops.convert_to_numpy(self.mask)
        return -(-mask.size // 8) + np.dtype(self.variable_dtype).itemsize * int(mask.sum())

    def save_own_variables(self, store: Any) -> None:
        mask = ops.convert_to_numpy(self.mask)
        store["mask"] = np.packbits(mask)
        store["values"] = ops.convert_to_numpy(stored_kernel(self))[mask]
        if self.bias is not None:
            store["bias"] = self.bias

    def load_own_variables(self, store: Any) -> None:
        shape = tuple(stored_kernel(self).shape)
        mask = np.unpackbits(np.array(store["mask"]), count=np.prod(shape)).reshape(shape).astype(bool)
        values = np.array(store["values"])
        kernel = np.zeros(shape, values.dtype)
        kernel[mask] = values
        self.mask.assign(mask)
        stored_kernel(self).assign(kernel)
        if self.bias is not None:
            self.bias.assign(store["bias"])


@keras.saving.register_keras_serializable(package="tf_kit")
class PrunedDense(_Pruned, keras.layers.Dense):
    """Dense layer with a masked kernel; `prune` makes it from `keras.layers.Dense`.

        z = x (M ⊙ W) + b                                                (1)

    where M = `mask` is True at the weights that are kept.

    Args:
        *args, **kwargs: arguments of `keras.layers.Dense`.

    Example:
        >>> import numpy as np
        >>> layer = PrunedDense(1, kernel_initializer="ones")
        >>> layer.build((None, 3))
        >>> layer.keep(np.array([[True], [False], [True]]))
        >>> float(layer(np.array([[1.0, 10.0, 100.0]]))[0, 0])
        101.0

    Reference: Han et al., 2015, section 3, arXiv:1506.02626.
    """


@keras.saving.register_keras_serializable(package="tf_kit")
class PrunedConv1D(_Pruned, keras.layers.Conv1D):
    """`keras.layers.Conv1D` with a masked kernel. See `PrunedDense`."""


@keras.saving.register_keras_serializable(package="tf_kit")
class PrunedConv2D(_Pruned, keras.layers.Conv2D):
    """`keras.layers.Conv2D` with a masked kernel. See `PrunedDense`."""


@keras.saving.register_keras_serializable(package="tf_kit")
class PrunedConv3D(_Pruned, keras.layers.Conv3D):
    """`keras.layers.Conv3D` with a masked kernel. See `PrunedDense`."""


_KINDS = {
    keras.layers.Dense: PrunedDense,
    keras.layers.Conv1D: PrunedConv1D,
    keras.layers.Conv2D: PrunedConv2D,
    keras.layers.Conv3D: PrunedConv3D,
}


def prune(
    model: keras.Model, sparsity: float, scope: str = "global", layers: Iterable[str] | str | None = None
) -> keras.Model:
    """Magnitude pruning: copy a network without its smallest weights, for further training.

    Trained networks keep their accuracy without most of their weights if the remaining weights can adapt: compile and
    fit the copy for some epochs. (On several replicas, where Keras averages uneven minibatches wrongly, a network
    that ends in the layer "logits", like those of `networks`, is trained exactly in a `training.Classifier`.) The
    zeros stay exactly zero with any optimizer, including momentum and averages of weights, and in `.keras` files;
    weights that were pruned before stay pruned.

        k   = round(s · n)                                               (1)
        M_i = 0 for the k weights of smallest |w|, 1 for the others      (2)
        Ŵ   = M ⊙ W                                                      (3)

    where s = `sparsity` and n is the number of weights of all kernels together (scope "global") or of each kernel
    (scope "layer"). Of equal magnitudes the first are pruned first.

    Args:
        model: built Sequential or functional model, which does not change. Its dense layers and convolutions (of one,
            two and three dimensions) are pruned, also in nested models; biases and other layers are copied.
        sparsity: share of the weights that become zero, in [0, 1). 0 prunes nothing and prepares the copy for
            `GradualPruning`.
        scope: "global" compares the weights of all layers, "layer" prunes the same share of each layer.
            Defaults to "global".
        layers: names of the layers to prune; None means all that can be pruned. Defaults to None.

    Returns:
        The pruned model, compiled like `model`, with a new optimizer. Its file holds only the weights that are kept.

    Raises:
        ValueError: `sparsity` is outside [0, 1) or would leave a layer without any weight, a name in `layers` is not
            that of a layer that can be pruned, a kernel holds NaN, a layer is quantized already, or the model is of
            another kind.

    Example:
        >>> import keras, numpy as np
        >>> from tf_kit.scaling import prune
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="logits")])
        >>> model.set_weights([np.array([[0.1, -3.0], [2.0, -0.5]]), np.zeros(2)])
        >>> prune(model, sparsity=0.5).get_layer("logits").kernel.numpy().tolist()
        [[0.0, -3.0], [2.0, 0.0]]

    Reference: Han et al., 2015, section 3, arXiv:1506.02626.
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
    """Reduce the masks of the layers to the share of zeros; pruned weights stay pruned."""
    for layer in layers:
        unknown = int(np.isnan(ops.convert_to_numpy(layer.kernel).astype("float32")).sum())
        if unknown:
            subject = f"{subject.split('.')[0]}.model"
            refuse(
                subject, "have kernels of numbers", f"{unknown} nan in layer {layer.name}", "Train it again"
            )
    magnitudes = [
        np.where(
            ops.convert_to_numpy(layer.mask), np.abs(ops.convert_to_numpy(layer.kernel), dtype="float32"), -1
        )
        for layer in layers
    ]
    masks = largest(magnitudes, sparsity, scope)
    empty = [layer.name for layer, mask in zip(layers, masks, strict=True) if not mask.any()]
    if empty:
        received = f"{sparsity:g}, which empties {', '.join(empty)}"
        remedy = 'Use a smaller share or scope="layer", or name the other layers'
        refuse(subject, "leave every layer a weight", received, remedy)
    for layer, mask in zip(layers, masks, strict=True):
        layer.keep(mask)


def largest(magnitudes: Sequence[np.ndarray], sparsity: float, scope: str) -> list[np.ndarray]:
    """Compute the masks of the weights that are kept; a weight with a magnitude below 0 is never kept."""
    if scope == "layer":
        return [largest([each], sparsity, "global")[0] for each in magnitudes]
    every = np.concatenate([each.ravel() for each in magnitudes])
    num_zeros = round(sparsity * every.size)  # (1)
    mask = every >= 0
    mask[np.argsort(every, kind="stable")[:num_zeros]] = False  # (2)
    ends = np.cumsum([each.size for each in magnitudes])[:-1]
    return [part.reshape(each.shape) for part, each in zip(np.split(mask, ends), magnitudes, strict=True)]


class GradualPruning(keras.callbacks.Callback):
    """Prune during training: many weights at first, when many have little effect, and few towards the end.

        s_t = s_f + (s_i − s_f) (1 − (t − t_0) / (t_1 − t_0))³           (1)

    where t counts optimizer steps and takes the values t_0, t_0 + Δ, t_0 + 2Δ, … and t_1; s_i is
    `initial_sparsity`, s_f `final_sparsity`, t_0 `begin_step`, t_1 `end_step`, Δ `frequency`. The optimizer counts
    the steps, so training can be resumed. The momentum and the average of a pruned weight are set to zero too.

    Args:
        final_sparsity: share of zeros at the end, in [0, 1).
        end_step: step at which it is reached, above `begin_step`.
        begin_step: step at which pruning starts, at least 0. Defaults to 0.
        initial_sparsity: share of zeros at that step, from 0 to `final_sparsity`. Defaults to 0.
        frequency: steps from one pruning to the next, at least 1. Defaults to 100.
        scope: as in `prune`. Defaults to "global".

    Attributes:
        sparsities: dictionary from the step of each pruning to the share of zeros.

    Raises:
        ValueError: an argument is outside its range, the model has no pruned layers, or a layer would be left without
            any weight.

    Example:
        >>> from tf_kit.scaling import GradualPruning
        >>> schedule = GradualPruning(0.8, end_step=1000)
        >>> [round(schedule.sparsity_at(step), 2) for step in (0, 250, 500, 1000, 2000)]
        [0.0, 0.46, 0.7, 0.8, 0.8]

        Use: `model = prune(model, 0); model.compile(…); model.fit(…, callbacks=[GradualPruning(0.9, 500)])`

    Reference: Zhu, Gupta, 2017, equation 1, arXiv:1710.01878.
    """

    def __init__(
        self,
        final_sparsity: float,
        end_step: int,
        begin_step: int = 0,
        initial_sparsity: float = 0.0,
        frequency: int = 100,
        scope: str = "global",
    ) -> None:
        super().__init__()
        self.final_sparsity = number("GradualPruning.final_sparsity", final_sparsity, at_least=0, below=1)
        self.begin_step = count("GradualPruning.begin_step", begin_step, at_least=0)
        self.end_step = count("GradualPruning.end_step", end_step, at_least=self.begin_step + 1)
        self.initial_sparsity = number(
            "GradualPruning.initial_sparsity", initial_sparsity, at_least=0, at_most=self.final_sparsity
        )
        self.frequency = count("GradualPruning.frequency", frequency)
        self.scope = choice("GradualPruning.scope", scope, _SCOPES)
        self.sparsities: dict[int, float] = {}
        self._pruned: keras.Model | None = None

    def sparsity_at(self, step: int) -> float:
        """Compute s_t, the share of zeros at a step."""
        progress = min(max((step - self.begin_step) / (self.end_step - self.begin_step), 0), 1)
        return (
            self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * (1 - progress) ** 3
        )  # (1)

    def on_train_begin(self, logs: dict | None = None) -> None:
        trained = {id(variable) for variable in self.model.trainable_variables}
        self._layers = [
            layer
            for layer in layers_within(self.model)
            if isinstance(layer, _Pruned) and id(stored_kernel(layer)) in trained
        ]
        if not self._layers:
            remedy = "Train prune(model, 0) instead, whose layers have masks"
            refuse("GradualPruning.model", "have pruned layers", f"{self.model.name}", remedy)
        if self._pruned is not self.model:
            self._pruned, self.sparsities = self.model, {}
        step = int(self.model.optimizer.iterations.numpy())  # 0 again if the model was compiled again
        self.sparsities = {each: sparsity for each, sparsity in self.sparsities.items() if each <= step}
        self._prune_if_due()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
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
            _forget(self.model.optimizer, stored_kernel(layer), layer.mask)
        self.sparsities[due] = sparsity


def _forget(optimizer, variable, mask):
    """Set the slots of the optimizer to zero for the pruned weights."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not optimizer.built:
        return
    for slot in slots_of(optimizer, variable):
        slot.assign(ops.where(mask, slot, ops.zeros_like(slot)))
