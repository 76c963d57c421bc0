"""Gradient flow: the size of the gradient in each layer, by depth, activation and initial weights (topic 16).

Each layer multiplies δ by Wᵀ and by f'(z). If that product is below 1, the gradient vanishes with depth; if it is
above 1, it explodes. The scale of the initial weights and the slope of the activation decide which.

Slide: "Weight initialization: Uniform distribution usually works well" leaves out the width. With one fixed width δ
vanishes in narrow layers and explodes in wide ones; uniform weights work when their width follows fan-in and fan-out,
as in `initialize(model, "glorot")`.

Reference: Hochreiter, 1991, Untersuchungen zu dynamischen neuronalen Netzen; Glorot, Bengio, 2010,
Understanding the difficulty of training deep feedforward neural networks.
"""

from collections.abc import Callable
from typing import TypeAlias

import keras
import numpy as np
from keras import ops

from tf_kit.checks import choice, count, refuse
from tf_kit.networks.gradient_probe import GradientProbe
from tf_kit.networks.inspection import intercepted, named_layers
from tf_kit.networks.losses import SoftmaxCrossEntropy
from tf_kit.networks.perceptron import mlp
from tf_kit.typing import ArrayLike, Tensor

Loss: TypeAlias = keras.losses.Loss | str | Callable[[Tensor, Tensor], Tensor]

INITIALIZATIONS = {
    # The uniform distribution on ±1/√fan_in has the variance (1/3)/fan_in.
    "uniform": lambda seed: keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=seed),
    "lecun": lambda seed: keras.initializers.LecunNormal(seed=seed),
    "glorot": lambda seed: keras.initializers.GlorotUniform(seed=seed),
    "he": lambda seed: keras.initializers.HeNormal(seed=seed),
    "orthogonal": lambda seed: keras.initializers.Orthogonal(seed=seed),
}


def gradient_norms(model: keras.Model, x: ArrayLike, y: ArrayLike, loss: Loss) -> dict[str, float]:
    """Euclidean norm of the gradient of the cost, for each layer of a model.

    Shows where the gradient is lost: a layer with a norm far below the others hardly learns. See `delta_norms` for
    the quantity that is carried from layer to layer. The model runs in inference mode and does not change: neither
    weights, moving statistics, compiled loss nor optimizer.

        g^(l)    = ∂J/∂θ^(l),   J = 1/N Σ_n L(h(x_n), y_n) + penalties   (1)
        norm^(l) = √(Σ_i (g_i^(l))²)                                     (2)

    where h = `model`, L = `loss`, θ^(l) are all trainable weights of layer l including biases, and the penalties are
    those in `model.losses`.

    Args:
        model: Keras model of any kind.
        x, y: one batch of examples and targets, in the form that `loss` expects.
        loss: Keras loss, such as `SoftmaxCrossEntropy()`, or any loss that `compile` accepts.

    Returns:
        Dictionary from the name of each layer with trainable weights to its norm, in the order of the layers. Layers
        of nested models are named "inner/layer".

    Raises:
        ValueError: the model has no trainable weights.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import SoftmaxCrossEntropy, gradient_norms, mlp
        >>> model = mlp(units=(50,) * 4, num_classes=3, activation="sigmoid", input_shape=(8,))
        >>> x = np.random.default_rng(0).normal(size=(16, 8))
        >>> norms = gradient_norms(model, x, np.arange(16) % 3, SoftmaxCrossEntropy())
        >>> list(norms)
        ['hidden_1', 'hidden_2', 'hidden_3', 'hidden_4', 'logits']
        >>> norms["hidden_1"] < 0.01 * norms["logits"]
        True

    Reference: Glorot, Bengio, 2010, Understanding the difficulty of training deep feedforward neural networks,
    section 4.2 and figure 7.
    """
    if not model.built:
        model(x[:1])
    if not model.trainable_variables:
        refuse("gradient_norms.model", "have trainable weights", repr(model))
    gradients = _gradients(model, x, y, loss)  # (1)
    return {
        name: _norm([gradients[id(each)] for each in layer.trainable_variables])  # (2)
        for name, layer in _layers_with_weights(model)
    }


