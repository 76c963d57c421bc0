# %% [markdown]
# # A lab for the grader's own tests

# %%
import keras
import numpy as np
from keras import ops


# %% exercise="leaky"
def leaky_relu(x, slope):
    ### BEGIN SOLUTION
    return np.where(x > 0, x, slope * x)
    ### END SOLUTION


# %% exercise="descent"
class Descent(keras.optimizers.Optimizer):
    def update_step(self, gradient, variable, learning_rate):
        ### BEGIN SOLUTION
        self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * gradient)
        ### END SOLUTION
