"""Private names of Keras and TensorFlow that the kit relies on, each with the reason why no public name will do.

Checked with Keras 3.15.1 and TensorFlow 2.21.0. A private name may change in any release without notice, so all of
them stand in this file and `tests/test_keras_internals.py` checks each one. After an upgrade run that test first.

The process that runs the answers of students (`grading.sandbox`) is the exception: it patches TensorFlow before it
forks, and keeps those names to itself.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras

from tf_kit.typing import Tensor

# Settings of a process


def clear_session() -> None:
    """Free what Keras holds for models, as `keras.utils.clear_session` does, and keep the settings of the process.

    The public function also forgets the policy of dtypes, so that layers made afterwards compute in float32, the seed
    of `keras.utils.set_random_seed` and where its numbers stand, custom objects of an open scope, and whether Keras
    prints, filters tracebacks and uses flash attention. Uses `keras.src.backend.common.global_state`; no public name
    reads the seed.
    """
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
    from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED

    names = (*_SETTINGS, GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR)
    kept = {name: global_state.get_global_attribute(name) for name in names}
    keras.utils.clear_session()
    for name, value in kept.items():
        if value is not None:
            global_state.set_global_attribute(name, value)


_SETTINGS = (
    "dtype_policy",
    "custom_objects_scope_dict",
    "interactive_logging",
    "traceback_filtering",
    "flash_attention",
)

# Layers and models


def flatten_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return a layer, its sublayers, their sublayers and so on, each once; the layer itself comes first.

    Uses `Layer._flatten_layers`. The public `Model.layers` stops at the first level and exists for models only.
    """
    return layer._flatten_layers()


def nodes_by_depth(model: keras.Model) -> dict[int, list[Any]] | None:
    """Return the calls of layers in a functional or built sequential model, grouped by distance from the outputs.

    Returns None for any other model. Uses `Functional._nodes_by_depth` and `Sequential._functional`. No public name
    gives the calls, of which a shared layer has several, with their input and output tensors.
    """
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    return getattr(graph, "_nodes_by_depth", None) or None


def has_own_build(layer: keras.layers.Layer) -> bool:
    """Return whether the class of a layer defines `build`; otherwise Keras provides one that creates nothing.

    Uses `keras.src.utils.python_utils.is_default`, since Keras wraps `build` for each instance.
    """
    from keras.src.utils.python_utils import is_default

    return not is_default(layer.build)


def is_matrix(variable: keras.Variable) -> bool:
    """Return whether a variable has two axes or more and is not a bias, which has two in attention, one for the heads.

    Uses the name that Keras's layers give a bias.
    """
    return len(variable.shape) >= 2 and variable.name != "bias"


def mask_of(x: Tensor) -> Tensor | None:
    """Return the mask that layers attached to a tensor, such as `keras.layers.Masking`, or None.

    Uses `keras.src.backend.get_keras_mask`. Keras gives masks to the `call` of layers, but not to that of losses.
    """
    from keras.src.backend import get_keras_mask

    return get_keras_mask(x)


def with_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """Attach a mask to a tensor, where `mask_of` and the layers that follow find it; None attaches nothing.

    Uses `keras.src.backend.set_keras_mask`.
    """
    from keras.src.backend import set_keras_mask

    if mask is not None:
        set_keras_mask(x, mask)
    return x


def stored_kernel(layer: keras.layers.Layer) -> keras.Variable:
    """Return the variable that holds the kernel of a dense or convolutional layer of Keras.

    Uses `_kernel`. The public `kernel` is a property that adds low-rank adaptations and that a subclass may override.
    """
    return layer._kernel


def seed_generators(layer: keras.layers.Layer) -> list[keras.random.SeedGenerator]:
    """Return the seed generators that are attributes of a layer.

    Uses `Layer._seed_generators`. The public `variables` contain their states, but do not show which ones these are.
    """
    return list(getattr(layer, "_seed_generators", None) or ())


# Saved files


