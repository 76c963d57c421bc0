"""Preparation of a data set of tensorflow-datasets from its raw files, without a network."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import urllib.parse
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.data import prepared, reading
from tf_kit.data.catalogue import BUILT_IN
from tf_kit.data.fetch import builder_of, download_config, one_line


def import_raw(name: str, folder: str | Path, *, data_dir: str | Path | None = None) -> Path:
    """Prepare a data set of tensorflow-datasets from its raw files, without a network.

    Files are recognized by the SHA-256 checksum that tensorflow-datasets lists for them, whatever their names. The
    work is done in a temporary folder within the folder of prepared sets and moved into place at the end, so a
    failure leaves nothing behind.

    Args:
        name: `name` or `name/config`, as spelled by tensorflow-datasets.
        folder: folder with the raw files, such as the four `….gz` of MNIST.
        data_dir: folder of prepared sets. None means TFDS_DATA_DIR or else the folder that tensorflow-datasets uses
            by default. Defaults to None.

    Returns:
        Folder of the prepared version, unchanged if the set was already prepared.

    Raises:
        ValueError: the name is unknown, a file is missing or has another checksum, a folder cannot be written, or
            the set needs further files.
    """
    with prepared.name_of("import_raw.name", "NAME"):
        return _imported(name, Path(folder).expanduser(), data_dir)


def _imported(name, folder, data_dir):
    if name in BUILT_IN:
        refuse(
            "import_raw.name",
            "name a set that has raw files",
            repr(name),
            f'`load("{name}")` needs none',
            flag="NAME",
            typed_remedy=f"`--data {name}` needs none",
        )
    found = prepared.find(name, data_dir)
    if found:
        reading.open_prepared(found)
        return found
    if not folder.is_dir():
        remedy = "Give the folder, not one of its files"
        refuse("import_raw.folder", "be a folder with the raw files", str(folder), remedy, flag="FOLDER")
    root = prepared.folders(data_dir)[0]
    builder = builder_of(name, root)
    with one_line(folder, "be a folder that can be read", flag="FOLDER"):
        raw = _raw_files(builder, name, folder)
    with _workplace(root) as work:
        builder = builder_of(name, work)
        manual = folder.resolve() if builder.MANUAL_DOWNLOAD_INSTRUCTIONS else None
        prepares = one_line(name, f"be a set that can be prepared from {folder}", flag="NAME")
        with prepares, _offline(name, folder), _silent_stdout():
            for url, path in raw.items():
                _place(path, url, builder, work / "downloads")
            builder.download_and_prepare(
                download_dir=work / "downloads", download_config=download_config(manual)
            )
        return _move(builder, work, root)


def _raw_files(builder, name, folder):
    """Map each URL of a set to the file in `folder` that has its checksum, if there is one."""
    sizes = {}
    for path in sorted(folder.iterdir()):
        if path.is_file():
            sizes.setdefault(path.stat().st_size, []).append(path)
    found, names = {}, []
    for url, expected in builder.url_infos.items():
        names.append(_raw_name(url, expected))
        same = [path for path in sizes.get(expected.size, ()) if _sha256(path) == expected.checksum]
        named = folder / names[-1]
        if same:
            found[url] = same[0]
        elif named.is_file():
            refuse(
                named,
                f"have {int(expected.size)} bytes with SHA-256 {expected.checksum}",
                f"{named.stat().st_size} bytes with SHA-256 {_sha256(named)}",
                f"Download the file again from the publisher of {name}",
            )
    if not found and not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        refuse(folder, f"hold the raw files of {name}", "none of them", f"They are: {listed}", flag="FOLDER")
    return found


def _raw_name(url, info):
    return info.filename or os.path.basename(urllib.parse.urlsplit(url).path)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(path, url, builder, downloads):
    """Link a raw file to where tensorflow-datasets looks for downloaded files: one folder per set."""
    from tensorflow_datasets.core.download import resource

    place = downloads / builder.name / resource.get_dl_fname(url, builder.url_infos[url].checksum)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.symlink_to(path.resolve())
    except OSError:
        shutil.copyfile(path, place)
    # Without this second file the first one would count as an incomplete download.
    Path(resource.get_info_path(place)).write_text(json.dumps({"original_fname": path.name}))


@contextlib.contextmanager
def _workplace(root):
    """Make a temporary folder in `root`, removed at the end; so is `root` if it was made here and is empty."""
    made = [each for each in (root, *root.parents) if not each.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".importing-", dir=root))
    except OSError as error:
        refuse(
            "data_dir",
            "be a folder that can be written",
            f"{root}: {error.strerror}",
            "Give another folder",
            flag="--data-dir",
        )
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):  # raised by a folder that holds the set
            for each in made:
                each.rmdir()


def _move(builder, work, root):
    """Move the prepared set from `work` to its place in `root`."""
    source = Path(builder.data_path)
    target = root / source.relative_to(work)
    with one_line(builder.name, f"be a set that can be moved to {target}", flag="NAME"):
        target.parent.mkdir(parents=True, exist_ok=True)
        default = Path(builder.name, ".config")
        if (work / default).is_dir() and not (root / default).exists():
            os.rename(work / default, root / default)
        if not target.is_dir():
            os.rename(source, target)
    return target


@contextlib.contextmanager
def _offline(name, folder):
    """Make a preparation fail at once if it tries to download, and stop its threads at the end."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import extractor

    def refuse_download(manager, resource):
        missing = os.path.basename(urllib.parse.urlsplit(resource.url).path)
        remedy = "Put it into the same folder"
        refuse(folder, f"hold all raw files that {name} needs", f"no {missing}", remedy, flag="FOLDER")

    manager, own = tfds.download.DownloadManager, extractor._Extractor()
    before = manager._download, extractor.get_extractor
    manager._download, extractor.get_extractor = refuse_download, lambda: own
    try:
        yield
    finally:
        manager._download, extractor.get_extractor = before
        own._executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _silent_stdout():
    """Hide the lines about a download into the temporary folder; progress is shown on standard error."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        yield
