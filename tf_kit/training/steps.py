"""Where several replicas train: gradients summed once, several steps in one execution, accumulation over steps.

Keras has the last two, and fails at both under a strategy: its loop over steps carries values that
differ between replicas, and its choice between accumulating and updating is made on each replica for itself, where
no sums over replicas can be taken. Here the loop carries nothing but its count, and the choice is made once, for all.
"""

import functools

import tensorflow as tf

from tf_kit import keras_internals

_SIZES = "With steps_per_execution, minibatches may have two sizes in an execution: give 1 for a data set with more"


def several_steps(model, step):
    """What Keras calls with an iterator: up to `model.steps_per_execution` steps, as many as there are batches.

    Inside one execution TensorFlow lets an operation that gathers from all replicas see one shape only. So the step
    is there twice: for minibatches as large as the first one, and for those of one other size, the last of an epoch.

    Args:
        model: a `Trainer`.
        step: its `train_step` or `test_step`.
    """
    strategy = model.distribute_strategy

    def execute(iterator):
        def goes_on(done, more, *sizes):
            return tf.logical_and(done < model.steps_per_execution, more)

        def body(done, _, usual, other):
            optional = iterator.get_next_as_optional()
            more = optional.has_value()

            def run():
                batch = optional.get_value()
                size = _num_examples(strategy, batch)
                first = tf.where(done == 0, size, usual)
                second = tf.where(tf.logical_and(other == 0, size != first), size, other)
                known = tf.logical_or(size == first, size == second)
                with tf.control_dependencies([tf.debugging.Assert(known, [_SIZES])]):
                    size = tf.identity(size)

                def train():
                    strategy.run(step, args=(batch,))
                    return done + 1

                return tf.cond(size == first, train, train), first, second

            done, usual, other = tf.cond(more, run, lambda: (done, usual, other))
            return done, more, usual, other

        done, *_ = tf.while_loop(goes_on, body, (0, True, 0, 0), parallel_iterations=1)
        return done, strategy.run(model.get_metrics_result)

    if not model.run_eagerly:
        execute = tf.function(execute, reduce_retracing=True, autograph=False)

    def execution(iterator):
        done, logs = execute(iterator)
        if not done:
            raise StopIteration
        # every replica reports the same
        return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], logs)

    return execution


def _num_examples(strategy, batch):
    """The number of examples of the global batch."""

    def own(batch):
        return tf.shape(tf.nest.flatten(batch)[0])[0]

    return strategy.reduce("SUM", strategy.run(own, args=(batch,)), axis=None)


def accumulate_across(optimizer):
    """Makes `optimizer.apply` accumulate gradients under a strategy.

    With the gradients g of step t, summed over replicas, and n = `gradient_accumulation_steps`,

        a ← a + g                                     if n does not divide t          (1)
        θ ← update(θ, clip((a + g) / n)),  a ← 0      if n divides t                  (2)

    as in Keras, which cannot choose between (1) and (2) there.

    Args:
        optimizer: a Keras optimizer; not a `LossScaleOptimizer`, but the one inside. Each replica gives it the sum
            of the gradients over all, see
            `keras_internals.gradients_already_summed`.
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

        def end():
            on_each(update, args=(sums,))
            keras_internals.reset_accumulators(optimizer)

        def go_on():
            on_each(accumulate, args=(sums,))

        tf.cond((keras_internals.num_steps_taken(optimizer).value + 1) % steps == 0, end, go_on)

    context.merge_call(choose, args=(sums,))
    if optimizer.use_ema:
        keras_internals.update_weight_averages(optimizer)
