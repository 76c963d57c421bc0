"""Reading of folders of pictures against Keras: `python tests/benchmarks/pictures.py [--folder FOLDER] [--rounds 5]`.

Two folders are made, 20,000 JPEGs of 64 × 64 pixels and 500 of 12 megapixels, and read into float32 arrays of 64 × 64:
by the kit as `tf-kit pretrain` reads a folder (heads, copies and fingerprint of all files included), and by
`image_dataset_from_directory`, whose minibatches fill an array. Every reading is a new process, and the two alternate.
Seconds do not count imports, nor the time in which a virtual machine gets memory from its host, which can exceed that
of reading: the process fills and frees an array of the same size before. Those of the kit are also given without what
Keras does not do. Memory is that of one more reading each, the peak above that after the imports, in units of the
arrays. Then a step of SimCLR on the small pictures: streamed from the folder, against the same steps on arrays.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SIDE, SMALL, LARGE = 64, 20_000, 500
LARGE_SIZE = (3000, 4000)
BATCH = 256


def write_pictures(folder, count, size):
    """Write JPEGs of smooth shapes with noise; large ones share their pixels and differ in a comment."""
    import numpy as np
    from PIL import Image

    if folder.is_dir() and len(os.listdir(folder)) == count:
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng, kept = np.random.default_rng(0), []
    for i in range(count):
        if size == (SIDE, SIDE) or i < 8:
            coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype="uint8"))
            pixels = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC), "int16")
            noise = rng.integers(-6, 7, size, dtype="int16")[..., None]
            content = io.BytesIO()
            Image.fromarray(np.clip(pixels + noise, 0, 255).astype("uint8")).save(content, "JPEG", quality=85)
            kept = [*kept[-7:], content.getvalue()]
        comment = f"picture {i:06}".encode()
        head = b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment
        jpeg = kept[i % 8] if i >= 8 and size != (SIDE, SIDE) else kept[-1]
        (folder / f"{i:06}.jpg").write_bytes(jpeg[:2] + head + jpeg[2:])


# Each runs in a new process: `read(folder)` returns the array.
PROGRAMS = {
    "kit": """
import time
from tf_kit.data import folder
from tf_kit.runs.training_data import training_data
scan = folder.scan
def timed(*path, **how):
    began = time.perf_counter()
    found = scan(*path, **how)
    globals()["looking"] = time.perf_counter() - began
    return found
folder.scan = timed
def read(folder):
    return training_data(folder, image_size=SIDE, color="rgb", batch_size=BATCH).x
""",
    "keras": """
import keras, numpy as np, tensorflow as tf
def read(folder):
    batches = keras.utils.image_dataset_from_directory(
        folder, labels=None, image_size=(SIDE, SIDE), batch_size=BATCH, shuffle=False, verbose=False)
    x, start = np.empty((len(batches.file_paths), SIDE, SIDE, 3), "float32"), 0
    for batch in batches.prefetch(2):
        np.divide(batch, np.float32(255), out=x[start : start + len(batch)])
        start += len(batch)
    return x
""",
}
MEASURE = """
import json, resource, sys, time
def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
import tensorflow as tf
tf.data.Dataset.range(2).map(lambda i: i + 1).batch(2).get_single_element()
import numpy as np
if FILLED:
    np.ones(FILLED, "uint8")
before, began, worked = peak(), time.perf_counter(), time.process_time()
x = read(sys.argv[1])
seconds, worked = time.perf_counter() - began, time.process_time() - worked
memory, looking = (peak() - before) / x.nbytes, globals().get("looking", 0.0)
print(json.dumps({"seconds": seconds, "looking": looking, "processor": worked, "memory": memory, "n": len(x)}))
"""
STEP = """
import json, sys, time, numpy as np, keras
from tf_kit import networks, pretraining, regularization
from tf_kit.runs import training_data
def seconds(fit, n):
    began = time.perf_counter()
    fit()
    return (time.perf_counter() - began) / n
