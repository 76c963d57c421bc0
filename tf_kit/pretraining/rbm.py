"""Restricted Boltzmann machine, trained by contrastive divergence, and deep belief networks made of such machines."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from tf_kit import checks
from tf_kit.checks import count, refuse
from tf_kit.networks.inspection import build_on, freeze_parts
from tf_kit.networks.stages import check_flat, dense_stages, is_elementwise, is_random, is_reshaping
from tf_kit.pretraining.autoencoder import cross_entropy, softplus
from tf_kit.pretraining.method_options import RBMOptions
from tf_kit.pretraining.pretrainer import Pretrainer
from tf_kit.randomness.step import ExampleRandom
from tf_kit.training.inputs import PROBABILITIES, SCALED, InputRange
from tf_kit.typing import ArrayLike, Tensor


@keras.saving.register_keras_serializable(package="tf_kit")
class RBM(Pretrainer):
    """Restricted Boltzmann machine, trained by (persistent) contrastive divergence.

    Visible units v (features,) and binary hidden units h (units,), without connections inside a layer:

        E(v, h) = −bᵀv − cᵀh − vᵀW h                        (bernoulli visible units)   (1)
        E(v, h) = ½‖v − b‖² − cᵀh − vᵀW h                   (gaussian, unit variance)   (2)
        P(v, h) = exp(−E(v, h)) / Z                                                     (3)
        F(v) = −log Σ_h exp(−E(v, h)) = −bᵀv − Σ_j softplus(c_j + (vᵀW)_j)              (4)
        P(h_j = 1 | v) = σ(c_j + (vᵀW)_j)                                               (5)
        P(v_i = 1 | h) = σ(b_i + (W h)_i),  or  v ~ N(b + W h, I)                       (6)

    (with ½‖v − b‖² for −bᵀv in (4) if the visible units are gaussian). The gradient of the negative log-likelihood is
    ∂F(v)/∂θ minus its mean under the model. Contrastive divergence replaces that mean by the value at ṽ, the end of a
    Gibbs chain of k steps. The chain starts at the data (CD-k) or where the last update left it (persistent, PCD-k),
    and ṽ is a constant for the gradient:

        ℓ = F(v) − F(ṽ)                                                                 (7)

    The value of (7) does not measure progress; the metric named by `monitor` does. Inputs in [0, 1] are treated as
    probabilities of the visible units. W and c are the kernel and bias of `encoder`, a sigmoid `Dense`, so training
    the machine trains that layer of a network in place.

    Args:
        num_hidden: number of hidden units; needed if no encoder is given.
        gibbs_steps: k, at least 1. Defaults to 1.
        persistent: whether the chains continue from update to update. Defaults to False.
        encoder: `Dense` layer with a sigmoid, or a sequence with one such layer. Defaults to None, a new one.
        visible: `"bernoulli"` for inputs in [0, 1], `"gaussian"` for standardized ones. Defaults to `"bernoulli"`.
        num_chains: number of persistent chains. Defaults to 100.
        seed: whole number that fixes the weights, the chains and the order of the data. Defaults to 0.

    Attributes:
        monitor: `"reconstruction"` (cross-entropy or squared error between v and its mean after one Gibbs step, lower
            is better) for CD and for gaussian visible units; `"pseudo_likelihood"` (`pseudo_log_likelihood`, higher is
            better) for PCD.

    Raises:
        InputError: the encoder has several dense layers, another activation than a sigmoid, or other layers that the
            energy does not contain.

    Example:
        >>> import numpy as np
        >>> x = np.repeat([[1, 1, 0, 0], [0, 0, 1, 1]], 100, axis=0).astype("float32")
        >>> rbm = RBM(num_hidden=2, seed=0)
        >>> rbm.compile(keras.optimizers.SGD(0.3, momentum=0.5))
        >>> _ = rbm.fit(x, batch_size=20, epochs=40, verbose=0)
        >>> seen, unseen = rbm.free_energy(np.array([[1, 1, 0, 0], [1, 0, 1, 0]], "float32")).numpy()
        >>> bool(seen < unseen)
        True

    Reference: Hinton, 2002, Training products of experts by minimizing contrastive divergence,
    doi:10.1162/089976602760128018; Tieleman, 2008, Training restricted Boltzmann machines using approximations to the
    likelihood gradient; Hinton, 2010, A practical guide to training restricted Boltzmann machines.
    """

    def __init__(
        self,
        num_hidden: int | None = None,
        gibbs_steps: int = RBMOptions.gibbs_steps,
        persistent: bool = RBMOptions.persistent,
        encoder: keras.layers.Layer | None = None,
        visible: str = RBMOptions.visible,
        num_chains: int = RBMOptions.num_chains,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if encoder is None:
            small = keras.initializers.RandomNormal(stddev=0.01, seed=seed)  # Hinton 2010, section 8
            units = count("RBM.num_hidden", num_hidden, remedy="Or give an encoder")
            dtype = kwargs.get("dtype")
            encoder = keras.Sequential(
                [
                    keras.layers.Flatten(data_format="channels_last", dtype=dtype),
                    keras.layers.Dense(
                        units, activation="sigmoid", kernel_initializer=small, dtype=dtype, name="hidden"
                    ),
                ]
            )
        super().__init__(encoder, seed=seed, **kwargs)
        self._stage = _sigmoid_stage(self.encoder)
        self._dense = self._stage.dense
        self.num_hidden = self._dense.units
        self.options = RBMOptions(gibbs_steps, persistent, visible, num_chains)
        self.gibbs_steps, self.persistent = self.options.gibbs_steps, self.options.persistent
        self.visible, self.num_chains = self.options.visible, self.options.num_chains
        self.monitor = "pseudo_likelihood" if self.persistent and visible == "bernoulli" else "reconstruction"
        self._chains: Any = None  # variable of the chains, if they are persistent

    @property
    def input_range(self) -> InputRange:
        return PROBABILITIES if self.visible == "bernoulli" else SCALED

    @property
    def counts_features(self) -> bool:
        return True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        build_on(self.encoder, input_shape)
        check_flat("RBM.encoder", self._stage, input_shape)
        self.num_visible = self._dense.kernel.shape[0]
        self.visible_bias = self.add_weight(
            shape=(self.num_visible,), initializer="zeros", dtype=self._real, name="visible_bias"
        )
        if self.persistent:
            self._chains = self.add_weight(
                shape=(self.num_chains, self.num_visible),
                initializer=keras.initializers.RandomUniform(0, 1, seed=self.seed),
                dtype=self._real,
                trainable=False,
                aggregation="only_first_replica",
                name="chains",
            )
        freeze_parts(self)
        self.built = True

    @property
    def _real(self):
        """Dtype of energies and probabilities: float32, or float64 where the weights are."""
        return keras.backend.result_type(self._dense.variable_dtype, "float32")

    def _as_real(self, draw):
        return lambda shape: ops.cast(draw(shape), self._real)

    def _flat(self, v):
        v = ops.cast(v, self._real)
        self.build_for(v)
        return ops.reshape(v, (ops.shape(v)[0], self.num_visible))

    def _hidden_logits(self, v):
        return self._product(v, self._dense.kernel) + ops.cast(self._dense.bias, self._real)

    def _product(self, a, b):
        """Multiply matrices in the compute dtype (bfloat16 under mixed precision); return `_real`."""
        return ops.cast(
            ops.matmul(ops.cast(a, self.compute_dtype), ops.cast(b, self.compute_dtype)), self._real
        )

    def energy(self, v: ArrayLike, h: ArrayLike) -> Tensor:
        """Compute E(v, h), equation (1) or (2), (n,), for v (n, …) and h (n, units)."""
        v = self._flat(v)
        interaction = ops.sum(self._hidden_logits(v) * h, axis=-1)
        return self._visible_energy(v) - interaction  # (1), (2)

    def free_energy(self, v: ArrayLike) -> Tensor:
        """Compute F(v), equation (4), (n,), for v (n, …)."""
        v = self._flat(v)
        return self._free_energy(v, self._hidden_logits(v))

    def _free_energy(self, v, hidden_logits):
        return self._visible_energy(v) - ops.sum(ops.softplus(hidden_logits), axis=-1)  # (4)

    def _visible_energy(self, v):
        if self.visible == "gaussian":
            return 0.5 * ops.sum(ops.square(v - self.visible_bias), axis=-1)
        return -ops.matmul(v, self.visible_bias)

    def hidden_probabilities(self, v: ArrayLike) -> Tensor:
        """Compute P(h = 1 | v), equation (5), (n, units)."""
        return ops.sigmoid(self._hidden_logits(self._flat(v)))

    def visible_means(self, h: Tensor) -> Tensor:
        """Compute the mean of v given h, equation (6), (n, features)."""
        return self._logits_and_mean(h)[1]

    def _logits_and_mean(self, h):
        z = self._product(h, ops.transpose(self._dense.kernel)) + self.visible_bias
        return z, z if self.visible == "gaussian" else ops.sigmoid(z)

    def gibbs_step(self, v: ArrayLike, random: ExampleRandom) -> Tensor:
        """Sample one step v → h → v of the chain; return the new v, (n, features).

        Args:
            v: (n, …).
            random: `ExampleRandom`, or an object with its methods `uniform` and `normal`.
        """
        return self._gibbs_from(self._hidden_logits(self._flat(v)), random.uniform, random.normal)

    def _gibbs_from(self, hidden_logits, uniform, normal):
        return self._gibbs_and_mean(hidden_logits, uniform, normal)[0]

    def _gibbs_and_mean(self, hidden_logits, uniform, normal):
        """Take one step of the chain; return the new v, and the logits and the mean from which it was drawn."""
        uniform, normal = self._as_real(uniform), self._as_real(normal)
        h = ops.cast(uniform((self.num_hidden,)) < ops.sigmoid(hidden_logits), self._real)  # (5)
        z, mean = self._logits_and_mean(h)  # (6)
        if self.visible == "gaussian":
            return mean + normal((self.num_visible,)), z, mean
        return ops.cast(uniform((self.num_visible,)) < mean, self._real), z, mean

    def gibbs(self, v: ArrayLike, num_steps: int, seed: int = 0) -> Tensor:
        """Take `num_steps` Gibbs steps from `v`; return the last v, (n, features)."""
        v = self._flat(v)
        for step in range(count("RBM.num_steps", num_steps)):
            v = self.gibbs_step(v, ExampleRandom(seed, step, len(v)))
        return v

    def reconstruct(self, x: ArrayLike) -> Tensor:
        """Compute the mean of v given the probabilities of h given x, in the shape of `x`."""
        return ops.reshape(self.visible_means(self.hidden_probabilities(x)), ops.shape(x))

    def pseudo_log_likelihood(
        self, v: ArrayLike, random: ExampleRandom | None = None, seed: int = 0
    ) -> Tensor:
        """Estimate the pseudo-log-likelihood Σ_i log P(v_i | v_−i) of each example, (n,), from one random unit.

            PL(v) ≈ D · log σ(F(v with unit i flipped) − F(v)),  i ~ U{1 … D}

        where D is the number of features. Only for Bernoulli visible units; inputs are rounded to 0 and 1.

        Args:
            v: (n, …).
            random: `ExampleRandom`. Defaults to None, that of step 0 for `seed`.
            seed: whole number that fixes the units if `random` is None. Defaults to 0.

        Reference: Marlin, Swersky, Chen, de Freitas, 2010, Inductive principles for restricted Boltzmann machine
        learning; scikit-learn's `BernoulliRBM.score_samples`.
        """
        if self.visible != "bernoulli":
            refuse("RBM.visible", 'be "bernoulli" for the pseudo-likelihood', f"visible={self.visible!r}")
        v = ops.round(self._flat(v))
        random = random or ExampleRandom(seed, 0, len(v))
        place = ops.cast(random.uniform(()) * self.num_visible, "int32")
        chosen = ops.one_hot(place, self.num_visible, dtype=self._real)
        change = chosen * (1 - 2 * v)
        logits = self._hidden_logits(v)
        # Flipping unit i changes the hidden logits by ±W_i, a row of the kernel, so no second product with W is needed.
        rows = ops.cast(ops.take(self._dense.kernel, place, axis=0), self._real)
        moved = logits + ops.sum(change, -1, keepdims=True) * rows
        difference = self._free_energy(v + change, moved) - self._free_energy(v, logits)
        return self.num_visible * ops.log_sigmoid(difference)

    def per_example(
        self, x: Tensor, y: Tensor | None, random: ExampleRandom, training: bool
    ) -> tuple[dict[str, Tensor], None]:
        v = self._flat(x)
        logits = self._hidden_logits(v)
        reconstruction: list[Tensor] = []
        if training and self.persistent:
            uniform, normal = self._shared(random)
            chain = ops.convert_to_tensor(self._chains)
            for _ in range(self.gibbs_steps):
                chain = self._gibbs_from(self._hidden_logits(chain), uniform, normal)
            self._chains.assign(chain)
        else:
            chain, *reconstruction = self._gibbs_and_mean(logits, random.uniform, random.normal)
            for _ in range(self.gibbs_steps - 1):
                chain = self._gibbs_from(self._hidden_logits(chain), random.uniform, random.normal)
        positive, negative = self._free_energies(v, logits, chain)
        loss = positive - (ops.mean(negative) if training and self.persistent else negative)  # (7)
        monitor = self._progress(v, logits, reconstruction, random)
        return {"loss": loss, self.monitor: ops.stop_gradient(monitor)}, None

    def _free_energies(self, v, logits, chain):
        """Compute F(v) and F(ṽ), (n,) and (number of chains,), with their gradient in closed form and ṽ a constant.

            ∂F(v)/∂W = −v pᵀ,   ∂F(v)/∂c = −p,   ∂F(v)/∂b = −v  (gaussian: b − v),   p = P(h = 1 | v)       (8)

        One product of matrices gives the gradient of both with respect to W.
        """
        rows = ops.concatenate([v, chain])
        logits = ops.concatenate([logits, self._hidden_logits(chain)])
        p = ops.sigmoid(logits)
        energies = self._visible_energy(rows) - ops.sum(softplus(logits, p), axis=-1)  # (4)

        @ops.custom_gradient
        def free_energies(kernel, hidden_bias, visible_bias):
            def gradient(upstream):  # (n + number of chains,)
                weighted = upstream[:, None] * p
                v_minus_b = rows - visible_bias if self.visible == "gaussian" else rows
                of_kernel = -self._product(ops.transpose(rows), weighted)
                gradients = of_kernel, -ops.sum(weighted, axis=0), -ops.matmul(upstream, v_minus_b)  # (8)
                return tuple(ops.cast(g, each.dtype) for g, each in zip(gradients, parameters, strict=True))

            return ops.stop_gradient(energies), gradient

        parameters = self._dense.kernel, self._dense.bias, self.visible_bias
        both = free_energies(*(ops.convert_to_tensor(each) for each in parameters))
        return both[: ops.shape(v)[0]], both[ops.shape(v)[0] :]

    def _progress(self, v, hidden_logits, reconstruction, random):
        if self.monitor == "pseudo_likelihood":
            return self.pseudo_log_likelihood(v, random)
        z, mean = reconstruction or self._logits_and_mean(ops.sigmoid(hidden_logits))
        if self.visible == "gaussian":
            return 0.5 * ops.sum(ops.square(v - mean), axis=-1)
        return ops.sum(cross_entropy(v, z), axis=-1)

    def _shared(self, random):
        """Make the random functions of the persistent chains, which are equal on all replicas."""

        def uniform(shape):
            return random.shared_uniform((self.num_chains, *shape))

        def normal(shape):
            return random.shared_normal((self.num_chains, *shape))

        return uniform, normal


def _sigmoid_stage(encoder):
    """Return the one dense stage of an encoder whose hidden units the energy describes; refuse any other encoder."""
    stages = dense_stages(encoder)
    if len(stages) != 1:
        received, remedy = f"{len(stages)} dense layers", "Use pretrain_greedily for several layers"
        refuse("RBM.encoder", "have one dense layer", received, remedy)
    (stage,) = stages
    if stage.activation_name != "sigmoid":
        refuse(
            "RBM.encoder.activation",
            "be sigmoid, because hidden units are Bernoulli variables",
            f"activation={stage.activation_name!r}",
            "Use DenoisingAutoencoder for other activations",
            typed_remedy="Use the method denoising for other activations",
        )
    foreign = [
        layer.name
        for layer in (*stage.before, *stage.after)
        if not (is_reshaping(layer) or is_random(layer) or (layer in stage.after and is_elementwise(layer)))
    ]
    if foreign:
        refuse(
            "RBM.encoder",
            "consist of a dense layer and its sigmoid, because the energy contains no other layers",
            f"layers {foreign}",
            "Apply them to the data first, or use DenoisingAutoencoder",
        )
    return stage


class DeepBeliefNetwork:
    """Deep belief network: stack of RBMs whose top one is undirected, while the lower ones generate downward.

        P(v, h¹, …, h^L) = P(v | h¹) … P(h^{L−2} | h^{L−1}) P(h^{L−1}, h^L)             (1)

    Args:
        rbms: trained machines from bottom to top, as `pretrain_greedily(..., block=RBM)` returns them. Only the first
            one may have gaussian visible units.

    Raises:
        InputError: `rbms` are not as above.

    Reference: Hinton, Osindero, Teh, 2006, A fast learning algorithm for deep belief nets,
    doi:10.1162/neco.2006.18.7.1527.
    """

    def __init__(self, rbms: Iterable[RBM]) -> None:
        self.rbms = list(rbms)
        if not self.rbms or not all(isinstance(rbm, RBM) for rbm in self.rbms):
            kinds = [type(rbm).__name__ for rbm in self.rbms]
            refuse("DeepBeliefNetwork.rbms", "be a list of RBMs, bottom first", f"{kinds}")
        visible = [rbm.visible for rbm in self.rbms]
        if "gaussian" in visible[1:]:
            requirement = (
                "have bernoulli visible units above the first machine, as they are hidden units below"
            )
            refuse("DeepBeliefNetwork.rbms", requirement, f"visible units {visible}")

    def represent(self, v: ArrayLike) -> Tensor:
        """Compute the probabilities of the top machine's visible units, (n, features of the top machine)."""
        for rbm in self.rbms[:-1]:
            v = rbm.hidden_probabilities(v)
        return v

    def sample(
        self, count: int, num_steps: int = 200, start: ArrayLike | None = None, seed: int = 0
    ) -> Tensor:
        """Sample the visible layer from (1): Gibbs sampling in the top RBM, then one pass down.

        The pass down samples each hidden layer. Of the visible units it returns the means, which make better images;
        comparing them with uniform random numbers gives binary samples.

        Args:
            count: number of samples.
            num_steps: Gibbs steps in the top machine. Defaults to 200.
            start: at least `count` visible examples, at whose representations the chains start. Defaults to None,
                random units.
            seed: whole number that fixes the samples. Defaults to 0.

        Returns:
            (count, features), in [0, 1] for bernoulli visible units.
        """
        count = checks.count("DeepBeliefNetwork.count", count)
        top = self.rbms[-1]
        if start is None:
            v = ops.round(ExampleRandom(seed, 2**31, count).uniform((top.num_visible,)))
        else:
            if len(start) < count:
                refuse(
                    "DeepBeliefNetwork.start",
                    f"hold an example for each of the {count} samples",
                    f"{len(start)} examples",
                )
            v = self.represent(start[:count])
        v = top.gibbs(v, num_steps, seed=seed)
        v = top.visible_means(top.hidden_probabilities(v))
        for depth, rbm in enumerate(reversed(self.rbms[:-1]), start=1):
            random = ExampleRandom(seed, 2**31 + depth, count)
            h = ops.cast(ops.less(random.uniform((rbm.num_hidden,)), v), v.dtype)
            v = rbm.visible_means(h)
        return v