def resolve_registered_names(prefix: str, register: Callable[[], None]) -> None:
    """Let Keras call `register` once, when it meets a name with `prefix` in a saved file and knows no class for it.

    Replaces `object_registration.get_registered_object`. Keras refuses to import the module that a file names, and
    has no hook for a name that is not registered.
    """
    from keras.src.saving import object_registration

    original = object_registration.get_registered_object
    if getattr(original, "prefix", None) == prefix:
        return

    def get_registered_object(name, custom_objects=None, module_objects=None):
        found = original(name, custom_objects, module_objects)
        if found is None and isinstance(name, str) and name.startswith(prefix):
            register()
            found = original(name, custom_objects, module_objects)
        return found

    get_registered_object.prefix = prefix  # type: ignore[attr-defined]
    object_registration.get_registered_object = get_registered_object


# Compiled models


def compiled_metrics(model: keras.Model) -> Any:
    """Return the container of the metrics that were given to `compile`, or None if there were none.

    Uses `Model._compile_metrics`. The public `metrics` lists it among others, and cannot tell whether it is built.
    """
    return model._compile_metrics


def given_loss(model: keras.Model) -> Any:
    """Return the loss that was given to `compile`, or None if there was none.

    Uses `Model._compile_loss` and `CompileLoss._user_loss`. The public `loss` holds the same object, but Keras declares
    it as a deprecated method; `compute_loss` returns a mean over examples instead of one loss per example.
    """
    compiled = model._compile_loss if model.compiled else None
    return None if compiled is None else compiled._user_loss


def given_loss_weights(model: keras.Model) -> Any:
    """Return the `loss_weights` that were given to `compile`, or None if there were none.

    Uses `Model._compile_loss` and `CompileLoss._user_loss_weights`. The public `get_compile_config` holds them too, but
    raises for a loss or metric that cannot be serialized.
    """
    compiled = model._compile_loss if model.compiled else None
    return None if compiled is None else compiled._user_loss_weights


def tracked_metrics(model: keras.Model) -> list[keras.Metric]:
    """Return the metrics that are attributes of a model or of the layers in it, each once.

    Uses `Layer._metrics`. The public `metrics` of a layer lists those of inner layers again, and that of a compiled
    model inside another one its loss.
    """
    found = {id(metric): metric for layer in flatten_layers(model) for metric in layer._metrics}
    return list(found.values())


def build_from_batch(model: keras.Model, batch: tuple) -> None:
    """Create the variables of a compiled model, its metrics, its loss and its optimizer, without computing anything.

    Uses `Model._symbolic_build`, as `fit` does at its start. The public `build` creates the model's weights only.

    Args:
        model: compiled model.
        batch: inputs, targets and sample weights, as `keras.utils.unpack_x_y_sample_weight` returns them.
    """
    model._symbolic_build(data_batch=batch)


class BuiltBeforeTraining:
    """Mixin for a `keras.Model` that creates all its variables before `fit` calls Keras; it comes first among bases.

    Overrides `Model._maybe_symbolic_build`. Under a strategy Keras builds a model from the mean of a minibatch over
    the replicas there, which fails for a minibatch that the replicas do not share evenly.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass


def keep_losses_of_replicas_apart(model: keras.Model) -> None:
    """Let each replica see in `losses` only what its own calls of the layers of a model have added.

    Replaces `Layer._losses`, a list of the layer. The replicas run in turns, each in its own thread, so that Keras
    would mix the activity penalties of one with those of another, or forget them when the next replica begins.
    """
    for layer in flatten_layers(model):
        if not isinstance(layer._losses, _ListOfThread):
            vars(layer)["_losses"] = _ListOfThread()  # direct access avoids Keras's tracking of attributes


class _ListOfThread(threading.local):
    """List with other items in each thread, and the methods that Keras uses of `Layer._losses`."""

    def __init__(self) -> None:
        self.items: list[Tensor] = []
        self.extend, self.clear = self.items.extend, self.items.clear

    def __getitem__(self, place):
        return self.items[place]


def assert_compiled(model: keras.Model, method: str) -> None:
    """Raise Keras's error if `compile` has not been called. Uses `Model._assert_compile_called`."""
    model._assert_compile_called(method)


def restored_epoch(model: keras.Model) -> int | None:
    """Return the epoch from which a callback wants a training to continue, or None.

    Uses `Model._initial_epoch`, which `keras.callbacks.BackupAndRestore` sets and Keras's `fit` reads.
    """
    return model._initial_epoch


