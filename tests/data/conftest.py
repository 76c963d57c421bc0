"""A data set of a few images that tensorflow-datasets prepares from generated raw files."""

import gzip
import hashlib
import io
import shutil

import numpy as np
import pytest


def _gzipped(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return gzip.compress(buffer.getvalue(), mtime=0)


def _raw(seed, test_labels=None):
    """Raw files of 60 and 10 images of 6×5×3 bytes in 4 classes."""
    rng = np.random.default_rng(seed)
    files = {}
    for split, n in (("train", 60), ("test", 10)):
        files[f"{split}-images.npy.gz"] = _gzipped(rng.integers(0, 256, (n, 6, 5, 3), dtype="uint8"))
        labels = np.arange(n) % 4 if split == "train" or test_labels is None else np.full(n, test_labels)
        files[f"{split}-labels.npy.gz"] = _gzipped(labels)
    return files


RAW = {
    "tf_kit_tiny": _raw(0),
    "tf_kit_other": _raw(1),
    "tf_kit_withheld": _raw(2, test_labels=-1),  # as in the test sets of competitions
    "tf_kit_varying": _raw(3),
}


@pytest.fixture(scope="session")
def tiny():
    """Register data sets whose raw files have the same names; return {name: {file: bytes}}."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.checksums import UrlInfo

    class FromRaw(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        image_shape = (6, 5, 3)
        VERSION = tfds.core.Version("1.0.0")

        @property
        def url_infos(self):
            return {
                f"https://{self.name.replace('_', '-')}.invalid/{file}": UrlInfo(
                    size=len(content), checksum=hashlib.sha256(content).hexdigest(), filename=file
                )
                for file, content in RAW[self.name].items()
            }

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=self.image_shape),
                "label": tfds.features.ClassLabel(names=["ant", "bee", "cow", "dog"]),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            urls = {url.rsplit("/", 1)[1].split(".")[0]: url for url in self.url_infos}
            files = dl_manager.download_and_extract(urls)
            return {
                split: self._generate_examples(files[f"{split}-images"], files[f"{split}-labels"])
                for split in ("train", "test")
            }

        def _generate_examples(self, images, labels):
            images, labels = (
                np.load(io.BytesIO(images.read_bytes())),
                np.load(io.BytesIO(labels.read_bytes())),
            )
            for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                yield index, {"image": image, "label": int(label)}

    class TfKitTiny(FromRaw):
        name = "tf_kit_tiny"

    class TfKitOther(FromRaw):
        name = "tf_kit_other"

    class TfKitWithheld(FromRaw):
        name = "tf_kit_withheld"

    class TfKitVarying(FromRaw):
        name = "tf_kit_varying"
        image_shape = (None, None, 3)

    return RAW


@pytest.fixture
def write_raw(tiny, tmp_path):
    """Write the raw files of a data set into a separate folder."""

    def write(name):
        folder = tmp_path / f"raw-{name}"
        folder.mkdir()
        for file, content in tiny[name].items():
            (folder / file).write_bytes(content)
        return folder

    return write


@pytest.fixture
def raw_folder(write_raw):
    return write_raw("tf_kit_tiny")


@pytest.fixture(scope="session")
def _prepared_once(tiny, tmp_path_factory):
    from tf_kit.data import import_raw

    raw, prepared = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("prepared")
    for file, content in tiny["tf_kit_tiny"].items():
        (raw / file).write_bytes(content)
    import_raw("tf_kit_tiny", raw, data_dir=prepared)
    return prepared


@pytest.fixture
def tiny_dir(_prepared_once, tmp_path):
    """Folder of prepared sets that holds the tiny set, a new copy for each test."""
    return shutil.copytree(_prepared_once, tmp_path / "prepared")


@pytest.fixture
def raw_arrays():
    """Arrays in the raw files of a data set: images and labels of train, then of test."""
    return lambda name: [np.load(io.BytesIO(gzip.decompress(content))) for content in RAW[name].values()]
