"""TensorFlow's fused kernels: the step of one variable in one or two passes over its weights.

Written as equations, an update is a chain of about ten elementwise operations, each of which reads and writes all
weights and allocates memory for its result. These kernels read and write each array once. The functions here translate
the lecture's symbols into the arguments of a kernel; all tensors of a call have the dtype of the variable.
TensorFlow is imported at the first call, since other backends take the step by `update_step`.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tf_kit.typing import Tensor


def gradient_descent(variable: Any, gradient: Tensor, rate: Any) -> None:
    """Compute θ ← θ − ε ĝ."""
    _run("ResourceApplyGradientDescent", variable, {}, alpha=rate, delta=gradient)


def momentum(
    variable: Any, v: Any, gradient: Tensor, rate: Any, alpha: float, nesterov: bool = False
) -> None:
    """Compute v ← α v − ε ĝ, then θ ← θ + v, or θ ← θ + α v − ε ĝ with `nesterov`."""
    numbers = {"lr": rate, "momentum": alpha, "grad": gradient}
    _run("ResourceApplyKerasMomentum", variable, {"accum": v}, use_nesterov=nesterov, **numbers)


def heavy_ball(variable: Any, v: Any, gradient: Tensor, rate: Any, alpha: float) -> None:
    """Compute v ← α v + ĝ, then θ ← θ − ε v."""
    _run("ResourceApplyMomentum", variable, {"accum": v}, lr=rate, momentum=alpha, grad=gradient)


def adagrad(
    variable: Any, r: Any, gradient: Tensor, rate: Any, delta: float, accumulate: bool = True
) -> None:
    """Compute r ← r + ĝ ⊙ ĝ, unless `accumulate` is False, then θ ← θ − ε / (δ + √r) ⊙ ĝ."""
    numbers = {"lr": rate, "epsilon": delta, "grad": gradient}
    _run("ResourceApplyAdagradV2", variable, {"accum": r}, update_slots=accumulate, **numbers)


def adam(
    variable: Any, s: Any, r: Any, gradient: Tensor, rate: Any, powers: tuple, betas: tuple, delta: float
) -> None:
    """Compute the equations of `Adam`, with powers = (β₁ᵗ, β₂ᵗ) and betas = (β₁, β₂).

    The kernel computes θ ← θ − ε √(1 − β₂ᵗ) / (1 − β₁ᵗ) · s / (√r + δ̂), which is equation (4) for δ̂ = δ √(1 − β₂ᵗ).
    """
    first, second = powers
    numbers = {"beta1_power": first, "beta2_power": second, "beta1": betas[0], "beta2": betas[1]}
    slots = {"m": s, "v": r}
    _run(
        "ResourceApplyAdam",
        variable,
        slots,
        lr=rate,
        grad=gradient,
        epsilon=delta * ops.sqrt(1 - second),
        **numbers,
    )


def norm(x: Tensor) -> Tensor:
    """Compute √(Σ x²) of all entries."""
    import tensorflow as tf

    return ops.sqrt(2 * tf.nn.l2_loss(x))


def _run(kernel, variable, slots, use_nesterov=None, update_slots=None, **numbers):
    import tensorflow as tf

    def tensor(value):  # `cast` would round a Python number to float32 first
        exact = isinstance(value, float | int)
        return tf.constant(value, variable.dtype) if exact else tf.cast(value, variable.dtype)

    switches = {"use_nesterov": use_nesterov, "update_slots": update_slots}
    arguments = {
        **{name: _handle(slot) for name, slot in slots.items()},
        **{name: tensor(value) for name, value in numbers.items()},
        **{name: value for name, value in switches.items() if value is not None},
    }
    getattr(tf.raw_ops, kernel)(var=_handle(variable), use_locking=True, **arguments)


def _handle(variable):
    """Return the handle of a variable, on a replica that of the replica's copy."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
