"""Preparing a data set of tensorflow-datasets from its raw files, without a network."""

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


def import_raw(name, folder, *, data_dir=None):
    """Prepares a data set of tensorflow-datasets from its raw files, without a network.

    Files are known by the sha256 that tensorflow-datasets lists for them, whatever their names are now. The work
    is done in a temporary folder beside the others and moved into its place at the end: a failure leaves
    nothing behind.

    Args:
        name: `name`, `name/config`, as tensorflow-datasets spells it.
        folder: where the raw files are, such as the four `….gz` of MNIST.
        data_dir: folder of prepared sets; None for TFDS_DATA_DIR, or else tensorflow-datasets' own.

    Returns:
        folder of the prepared version, as it was before if the set was already prepared.

    Raises:
        ValueError: unknown name, a file that is missing or has another checksum, a folder that cannot be
            written, or a set that needs further files.
    """
    folder = Path(folder).expanduser()
    if name in BUILT_IN:
        refuse("import.name", "name a set that has raw files", repr(name), f'`load("{name}")` needs none')
    found = prepared.find(name, data_dir)
    if found:
        reading.open_prepared(found)
        return found
    if not folder.is_dir():
        refuse(
            "import.folder", "be a folder with the raw files", f"{folder}", "Give the folder, not one file"
        )
    root = prepared.folders(data_dir)[0]
    builder = builder_of(name, root)
    with one_line(folder, "be a folder that can be read"):
        raw = _raw_files(builder, name, folder)
    with _workplace(root) as work:
        builder = builder_of(name, work)
        manual = folder.resolve() if builder.MANUAL_DOWNLOAD_INSTRUCTIONS else None
        with one_line(name, f"be prepared from {folder}"), _offline(name, folder), _silent_stdout():
            for url, path in raw.items():
                _place(path, url, builder, work / "downloads")
            builder.download_and_prepare(
                download_dir=work / "downloads", download_config=download_config(manual)
            )
        return _move(builder, work, root)


def _raw_files(builder, name, folder):
    """For each url of a set the file in `folder` with the right checksum, where there is one."""
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
                f"have {int(expected.size)} bytes of sha256 {expected.checksum}",
                f"{named.stat().st_size} bytes of sha256 {_sha256(named)}",
                f"Fetch the file again from where {name} is published",
            )
    if not found and not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        refuse(folder, f"hold the raw files of {name}", "none of them", f"They are: {listed}")
    return found


def _raw_name(url, info):
    return info.filename or os.path.basename(urllib.parse.urlsplit(url).path)


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(path, url, builder, downloads):
    """Puts a raw file where tensorflow-datasets looks for what it has downloaded: each set in its own folder."""
    from tensorflow_datasets.core.download import resource

    place = downloads / builder.name / resource.get_dl_fname(url, builder.url_infos[url].checksum)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        place.symlink_to(path.resolve())
    except OSError:
        shutil.copyfile(path, place)
    # Without this neighbor the file would be taken for half a download.
    Path(resource.get_info_path(place)).write_text(json.dumps({"original_fname": path.name}))


@contextlib.contextmanager
def _workplace(root):
    """A temporary folder in `root`, which vanishes; `root` vanishes too if it was made here and nothing came of it."""
    made = [each for each in (root, *root.parents) if not each.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".importing-", dir=root))
    except OSError as error:
        refuse(
            "data_dir",
            "be a folder that can be written",
            f"{root}: {error.strerror}",
            "Choose one with --data-dir",
        )
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: the set is in it
            for each in made:
                each.rmdir()


def _move(builder, work, root):
    """Moves what was prepared in `work` to its place in `root`."""
    source = Path(builder.data_path)
    target = root / source.relative_to(work)
    with one_line(builder.name, f"be moved to {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        default = Path(builder.name, ".config")
        if (work / default).is_dir() and not (root / default).exists():
            os.rename(work / default, root / default)
        if not target.is_dir():
            os.rename(source, target)
    return target


@contextlib.contextmanager
def _offline(name, folder):
    """A preparation that wants to download fails at once, and no thread of it works on after its end."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import extractor

    def refuse_download(manager, resource):
        missing = os.path.basename(urllib.parse.urlsplit(resource.url).path)
        refuse(folder, f"hold all raw files that {name} needs", f"no {missing}", "Put it beside the others")

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
    """Hides the lines that speak of a download into the temporary folder; progress goes to standard error."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        yield
