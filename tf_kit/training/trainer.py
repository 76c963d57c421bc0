"""Base class of everything that trains: `fit` and `evaluate` whose results depend only on seed and data."""

import inspect
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from tf_kit import keras_internals
from tf_kit.checks import count, refuse
from tf_kit.networks.convolutional import accept_empty_batches
from tf_kit.networks.inspection import build_on, export_signature, output_shape
from tf_kit.randomness.step import ExampleRandom
from tf_kit.replicas import GlobalBatch, gather, sum_over_replicas
from tf_kit.training import arguments, loop, preparation, sources, steps, targets, workers
from tf_kit.training.compiled import check_compiled
from tf_kit.training.converted import converted
from tf_kit.training.inputs import first_examples, is_array
from tf_kit.training.resident import TracedPieces
from tf_kit.typing import ArrayLike, Dataset, Tensor
from tf_kit.xla import uncompiled


class Trainer(keras_internals.BuiltBeforeTraining, keras.Model):
    """Keras model whose training is a function of its seed and its data alone.

    A subclass defines the loss of each example in `per_example`; this class derives `fit` and `evaluate` from it.
    For a global batch B, shared by R replicas that hold the parts B_1 … B_R,

        J = 1/|B| Σ_r [ Σ_{i ∈ B_r} ℓ_i + |B_r| P_r ]                                      (1)
        g = Σ_r ∂/∂θ [ 1/|B| Σ_{i ∈ B_r} ℓ_i + |B_r|/|B| P_r ]                             (2)

    where ℓ_i is multiplied by the `sample_weight` of its example, the third part of a data set's batches; all other
    reported values are plain means. P_r are the penalties, `losses` of the model: those of weights are equal on all
    replicas, those of activities are means over B_r, as a loss given to `add_loss` must be too. So neither an uneven
    last batch nor the number of replicas changes a step. Gradients are clipped after the sum (2). Random numbers
    belong to an example, see `ExampleRandom`. Arrays are shuffled in every epoch, in an order that is a function of
    the seed and the epoch, so `fit(..., initial_epoch=e)` continues as the uninterrupted `fit` would have. (With an
    optimizer of `use_ema=True`, as in Keras, the weights after `fit` are the averages, so it continues from these.)

    Args:
        seed: whole number that fixes the order of the data and all random numbers of training. Defaults to 0.
    """

    takes_loss = False  # whether a loss given to `compile` replaces the one of the class
    reconstructs = False  # whether the targets are the inputs themselves, so that `fit(x, x)` is `fit(x)`
    needs_targets = False  # whether `per_example` cannot do without y
    takes_targets = True  # whether `per_example` uses y; otherwise targets are refused, and weights need none

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = count(f"{type(self).__name__}.seed", seed, at_least=0)
        self._means = _Means()
        self.traced_pieces = TracedPieces()

    @property
    def metrics(self) -> list[keras.Metric]:
        """Means over examples of the values of `per_example`, the metrics given to `compile`, those of layers."""
        compiled = self._compiled_metrics()
        given = [] if compiled is None else [compiled]
        return [*self._means.by_name.values(), *given, *keras_internals.tracked_metrics(self)]

    def per_example(
        self, x: Tensor, y: Tensor | None, random: ExampleRandom, training: bool
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Compute the loss of each example of a batch; a subclass defines it.

        Args:
            x: inputs, (n, …).
            y: targets, (n, …), or None.
            random: random numbers of this step.
            training: whether this is a training step.

        Returns:
            Dictionary of arrays (n,), one of them `"loss"`, whose means over the epoch are reported; and the outputs
            that compiled metrics compare with `y`, or None.
        """
        raise NotImplementedError

    @property
    def trained_variables(self) -> list[keras.Variable]:
        """Variables that a step changes: all trainable ones, unless a subclass overrides this."""
        return self.trainable_variables

    def prepare(self, x: Tensor, y: Tensor | None = None) -> None:
        """Create all variables (weights, optimizer slots, metrics) from a few examples; `fit` calls this."""
        self._refuse_unsupported_on_replicas()
        workers.check_same_model(self)
        preparation.check_loss(self)
        with self.distribute_strategy.scope():
            self.build_for(x)
            with uncompiled():
                values, outputs = self.per_example(x, y, ExampleRandom(self.seed, 0, len(x)), training=False)
            self.built = True
            preparation.check_values(self, values)
            self._means.create(values)
            names = list(self._means.by_name)
            preparation.build_compiled_metrics(self, self._compiled_metrics(), names, y, outputs)
            preparation.check_tracked_metrics(self, names)
        self.train_what_is_trainable()
        self._set_seed()
        if self.distribute_strategy.num_replicas_in_sync > 1:
            accept_empty_batches(self)
            keras_internals.keep_losses_of_replicas_apart(self)

    def train_what_is_trainable(self) -> None:
        """Let the next steps follow what has been frozen or compiled since the last ones; each epoch calls this."""
        if self.compiled:
            with self.distribute_strategy.scope():
                preparation.build_optimizer(self)
                if self._accumulates_under_strategy():
                    steps.accumulate_across(self.inner_optimizer)
        if not self.traced_pieces.still_train(self):
            self.train_function = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.built and not tf.executing_eagerly() and args:
            # In the graph of `predict`, new weights have no values that a teacher could copy.
            with tf.init_scope():
                self.build_for(args[0])
        return super().__call__(*args, **kwargs)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        build_on(self, input_shape)
        return output_shape(self, input_shape)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        # Keras would take the compute dtype, but `call` may return a wider one.
        return keras.Operation.compute_output_spec(self, *args, **kwargs)

    def build_for(self, x: Tensor) -> None:
        """Create the weights for examples like `x` (n, …), unless they exist."""
        if not self.built and type(self).build is not keras.Model.build:
            self.build((None, *x.shape[1:]))

    def prepare_from(self, x: ArrayLike | Dataset, y: ArrayLike | None = None) -> None:
        """Call `prepare` with the first example of arrays or of a data set."""
        x = converted("prepare_from.x", x)
        self.prepare(*((x[:1], y[:1] if y is not None else None) if is_array(x) else first_examples(x)))

    def _compiled_metrics(self):
        return keras_internals.compiled_metrics(self) if self.compiled else None

    @keras_internals.untuned_data_sets()
    def fit(
        self,
        x: ArrayLike | Dataset = None,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: ArrayLike | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | list[int] = 1,
        initial_step: int = 0,
    ) -> keras.callbacks.History:
        """Train, as `keras.Model.fit`.

        Arrays are shuffled by seed and epoch, unless `shuffle` is False. The batches of a data set keep their order;
        with `steps_per_epoch` its first batch is that of the epoch `initial_epoch`, as in `data.minibatches`, and if it
        ends, the next epoch reads it anew. A `keras.utils.PyDataset` is read as the data set of its batches, see
        `tf_kit.training.converted`.
        On one device, many steps on arrays run as one graph, see `tf_kit.training.loop`; the results are the same.

        Args:
            initial_step: step of the epoch `initial_epoch` to begin with, from 0; the minibatches before it are left
                out. Defaults to 0.
        """
        preparation.check_scope(self)
        x, strategy = converted("fit.x", x), self.distribute_strategy
        epochs, size = count("fit.epochs", epochs, at_least=0), 0
        initial_epoch = count("fit.initial_epoch", initial_epoch, at_least=0)
        initial_step = count("fit.initial_step", initial_step, at_least=0)
        arguments.check_counts(
            "fit",
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
        )
        arguments.check_shuffle(shuffle)
        arguments.check_class_weight("fit.class_weight", class_weight, getattr(self, "num_classes", None))
        if is_array(x):
            size = count("fit.batch_size", 32 if batch_size is None else batch_size)
            arrays = targets.check_examples(self, "fit", x, y, sample_weight, class_weight)
            if validation_data is None:
                arrays, validation_data = arguments.split(arrays, validation_split)
                if class_weight is not None and validation_data is not None:
                    validation_data = validation_data[:2]  # the weights of classes count in training only
                if validation_data is not None and not self.takes_targets:
                    # A method without targets has a placeholder between x and the weights.
                    validation_data = (validation_data[0], None, *validation_data[2:])
            keras_internals.assert_compiled(self, "fit")
            self.prepare_from(*arrays[:2])
            num_steps: int | None = sources.steps_per_epoch(len(arrays[0]), size, steps_per_epoch)
        else:
            x = arguments.check_data_set("fit.x", x, steps_per_epoch, "steps_per_epoch")
            targets.check_data_set(self, "fit.x", x)
            arguments.refuse_beside_data_set(
                "fit",
                y=y,
                sample_weight=sample_weight,
                batch_size=batch_size,
                validation_split=validation_split,
            )
            x = arguments.with_class_weights("fit.class_weight", x, class_weight)
            keras_internals.assert_compiled(self, "fit")
            self.prepare_from(x)
            num_steps = steps_per_epoch
        sources.check_initial_step(initial_step, num_steps)
        if validation_data is not None:
            validation_data = targets.check_validation(self, validation_data, validation_steps)
            loop.is_due(0, validation_freq)  # refuses another value before time is spent
        chosen = loop.callback_list(
            self,
            callbacks,
            epochs=epochs,
            num_steps=arguments.num_batches(x, num_steps),
            verbose=verbose if workers.is_chief(strategy) else 0,
        )
        if is_array(x):
            source = sources.of_arrays(
                self,
                arrays,
                chosen,
                batch_size=size,
                shuffle=shuffle,
                seed=self.seed,
                epochs=epochs,
            )
        else:
            source = sources.of_data_set(self, x, num_steps, initial_epoch)
        validate = None
        if validation_data is not None:
            validation_size = validation_batch_size or arguments.evaluation_size(
                validation_data, size, validation_steps
            )
            validate = sources.validation(self, validation_data, validation_size, validation_steps, chosen)
        with workers.naming_the_lost(strategy):
            return loop.run_epochs(
                self,
                source,
                chosen,
                epochs=epochs,
                initial_epoch=initial_epoch,
                initial_step=initial_step,
                validate=validate,
                validation_freq=validation_freq,
            )

    def check_targets(self, method: str, x: ArrayLike | Dataset, y: ArrayLike | None = None) -> None:
        """Refuse targets that `per_example` cannot use; a subclass may define it.

        Args:
            method: method or argument, for the error messages: `"fit"`, `"fit.validation_data"`.
            x: array or data set.
            y: targets of an array.
        """

    def uses_as_targets(self, x: ArrayLike, y: ArrayLike) -> bool:
        """Return whether targets are those that the method makes of `x` by itself, which it accepts then."""
        return False

    @keras_internals.untuned_data_sets()
    def evaluate(
        self,
        x: ArrayLike | Dataset = None,
        y: ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: ArrayLike | None = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Compute the means over the examples of `x` without training, as `keras.Model.evaluate`."""
        keras_internals.assert_compiled(self, "evaluate")
        metrics, strategy = self._compiled_metrics(), self.distribute_strategy
        arguments.check_counts("evaluate", batch_size=batch_size, steps=steps)
        given = x = converted("evaluate.x", x)
        if is_array(x):
            given = targets.check_examples(self, "evaluate", x, y, sample_weight)
            x, y, sample_weight = (*given, None, None)[:3]
        else:
            given = x = arguments.check_data_set("evaluate.x", x, steps, "steps")
            targets.check_data_set(self, "evaluate.x", x)
            arguments.refuse_beside_data_set("evaluate", y=y, sample_weight=sample_weight)
        size = batch_size or arguments.evaluation_size(given, None, steps)
        if not self._means.by_name or (metrics is not None and not metrics.built):
            self.prepare_from(x, y)
        self._set_seed()
        if workers.several(strategy):
            given = workers.in_order(strategy, given, size)
            x, y, sample_weight = given, None, None
        chosen = loop.callback_list(
            self,
            callbacks,
            epochs=1,
            num_steps=steps or (-(-len(x) // size) if is_array(x) else None),
            verbose=verbose if workers.is_chief(strategy) else 0,
            history=False,
        )
        source = None
        if is_array(x) and steps is None:
            source = sources.evaluated_in_pieces(self, given, size, chosen)
        if source is not None:
            logs = sources.run_evaluation(self, source, chosen)
            return logs if return_dict else keras_internals.in_order_of_metrics(self, logs)
        with workers.naming_the_lost(strategy):
            return super().evaluate(
                x,
                y,
                batch_size=size,
                sample_weight=sample_weight,
                steps=steps,
                callbacks=chosen,
                return_dict=return_dict,
            )

    @keras_internals.untuned_data_sets()
    def predict(
        self,
        x: ArrayLike | Dataset,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Compute the outputs of the model for `x`, as `keras.Model.predict`."""
        if is_array(x) and tuple(x.shape[:1]) == (0,):
            refuse("predict.x", "hold at least one example", f"x.shape={tuple(x.shape)}")
        if x is None or isinstance(x, (list, tuple, dict, str)):  # Keras takes generators too
            arguments.check_data_set("predict.x", x, steps, "steps")
        return super().predict(x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Save the model in a `.keras` file, as `keras.Model.save`; Keras could not load an `.h5` file of it."""
        if str(filepath).endswith((".h5", ".hdf5")):
            remedy = "save_weights writes the weights alone, as NAME.weights.h5"
            refuse("save.filepath", "end in .keras", f"{str(filepath)!r}", remedy)
        super().save(filepath, *args, **kwargs)

    def train_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Take one step on a minibatch; return its metrics, as `keras.Model.train_on_batch`."""
        keras_internals.assert_compiled(self, "train_on_batch")
        subject = "train_on_batch.class_weight"
        arguments.check_class_weight(subject, class_weight, getattr(self, "num_classes", None))
        preparation.check_scope(self)
        arrays = targets.check_examples(self, "train_on_batch", x, y, sample_weight, class_weight)
        self.prepare_from(*arrays[:2])
        self.make_train_function()
        return self._on_batch(self.train_function, arrays, return_dict)

    def test_on_batch(
        self,
        x: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Compute the metrics of a minibatch without training, as `keras.Model.test_on_batch`."""
        keras_internals.assert_compiled(self, "test_on_batch")
        arrays = targets.check_examples(self, "test_on_batch", x, y, sample_weight)
        self.prepare_from(*arrays[:2])
        self.make_test_function()
        return self._on_batch(self.test_function, arrays, return_dict)

    def _on_batch(self, function, arrays, return_dict):
        self.reset_metrics()
        batch = tf.data.Dataset.from_tensors(arrays if len(arrays) > 1 else arrays[0])
        logs = function(iter(self.distribute_strategy.experimental_distribute_dataset(batch)))
        logs = {name: float(ops.convert_to_numpy(value).reshape(())) for name, value in logs.items()}
        return logs if return_dict else keras_internals.in_order_of_metrics(self, logs)

    def train_step(self, batch: Any) -> dict[str, Tensor]:
        x, y, weights = arguments.unpack(batch)
        place = GlobalBatch(x)
        # Not `iterations`, which counts updates: each step of an accumulated update needs its own random numbers.
        step = keras_internals.num_steps_taken(self.inner_optimizer).value
        random = ExampleRandom(self._seed_of_step(), step, place.count, place.offset, place.total)
        with keras_internals.custom_gradients_released():
            with tf.GradientTape() as tape:
                values, outputs = self.per_example(x, y, random, training=True)
                values = _weigh(values, weights)
                real = keras.backend.result_type(values["loss"].dtype, "float32")  # float64 where the loss is
                place.total_float = ops.cast(place.total_float, real)
                penalty = self._penalty(place)
                objective = ops.sum(values["loss"]) / place.total_float + penalty  # (2)
                scaled = self.optimizer.scale_loss(objective)
            variables = self.trained_variables
            gradients = place.sum_gradients(tape.gradient(scaled, variables))
        with keras_internals.gradients_already_summed(self.inner_optimizer):
            self.optimizer.apply(gradients, variables)  # checks for NaN and clips, after the sum
        return self._report(values, penalty, y, outputs, weights, place)

    def test_step(self, batch: Any) -> dict[str, Tensor]:
        x, y, weights = arguments.unpack(batch)
        place = GlobalBatch(x)
        random = ExampleRandom(self._seed_of_step(), 0, place.count, place.offset, place.total)
        with keras_internals.custom_gradients_released():
            values, outputs = self.per_example(x, y, random, training=False)
        return self._report(_weigh(values, weights), self._penalty(place), y, outputs, weights, place)

    def _penalty(self, place):
        """Return |B_r|/|B| P_r of this replica; 0 on a replica without examples, where a mean is NaN."""
        losses = self.losses
        if not losses:
            return 0.0
        real = place.total_float.dtype
        share = ops.cast(place.count, real) / place.total_float
        return ops.where(place.count > 0, share * ops.cast(sum(losses), real), 0.0)

    def _seed_of_step(self):
        """Return the seed: in a graph on one device as a variable, so that other seeds can run the same graph."""
        if tf.executing_eagerly() or self.distribute_strategy.num_replicas_in_sync > 1:
            return self.seed
        return self.traced_pieces.seed.read_value()

    def _set_seed(self):
        if self.distribute_strategy.num_replicas_in_sync == 1:
            self.traced_pieces.set_seed(self.seed)

    @property
    def inner_optimizer(self) -> Any:
        """The optimizer itself, without the `LossScaleOptimizer` around it."""
        return getattr(self.optimizer, "inner_optimizer", self.optimizer)

    def _accumulates_under_strategy(self):
        made_under_one = keras_internals.strategy_at_creation(self) is not None
        return made_under_one and self.compiled and bool(self.inner_optimizer.gradient_accumulation_steps)

    def _report(self, values, penalty, y, outputs, weights, place):
        names = list(self._means.by_name)
        preparation.check_names(self, values, names)
        real = place.total_float.dtype
        own = [*(ops.sum(ops.cast(values[name], real)) for name in names), ops.cast(penalty, real)]
        sums = sum_over_replicas(ops.stack(own))
        size = ops.maximum(place.total_float, 1)  # of a batch without examples the sums are 0
        for i, name in enumerate(names):
            mean = sums[i] / size  # (1)
            if name == "loss":
                mean = mean + sums[-1]
            self._means.by_name[name].update_state(mean, sample_weight=place.total_float)
        compiled = self._compiled_metrics()
        if outputs is not None and compiled is not None:
            compiled.update_state(
                gather(y), gather(outputs), gather(weights) if weights is not None else None
            )
        return workers.as_logs(self.get_metrics_result())

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Configure training, as `keras.Model.compile`; `compiled.check_compiled` says what is refused."""
        given = inspect.signature(keras.Model.compile).bind_partial(self, *args, **kwargs).arguments
        check_compiled(given)
        super().compile(*args, **kwargs)
        self.traced_pieces.forget()

    def make_train_function(self, force: bool = False) -> None:
        self.train_function = self._made_function("train", self.train_step, force)

    def make_test_function(self, force: bool = False) -> None:
        self.test_function = self._made_function("test", self.test_step, force)

    def _made_function(self, kind, step, force):
        made = getattr(self, f"{kind}_function")
        if made is not None and not force:
            return made
        keras_internals.count_traced_function()
        if keras_internals.strategy_at_creation(self) is not None:
            return steps.steps_on_replicas(self, step)
        if self.is_under_strategy or self.run_eagerly or self.jit_compile:
            getattr(super(), f"make_{kind}_function")(force)
            return getattr(self, f"{kind}_function")
        return steps.steps_on_iterator(self, steps.isolated(step))

    @property
    def is_under_strategy(self) -> bool:
        """Whether the model was made, or is used, inside the scope of a strategy, also of one replica.

        There optimizers meet in `merge_call`, which no nested function may contain.
        """
        return keras_internals.strategy_at_creation(self) is not None or tf.distribute.has_strategy()

    def _refuse_unsupported_on_replicas(self):
        preparation.check_replicas(self)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:  # Keras would make slots for all trainable variables and not find them in the file
            self.optimizer.build(self.trained_variables)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}

    def export(self, filepath: Any, *args: Any, input_signature: Any = None, **kwargs: Any) -> None:
        """Export the function that the model computes, as `keras.Model.export`; `fit` or `evaluate` come before."""
        signature = input_signature or export_signature(self)
        super().export(filepath, *args, input_signature=signature, **kwargs)


class _Means:
    """Metrics, created from the first example. (A plain dictionary would be tracked, and locked, by Keras.)"""

    def __init__(self) -> None:
        self.by_name: dict[str, keras.metrics.Mean] = {}

    def create(self, names: Iterable[str]) -> None:
        """Create a mean for each name that has none yet, with the loss first."""
        for name in sorted(names, key=lambda name: (name != "loss", name)):
            if name not in self.by_name:
                self.by_name[name] = keras.metrics.Mean(name=name)


def _weigh(values, weights):
    """Multiply the loss of each example by its weight; all other values stay as they are."""
    if weights is None:
        return values
    return {**values, "loss": values["loss"] * ops.cast(weights, values["loss"].dtype)}
