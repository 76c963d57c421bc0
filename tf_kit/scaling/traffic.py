"""Bytes that one training step moves between devices, with the examples or the layers divided among them.

Data parallelism moves gradients: the bytes grow with the number of weights, not with the batch. Model parallelism
moves the activations at its cuts and their gradients: the bytes grow with the number of examples, not with the
weights. At one batch size both are equal.

Reference: Krizhevsky, 2014, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997;
Patarasuk, Yuan, 2009, Bandwidth optimal all-reduce algorithms for clusters of workstations,
doi:10.1016/j.jpdc.2008.09.002.
"""

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_kit import keras_internals
from tf_kit.checks import count, refuse
from tf_kit.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class TrafficBill:
    """Bytes moved per step by both kinds of parallelism; the result of `traffic_bill`, printed as a table by `str`.

    Attributes:
        num_devices: R.
        batch_size: n, examples per global minibatch.
        gradient_bytes: G, bytes of the gradients of all weights.
        cuts: names of the layers before which the model is split.
        crossing_bytes: for each cut, bytes of the activations of one example that cross it.
        returning_bytes: for each cut, bytes of their gradients.
        data_parallel_bytes, model_parallel_bytes: bytes sent by all devices, equations (1) and (2) of `traffic_bill`.
        device_bytes: bytes that each replica sends in data parallelism.
        crossover_batch_size: n*, equation (3); below it model parallelism moves fewer bytes. Infinite if nothing
            crosses a cut.
    """

    num_devices: int
    batch_size: int
    gradient_bytes: int
    cuts: tuple[str, ...]
    crossing_bytes: tuple[int, ...]
    returning_bytes: tuple[int, ...]

    @property
    def data_parallel_bytes(self) -> int:
        return 2 * (self.num_devices - 1) * self.gradient_bytes  # (1)

    @property
    def device_bytes(self) -> float:
        return self.data_parallel_bytes / self.num_devices

    @property
    def _bytes_of_an_example(self):
        return sum(self.crossing_bytes) + sum(self.returning_bytes)

    @property
    def model_parallel_bytes(self) -> int:
        return self.batch_size * self._bytes_of_an_example  # (2)

    @property
    def crossover_batch_size(self) -> float:
        moved = self._bytes_of_an_example
        return self.data_parallel_bytes / moved if moved else math.inf  # (3)

    def __str__(self) -> str:
        rows = {
            f"data parallel, {self.num_devices} replicas": self.data_parallel_bytes,
            f"layers split, cut before {', '.join(self.cuts) or 'nothing'}": self.model_parallel_bytes,
        }
        lines = [f"{'':<48}{'MB per step':>12}   minibatch of {self.batch_size}"]
        lines += [f"{name[:48]:<48}{value / 1e6:>12.3f}" for name, value in rows.items()]
        return "\n".join([*lines, f"equal at a minibatch of {self.crossover_batch_size:.4g} examples"])


