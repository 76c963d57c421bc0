"""Training steps as functions of an iterator, on one device and under a strategy, and accumulated gradients.

Under a strategy Keras's functions fail in three ways: at the end of a data set of unknown length, replicas take a
step without examples, in which momentum moves the weights; the loop over several steps carries values that differ
between replicas; and each replica chooses for itself between accumulating and updating, in a branch where sums over
replicas are impossible. Here the end is asked for before the step, the loop carries only counters, and the choice is
made once for all replicas.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from tf_kit import keras_internals

_SIZES = (
    "With steps_per_execution above 1, the minibatches of one execution may have two sizes. "
    "Use steps_per_execution=1 for a data set with more sizes"
)


def isolated(step: Callable[[Any], Any], jit_compile: bool = False) -> Callable[[Any], Any]:
    """Trace a training step as one function that TensorFlow optimizes by itself, whatever calls it.

    TensorFlow rewrites the arithmetic of a graph, and a step that is part of a loop is rewritten in another way than
    one that stands alone: the same sums in another order. A step that is not inlined gives the same bits in both. Its
    minibatches may have any length, so it is traced once.

    Args:
        step: `train_step` or `test_step` of a `Trainer`.
        jit_compile: whether XLA compiles the step, for each length of a minibatch. Defaults to False.
    """
    traced: dict[Any, Callable] = {}

    def run(batch):
        if jit_compile:
            made = traced.setdefault(None, tf.function(step, jit_compile=True, autograph=False))
            return made(batch)
        specs = tf.nest.map_structure(
            lambda tensor: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype), batch
        )
        key = str(specs)
        if key not in traced:
            traced[key] = tf.function(
                step,
                input_signature=[specs],
                autograph=False,
                experimental_attributes={"_noinline": True},
            )
        return traced[key](batch)

    return run


def steps_on_iterator(model: keras.Model, step: Callable[[Any], Any]) -> Callable[[Iterator], dict[str, Any]]:
    """Make the function that Keras calls with an iterator to run up to `model.steps_per_execution` steps.

    Args:
        model: a `Trainer` on one device.
        step: its `train_step` or `test_step`, as `isolated` returns it.
    """
    done = tf.Variable(0, trainable=False)
    traced: dict[str, Callable] = {}  # one for each choice of ranks, which a common function would forget

    def execute(iterator):
        def body(k):
            batch = iterator.get_next()
            with tf.control_dependencies(tf.nest.flatten(batch)):
                done.assign_add(1)
            model.distribute_strategy.run(step, args=(batch,))
            return k + 1

        tf.while_loop(lambda k: k < model.steps_per_execution, body, [0], parallel_iterations=1)
        return model.get_metrics_result()

    def execution(iterator):
        done.assign(0)
        ranks = str(tf.nest.map_structure(lambda spec: spec.shape.rank, iterator.element_spec))
        if ranks not in traced:
            traced[ranks] = tf.function(execute, reduce_retracing=True, autograph=False)
        try:
            return traced[ranks](iterator)
        except tf.errors.OutOfRangeError:
            if int(done) == 0:
                raise StopIteration from None
            return model.get_metrics_result()

    return execution


def steps_on_replicas(model: keras.Model, step: Callable) -> Callable[[Iterator], dict[str, Any]]:
    """Make the function that Keras calls with an iterator to run up to `model.steps_per_execution` steps.

    Args:
        model: a `Trainer` made under a strategy.
        step: its `train_step` or `test_step`.
    """
    strategy = model.distribute_strategy

    def on_replicas(batch):
        strategy.run(step, args=(batch,))

    if model.jit_compile:
        on_replicas = tf.function(on_replicas, jit_compile=True, autograph=False)
    steps = _one_step if model.steps_per_execution == 1 else _several_steps

    def execute(iterator):
        done = steps(model, on_replicas, iterator)
        return done, strategy.run(model.get_metrics_result)

    if not model.run_eagerly:
        execute = tf.function(execute, reduce_retracing=True, autograph=False)

    def execution(iterator):
        done, logs = execute(iterator)
        if not done:
            raise StopIteration
        # Every replica reports the same values.
        return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], logs)

    return execution


def _one_step(model, run, iterator):
    """Run a step if the data set has not ended; return the number of steps."""
    optional = iterator.get_next_as_optional()

    def train():
        run(optional.get_value())
        return 1

    return tf.cond(optional.has_value(), train, lambda: 0)


def _several_steps(model, run, iterator):
    """Run up to `steps_per_execution` steps; return their number.

    Within one execution TensorFlow allows an operation that gathers from all replicas to see only one shape.
    Therefore the step is compiled twice: for minibatches of the size of the first one, and for those of one other
    size, as the last minibatch of an epoch has.
    """

    def is_unfinished(done, more, *sizes):
        return tf.logical_and(done < model.steps_per_execution, more)

    def body(done, _, usual, other):
        optional = iterator.get_next_as_optional()
        more = optional.has_value()

        def run_next():
            batch = optional.get_value()
            size = _num_examples(model.distribute_strategy, batch)
            first = tf.where(done == 0, size, usual)
            second = tf.where(tf.logical_and(other == 0, size != first), size, other)
            known = tf.logical_or(size == first, size == second)
            with tf.control_dependencies([tf.debugging.Assert(known, [_SIZES])]):
                size = tf.identity(size)

            def train():
                run(batch)
                return done + 1

            return tf.cond(size == first, train, train), first, second

        done, usual, other = tf.cond(more, run_next, lambda: (done, usual, other))
        return done, more, usual, other

    done, *_ = tf.while_loop(is_unfinished, body, (0, True, 0, 0), parallel_iterations=1)
    return done


def _num_examples(strategy, batch):
    """Return the number of examples of the global batch."""

    def own(batch):
        return tf.shape(tf.nest.flatten(batch)[0])[0]

    return strategy.reduce("SUM", strategy.run(own, args=(batch,)), axis=None)


def accumulate_across(optimizer: keras.optimizers.Optimizer) -> None:
    """Make `optimizer.apply` accumulate gradients under a strategy, as it does without one.

    With g the gradients of step t, summed over replicas, and n = `gradient_accumulation_steps`,

        a ← a + g                                     if n does not divide t          (1)
        θ ← update(θ, clip((a + g) / n)),  a ← 0      if n divides t                  (2)

    Args:
        optimizer: Keras optimizer; of a `LossScaleOptimizer`, the `inner_optimizer`. Each replica calls `apply` with
            the gradients summed over all replicas, inside `keras_internals.gradients_already_summed`.
    """
    keras_internals.replace_apply(optimizer, functools.partial(_accumulate_or_update, optimizer))


def _accumulate_or_update(optimizer, sums, variables):
    context, steps = tf.distribute.get_replica_context(), optimizer.gradient_accumulation_steps
    accumulators = keras_internals.accumulators_of(optimizer, variables)

    def accumulate(sums):
        keras_internals.accumulate(optimizer, sums, accumulators)  # (1)

    def update(sums):
        means = [(a + g) / steps for a, g in zip(accumulators, sums, strict=True)]
        keras_internals.update(optimizer, means, variables)  # (2)

    def choose(strategy, sums):
        on_each = strategy.extended.call_for_each_replica

        def update_and_reset():
            on_each(update, args=(sums,))
            keras_internals.reset_accumulators(optimizer)

        def accumulate_only():
            on_each(accumulate, args=(sums,))

        is_last = (keras_internals.num_steps_taken(optimizer).value + 1) % steps == 0
        tf.cond(is_last, update_and_reset, accumulate_only)

    context.merge_call(choose, args=(sums,))
    if optimizer.use_ema:
        keras_internals.update_weight_averages(optimizer)
