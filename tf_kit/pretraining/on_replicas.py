"""Where several replicas train: several steps in one execution, and gradients accumulated over steps.

Keras has both, and fails at both under a strategy with several replicas: its loop over steps carries values that
differ between replicas, and its choice between accumulating and updating is made on each replica for itself, where
no sums over replicas can be taken. Here the loop carries nothing but its count, and the choice is made once, for all.
"""

import functools

import tensorflow as tf


def several_steps(model, step):
    """What Keras calls with an iterator: up to `model.steps_per_execution` steps, as many as there are batches.

    Args:
        model: a `Trainer`.
        step: its `train_step` or `test_step`.
    """
    strategy = model.distribute_strategy

    def execute(iterator):
        def body(done, _):
            batch = iterator.get_next_as_optional()
            more = batch.has_value()

            def run():
                strategy.run(step, args=(batch.get_value(),))
                return done + 1

            return tf.cond(more, run, lambda: done), more

        def goes_on(done, more):
            return tf.logical_and(done < model.steps_per_execution, more)

        done, _ = tf.while_loop(goes_on, body, (0, True), parallel_iterations=1)
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


def accumulate_across(optimizer):
    """Makes `optimizer.apply` accumulate gradients where several replicas train.

    With the gradients g of step t, summed over replicas, and n = `gradient_accumulation_steps`,

        a ← a + g                                     if n does not divide t          (1)
        θ ← update(θ, clip((a + g) / n)),  a ← 0      if n divides t                  (2)

    as in Keras, which cannot choose between (1) and (2) there.

    Args:
        optimizer: a Keras optimizer; not a `LossScaleOptimizer`, but the one inside. Each replica gives it 1/R of
            the sum of the gradients over all R.
    """
    optimizer._backend_apply_gradients = functools.partial(_accumulate_or_update, optimizer)


def _accumulate_or_update(optimizer, shares, variables):
    context = tf.distribute.get_replica_context()
    num_replicas, steps = context.num_replicas_in_sync, optimizer.gradient_accumulation_steps
    accumulated = [optimizer._accumulated_gradients[optimizer._get_variable_index(v)] for v in variables]

    def accumulate(shares):
        sums = [share * num_replicas for share in shares]
        optimizer._backend_increment_gradient_accumulators(sums, accumulated)  # (1)

    def update(shares):
        sums = [share * num_replicas for share in shares]
        means = [(a + g) / steps for a, g in zip(accumulated, sums, strict=True)]
        clipped = optimizer._clip_gradients(means)
        optimizer._apply_weight_decay(variables)
        shares = [gradient / num_replicas for gradient in clipped]  # the update sums over replicas
        optimizer._backend_update_step(shares, variables, optimizer.learning_rate)  # (2)

    def choose(strategy, shares):
        on_each = strategy.extended.call_for_each_replica

        def end():
            on_each(update, args=(shares,))
            optimizer._backend_reset_gradient_accumulators()

        def go_on():
            on_each(accumulate, args=(shares,))

        tf.cond((optimizer._iterations.value + 1) % steps == 0, end, go_on)

    context.merge_call(choose, args=(shares,))
    if optimizer.use_ema:
        optimizer._update_model_variables_moving_average(optimizer._trainable_variables)
