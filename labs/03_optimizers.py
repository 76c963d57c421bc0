# %% [markdown]
# # Optimizers
#
# A gradient says which way is down, not how far to go. Half a dozen answers to that question have outlived the
# others, and in this lab you write each of them as a `keras.optimizers.Optimizer`, so that
# `model.compile(optimizer=…)` takes yours as it takes Keras's own. At the end all of them train the same network on
# handwritten digits, and you will see what the extra lines are worth.
#
# In every formula $\hat g$ is the gradient of the minibatch, $\theta$ the parameters, $\varepsilon$ the learning
# rate, $\odot$ a product element by element, and $t = 1, 2, 3, \dots$ counts the steps.

# %%
import keras
import numpy as np
from keras import ops

from tf_kit import data, plotting
from tf_kit.grading import check

# %% [markdown]
# ## 1. Momentum
#
# Plain gradient descent, $\theta \leftarrow \theta - \varepsilon \hat g$, runs from wall to wall of a narrow valley
# and creeps along its floor. Momentum keeps a velocity $v$ for every parameter: movements that keep their direction
# add up, those that change sign cancel.
#
# $$v \leftarrow \alpha v - \varepsilon \hat g \qquad (1)$$
# $$\theta \leftarrow \theta + v \qquad (2)$$
#
# Put numbers in. With $\alpha = 0.9$, $\varepsilon = 0.1$ and a gradient that is always 1, the velocity is
# $-0.1$, $-0.19$, $-0.271$, … and ends at $-\varepsilon / (1 - \alpha) = -1$: ten times the step of gradient descent.
# Where the gradient is $+1, -1, +1, \dots$ it stays near $0.1 / 1.9 = 0.053$, half the step.
#
# A Keras optimizer makes what it must remember in `build`, one slot for each variable, with
# `self.add_variable_from_reference(variable, name)`; the slot has the shape of the variable and starts from zero.
# `update_step` is then called with one gradient, its variable and today's learning rate.
# `self._get_variable_index(variable)` says which slot belongs to the variable, and `self.assign(slot, value)`,
# `self.assign_add(variable, change)` and `self.assign_sub(variable, change)` write.
#
# Two things go wrong in most first attempts. `update_step` is called once for *every variable* of the model, so
# whatever you keep must be kept for each. And `fit` runs your Python only once, to record what the step computes;
# a number kept in a plain Python attribute is frozen then. Only slots change from step to step.


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

# %% [markdown]
# ## 2. AdaGrad
#
# One learning rate for all parameters is a compromise: the weight of a pixel that is nearly always black gets a
# gradient once in a hundred minibatches, its neighbor in the middle of the image gets one every time. AdaGrad gives
# each parameter a rate of its own. It adds up the squares of all gradients that the parameter has seen and divides
# the step by the root of that sum.
#
# $$r \leftarrow r + \hat g \odot \hat g \qquad (3)$$
# $$\theta \leftarrow \theta - \frac{\varepsilon}{\delta + \sqrt r} \odot \hat g \qquad (4)$$
#
# $\delta$ (`epsilon`) only guards against division by zero. Two parameters, gradients 10 and 0.1, $\varepsilon = 0.1$:
# after the first step $\sqrt r$ is 10 and 0.1, so both move by 0.1. At the fourth equal gradient $\sqrt r$ has
# doubled and both move by 0.05. The size of the gradient has dropped out; what is left is its sign and the step
# count.
#
# Read (4) twice: the *step* is divided, and what it is divided by is made of *gradients*, not of the parameter's own
# values. $\delta$ stands outside the root.


