# %%
"""When does it pay to split the units of a layer over machines?

Layers of 32 × 32 units are cut into strips of rows, one for each machine. A machine must receive the activations that
its units read and other machines compute. Three kinds of connections are compared: a window of 5 × 5 neighbors, as
many units anywhere, and all units. The numbers of values are counted in the connections themselves; the speed follows
from them, for machines and a network of given speed. In the second part a network runs on two machines that pass each
other messages: two processes, one the client of the other's TensorFlow server, connected by gRPC.

Claim: structure decides how much must be sent, and demand whether it matters. Window and random connections need the
same multiplications, but the random ones need several times the messages. On 16 machines the window pays, random
connections do not. Connections to all send the most, but compute so much more that splitting pays best. The network
that is split over two machines gets the same weights as on one, up to rounding (1e-5).

Slide: "Model Parallelism": on multiple machines (message passing); the benefit depends on connectivity structure
against computational demand.
Reference: Dean et al. 2012, "Large scale distributed deep networks", section 3 and figure 3.
"""

import contextlib
import dataclasses
import inspect
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import tf_kit
from tf_kit import lectures, plotting
from tf_kit.checks import refuse
from tf_kit.lectures.words import enumerated

TITLE = "Connections and messages"
SECONDS = 30
KINDS = ("window", "random", "all")


# %%
@dataclasses.dataclass(frozen=True)
class Config:
    side: int = lectures.option(32, "Rows and columns of units in a layer.", at_least=8)
    window: int = lectures.option(
        5, "Rows and columns of the window that a unit reads.", choices=(3, 5, 7, 9, 11)
    )
    multiplications: float = lectures.option(
        1e10, "Multiplications and additions per second of one machine.", above=0
    )
    bandwidth: float = lectures.option(1.25e9, "Bytes per second that a machine receives.", above=0)
    machines: bool = lectures.option(True, "Whether to train on two machines, which starts two processes.")
    epochs: int = lectures.option(3, "Passes over the digits on one and on two machines.", at_least=1)

    @classmethod
    def quick(cls):
        return cls(machines=False)


# %% [markdown]
# Row i of the matrix of connections tells which units of the layer before unit i reads.


# %%
def connections(kind, side, window, seed=0):
    """Return a matrix (units, units) of booleans."""
    units = side * side
    if kind == "all":
        return np.ones((units, units), bool)
    row, column = np.divmod(np.arange(units), side)
    reach = window // 2
    near = (abs(row[:, None] - row) <= reach) & (abs(column[:, None] - column) <= reach)
    if kind == "window":
        return near
    rng = np.random.default_rng(seed)
    reads = np.zeros((units, units), bool)
    for unit, count in enumerate(near.sum(axis=1)):  # as many as its window has
        reads[unit, rng.choice(units, count, replace=False)] = True
    return reads


def split_over(reads, machines):
    """Return multiplications and received values of the busiest machine, for one layer and one example."""
    owner = np.arange(len(reads)) * machines // len(reads)  # strips of rows
    work, received = [], []
    for machine in range(machines):
        of = reads[owner == machine]
        work.append(int(of.sum()))
        received.append(int((of.any(axis=0) & (owner != machine)).sum()))
    return max(work), max(received)


# %% [markdown]
# On two machines the stages of `scaling.split` lie on devices of two processes. The next function is sent to the
# client as source text; the server only needs to listen.


