# %%
"""Does a network get the same weights on 1, 2 and 4 replicas, and when does it pay to split its layers?

There are two ways to use several devices. In data parallelism each replica has all weights and a part of the
minibatch, and the gradients are summed. In model parallelism each device has some of the layers, and the activations
are passed from one device to the next.

Claim: a classifier with dropout and batch normalization, trained on minibatches that do not divide evenly, gets the
same weights on any number of replicas, up to rounding (1e-5). A network in plain Keras with a mean in `compute_loss`
does not: its gradients are too large by a factor of the number of replicas. The traced step moves as many bytes of
gradients as computed. Splitting the layers moves fewer bytes than sharing the examples for minibatches below
(R − 1) G / A examples, where R is the number of devices, G the size of the gradients and A that of the activations
that one example sends between devices: it pays for many weights and few examples. It saves memory, not time, because
its devices wait for each other.

Slide: "Data Parallelism", "Model Parallelism", which gives no numbers.
Reference: Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997.
"""

import dataclasses
import inspect
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

import tf_kit
from tf_kit import lectures, networks, plotting, pretraining, regularization, scaling

TITLE = "Parallelism"
SECONDS = 40


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    data: str = lectures.option("digits", "Data set: digits, mnist, or any other image set.")
    largest: int = lectures.option(4, "Largest number of replicas.", choices=(2, 4, 8))
    labels: int = lectures.option(
        1000, "Largest number of labelled examples, one per class at least.", at_least=10
    )
    epochs: int = lectures.option(3, "Passes over them.", at_least=1)
    batch_size: int = lectures.option(99, "Examples per minibatch, over all replicas together.", at_least=8)
    units: int = lectures.option(
        1000, "Units in each hidden layer of the network whose traffic is computed.", at_least=1
    )

    @classmethod
    def quick(cls):
        return cls(labels=250, epochs=1, largest=2)


# %% [markdown]
# TensorFlow supports strategies of one size only per process, so each number of replicas gets a separate process. The
# next function is sent there as source text.


