"""Bytes that one training step moves between devices: sharing the examples against splitting the layers.

Data parallelism moves gradients: as many bytes as there are weights, whatever the batch. Model parallelism moves
the activations at its cuts and their gradients: as many as there are examples, whatever the weights. So there is a
batch size at which they are equal.

Reference: Krizhevsky, 2014, One weird trick for parallelizing convolutional neural networks; Patarasuk, Yuan, 2009,
Bandwidth optimal all-reduce algorithms for clusters of workstations.
"""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from tf_kit.checks import count, refuse


@dataclasses.dataclass(frozen=True)
class TrafficBill:
    """Bytes moved in one step, by both kinds of parallelism; made by `traffic_bill`, printed as a table by `str`.

    Attributes:
        num_devices, batch_size: R and n, the examples of the whole minibatch.
        gradient_bytes: G, the gradients of all weights.
        cuts: names of the layers before which the model is split.
        crossing_bytes: for each cut, the activations of one example that cross it.
        data_parallel_bytes, model_parallel_bytes: of all devices together, equations (1) and (2) of `traffic_bill`.
        device_bytes: what each replica of data parallelism sends.
        crossover_batch_size: n*, equation (3): below it splitting the layers moves less. Infinite where nothing
            crosses.
    """

    num_devices: int
    batch_size: int
    gradient_bytes: int
    cuts: tuple
    crossing_bytes: tuple
    returning_bytes: tuple

    @property
    def data_parallel_bytes(self):
        return 2 * (self.num_devices - 1) * self.gradient_bytes  # (1)

    @property
    def device_bytes(self):
        return self.data_parallel_bytes / self.num_devices

    @property
    def _bytes_of_an_example(self):
        return sum(self.crossing_bytes) + sum(self.returning_bytes)

    @property
    def model_parallel_bytes(self):
        return self.batch_size * self._bytes_of_an_example  # (2)

    @property
    def crossover_batch_size(self):
        moved = self._bytes_of_an_example
        return self.data_parallel_bytes / moved if moved else math.inf  # (3)

    def __str__(self):
        rows = {
            f"data parallel, {self.num_devices} replicas": self.data_parallel_bytes,
            f"layers split, cut before {', '.join(self.cuts) or 'nothing'}": self.model_parallel_bytes,
        }
        lines = [f"{'':<48}{'MB a step':>12}   minibatch of {self.batch_size}"]
        lines += [f"{name[:48]:<48}{value / 1e6:>12.3f}" for name, value in rows.items()]
        return "\n".join([*lines, f"equal at a minibatch of {self.crossover_batch_size:.4g} examples"])


def traffic_bill(model, num_devices: int, batch_size: int, cuts=None) -> TrafficBill:
    """Bill of traffic: the bytes that one step of a Keras model moves between R devices.

        data parallel   2 (R − 1) G            ring all-reduce: each replica sends 2 (R − 1)/R · G      (1)
        model parallel  n Σ_cuts (a + a′)      activations forward, their gradients back                (2)
        n* = 2 (R − 1) G / Σ_cuts (a + a′)     where both are equal                                     (3)

    where n = `batch_size`, G = bytes of the gradients of all trainable weights, a = bytes that one example sends over
    a cut, a tensor that several later layers read counted once, and a′ = a but for whole numbers, which have no
    gradient. No algorithm reduces with fewer bytes than (1). Batch statistics, metrics and the labels, which the last
    device needs, are left out: they are small.

    Args:
        model: a built functional or sequential model.
        num_devices: R, at least 2.
        batch_size: examples of the whole minibatch, n.
        cuts: R − 1 layers, by name or by number among `split_points(model)`, before which the model is cut. Defaults
            to the cuts that balance the weights, see `balanced_cuts`.

    Returns: `TrafficBill`.

    Raises:
        InputError: for a number out of range, a model whose layers are not known in order, wrong cuts.

    Example:
        >>> model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(10), keras.layers.Dense(10)])
        >>> bill = traffic_bill(model, num_devices=2, batch_size=16)
        >>> bill.gradient_bytes == 4 * (21 * 10 + 11 * 10), bill.model_parallel_bytes == 16 * 2 * 4 * 10
        (True, True)
        >>> bill.crossover_batch_size
        32.0

    Reference: Patarasuk and Yuan 2009, theorem 1, for (1).
    """
    num_devices = count("traffic_bill.num_devices", num_devices, at_least=2)
    batch_size = count("traffic_bill.batch_size", batch_size)
    nodes = _nodes(model)
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