def restored_step(callbacks: keras.callbacks.CallbackList) -> int:
    """Return the step of `restored_epoch` with which a callback wants a training to continue.

    Reads the file of a `keras.callbacks.BackupAndRestore` that saves every few steps; Keras's `fit` repeats the steps
    before it, with the weights after them.
    """
    for each in callbacks.callbacks:
        if isinstance(each, keras.callbacks.BackupAndRestore) and each.save_freq != "epoch":
            with contextlib.suppress(OSError, ValueError, KeyError):
                return json.loads(Path(each._training_metadata_path).read_text())["batch"] + 1
    return 0


def set_restored_epoch(model: keras.Model, epoch: int | None) -> None:
    """Set what `restored_epoch` returns; Keras itself never forgets it, so that a further `fit` would skip epochs."""
    model._initial_epoch = epoch


def metrics_after(model: keras.Model, logs: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of a model, or the logs of its last step if they have other names.

    Uses `Model._get_metrics_result_or_logs`, as Keras's `fit` does after each epoch.
    """
    return model._get_metrics_result_or_logs(logs)


def in_order_of_metrics(model: keras.Model, logs: dict[str, Any]) -> Any:
    """Return the values of logs as `evaluate` returns them: a list in the order of the metrics, or one number.

    Uses `Model._flatten_metrics_in_order`.
    """
    return model._flatten_metrics_in_order(logs)


def strategy_at_creation(model: keras.Model) -> Any:
    """Return the strategy in whose scope a model was made, or None if it was made outside any scope.

    Uses `Model._distribute_strategy`. The public `distribute_strategy` gives the default strategy instead of None.
    """
    return model._distribute_strategy


@contextlib.contextmanager
def without_strategy(model: keras.Model) -> Iterator[None]:
    """Within this context, let a model train as if it had been made outside any scope.

    Sets `Model._distribute_strategy`, which Keras decides once, when the model is made.
    """
    strategy = model._distribute_strategy
    model._distribute_strategy = None
    try:
        yield
    finally:
        model._distribute_strategy = strategy


# Optimizers


def optimized_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the model variables that an optimizer was built for, in the order of its slots.

    Uses `Optimizer._trainable_variables`. The public `variables` are the slots.
    """
    return optimizer._trainable_variables


def set_averages(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    finalize: Callable[[list[keras.Variable]], None] | None = None,
) -> None:
    """With `use_ema`, set some of the model variables to their averages, as at the end of `fit`.

    Uses `optimized_variables`. Keras's `finalize_variable_values` pairs weights and averages by position, so that after
    freezing a part each weight behind it would get the average of another one. Here it is given all of them.

    Args:
        optimizer: the optimizer, or a `LossScaleOptimizer` around it.
        variables: the variables to set.
        finalize: Keras's method. Defaults to None, `optimizer.finalize_variable_values`.
    """
    finalize = finalize or optimizer.finalize_variable_values
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not inner.use_ema:
        finalize(list(variables))
        return
    chosen, every = set(map(id, variables)), optimized_variables(inner)
    others = [(each, keras.ops.convert_to_numpy(each)) for each in every if id(each) not in chosen]
    finalize(every)
    for variable, value in others:
        variable.assign(value)


def schedule_of(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Return the schedule of the learning rate, or None for a number.

    Uses `Optimizer._learning_rate`. The public `learning_rate` gives the value of a schedule in its place.
    """
    rate = optimizer._learning_rate
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def decayed(optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]) -> list[bool] | None:
    """Return which model variables take part in weight decay, or None without it.

    Uses `Optimizer._use_weight_decay`. The configuration lacks what `exclude_from_weight_decay` was given.

    Args:
        optimizer: the optimizer, or a `LossScaleOptimizer` around it.
        variables: model variables.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return None if inner.weight_decay is None else [inner._use_weight_decay(each) for each in variables]


def variable_index(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> int:
    """Return the position of a model variable among `optimized_variables`, and so of its slots in their lists.

    Uses `Optimizer._get_variable_index`, which the documentation of Keras's optimizers uses as well. On a replica it
    finds the variable behind the replica's copy, which a search by identity would not.
    """
    return optimizer._get_variable_index(variable)


def slots_of(optimizer: keras.optimizers.Optimizer, variable: keras.Variable) -> list[keras.Variable]:
    """Return what an optimizer remembers for one model variable: its slots of the same shape.

    Searches the attributes of the optimizer, private ones among them, for lists as long as `optimized_variables`. An
    optimizer names its slots as it likes, and the public `variables` do not show to which weight a slot belongs.
    """
    variables, index = optimized_variables(optimizer), variable_index(optimizer, variable)
    lists = [
        each
        for each in vars(optimizer).values()
        if isinstance(each, list) and len(each) == len(variables) and each is not variables
    ]
    return [each[index] for each in lists if getattr(each[index], "shape", None) == variable.shape]


def num_steps_taken(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Return the counter of the calls of `apply`.

    Uses `Optimizer._iterations`. The public `iterations` counts updates: with gradient accumulation, every n-th call.
    """
    return optimizer._iterations


@contextlib.contextmanager
def gradients_already_summed(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Within this context, let `optimizer.apply` take gradients as they are instead of summing them over replicas.

    Replaces `Optimizer._all_reduce_sum_gradients`. Keras sums inside the update, after clipping; no argument of
    `apply` turns that off.

    Args:
        optimizer: Keras optimizer; of a `LossScaleOptimizer`, the `inner_optimizer`.
    """
    if not hasattr(optimizer, "_all_reduce_sum_gradients"):
        raise NotImplementedError("This version of Keras sums gradients over replicas in another place")
    attributes = vars(optimizer)  # direct access avoids Keras's tracking of attributes
    # Replicas run in turns and may overlap here, so the last one to leave restores the method.
    attributes["_replicas_inside"] = attributes.get("_replicas_inside", 0) + 1
    attributes["_all_reduce_sum_gradients"] = list
    try:
        yield
    finally:
        attributes["_replicas_inside"] -= 1
        if not attributes["_replicas_inside"]:
            del attributes["_replicas_inside"], attributes["_all_reduce_sum_gradients"]


def sum_gradients(
    optimizer: keras.optimizers.Optimizer, pairs: Sequence[tuple[Tensor, Any]]
) -> Sequence[tuple[Tensor, Any]]:
    """Return (gradient, variable) pairs with the gradients summed over replicas as `optimizer.apply` sums them.

    Uses `Optimizer._all_reduce_sum_gradients`, to observe the very sum that the optimizer would apply.
    """
    return optimizer._all_reduce_sum_gradients(pairs)


class ChosenUpdateStep:
    """Mixin for a Keras optimizer whose step of a variable has several forms; it comes first among the bases.

    Overrides `Optimizer._distributed_tf_update_step`, which calls `update_step` for each variable, on each replica.
    Keras has no hook where one gradient is known, with the copy of its variable on a replica, before `update_step`.
    """

    def chosen_step(self, gradient: Tensor, variable: Any, learning_rate: Any) -> Callable[..., None]:
        """Return the method to call with (gradient, variable, learning rate); a subclass defines it."""
        raise NotImplementedError

    def _distributed_tf_update_step(self, distribution, grads_and_vars, learning_rate):
        def take_step(variable, gradient, learning_rate):
            self.chosen_step(gradient, variable, learning_rate)(gradient, variable, learning_rate)

        for gradient, variable in grads_and_vars:
            distribution.extended.update(variable, take_step, args=(gradient, learning_rate), group=False)


@contextlib.contextmanager
def updates_replaced(optimizer: keras.optimizers.Optimizer, update: Callable[..., None]) -> Iterator[None]:
    """Within this context, let `optimizer.apply` call `update` instead of changing any variable.

    Replaces `Optimizer._backend_update_step`. The public `update_step` gets one variable at a time, after the sum over
    replicas; between clipping and that sum Keras has no hook.

    Args:
        optimizer: Keras optimizer; of a `LossScaleOptimizer`, the `inner_optimizer`.
        update: function of (clipped gradients, model variables, learning rate).
    """
    optimizer._backend_update_step = update
    try:
        yield
    finally:
        del optimizer._backend_update_step


def replace_apply(optimizer: keras.optimizers.Optimizer, apply: Callable[[list, list], None]) -> None:
    """Let `optimizer.apply` call `apply(gradients, variables)` for clipping, decay, update and averages.

    Replaces `Optimizer._backend_apply_gradients` for good. Its choice between accumulating and updating is made in
    each replica, where TensorFlow allows no sum over replicas.
    """
    optimizer._backend_apply_gradients = apply


def accumulators_of(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
) -> list[keras.Variable]:
    """Return the gradient accumulators of some model variables.

    Uses `Optimizer._accumulated_gradients`, for code given to `replace_apply`. Keras has no public name for them.
    """
    return [optimizer._accumulated_gradients[variable_index(optimizer, each)] for each in variables]


def accumulate(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[Tensor], accumulators: Sequence[keras.Variable]
) -> None:
    """Add gradients to their accumulators, as Keras does in a step without an update.

    Uses `Optimizer._backend_increment_gradient_accumulators`, for code given to `replace_apply`.
    """
    optimizer._backend_increment_gradient_accumulators(gradients, accumulators)


def update(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[Tensor], variables: Sequence[keras.Variable]
) -> None:
    """Clip gradients, decay the weights and update them, as Keras does in a step with an update.

    Uses `Optimizer._clip_gradients`, `_apply_weight_decay` and `_backend_update_step`, for code given to
    `replace_apply`. The public `apply` does these three only together with the accumulation.
    """
    clipped = optimizer._clip_gradients(gradients)
    optimizer._apply_weight_decay(variables)
    optimizer._backend_update_step(clipped, variables, optimizer.learning_rate)


def reset_accumulators(optimizer: keras.optimizers.Optimizer) -> None:
    """Set all gradient accumulators to zero, as Keras does after an update.

    Uses `Optimizer._backend_reset_gradient_accumulators`, for code given to `replace_apply`.
    """
    optimizer._backend_reset_gradient_accumulators()


def update_weight_averages(optimizer: keras.optimizers.Optimizer) -> None:
    """Move the exponential averages of the weights one step; does nothing without `use_ema`.

    Uses `Optimizer._update_model_variables_moving_average`, for code given to `replace_apply`.
    """
    optimizer._update_model_variables_moving_average(optimizer._trainable_variables)


# TensorFlow


def num_workers(strategy: Any) -> int:
    """Return the number of machines that train together under a strategy.

    Uses `MultiWorkerMirroredStrategy.extended._num_workers`. The public `num_replicas_in_sync` counts replicas, of
    which a machine may have several.
    """
    return getattr(strategy.extended, "_num_workers", 1)


def worker_index(strategy: Any) -> int:
    """Return the number of this machine among `num_workers`, from 0.

    Uses `MultiWorkerMirroredStrategy.extended._id_in_cluster`. The public `cluster_resolver.task_id` counts the
    chief and the other workers separately.
    """
    return getattr(strategy.extended, "_id_in_cluster", 0) or 0


@contextlib.contextmanager
def custom_gradients_released() -> Iterator[None]:
    """On leaving this context, let TensorFlow forget the custom gradients that were traced within it.

    Removes entries of `ops.gradient_registry`, which holds the gradient of each `tf.custom_gradient` in a graph for
    good, and with it the graph: some MB for each training. They are needed until the gradient has been computed.
    """
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    before = set(registered)
    try:
        yield
    finally:
        for name in set(registered) - before:
            if name.startswith("CustomGradient"):
                registered.pop(name, None)  # another replica may have removed it


def called_with(function: Any, inputs: Sequence[Tensor], captures: Sequence[Tensor]) -> Any:
    """Call a concrete function with other captured inputs than those of its tracing.

    Uses `ConcreteFunction._call_flat`. The public call fills in the captures of the tracing.

    Args:
        function: what `tf.function(…).get_concrete_function()` returns.
        inputs: its arguments, one list of tensors.
        captures: one tensor for each in `function.captured_inputs`.
    """
    return function._call_flat(list(inputs), list(captures))


def called_graph(graph: Any, name: str) -> Any:
    """Return the graph of a function that an operation of a `tf.Graph` calls by name, or None.

    Uses `Graph._is_function` and `Graph._get_function`. The public `as_graph_def` has the functions without the shapes
    of their tensors.
    """
    return graph._get_function(name).graph if graph._is_function(name) else None


def is_compiled_by_xla() -> bool:
    """Return whether the current graph belongs to a `tf.function` with `jit_compile=True`.

    Uses `control_flow_util.GraphOrParentsInXlaContext`, as `tf.function` itself does.
    """
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def launched(kernel: Any, arguments: Sequence[Any]) -> Any:
    """Call a function that XLA compiles as a single operation `XlaLaunch` of a graph; gradients do not pass it.

    Uses `Graph.create_op`. For the call that `tf.function` makes, TensorFlow copies the body of the compiled function
    for every graph around it and never frees the copies, 0.8 MB for the draws of an augmentation.

    Args:
        kernel: `tf.function` with `jit_compile=True`. If it captures tensors, it is called as usual.
        arguments: its arguments, symbolic tensors of the current graph and Python values.
    """
    import tensorflow as tf
    from tensorflow.core.framework.attr_value_pb2 import AttrValue, NameAttrList

    made = kernel.get_concrete_function(*arguments)
    if made.captured_inputs:
        return kernel(*arguments)
    graph = tf.compat.v1.get_default_graph()
    made.add_to_graph(graph)
    inputs = [each for each in tf.nest.flatten(arguments) if tf.is_tensor(each)]
    inputs = [tf.convert_to_tensor(each) for each in inputs]
    types = {
        name: AttrValue(list=AttrValue.ListValue(type=[each.dtype.as_datatype_enum for each in row]))
        for name, row in {"Tconstants": [], "Targs": inputs, "Tresults": made.outputs}.items()
    }
    function = AttrValue(func=NameAttrList(name=made.name))
    attributes = {**types, "Nresources": AttrValue(i=0), "function": function}
    operation = graph.create_op("XlaLaunch", inputs, [each.dtype for each in made.outputs], attrs=attributes)
    for output, known in zip(operation.outputs, made.outputs, strict=True):
        output.set_shape(known.shape)
    return tf.nest.pack_sequence_as(made.structured_outputs, operation.outputs)


class _Untuned(threading.local):
    depth = 0  # number of contexts that this thread is in


_untuned = _Untuned()
_apply_debug_options: Any = None  # TensorFlow's own


@contextlib.contextmanager
def untuned_data_sets() -> Iterator[None]:
    """Within this context, let iterators over data sets of TensorFlow do without the thread that tunes them.

    Replaces `DatasetV2._apply_debug_options`, through which every new iterator passes its data set, by a method that
    also sets the option `autotune.enabled` to False, unless the data set sets that option. Of the iterators of a
    distributed data set, one for each device and one for all, only the last one takes the options of the data set.

    That thread sleeps for up to a minute at a time, the longer the more time has passed. An iterator that ends wakes it
    before it notes that it ends, so the thread may go to sleep again, and the process waits for it. Under a strategy
    this happens at the end of every third training. The parallel calls of `AUTOTUNE` are then as many as there are
    threads, and its buffers grow as before.
    """
    from tensorflow.python.data.ops import dataset_ops

    global _apply_debug_options
    if _apply_debug_options is None:
        _apply_debug_options = dataset_ops.DatasetV2._apply_debug_options
        dataset_ops.DatasetV2._apply_debug_options = _untuned_options
    _untuned.depth += 1
    try:
        yield
    finally:
        _untuned.depth -= 1


def _untuned_options(dataset):
    import tensorflow as tf

    dataset = _apply_debug_options(dataset)
    if not _untuned.depth or dataset.options().autotune.enabled is not None:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


_traced = itertools.count(1)
FUNCTIONS_KEPT = 16


def count_traced_function() -> None:
    """Free the eager operations that TensorFlow keeps, at every 16th function that is traced.

    Uses `Context.clear_kernel_cache`. TensorFlow remembers each operation by its arguments, and frees none, also if its
    function or data set is gone: a loop over new models grows by about a megabyte per training. Operations that are
    needed again are made again, which takes 0.15 s for the function of a training, so one model alone never pays that.
    """
    from tensorflow.python.eager import context

    if next(_traced) % FUNCTIONS_KEPT == 0:
        context.context().clear_kernel_cache()