# %%
def train(address, epochs):
    """Train a network on one machine and split over two; return weights, devices and seconds of both."""
    import time

    import keras
    import tensorflow as tf

    from tf_kit import data, networks, scaling

    tf.config.experimental_connect_to_host(address, "server")
    split = data.load("digits", seed=0)[0]
    devices = [f"/job:{job}/replica:0/task:0/device:CPU:0" for job in ("localhost", "server")]
    found = {}
    for name, places in (("one", devices[:1] * 2), ("two", devices)):
        layers = networks.mlp((200, 200), split.num_classes, "relu", split.x.shape[1:], seed=0)
        model = scaling.split(layers, devices=places)
        model.compile(
            keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        model.fit(split.x, split.y, batch_size=256, epochs=1, shuffle=False, verbose=0)
        began = time.perf_counter()
        model.fit(split.x, split.y, batch_size=256, epochs=epochs, shuffle=False, verbose=0)
        found[name] = np.concatenate([weight.ravel() for weight in model.get_weights()])
        found[f"{name}_seconds"] = time.perf_counter() - began
        found[f"{name}_jobs"] = [v.value.device.split("/")[1] for v in model.trainable_variables]
    return found


# %%
SERVER = "import sys, tensorflow as tf\ntf.distribute.Server({'server': sys.argv[1:]}, 'server', 0).join()"


def free_address():
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


def on_two_machines(epochs):
    """Start a server and a client; return the results of `train`."""
    address = free_address()
    found = [str(Path(tf_kit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, found)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "found.npz")
        client = f"import numpy as np\n{inspect.getsource(train)}\nnp.savez({path!r}, **train({address!r}, {epochs}))"
        server = subprocess.Popen([sys.executable, "-c", SERVER, address], env=environment, **quiet)
        try:
            ended = subprocess.run(
                [sys.executable, "-c", client], env=environment, capture_output=True, text=True, timeout=120
            )
        finally:
            server.kill()
            server.wait()
        if ended.returncode:
            raise RuntimeError(f"training on two machines failed: {ended.stderr[-500:]}")
        with np.load(path) as file:
            return {name: file[name] for name in file.files}


def run(config):
    counts = [count for count in (1, 2, 4, 8, 16) if count <= config.side]
    if config.window > config.side:
        received = f"{config.window} for {config.side} rows and columns of units"
        refuse("Config.window", "be no wider than the layer", received)
    results = {"window": config.window, "counts": counts, "work": {}, "received": {}, "speed": {}}
    for kind in KINDS:
        reads = connections(kind, config.side, config.window)
        work, received = np.transpose([split_over(reads, count) for count in counts])
        seconds = work / config.multiplications + 4 * received / config.bandwidth  # float32
        results["work"][kind], results["received"][kind] = work, received
        results["speed"][kind] = seconds[0] / seconds
    if config.machines:
        found = on_two_machines(config.epochs)
        results["machines"] = {
            "difference": float(np.abs(found["one"] - found["two"]).max()),
            "jobs": found["two_jobs"].tolist(),
            "seconds": [float(found["one_seconds"]), float(found["two_seconds"])],
        }
    return results


# %%
def check(results):
    work, received, speed = (results[name] for name in ("work", "received", "speed"))
    most = results["counts"][-1]
    assert work["window"][0] == work["random"][0], (
        f"multiplications: {work['window'][0]}, {work['random'][0]}"
    )
    last = {kind: int(received[kind][-1]) for kind in KINDS}
    assert last["window"] * 3 < last["random"] < last["all"], f"values received: {enumerated(last, ',')}"
    faster = {kind: float(speed[kind][-1]) for kind in KINDS}
    assert faster["window"] > 2, f"speed on {most} machines: {enumerated(faster, '.2f')}"
    assert faster["random"] < 1, f"speed on {most} machines: {enumerated(faster, '.2f')}"
    assert faster["all"] > faster["window"], f"speed on {most} machines: {enumerated(faster, '.2f')}"
    answer = (
        f"On {most} machines a machine receives {last['window']} values per layer and example with windows, "
        f"{last['random']} with as many connections anywhere and {last['all']} with all. They are "
        f"{faster['window']:.1f}, {faster['random']:.1f} and {faster['all']:.1f} times as fast as one machine."
    )
    if "machines" not in results:
        return answer
    two = results["machines"]
    assert two["difference"] < 1e-5, f"a weight differs by {two['difference']:.1e} on two machines"
    assert set(two["jobs"]) == {"job:localhost", "job:server"}, (
        f"the weights lie on {' and '.join(sorted(set(two['jobs'])))}"
    )
    return (
        f"{answer} A network split over two processes with gRPC between them gets the same weights within "
        f"{max(two['difference'], 1e-9):.0e}; it takes {two['seconds'][1] / two['seconds'][0]:.1f} times as long as in "
        "one process, since it is small."
    )


# %%
def plot(results):
    counts = results["counts"]
    names = {
        "window": f"{results['window']} × {results['window']} neighbors",
        "random": "as many anywhere",
        "all": "all units",
    }
    received = {names[kind]: (counts[1:], results["received"][kind][1:]) for kind in KINDS}
    speed = {names[kind]: (counts, results["speed"][kind]) for kind in KINDS}
    shared = {"x_label": "machines", "log": "x", "x_ticks": counts}
    return plotting.graphs(
        [
            {
                "series": received,
                "title": "messages per layer and example",
                "y_label": "values that a machine receives",
                **shared,
                "log": "xy",
            },
            {
                "series": speed,
                "title": "speed",
                "y_label": "times as fast as one machine",
                **shared,
                "level": (1, "one machine"),
            },
        ],
        width=6.4,
    )


# %%
if __name__ == "__main__":
    lectures.main(globals())