def traffic_bill(
    model: keras.Model, num_devices: int, batch_size: int, cuts: Sequence[int | str] | None = None
) -> TrafficBill:
    """Bill of traffic: the bytes that one training step of a Keras model moves between R devices.

        data parallel   2 (R − 1) G            ring all-reduce: each replica sends 2 (R − 1)/R · G      (1)
        model parallel  n Σ_cuts (a + a′)      activations forward, their gradients backward            (2)
        n* = 2 (R − 1) G / Σ_cuts (a + a′)     batch size at which both are equal                       (3)

    where n = `batch_size`, G = bytes of the gradients of all trainable weights, a = bytes of the activations of one
    example that cross a cut (a tensor that several later layers read is counted once), and a′ = a without the
    integer tensors, which have no gradient. No all-reduce needs fewer bytes than (1). Batch statistics, metrics and
    the labels, which the last device needs, are left out because they are small.

    Args:
        model: built functional or sequential model.
        num_devices: R, at least 2.
        batch_size: n, examples per global minibatch, at least 1.
        cuts: R − 1 layers, by name or by index in `split_points(model)`, before which the model is cut. None means
            the cuts that balance the weights, see `balanced_cuts`. Defaults to None.

    Returns:
        `TrafficBill`.

    Raises:
        InputError: a number is out of range, the layers of the model have no order, the cuts are not R − 1 layers
            in order, or the size of what crosses them is not known.

    Example:
        >>> model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(10), keras.layers.Dense(10)])
        >>> bill = traffic_bill(model, num_devices=2, batch_size=16)
        >>> bill.gradient_bytes == 4 * (21 * 10 + 11 * 10), bill.model_parallel_bytes == 16 * 2 * 4 * 10
        (True, True)
        >>> bill.crossover_batch_size
        32.0

    Reference: Patarasuk, Yuan, 2009, theorem 1, for (1), doi:10.1016/j.jpdc.2008.09.002.
    """
    num_devices = count("traffic_bill.num_devices", num_devices, at_least=2)
    batch_size = count("traffic_bill.batch_size", batch_size)
    nodes = _nodes(model)
    if num_devices > len(nodes):
        requirement = f"be at most {len(nodes)}, the number of layers of the model"
        refuse("traffic_bill.num_devices", requirement, f"num_devices={num_devices}")
    if cuts is None:
        cuts = balanced_cuts([_weight_bytes(node.operation) for node in nodes], num_devices)
    places = _places(nodes, cuts, num_devices)
    crossing = [_crossing(nodes, place) for place in places]
    return TrafficBill(
        num_devices=num_devices,
        batch_size=batch_size,
        gradient_bytes=_nbytes(model.trainable_weights),
        cuts=tuple(nodes[place].operation.name for place in places),
        crossing_bytes=tuple(_nbytes_of_example(tensors) for tensors in crossing),
        returning_bytes=tuple(
            _nbytes_of_example([tensor for tensor in tensors if "float" in tensor.dtype])
            for tensors in crossing
        ),
    )


def split_points(model: keras.Model) -> list[str]:
    """List the layers in the order of the forward pass; a model can be cut before each except the first.

    Args:
        model: built functional or sequential model.

    Returns:
        Names of the layers.

    Raises:
        InputError: the layers of the model have no order.

    Example:
        >>> split_points(keras.Sequential([keras.Input((20,)), keras.layers.Dense(10, name="hidden")]))
        ['hidden']
    """
    return [node.operation.name for node in _nodes(model)]


def balanced_cuts(costs: Sequence[float], num_parts: int) -> list[int]:
    """Cut a sequence into parts so that the most expensive part is as cheap as possible.

        minimize over 0 < c_1 < … < c_{P−1} < L   max_p Σ_{c_p ≤ i < c_{p+1}} costs_i       (1)

    Args:
        costs: L numbers, one per layer.
        num_parts: P, from 1 to L.

    Returns:
        P − 1 indices, each of the first element of a part.

    Raises:
        InputError: `num_parts` is out of range.

    Example:
        >>> balanced_cuts([1, 1, 1, 9, 1, 1], 3)
        [3, 4]
    """
    num_parts = count("balanced_cuts.num_parts", num_parts)
    length = len(costs)
    if num_parts > length:
        refuse(
            "balanced_cuts.num_parts", f"be at most the number of layers, {length}", f"num_parts={num_parts}"
        )
    sums = np.concatenate([[0], np.cumsum(costs)])
    best: dict[tuple[int, int], tuple[float, tuple[int, ...]]]
    best = {(1, end): (float(sums[end]), ()) for end in range(length + 1)}
    for parts in range(2, num_parts + 1):
        for end in range(parts, length + 1):
            best[parts, end] = min(
                (max(best[parts - 1, cut][0], float(sums[end] - sums[cut])), (*best[parts - 1, cut][1], cut))
                for cut in range(parts - 1, end)
            )  # (1)
    return list(best[num_parts, length][1])


