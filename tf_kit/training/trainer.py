"""The base of everything in this wing that trains: exact in its seed and its examples, blind to replicas."""

import functools
import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from tf_kit import data, keras_internals
from tf_kit.checks import count, refuse
from tf_kit.networks.convolutional import bear_empty_parts
from tf_kit.randomness.step import ExampleRandom
from tf_kit.replicas import GlobalBatch, gather, sum_over_replicas
from tf_kit.training import steps, workers
from tf_kit.training.inputs import check_arrays, first_examples, is_array


class Trainer(keras_internals.BuiltBeforeTraining, keras.Model):
    """A Keras model whose training is a function of its seed and its data alone.

    A subclass says what each example costs, in `per_example`; this class turns that into `fit` and `evaluate`.
    For a global batch B, shared by R replicas that hold the parts B_1 … B_R,

        J = 1/|B| Σ_r Σ_{i ∈ B_r} ℓ_i + penalties                                          (1)
        g = Σ_r ∂/∂θ [ 1/|B| Σ_{i ∈ B_r} ℓ_i + penalties / R ]                             (2)

    where ℓ_i is multiplied by its example's `sample_weight`, the third part of a data set's batches; what else is
    reported stays a plain mean. So neither an uneven last batch nor the number of replicas changes a step.
    Gradients are clipped after the sum (2). What is random about an example comes from `ExampleRandom`. Arrays
    are shuffled anew in each epoch, in an order that is a function of the seed and the epoch, so
    `fit(..., initial_epoch=e)` continues as the uninterrupted `fit` would have.

    Args:
        seed: seed of the data order and of all that is random in training.
    """

    takes_loss = False  # whether `compile(loss=…)` may replace the loss that the class brings

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.seed = count(f"{type(self).__name__}.seed", seed, at_least=0)
        self._means = _Means()

    @property
    def metrics(self):
        """Means over examples of what `per_example` reports, then the metrics given to `compile`."""
        compiled = self._compiled_metrics()
        return [*self._means.by_name.values(), *([] if compiled is None else [compiled])]

    def per_example(self, x, y, random, training):
        """What each example of a batch costs.

        Args:
            x: inputs, (n, …).
            y: targets, (n, …), or None.
            random: `ExampleRandom` of this step.
            training: whether this is a training step.

        Returns:
            A dictionary of (n,) arrays, `"loss"` among them, whose means over the epoch are reported; and the
            outputs that compiled metrics compare with `y`, or None.
        """
        raise NotImplementedError

    @property
    def trained_variables(self):
        """The variables that a step changes. All trainable ones, unless a subclass says otherwise."""
        return self.trainable_variables

    def prepare(self, x, y=None):
        """Creates all variables (weights, optimizer slots, metrics) from a few examples. `fit` calls it."""
        self._refuse_what_replicas_cannot()
        loss = keras_internals.given_loss(self)
        if loss is not None and not self.takes_loss:
            refuse(
                "compile.loss",
                f"be left out: {type(self).__name__} brings its own",
                f"loss={loss!r}",
                "compile(optimizer) is enough",
            )
        with self.distribute_strategy.scope():
            self.build_for(x)
            values, outputs = self.per_example(x, y, ExampleRandom(self.seed, 0, len(x)), training=False)
            self.built = True
            self._means.create(values)
            self._build_compiled_metrics(y, outputs)
            if self.compiled and not self.optimizer.built:
                self.optimizer.build(self.trained_variables)
            if self._accumulates_under_strategy():
                steps.accumulate_across(self._inner_optimizer)
        if self.distribute_strategy.num_replicas_in_sync > 1:
            bear_empty_parts(self)

    def build_for(self, x):
        """Create the weights for examples like `x` (n, …), unless they exist."""
        if not self.built and type(self).build is not keras.Model.build:
            self.build((None, *x.shape[1:]))

    def prepare_from(self, x, y=None):
        """`prepare` with the first example of arrays or of a data set."""
        self.prepare(*((x[:1], y[:1] if y is not None else None) if is_array(x) else first_examples(x)))

    def _compiled_metrics(self):
        return keras_internals.compiled_metrics(self) if self.compiled else None

    def _build_compiled_metrics(self, y, outputs):
        metrics = self._compiled_metrics()
        if metrics is None or metrics.built:
            return
        if outputs is None or y is None:
            refuse(
                "compile.metrics",
                f"be left out: {type(self).__name__} has no outputs to compare with targets",
                "metrics",
                "What it reports is in the history: " + ", ".join(self._means.by_name),
            )
        metrics.build(ops.convert_to_tensor(y), outputs)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        initial_epoch=0,
        steps_per_epoch=None,
        sample_weight=None,
        **kwargs,
    ):
        """Trains, as `keras.Model.fit`. Arrays are shuffled by `seed` and epoch; data sets are taken as they come."""
        if is_array(x):
            check_arrays(type(self).__name__, x, y)
            batch_size = count("fit.batch_size", 32 if batch_size is None else batch_size)
            arrays = (x,) if y is None else (x, y)
            if sample_weight is not None:
                arrays += (_check_weights(x, y, sample_weight),)
            if validation_split and validation_data is None:
                kept = math.floor(len(x) * (1 - validation_split))
                validation_data = tuple(array[kept:] for array in arrays)
                arrays = tuple(array[:kept] for array in arrays)
            self.prepare_from(*arrays[:2])
            if steps_per_epoch is not None:
                refuse(
                    "fit.steps_per_epoch",
                    "be left out for arrays: an epoch visits every example once",
                    f"steps_per_epoch={steps_per_epoch}",
                    "Give a tf.data.Dataset for shorter epochs",
                )
            steps_per_epoch = math.ceil(len(arrays[0]) / batch_size)
            self._refuse_straddling_epochs(steps_per_epoch)
            options = {
                "batch_size": batch_size,
                "seed": self.seed,
                "first_epoch": initial_epoch,
                "epochs": epochs,
            }
            x = self._minibatches(arrays, shuffle=shuffle, **options)
        else:
            for name, given in (("y", y), ("sample_weight", sample_weight)):
                if given is not None:
                    place = "come in the data set, in batches (x, y) or (x, y, sample_weight)"
                    refuse(f"fit.{name}", place, f"both a data set and {name}")
            self.prepare_from(x)
            x = workers.in_order(self.distribute_strategy, x)
        if validation_data is not None:
            kwargs.setdefault("validation_batch_size", max(batch_size or 0, 1024))
            batch_size = kwargs["validation_batch_size"]
            validation_data = workers.in_order(self.distribute_strategy, validation_data, batch_size)
        with workers.naming_the_lost(self.distribute_strategy):
            return super().fit(
                x,
                epochs=epochs,
                verbose=verbose if workers.is_chief(self.distribute_strategy) else 0,
                callbacks=callbacks,
                validation_data=validation_data,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                shuffle=False,
                **kwargs,
            )

    def _minibatches(self, arrays, **options):
        """Shuffled minibatches; on several machines each worker's part of them, after a look whether it is the same
        data everywhere."""
        strategy = self.distribute_strategy
        make = functools.partial(data.minibatches, arrays if len(arrays) > 1 else arrays[0], **options)
        if not workers.several(strategy):
            return make()
        workers.check_same_everywhere(f"{type(self).__name__}.fit.x", strategy, *arrays, options)
        # without an end, as `fit` counts the steps: else the workers would ask each other after every step
        return workers.distributed(strategy, lambda share: make(share=share).repeat())

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """Means over the examples of `x` without training, as `keras.Model.evaluate`."""
        metrics = self._compiled_metrics()
        if not self._means.by_name or (metrics is not None and not metrics.built):
            self.prepare_from(x, y)
        batch_size = batch_size or 1024
        if workers.several(self.distribute_strategy):
            given = x if y is None and not is_array(x) else (x, y, kwargs.pop("sample_weight", None))
            x, y = workers.in_order(self.distribute_strategy, given, batch_size), None
            kwargs["verbose"] = (
                kwargs.get("verbose", "auto") if workers.is_chief(self.distribute_strategy) else 0
            )
        with workers.naming_the_lost(self.distribute_strategy):
            return super().evaluate(x, y, batch_size=batch_size, **kwargs)

    def train_step(self, batch):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        place = GlobalBatch(x)
        # not `iterations`, which counts updates: each step of an accumulated update has draws of its own
        step = keras_internals.num_steps_taken(self._inner_optimizer).value
        random = ExampleRandom(self.seed, step, place.count, place.offset, place.total)
        with tf.GradientTape() as tape:
            values, outputs = self.per_example(x, y, random, training=True)
            values = _weigh(values, weights)
            penalty = sum(self.losses, start=0.0)
            objective = ops.sum(values["loss"]) / place.total_float + penalty / place.num_replicas  # (2)
            scaled = self.optimizer.scale_loss(objective)
        variables = self.trained_variables
        gradients = place.sum_gradients(tape.gradient(scaled, variables))
        with keras_internals.gradients_already_summed(self._inner_optimizer):
            self.optimizer.apply(gradients, variables)  # clips, and looks for a NaN, after the sum
        return self._report(values, penalty, y, outputs, weights, place)

    def test_step(self, batch):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        place = GlobalBatch(x)
        random = ExampleRandom(self.seed, 0, place.count, place.offset, place.total)
        values, outputs = self.per_example(x, y, random, training=False)
        return self._report(_weigh(values, weights), sum(self.losses, start=0.0), y, outputs, weights, place)

    @property
    def _inner_optimizer(self):
        """The optimizer itself, without the loss scaling around it."""
        return getattr(self.optimizer, "inner_optimizer", self.optimizer)

    def _accumulates_under_strategy(self):
        made_under_one = keras_internals.strategy_at_creation(self) is not None
        return made_under_one and self.compiled and bool(self._inner_optimizer.gradient_accumulation_steps)

    def _report(self, values, penalty, y, outputs, weights, place):
        names = list(self._means.by_name)
        sums = sum_over_replicas(ops.stack([ops.sum(ops.cast(values[name], "float32")) for name in names]))
        for i, name in enumerate(names):
            mean = sums[i] / place.total_float  # (1)
            if name == "loss":
                mean = mean + ops.cast(penalty, "float32")
            self._means.by_name[name].update_state(mean, sample_weight=place.total_float)
        compiled = self._compiled_metrics()
        if outputs is not None and compiled is not None:
            compiled.update_state(
                gather(y), gather(outputs), gather(weights) if weights is not None else None
            )
        return workers.as_logs(self.get_metrics_result())

    def _refuse_straddling_epochs(self, steps_per_epoch):
        if steps_per_epoch % self.steps_per_execution:
            refuse(
                "compile.steps_per_execution",
                f"divide the {steps_per_epoch} steps of an epoch, so that no execution straddles two epochs",
                f"steps_per_execution={self.steps_per_execution}",
                "Choose a divisor, or another batch size",
            )

    def make_train_function(self, force=False):
        self.train_function = self._made_function("train", self.train_step, force)

    def make_test_function(self, force=False):
        self.test_function = self._made_function("test", self.test_step, force)

    def _made_function(self, kind, step, force):
        if keras_internals.strategy_at_creation(self) is not None and self.steps_per_execution > 1:
            there = getattr(self, f"{kind}_function")
            return there if there is not None and not force else steps.several_steps(self, step)
        getattr(super(), f"make_{kind}_function")(force)
        return getattr(self, f"{kind}_function")

    def _refuse_what_replicas_cannot(self):
        if not self.compiled or self.distribute_strategy.num_replicas_in_sync == 1:
            return
        if workers.several(self.distribute_strategy):
            several = {
                "steps_per_execution": (self.steps_per_execution, 1),
                "gradient_accumulation_steps": (self._inner_optimizer.gradient_accumulation_steps, None),
            }
            for name, (value, needed) in several.items():
                if value != needed:
                    remedy = "One machine with several replicas has both"
                    refuse(name, f"be {needed} on several machines", f"{name}={value}", remedy)
        every = self._inner_optimizer.ema_overwrite_frequency
        if every is not None:
            refuse(
                "optimizer.ema_overwrite_frequency",
                "be None where several replicas train, since Keras fails there otherwise",
                f"ema_overwrite_frequency={every}",
                "use_ema alone works; keras.callbacks.SwapEMAWeights takes the averages over",
            )

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:  # Keras would make slots for all trainable variables, and not find them in the file
            self.optimizer.build(self.trained_variables)

    def get_config(self):
        return {"name": self.name, "seed": self.seed}


class _Means:
    """Metrics that appear when the first example is seen. (A dictionary would be tracked, and locked, by Keras.)"""

    def __init__(self):
        self.by_name = {}

    def create(self, names):
        for name in sorted(names, key=lambda name: (name != "loss", name)):
            if name not in self.by_name:
                self.by_name[name] = keras.metrics.Mean(name=name)


def _check_weights(x, y, sample_weight):
    if y is None or len(sample_weight) != len(x):
        received = (
            f"{len(x)} examples {'without targets, ' if y is None else 'and '}{len(sample_weight)} weights"
        )
        refuse("fit.sample_weight", "have one weight for each example with its target", received)
    return np.asarray(sample_weight, "float32")


def _weigh(values, weights):
    """The weights of examples scale their part of the objective; what else is reported stays a plain mean."""
    if weights is None:
        return values
    return {**values, "loss": values["loss"] * ops.cast(weights, values["loss"].dtype)}
