# %% [markdown]
# # Optimizers
#
# A gradient says which way is down, not how far to go. Four answers to that question have outlived the others, and
# in this lab you write each of them as a `keras.optimizers.Optimizer`, so that `model.compile(optimizer=…)` takes
# yours as it takes Keras's own.

# %%
import keras
import numpy as np
from keras import ops

from tf_kit.grading import check

# %% [markdown]
# ## Momentum
#
# Plain gradient descent runs from wall to wall of a narrow valley and creeps along its floor. Momentum keeps a
# velocity $v$ for every parameter: movements that keep their direction add up, those that change sign cancel.
#
# $$v \leftarrow \alpha v - \varepsilon \hat g \qquad (1)$$
# $$\theta \leftarrow \theta + v \qquad (2)$$
#
# A Keras optimizer makes what it must remember in `build`, one slot for each variable, with
# `self.add_variable_from_reference(variable, name)`; `update_step` is then called with one gradient, its variable
# and today's learning rate. `self._get_variable_index(variable)` says which slot belongs to the variable, and
# `self.assign(slot, value)` and `self.assign_add(variable, change)` write.


# %% exercise="momentum"
class Momentum(keras.optimizers.Optimizer):
    """v ← α v − ε g,  θ ← θ + v."""

    def __init__(self, learning_rate=0.01, momentum=0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        ### STUB
        # self.velocities = []  # one slot for each variable, zero at first
        ### BEGIN SOLUTION
        self.velocities = [self.add_variable_from_reference(each, "velocity") for each in variables]
        ### END SOLUTION

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = ops.cast(learning_rate, variable.dtype)
        ### STUB
        # raise NotImplementedError("write equations (1) and (2)")
        ### BEGIN SOLUTION
        v = self.velocities[self._get_variable_index(variable)]
        self.assign(v, self.momentum * v - learning_rate * gradient)  # (1)
        self.assign_add(variable, v)  # (2)
        ### END SOLUTION


# %%
check("momentum")