# %%
def train(replicas, name, labels, epochs, batch_size):
    """Train two networks on several replicas; return their weights and the bytes of a traced step."""

    class MeanInComputeLoss(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            losses = keras.ops.sparse_categorical_crossentropy(y, y_pred, from_logits=True)
            return keras.ops.mean(losses)

    with scaling.strategy("mirrored" if replicas > 1 else "none", replicas).scope():
        split = lectures.load_data(name, labels=labels)[0]
        dense = networks.mlp((64,), num_classes=None, activation="relu", seed=0).layers[1:]
        hidden = [regularization.BatchNorm(), regularization.Dropout(0.3, seed=0)]
        encoder = keras.Sequential([keras.layers.Flatten(), *dense, *hidden])
        classifier = pretraining.finetune(encoder, split.num_classes, seed=0)
        classifier.compile(keras.optimizers.SGD(0.1, momentum=0.9))
        classifier.fit(split.x, split.y, batch_size=batch_size, epochs=epochs, verbose=0)

        layers = networks.mlp((64,), split.num_classes, activation="relu", seed=0).layers
        shape = keras.Input(split.x.shape[1:])
        plain = MeanInComputeLoss([shape, *layers])
        plain.compile(keras.optimizers.SGD(0.05))
        even = min(batch_size, len(split.x)) // 8 * 8  # plain Keras gets only minibatches that divide evenly
        n = len(split.x) // even * even
        plain.fit(split.x[:n], split.y[:n], batch_size=even, epochs=epochs, shuffle=False, verbose=0)

        payloads = [0, 0]
        if replicas > 1:
            compiled = keras.Sequential([shape, *layers])
            compiled.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
            traced = scaling.traced_collectives(compiled, split.x[:even], split.y[:even])
            bill = scaling.traffic_bill(compiled, replicas, even)
            payloads = [bill.gradient_bytes, sum(traced.values())]

    def flat(model):
        return np.concatenate([weight.ravel() for weight in model.get_weights()])

    return {"kit": flat(classifier), "mean": flat(plain), "payloads": np.array(payloads)}


# %%
IMPORTS = (
    "import keras, numpy as np\nfrom tf_kit import lectures, networks, pretraining, regularization, scaling\n"
)


def start(replicas, path, *arguments):
    """Start a process that trains and saves its results."""
    program = f"{IMPORTS}{inspect.getsource(train)}\nnp.savez({path!r}, **train({replicas}, *{arguments!r}))"
    found = [str(Path(tf_kit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, found)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", program], env=environment, **pipes)


def trained(config):
    """Return the results of `train` for each number of replicas."""
    counts = [count for count in (2, 4, 8) if count <= config.largest]
    lectures.load_data(config.data, labels=config.labels)  # a refusal comes before the processes
    arguments = (config.data, config.labels, config.epochs, config.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        paths = {count: str(Path(folder) / f"{count}.npz") for count in counts}
        processes = {count: start(count, path, *arguments) for count, path in paths.items()}
        found = {1: train(1, *arguments)}
        for count, process in processes.items():
            errors = process.communicate()[1]
            if process.returncode:
                raise RuntimeError(f"training on {count} replicas failed: {errors[-500:]}")
            with np.load(paths[count]) as file:
                found[count] = {name: file[name] for name in file.files}
    return found


# %% [markdown]
# The bytes are those of all devices together for one step. Data parallelism moves the gradients there and back, once
# for each replica after the first, whatever the minibatch size. The split network moves activations and their
# gradients.


# %%
def bills(config):
    """Return the bytes moved by each kind, and the minibatch size at which they are equal, per number of devices."""
    split = lectures.load_data(config.data)[0]
    network = networks.mlp([config.units] * 3, split.num_classes, input_shape=split.x.shape[1:], seed=0)
    sizes = 2 ** np.arange(4, 15)
    found = {}
    for devices in (2, 4):
        each = [scaling.traffic_bill(network, devices, int(size)) for size in sizes]
        found[devices] = {
            "sizes": sizes,
            "data": np.array([bill.data_parallel_bytes for bill in each]),
            "model": np.array([bill.model_parallel_bytes for bill in each]),
            "crossover": each[0].crossover_batch_size,
        }
    return found


def run(config):
    found = trained(config)
    others = [count for count in found if count > 1]
    differences = {
        name: {count: float(np.abs(found[count][name] - found[1][name]).max()) for count in others}
        for name in ("kit", "mean")
    }
    return {
        "differences": differences,
        "payloads": {count: found[count]["payloads"].tolist() for count in others},
        "bills": bills(config),
    }


# %%
def check(results):
    kit, mean = results["differences"]["kit"], results["differences"]["mean"]
    for count, difference in kit.items():
        assert difference < 1e-5, f"on {count} replicas a weight differs by {difference:.1e}"
        assert mean[count] > 1e-3, f"with a mean in compute_loss, weights differ by only {mean[count]:.1e}"
    for count, (computed, traced) in results["payloads"].items():
        assert computed == traced, f"{count} replicas: {computed} bytes computed, {traced} traced"
    for devices, bill in results["bills"].items():
        fewer = bill["model"] < bill["data"]
        assert np.array_equal(fewer, bill["sizes"] < bill["crossover"]), (
            f"the crossover of {devices} devices is wrong"
        )
        assert fewer.any(), "splitting never pays"
        assert not fewer.all(), "splitting always pays"
    computed, traced = next(iter(results["payloads"].values()))
    crossover = " and ".join(f"{bill['crossover']:,.0f}" for bill in results["bills"].values())
    return (
        f"Yes: on up to {max(kit)} replicas no weight differs by more than {max(kit.values()):.0e}, against "
        f"{max(mean.values()):.2f} with a mean in compute_loss. Splitting the larger network moves fewer bytes for "
        f"minibatches below {crossover} examples on {' and '.join(map(str, results['bills']))} devices. {computed:,} "
        f"bytes of gradients were computed and {traced:,} traced."
    )


# %%
def plot(results):
    panels = []
    counts = list(results["differences"]["kit"])
    names = {"kit": "tf_kit", "mean": "plain Keras, mean in compute_loss"}
    floor = 1e-9  # so that a difference of zero has a place on the axis
    series = {
        label: (counts, [max(results["differences"][name][count], floor) for count in counts])
        for name, label in names.items()
    }
    panels.append(
        {
            "title": "difference from one device",
            "series": series,
            "x_label": "replicas",
            "y_label": "largest difference of a weight",
            "log": "y",
            "y_limits": (1e-10, 1e2),
            "x_ticks": counts,
            "legend": "upper left",
        }
    )
    series = {}
    for devices, bill in results["bills"].items():
        series[f"examples shared, {devices} devices"] = (bill["sizes"], bill["data"] / 1e6)
        series[f"layers split, {devices} devices"] = (bill["sizes"], bill["model"] / 1e6)
    panels.append(
        {
            "title": "bytes moved per step",
            "series": series,
            "x_label": "minibatch size",
            "y_label": "MB, all devices together",
            "log": "xy",
            "y_limits": (0.05, 5e4),
            "legend": "upper left",
        }
    )
    kernels = [np.ones(shape) for shape in ((4, 5), (5, 5), (5, 3))]
    places = ["device 1", "device 1", "device 2", "device 2"]
    panels.insert(0, {"network": {"model": kernels, "places": places, "most": 5}, "title": "layers split"})
    return plotting.graphs(panels, width=5.2)


# %%
if __name__ == "__main__":
    lectures.main(globals())