# %% exercise="adagrad"
class AdaGrad(keras.optimizers.Optimizer):
    """r ← r + g g,  θ ← θ − ε g / (δ + √r)."""

    def __init__(self, learning_rate=0.01, epsilon=1e-7, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.epsilon = epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        ### STUB
        # self.sums = []  # one slot for each variable
        ### BEGIN SOLUTION
        self.sums = [self.add_variable_from_reference(each, "sum_of_squares") for each in variables]
        ### END SOLUTION

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = ops.cast(learning_rate, variable.dtype)
        ### STUB
        # raise NotImplementedError("write equations (3) and (4)")
        ### BEGIN SOLUTION
        r = self.sums[self._get_variable_index(variable)]
        self.assign(r, r + gradient * gradient)  # (3)
        self.assign_sub(variable, learning_rate * gradient / (self.epsilon + ops.sqrt(r)))  # (4)
        ### END SOLUTION


# %%
check("adagrad")

# %% [markdown]
# ## 3. RMSProp
#
# AdaGrad never forgets. A wall that it hit in the first minute slows it for the rest of the hour, because $r$ can
# only grow. RMSProp replaces the sum by a moving average, which forgets what is older than about
# $1 / (1 - \rho)$ steps.
#
# $$r \leftarrow \rho\, r + (1 - \rho)\, \hat g \odot \hat g \qquad (5)$$
# $$\theta \leftarrow \theta - \frac{\varepsilon}{\delta + \sqrt r} \odot \hat g \qquad (6)$$
#
# With $\rho = 0.9$ and a gradient that is always 2, $r$ is 0.4, 0.76, 1.084, … and ends at 4, so the step ends at
# $\varepsilon$. Note the beginning: the first step divides by $\sqrt{0.4}$ and not by 2, so it is
# $1 / \sqrt{1 - \rho} = 3.2$ times too long. RMSProp leaves it so. The next exercise mends it.


# %% exercise="rmsprop"
class RMSProp(keras.optimizers.Optimizer):
    """r ← ρ r + (1 − ρ) g g,  θ ← θ − ε g / (δ + √r)."""

    def __init__(self, learning_rate=0.001, rho=0.9, epsilon=1e-6, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.rho = rho
        self.epsilon = epsilon

    ### STUB
    # def build(self, variables):
    #     if self.built:
    #         return
    #     super().build(variables)
    #
    # def update_step(self, gradient, variable, learning_rate):
    #     raise NotImplementedError("make the slots in build, write equations (5) and (6)")
    ### BEGIN SOLUTION
    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.averages = [self.add_variable_from_reference(each, "mean_square") for each in variables]

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = ops.cast(learning_rate, variable.dtype)
        r = self.averages[self._get_variable_index(variable)]
        self.assign(r, self.rho * r + (1 - self.rho) * gradient * gradient)  # (5)
        self.assign_sub(variable, learning_rate * gradient / (self.epsilon + ops.sqrt(r)))  # (6)

    ### END SOLUTION


# %%
check("rmsprop")

# %% [markdown]
# ## 4. Adam
#
# Adam is RMSProp with momentum: two moving averages, $s$ of the gradient and $r$ of its square. And it mends the
# beginning. Both averages start from zero, so after $t$ steps of a constant gradient $g$ they hold only
# $(1 - \rho_1^t)\, g$ and $(1 - \rho_2^t)\, g^2$. Dividing by the factor gives the value they stand for.
#
# $$s \leftarrow \rho_1 s + (1 - \rho_1)\, \hat g \qquad (7)$$
# $$r \leftarrow \rho_2 r + (1 - \rho_2)\, \hat g \odot \hat g \qquad (8)$$
# $$\hat s = \frac{s}{1 - \rho_1^t}, \qquad \hat r = \frac{r}{1 - \rho_2^t} \qquad (9)$$
# $$\theta \leftarrow \theta - \varepsilon\, \frac{\hat s}{\sqrt{\hat r} + \delta} \qquad (10)$$
#
# At $t = 1$: $s = 0.1\, g$ and $r = 0.001\, g^2$ with the usual $\rho_1 = 0.9$ and $\rho_2 = 0.999$. Without (9) the
# step would be $0.1 / \sqrt{0.001} = 3.2$ times $\varepsilon$; with it, it is exactly $\varepsilon$.
#
# `self.iterations` counts the steps that are *behind* you: it is 0 during the first. Keras counts it up after all
# variables have been updated, so do not count yourself, and do not write $\hat s$ and $\hat r$ back into the slots.


# %% exercise="adam"
class Adam(keras.optimizers.Optimizer):
    """Moving averages of g and of g g, both corrected for their start from zero."""

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    ### STUB
    # def build(self, variables):
    #     if self.built:
    #         return
    #     super().build(variables)
    #
    # def update_step(self, gradient, variable, learning_rate):
    #     raise NotImplementedError("make the slots in build, write equations (7) to (10)")
    ### BEGIN SOLUTION
    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.means = [self.add_variable_from_reference(each, "mean") for each in variables]
        self.mean_squares = [self.add_variable_from_reference(each, "mean_square") for each in variables]

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = ops.cast(learning_rate, variable.dtype)
        t = ops.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        s, r = self.means[index], self.mean_squares[index]
        self.assign(s, self.beta_1 * s + (1 - self.beta_1) * gradient)  # (7)
        self.assign(r, self.beta_2 * r + (1 - self.beta_2) * gradient * gradient)  # (8)
        s_hat = s / (1 - ops.cast(self.beta_1, variable.dtype) ** t)  # (9)
        r_hat = r / (1 - ops.cast(self.beta_2, variable.dtype) ** t)
        self.assign_sub(variable, learning_rate * s_hat / (ops.sqrt(r_hat) + self.epsilon))  # (10)

    ### END SOLUTION


# %%
check("adam")

# %% [markdown]
# ## 5. RMSProp with Nesterov momentum
#
# Momentum takes the gradient where it stands and then jumps. Nesterov looks before it leaps: it takes the gradient
# where the velocity is about to carry it, at $\theta + \alpha v$. With RMSProp's rates for each parameter:
#
# $$\hat g = \nabla L(\theta + \alpha v) \qquad (11)$$
# $$r \leftarrow \rho\, r + (1 - \rho)\, \hat g \odot \hat g \qquad (12)$$
# $$v \leftarrow \alpha v - \frac{\varepsilon}{\delta + \sqrt r} \odot \hat g \qquad (13)$$
# $$\theta \leftarrow \theta + v \qquad (14)$$
#
# Keras hands `update_step` the gradient at the model's weights, and there is no second chance to ask for another.
# So let the weights *be* the point ahead, $\varphi = \theta + \alpha v$. Then (11) is what Keras gives you, and (12)
# and (13) stay as they are. What happens to $\varphi$? Write $v$ for the old velocity and $v'$ for the new one:
#
# $$\varphi' = \theta' + \alpha v' = \theta + v' + \alpha v' = \varphi - \alpha v + v' + \alpha v' \qquad (15)$$
#
# Put (13) into the $v'$ in the middle, and $\alpha v$ cancels. Write what is left. (Some slides and books print Adam
# under this name. Adam looks nowhere ahead, and here nothing is corrected for the start.)


# %% exercise="rmsprop_nesterov"
class RMSPropNesterov(keras.optimizers.Optimizer):
    """RMSProp's step gathered in a velocity; the weights are the point ahead, φ = θ + α v."""

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.9, epsilon=1e-6, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon

    ### STUB
    # def update_step(self, gradient, variable, learning_rate):
    #     raise NotImplementedError("make slots for r and v, write equations (12), (13) and what (15) comes to")
    ### BEGIN SOLUTION
    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.averages = [self.add_variable_from_reference(each, "mean_square") for each in variables]
        self.velocities = [self.add_variable_from_reference(each, "velocity") for each in variables]

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = ops.cast(learning_rate, variable.dtype)
        index = self._get_variable_index(variable)
        r, v = self.averages[index], self.velocities[index]
        self.assign(r, self.rho * r + (1 - self.rho) * gradient * gradient)  # (12)
        step = learning_rate * gradient / (self.epsilon + ops.sqrt(r))
        self.assign(v, self.momentum * v - step)  # (13)
        self.assign_add(variable, self.momentum * v - step)  # (15)

    ### END SOLUTION


# %%
check("rmsprop_nesterov")

# %% [markdown]
# ## 6. LARS
#
# With minibatches of thousands of examples the learning rate must be large, and then one rate breaks: in some layers
# the gradient is large beside the weights, and they are thrown about. LARS lets every layer move by the same
# *fraction* of its own norm. For every variable that is a matrix or more (two or more axes):
#
# $$\lambda = \eta\, \frac{\lVert w \rVert}{\lVert \hat g \rVert + \beta \lVert w \rVert} \qquad (16)$$
# $$v \leftarrow \alpha v + \varepsilon \lambda\, (\hat g + \beta w) \qquad (17)$$
# $$w \leftarrow w - v \qquad (18)$$
#
# where $\eta$ is `trust_coefficient`, $\beta$ is `l2` (the gradient $\beta w$ of the penalty
# $\tfrac{\beta}{2} \lVert w \rVert^2$), and $\lVert \cdot \rVert$ is the root of the sum of *all* squares of the
# variable. Biases (one axis or none) are small in number and near zero at the start, so a fraction of their norm
# would be nothing: for them $\lambda = 1$ and $\beta = 0$.
#
# Two corners. A matrix of zeros would have $\lambda = 0$ and never move, and a matrix with no gradient and no
# penalty would have 0/0; take $\lambda = 1$ in both. And a compiled step has no Python `if` on values: for what
# depends on a tensor use `ops.where`, in which *both* sides are computed. What depends on a shape may be an `if`.


# %% exercise="lars"
class LARS(keras.optimizers.Optimizer):
    """Momentum whose rate is set for each matrix by the norms of its weights and its gradient."""

    def __init__(self, learning_rate=0.3, momentum=0.9, trust_coefficient=0.001, l2=0.0005, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum
        self.trust_coefficient = trust_coefficient
        self.l2 = l2

    ### STUB
    # def update_step(self, gradient, variable, learning_rate):
    #     raise NotImplementedError("make the slots, write equations (16) to (18)")
    ### BEGIN SOLUTION
    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.velocities = [self.add_variable_from_reference(each, "velocity") for each in variables]

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = ops.cast(learning_rate, variable.dtype)
        v = self.velocities[self._get_variable_index(variable)]
        if len(variable.shape) >= 2:
            weight_norm = ops.sqrt(ops.sum(variable * variable))
            scale = ops.sqrt(ops.sum(gradient * gradient)) + self.l2 * weight_norm
            usable = ops.logical_and(weight_norm > 0, scale > 0)
            ratio = self.trust_coefficient * weight_norm / ops.where(usable, scale, 1.0)  # (16)
            gradient = ops.where(usable, ratio, 1.0) * (gradient + self.l2 * variable)
        self.assign(v, self.momentum * v + learning_rate * gradient)  # (17)
        self.assign_sub(variable, v)  # (18)

    ### END SOLUTION


# %%
check("lars")

# %% [markdown]
# ## What they are worth
#
# The same network, from the same weights, sees the same minibatches of the digits; only the optimizer differs. Each has
# a learning rate of the size that is usual for it, and none was searched for: a first look, not a race. It takes
# about twenty seconds.

# %%
train, val, _ = data.load("digits", seed=0)


def network():
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(64, "relu") for _ in range(2)]
    return keras.Sequential(
        [keras.Input(train.x.shape[1:]), keras.layers.Flatten(), *hidden, keras.layers.Dense(10)]
    )


def training_loss(optimizer, epochs=12):
    model = network()
    model.compile(
        optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    history = model.fit(train.x, train.y, 64, epochs, validation_data=(val.x, val.y), verbose=0).history
    return history["loss"], history["val_accuracy"][-1]


candidates = {
    "gradient descent": keras.optimizers.SGD(0.1),
    "momentum": Momentum(0.1),
    "AdaGrad": AdaGrad(0.03),
    "RMSProp": RMSProp(0.003),
    "Adam": Adam(0.003),
    "RMSProp + Nesterov": RMSPropNesterov(0.0003),
    "LARS": LARS(0.3, trust_coefficient=0.01),
}
losses = {}
for name, optimizer in candidates.items():
    losses[name], accuracy = training_loss(optimizer)
    print(f"{name:20} loss {losses[name][-1]:.3f}, validation accuracy {accuracy:.3f}")

# %%
figure = plotting.curves(losses, y_label="training loss", title="one network, seven optimizers", log_y=True)

# %% [markdown]
# Which of them are steep in the first two epochs, which at the end? Change one learning rate by a factor of three,
# up and down: whose curve hardly moves, and whose is ruined? That is a better reason to choose an optimizer than the
# last digit of its best loss.
#
# **Where the formulas come from.** Duchi, Hazan and Singer 2011 (AdaGrad); Tieleman and Hinton 2012 (RMSProp);
# Kingma and Ba 2015 (Adam); Goodfellow, Bengio and Courville 2016, *Deep Learning*, algorithm 8.6 (RMSProp with
# Nesterov momentum); You, Gitman and Ginsburg 2017 (LARS).