encoder = networks.cnn((16, 32, 64), num_classes=None, units=(128,), input_shape=(SIDE, SIDE, 3))
model = pretraining.SimCLR(encoder, augment=regularization.preset("natural", strong=True))
model.compile("adam")
arrays = training_data.training_data(sys.argv[1], image_size=SIDE, color="rgb", batch_size=BATCH)
training_data.STREAM_ABOVE_BYTES = 0
streamed = training_data.training_data(sys.argv[1], image_size=SIDE, color="rgb", batch_size=BATCH)
training_data.folder.fits_as_bytes = lambda *images: False
anew = training_data.training_data(sys.argv[1], image_size=SIDE, color="rgb", batch_size=BATCH)
steps, few = 20, 20 * BATCH
def on(data):
    if data is arrays:
        return lambda: model.fit(arrays.x[:few], batch_size=BATCH, epochs=1, verbose=0)
    return lambda: model.fit(data.stream(0, 1), steps_per_epoch=steps, epochs=1, verbose=0)
sides = [on(data) for data in (arrays, streamed, anew)]
for fit in sides:
    fit()
turns = np.array([[seconds(fit, steps) for fit in sides] for _ in range(ROUNDS)])
names = "from the second epoch on", "decoded anew in each epoch"
ratios = {name: list(turns[:, i] / turns[:, 0]) for i, name in enumerate(names, 1)}
print(json.dumps({"step": float(np.median(turns[:, 0])), "ratios": ratios}))
"""


def run(program, folder, **numbers):
    """Run a program in a new process; returns what it prints as JSON."""
    constants = "".join(f"{name} = {value}\n" for name, value in numbers.items())
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", constants + program, str(folder)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder, rounds):
    """Read a folder by both programs in turns, and print medians of time and memory and the ratio of times."""
    found = {name: [] for name in PROGRAMS}
    size, memory = {"SIDE": SIDE, "BATCH": BATCH}, {}
    for name, program in PROGRAMS.items():
        memory[name] = run(program + MEASURE, folder, FILLED=0, **size)["memory"]
    filled = 4 * 3 * SIDE**2 * len(os.listdir(folder))
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            found[name].append(run(program + MEASURE, folder, FILLED=filled, **size))
    for name, each in found.items():
        seconds, worked = (statistics.median(one[key] for one in each) for key in ("seconds", "processor"))
        line = f"{seconds:6.1f} s, {worked:6.1f} s of processor time, peak memory {memory[name]:.2f} arrays"
        print(f"  {name:6} {line} ({each[0]['n']:,} pictures)", flush=True)
    pairs = list(zip(*found.values(), strict=True))
    looking = statistics.median(kit["looking"] for kit, _ in pairs)
    print(f"  of the kit's time, {looking:.1f} s for the heads, copies and fingerprint of the files")
    for name, ratios in {
        "kit / keras": [kit["seconds"] / keras["seconds"] for kit, keras in pairs],
        "the same without that": [
            (kit["seconds"] - kit["looking"]) / keras["seconds"] for kit, keras in pairs
        ],
    }.items():
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  {name} {statistics.median(ratios):.2f} {spread}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder", type=Path, help="where the pictures are made, and kept. [default: a new one]"
    )
    parser.add_argument("--rounds", type=int, default=5)
    typed = parser.parse_args()
    with tempfile.TemporaryDirectory() as new:
        place = typed.folder or Path(new)
        for name, count, size in (("small", SMALL, (SIDE, SIDE)), ("large", LARGE, LARGE_SIZE)):
            write_pictures(place / name, count, size)
            print(f"{count:,} pictures of {size[0]} × {size[1]}:", flush=True)
            compare(place / name, typed.rounds)
        found = run(STEP, place / "small", SIDE=SIDE, BATCH=BATCH, ROUNDS=typed.rounds)
        print(f"a step of SimCLR on {BATCH} small pictures, {1000 * found['step']:.0f} ms on arrays:")
        for name, ratios in found["ratios"].items():
            spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
            print(f"  streamed, {name} / arrays {statistics.median(ratios):.2f} {spread}")


if __name__ == "__main__":
    main()