def traced_collectives(model: keras.Model, x: ArrayLike, y: ArrayLike | None = None) -> dict[str, int]:
    """Count the payload bytes of one replica in the collective operations of a traced training step.

    The payload of an all-reduce is the tensor that each replica contributes; in a ring, each replica sends
    2 (R − 1)/R times as many bytes. The step is traced, not run.

    Args:
        model: compiled Keras model, made in the scope of a strategy of several replicas.
        x, y: a batch, arrays or a list or dictionary of arrays.

    Returns:
        Dictionary from the name of the operation (`"CollectiveReduceV2"`, `"NcclAllReduce"`, …) to bytes. For a model
        with a compiled loss these are the gradients, `TrafficBill.gradient_bytes`, without the metrics. Operations
        of unknown shape are not counted.

    Raises:
        InputError: the model has only one replica.
    """
    strategy = model.distribute_strategy
    replicas = strategy.num_replicas_in_sync
    if replicas < 2:
        refuse(
            "traced_collectives.model",
            "have two replicas or more",
            f"{replicas} replica under {type(strategy).__name__}",
            'Make it in the scope of scaling.strategy("mirrored", replicas=2)',
        )
    given = [keras.tree.map_structure(tf.convert_to_tensor, each) for each in (x, y) if each is not None]
    batch = keras.utils.pack_x_y_sample_weight(*given)
    with strategy.scope():
        if hasattr(model, "prepare_from"):
            model.prepare_from(x, y)
        else:
            keras_internals.build_from_batch(model, keras.utils.unpack_x_y_sample_weight(batch))
            model.optimizer.build(model.trainable_variables)
    shared = strategy.experimental_distribute_values_from_function(lambda context: batch)
    traced = tf.function(lambda batch: strategy.run(model.train_step, args=(batch,)))
    graph = traced.get_concrete_function(shared).graph
    moved: dict[str, int] = {}
    for operation in _operations(graph):
        if operation.type.startswith(("Collective", "NcclAllReduce")) and operation.inputs:
            tensor = operation.inputs[0]
            if tensor.shape.is_fully_defined():
                size = math.prod(tensor.shape) * tensor.dtype.size
                moved[operation.type] = moved.get(operation.type, 0) + size
    return {name: total // len(strategy.extended.worker_devices) for name, total in moved.items()}


def _operations(graph):
    """Yield the operations of a graph and of the functions that it calls, once per call."""
    for operation in graph.get_operations():
        yield operation
        for name in operation.node_def.attr:
            attribute = operation.node_def.attr[name]
            called = attribute.func.name if attribute.HasField("func") else None
            inner = keras_internals.called_graph(graph, called) if called else None
            if inner is not None:
                yield from _operations(inner)


def _nodes(model):
    """List the calls of layers in the order of the forward pass."""
    by_depth = keras_internals.nodes_by_depth(model)
    if not by_depth:
        refuse(
            "traffic_bill.model",
            "be a built functional or sequential model, whose layers have an order",
            f"{type(model).__name__} {getattr(model, 'name', '')!r}",
            "Give a Sequential model a keras.Input",
        )
    every = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [node for node in every if not node.is_input]


def _places(nodes, cuts, num_devices):
    names = [node.operation.name for node in nodes]
    places = [names.index(cut) if cut in names else cut for cut in cuts]
    inside = all(isinstance(place, int | np.integer) and 0 < place < len(nodes) for place in places)
    if len(places) != num_devices - 1 or not inside or sorted(set(places)) != places:
        refuse(
            "traffic_bill.cuts",
            f"be {num_devices - 1} layers in order, not the first",
            f"cuts={list(cuts)}",
            f"The layers: {', '.join(names)}",
        )
    return places


def _crossing(nodes, place):
    """List the outputs of layers before `place` that later layers read; all devices get the inputs, so not those."""
    read = {id(tensor): tensor for node in nodes[place:] for tensor in node.input_tensors}
    made_later = {id(tensor) for node in nodes[place:] for tensor in node.outputs}
    given = {id(tensor) for node in nodes for tensor in node.input_tensors} - {
        id(tensor) for node in nodes for tensor in node.outputs
    }
    return [tensor for key, tensor in read.items() if key not in made_later | given]


def _weight_bytes(operation):
    return _nbytes(getattr(operation, "trainable_weights", ()))


def _nbytes(variables):
    return sum(math.prod(v.shape) * _item_bytes(v.dtype) for v in variables)


def _nbytes_of_example(tensors):
    for tensor in tensors:
        if None in tensor.shape[1:]:
            received = f"one of shape {tuple(tensor.shape)}"
            remedy = "Give the model a keras.Input of fixed size, such as that of the longest sequence"
            refuse("traffic_bill.model", "have outputs of known shape before each cut", received, remedy)
    return sum(math.prod(tensor.shape[1:]) * _item_bytes(tensor.dtype) for tensor in tensors)


def _item_bytes(dtype):
    return np.dtype(keras.backend.standardize_dtype(dtype)).itemsize