def split_points(model):
    """Names of the layers in the order of the forward pass; a model can be cut before each but the first."""
    return [node.operation.name for node in _nodes(model)]


def balanced_cuts(costs, num_parts):
    """Where to cut a sequence so that the most expensive part is as cheap as possible.

        minimize over 0 < c_1 < … < c_{P−1} < L   max_p Σ_{c_p ≤ i < c_{p+1}} costs_i       (1)

    Args:
        costs: L numbers, one a layer.
        num_parts: P ≤ L.

    Returns:
        P − 1 indices, each the first of a part.

    Example:

        >>> balanced_cuts([1, 1, 1, 9, 1, 1], 3)
        [3, 4]
    """
    num_parts = count("balanced_cuts.num_parts", num_parts)
    length = len(costs)
    if num_parts > length:
        refuse("balanced_cuts.num_parts", f"be at most the {length} layers", f"num_parts={num_parts}")
    sums = np.concatenate([[0], np.cumsum(costs)])
    best = {(1, end): (float(sums[end]), ()) for end in range(length + 1)}
    for parts in range(2, num_parts + 1):
        for end in range(parts, length + 1):
            best[parts, end] = min(
                (max(best[parts - 1, cut][0], float(sums[end] - sums[cut])), (*best[parts - 1, cut][1], cut))
                for cut in range(parts - 1, end)
            )  # (1)
    return list(best[num_parts, length][1])


def traced_collectives(model, x, y=None):
    """What the collectives of a training step carry, read from the traced step: payload bytes of one replica.

    The payload of an all-reduce is the tensor that each replica hands in; on a ring, 2 (R − 1)/R times as many bytes
    leave it. Nothing is run.

    Args:
        model: a compiled Keras model, made in the scope of a strategy of several replicas.
        x, y: a batch.

    Returns:
        Name of the operation (`"CollectiveReduceV2"`, `"NcclAllReduce"`, …) → bytes, a dictionary. For a model with
        a compiled loss the reductions are the gradients, `TrafficBill.gradient_bytes`, and the single numbers of the
        metrics are not among them. Operations whose shape the trace leaves open count as nothing.

    Raises:
        InputError: for a model on one replica.
    """
    strategy = model.distribute_strategy
    replicas = strategy.num_replicas_in_sync
    if replicas < 2:
        refuse(
            "traced_collectives.model",
            "have two replicas or more",
            f"{replicas} replica under {type(strategy).__name__}",
            'Make it under scaling.strategy("mirrored", replicas=2)',
        )
    given = tuple(tf.convert_to_tensor(each) for each in (x, y) if each is not None)
    batch = keras.utils.pack_x_y_sample_weight(*given)
    with strategy.scope():
        if hasattr(model, "prepare_from"):
            model.prepare_from(x, y)
        else:
            model._symbolic_build(data_batch=keras.utils.unpack_x_y_sample_weight(batch))
            model.optimizer.build(model.trainable_variables)
    shared = strategy.experimental_distribute_values_from_function(lambda context: batch)
    traced = tf.function(lambda batch: strategy.run(model.train_step, args=(batch,)))
    graph = traced.get_concrete_function(shared).graph
    moved = {}
    for operation in _operations(graph):
        if operation.type.startswith(("Collective", "NcclAllReduce")) and operation.inputs:
            tensor = operation.inputs[0]
            if tensor.shape.is_fully_defined():
                size = math.prod(tensor.shape) * tensor.dtype.size
                moved[operation.type] = moved.get(operation.type, 0) + size
    return {name: total // len(strategy.extended.worker_devices) for name, total in moved.items()}


def _operations(graph):
    """Operations of a graph and of the functions that it calls, each as often as it is called."""
    for operation in graph.get_operations():
        yield operation
        for name in operation.node_def.attr:
            attribute = operation.node_def.attr[name]
            called = attribute.func.name if attribute.HasField("func") else None
            if called and graph._is_function(called):
                yield from _operations(graph._get_function(called).graph)


def _nodes(model):
    """Calls of layers in the order of the forward pass."""
    functional = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    by_depth = getattr(functional, "_nodes_by_depth", None)
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
    """What layers before `place` make and it or a later one reads; not the inputs, which every device is given."""
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
    return sum(math.prod(tensor.shape[1:]) * _item_bytes(tensor.dtype) for tensor in tensors)


def _item_bytes(dtype):
    return np.dtype(keras.backend.standardize_dtype(dtype)).itemsize
