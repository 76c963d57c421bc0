"""How long commands take to start and to end, next to the import of TensorFlow as Python does it.

    python tests/benchmarks/starts.py [--rounds 7]

Each round imports TensorFlow in a new process, then types the commands. `first step` is the time until the first step
of training is done, with the tracing of its graph: the one epoch is one minibatch of all digits, and is saved when it
ends. `end` is the time until the process has ended, figures included. Medians and their range, in seconds.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMPORT = [sys.executable, "-c", "import tensorflow"]
KIT = [sys.executable, "-c", "from tf_kit.cli import main; main()"]
ONE_STEP = ["--epochs", "1", "--batch-size", "1197"]
COMMANDS = {
    "tf-kit --help": ["--help"],
    "tf-kit lecture 01 --help": ["lecture", "01", "--help"],
    "tf-kit pretrain simclr": ["pretrain", "simclr", *ONE_STEP, "--monitor-every", "0"],
    "tf-kit pretrain denoising": ["pretrain", "denoising", *ONE_STEP, "--units", "64"],
    "tf-kit data list": ["data", "list"],
}


def seconds_of(command, folder):
    """Seconds until the first step is done, if the command trains, and until the process has ended."""
    trains = "pretrain" in command
    began = time.time()
    process = subprocess.Popen(
        [*KIT, *command, *(["--out", str(folder)] if trains else [])],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    history, first = folder / "history.csv", None
    while process.poll() is None:
        if first is None and history.exists():
            first = history.stat().st_mtime - began
        time.sleep(0.005)
    if process.returncode:
        sys.exit(f"tf-kit {' '.join(command)} ended with status {process.returncode}")
    return first, time.time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(rounds):
            began = time.time()
            subprocess.run(IMPORT, stderr=subprocess.DEVNULL, check=True)
            found.setdefault("import tensorflow, end", []).append(time.time() - began)
            for name, command in COMMANDS.items():
                first, end = seconds_of(command, Path(scratch) / f"{number}-{len(found)}-{name.split()[-1]}")
                if first is not None:
                    found.setdefault(f"{name}, first step", []).append(first)
                found.setdefault(f"{name}, end", []).append(end)
    for name, seconds in found.items():
        print(f"{name:40}{statistics.median(seconds):6.2f} s   {min(seconds):.2f} to {max(seconds):.2f}")


if __name__ == "__main__":
    main()