def delta_norms(model: keras.Model, x: ArrayLike, y: ArrayLike, loss: Loss) -> dict[str, float]:
    """Euclidean norm of δ, the gradient of the cost with respect to the outputs of a layer, for each layer of a model.

    Backpropagation carries δ from layer to layer, so δ is what vanishes. The gradient with respect to the weights,
    δ αᵀ, can hide this: if the weights are too small, α shrinks on the way forward as δ does on the way back, and
    their product has the same size in every layer. The model runs in inference mode and does not change.

        δ_n^(l) = ∂J/∂z_n^(l),   J = 1/N Σ_n L(h(x_n), y_n)              (1)
        norm^(l) = √(Σ_n ‖δ_n^(l)‖²)                                     (2)

    where h = `model`, L = `loss`, and z_n^(l) is the output of the layer for example n.

    Args:
        model: Keras model of any kind whose layers with a kernel (dense, convolution) are linear, with activations
            in separate layers, such as `mlp` builds.
        x, y: one batch of examples and targets, in the form that `loss` expects.
        loss: Keras loss, such as `SoftmaxCrossEntropy()`, or any loss that `compile` accepts.

    Returns:
        Dictionary from the name of each layer with a kernel to its norm, in the order of the layers.

    Raises:
        ValueError: no layer has a kernel, or a layer with a kernel has an activation inside.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import SoftmaxCrossEntropy, delta_norms, initialize, mlp
        >>> model = initialize(mlp(units=(50,) * 10, num_classes=3, activation="tanh", input_shape=(8,)), "uniform")
        >>> x = np.random.default_rng(0).normal(size=(16, 8))
        >>> norms = delta_norms(model, x, np.arange(16) % 3, SoftmaxCrossEntropy())
        >>> norms["hidden_1"] < 0.05 * norms["hidden_10"]
        True

    Reference: Glorot, Bengio, 2010, Understanding the difficulty of training deep feedforward neural networks,
    section 4.2, equations 6 to 9 and figures 7 and 8.
    """
    if not model.built:
        model(x[:1])
    layers = {name: layer for name, layer in _layers_with_weights(model) if hasattr(layer, "kernel")}
    if not layers:
        refuse("delta_norms.model", "have a layer with a trainable kernel", repr(model))
    for name, layer in layers.items():
        if getattr(layer, "activation", keras.activations.linear) is not keras.activations.linear:
            received = f"{name} with activation={layer.activation.__name__!r}"
            refuse("delta_norms.model", "have linear layers", received, "Use a separate activation layer")
    shapes = {}

    def measure(layer, call):
        def measuring(inputs, **options):
            outputs = call(inputs, **options)
            shapes[id(layer)] = outputs.shape
            return outputs

        return measuring

    with intercepted(layers.values(), measure):
        model(x, training=False)
    # ∂J/∂z is the gradient with respect to an offset of zeros that is added to z.
    offsets = {key: keras.Variable(np.zeros(shape, "float32")) for key, shape in shapes.items()}

    def add(layer, call):
        def adding(inputs, **options):
            outputs = call(inputs, **options)
            return outputs + ops.cast(offsets[id(layer)], outputs.dtype)

        return adding

    with intercepted(layers.values(), add):
        gradients = _gradients(model, x, y, loss, list(offsets.values()))  # (1)
    return {name: _norm([gradients[id(offsets[id(layer)])]]) for name, layer in layers.items()}  # (2)


def _gradients(model, x, y, loss, offsets=()):
    """Return {id(v): ∂J/∂v} for every trainable variable v of the model and every offset."""
    probe = GradientProbe(model, loss, offsets, run_eagerly=True)
    _, gradients = probe(x, y)
    return {id(variable): gradient for variable, gradient in zip(probe.variables, gradients, strict=True)}


def _norm(gradients):
    """Return the norm in float64, which holds the square of every float32; float32 loses norms below 1e-19."""
    return float(np.sqrt(sum(np.sum(each**2) for each in gradients)))


def _layers_with_weights(model):
    """Return (name, layer) pairs of the layers with trainable weights, those of nested models included."""
    return [(name, layer) for name, layer in named_layers(model) if layer.trainable_variables]


