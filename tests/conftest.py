"""What every test needs: a quiet TensorFlow, a fixed seed, and MNIST where this machine has it."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest


def prepared_data_dir():
    """The folder of prepared TFDS data sets on this machine, or None."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "tensorflow_datasets"
    for folder in (os.environ.get("TFDS_DATA_DIR"), beside):
        if folder and (Path(folder) / "mnist").is_dir():
            return Path(folder)
    return None


@pytest.fixture(autouse=True)
def _seed():
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def mnist_dir():
    """Folder with prepared MNIST; the test is skipped where there is none."""
    folder = prepared_data_dir()
    if folder is None:
        pytest.skip("no prepared MNIST: set TFDS_DATA_DIR to a tensorflow-datasets folder that has it")
    return folder
