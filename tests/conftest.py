"""For every test: a quiet TensorFlow, a fixed seed, MNIST where this machine has it, and the order of the tests."""

import collections
import gc
import os
import re
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest
from support.sampling import sixth_of


def prepared_data_dir():
    """The folder of prepared TFDS data sets that TFDS_DATA_DIR names, if it has MNIST, or None."""
    folder = os.environ.get("TFDS_DATA_DIR")
    return Path(folder) if folder and (Path(folder) / "mnist").is_dir() else None


# Doctests that train for seconds, so `pytest -m slow` runs them. (A doctest cannot carry a mark of its own.)
LONG_DOCTESTS = {
    "tf_kit/pretraining/README.md",
    "tf_kit/pretraining/autoencoder.py",
    "tf_kit/pretraining/monitors.py",
    "tf_kit/pretraining/masked/images.py",
    "tf_kit/pretraining/masked/tokens.py",
    "tf_kit/pretraining/joint_embedding/dino.py",
    "tf_kit/pretraining/joint_embedding/simclr.py",
    "tf_kit/pretraining/joint_embedding/simsiam.py",
    "tf_kit/pretraining/joint_embedding/nnclr.py",
    "tf_kit/pretraining/joint_embedding/supcon.py",
    "tf_kit/regularization/early_stopping.py",
}


def pytest_addoption(parser):
    help = "only every sixth slow test; which ones depends on this number, and six in a row have all"
    parser.addoption("--sixth", type=int, metavar="NUMBER", help=help)


def pytest_collection_modifyitems(config, items):
    """Mark long doctests, leave out what `--sixth` does, and run files of few tests first: these are the long ones,
    and at the end other processes would wait for them."""
    long_doctests = {config.rootpath / name for name in LONG_DOCTESTS}
    for item in items:
        if item.path in long_doctests:
            item.add_marker("slow")
    if config.option.sixth is not None:
        slow = [item.nodeid for item in items if item.get_closest_marker("slow")]
        left_out = set(slow) - set(sixth_of(slow, config.option.sixth))
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
        items[:] = [item for item in items if item.nodeid not in left_out]
    tests = collections.Counter(item.path for item in items)
    items.sort(key=lambda item: tests[item.path])
    gc.collect()
    gc.freeze()  # what TensorFlow has made on import would be looked through again and again


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """`--dist loadfile`, except that each demo is dealt to a process by itself."""
    from xdist.scheduler import LoadFileScheduling

    class OneDemoAtATime(LoadFileScheduling):
        def _split_scope(self, nodeid):
            demo = re.search(r"test_demos\.py::.*\[(?:\d\d_)?([a-z_]+)", nodeid)
            return demo[1] if demo else super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # it would put files of few tests last
    return OneDemoAtATime(config, log)


@pytest.fixture(autouse=True)
def _seed():
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _each_epoch_is_saved():
    """The epochs of a test are short, and a test that kills between two of them means to find the first one saved.

    `runs/test_spacing.py` tests the checkpoints of epochs that are shorter than the time between two of these.
    """
    from tf_kit.runs import recording

    recording.SPACING = 0.0


@pytest.fixture
def mnist_dir():
    """Folder with prepared MNIST; the test is skipped where there is none."""
    folder = prepared_data_dir()
    if folder is None:
        pytest.skip("no prepared MNIST: set TFDS_DATA_DIR to a tensorflow-datasets folder that has it")
    return folder