def initialize(model: keras.Model, initialization: str, seed: int = 0) -> keras.Model:
    """Draw every dense kernel of a model again from a named distribution, and set its biases to 0.

    For comparing initializations of the same network.

        "uniform"      W ~ U(−1/√n_in, 1/√n_in)                          (1)
        "lecun"        Var W = 1/n_in, normal                            (2)
        "glorot"       W ~ U(−√(6/(n_in + n_out)), √(6/(n_in + n_out)))  (3)
        "he"           Var W = 2/n_in, normal                            (4)
        "orthogonal"   Wᵀ W = I or W Wᵀ = I                              (5)

    where n_in and n_out are the numbers of inputs and outputs of the layer. (1) is the "uniform distribution" of the
    slides at its usual scale, (2) preserves the variance of a linear unit's output, (3) balances outputs and
    gradients for tanh, (4) doubles the variance for the half that ReLU removes, (5) preserves every length. The
    normal distributions are truncated at two standard deviations and rescaled.

    Args:
        model: built Keras model; changed in place.
        initialization: one of the names above.
        seed: whole number that fixes the weights; each layer draws from its own seed, derived from this one.
            Defaults to 0.

    Returns:
        The same model.

    Raises:
        ValueError: the name is unknown, the model has no dense layer with weights, or one is pruned or quantized.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import initialize, mlp
        >>> model = initialize(mlp(units=(400,), input_shape=(100,)), "uniform")
        >>> round(float(np.max(np.abs(model.get_weights()[0]))), 2)
        0.1

    Reference: LeCun, Bottou, Orr, Müller, 1998, Efficient BackProp, section 4.6, doi:10.1007/3-540-49430-8_2, for
    (2); Glorot, Bengio, 2010, Understanding the difficulty of training deep feedforward neural networks, equations 1
    and 16, for (1) and (3); He, Zhang, Ren, Sun, 2015, Delving deep into rectifiers, equation 10, arXiv:1502.01852,
    for (4); Saxe, McClelland, Ganguli, 2014, Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks, arXiv:1312.6120, for (5).
    """
    choice("initialize.initialization", initialization, tuple(INITIALIZATIONS))
    seed = count("initialize.seed", seed, at_least=0)
    found = [layer for _, layer in _layers_with_weights(model) if isinstance(layer, keras.layers.Dense)]
    if not found:
        refuse("initialize.model", "have dense layers with weights", repr(model), "Build it first")
    for layer in found:
        if not isinstance(layer.kernel, keras.Variable):
            # Pruned, quantized or adapted: computed from variables.
            received = f"layer {layer.name!r}, a {type(layer).__name__}"
            remedy = "Initialize the original model, then prune or quantize it"
            refuse("initialize.model", "have dense layers whose kernels are variables", received, remedy)
    seeds = np.random.SeedSequence(seed).generate_state(len(found))
    for layer, layer_seed in zip(found, seeds, strict=True):
        draw = INITIALIZATIONS[initialization](int(layer_seed))
        layer.kernel.assign(draw(layer.kernel.shape, dtype=layer.kernel.dtype))
        if layer.use_bias:
            layer.bias.assign(ops.zeros_like(layer.bias))
    return model


def gradient_norm_by_depth(
    x: ArrayLike,
    y: ArrayLike,
    loss: Loss,
    depth: int = 10,
    units: int = 100,
    activation: str | Callable[[], keras.layers.Layer] = "sigmoid",
    initialization: str = "glorot",
    of: str = "deltas",
    seed: int = 0,
) -> dict[str, float]:
    """Gradient norm of each layer of a new, untrained multilayer perceptron.

    Measures the statement "δ may vanish after repeated multiplication": builds a network of `depth` equal hidden
    layers, draws its weights and measures once. Call it again to compare activations and initializations.

        δ^(l) = (W^(l)ᵀ δ^(l+1)) f'(z^(l))                               (1)

    where each factor f' is at most 1/4 for "sigmoid" and 1 for the others.

    Args:
        x, y: one batch of examples (n, …) and targets for `loss`.
        loss: Keras loss, such as `SoftmaxCrossEntropy()`.
        depth: number of hidden layers. Defaults to 10.
        units: units of each hidden layer. Defaults to 100.
        activation: as for `mlp`. Defaults to "sigmoid".
        initialization: as for `initialize`. Defaults to "glorot".
        of: "deltas" for `delta_norms`, "weights" for `gradient_norms`. Defaults to "deltas".
        seed: whole number that fixes the weights. Defaults to 0.

    Returns:
        Dictionary from `hidden_1`, …, `hidden_<depth>`, `logits` to the norm in that layer. The number of logits is
        the largest label plus 1, or the number of columns of y.

    Raises:
        ValueError: an argument is out of range, or there is one class only.

    Example:
        >>> import numpy as np
        >>> from tf_kit.networks import SoftmaxCrossEntropy, gradient_norm_by_depth
        >>> x, y = np.random.default_rng(0).normal(size=(32, 20)), np.arange(32) % 4
        >>> for activation, initialization in (("sigmoid", "glorot"), ("tanh", "uniform"), ("relu", "he")):
        ...     norms = gradient_norm_by_depth(x, y, SoftmaxCrossEntropy(), 8, 50, activation, initialization)
        ...     print(activation, initialization, norms["hidden_1"] > 0.1 * norms["hidden_8"])
        sigmoid glorot False
        tanh uniform False
        relu he True

    Reference: Glorot, Bengio, 2010, Understanding the difficulty of training deep feedforward neural networks,
    figure 7.
    """
    x, y = np.asarray(x), np.asarray(y)
    depth = count("gradient_norm_by_depth.depth", depth)
    measures = {"deltas": delta_norms, "weights": gradient_norms}
    measure = measures[choice("gradient_norm_by_depth.of", of, tuple(measures))]
    outputs = y.shape[1] if y.ndim == 2 else int(y.max()) + 1
    if outputs == 1 and isinstance(loss, SoftmaxCrossEntropy):  # the softmax of one logit has no gradient
        remedy = "Give class labels as (n,), 0 and 1 for two classes"
        refuse("gradient_norm_by_depth.y", "hold two classes or more", f"targets of shape {y.shape}", remedy)
    model = mlp([units] * depth, outputs, activation, x.shape[1:], seed)
    return measure(initialize(model, initialization, seed), x, y, loss)
