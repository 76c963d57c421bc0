"""Data sets of tensorflow-datasets: found on disk, or downloaded if the network answers."""

import contextlib
import difflib
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from tf_kit.checks import refuse
from tf_kit.data import prepared, reading
from tf_kit.data.catalogue import BUILT_IN
from tf_kit.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

PROBE_SECONDS = 3.0


def get(name: str, *, data_dir: str | Path | None = None) -> Path | None:
    """Download and prepare a data set of tensorflow-datasets, unless it is already there.

    Progress is shown on standard error. The hosts of the data set are tried first, so that without a network the
    call fails within seconds.

    Args:
        name: `name`, `name/config` or `name/config:1.2.3`, as spelled by tensorflow-datasets.
        data_dir: folder of prepared sets. None means TFDS_DATA_DIR or else the folder that tensorflow-datasets uses
            by default. Defaults to None.

    Returns:
        Folder of the prepared version; None for sets that need no download.

    Raises:
        ValueError: the name is unknown, the set is not image classification, the network does not answer, or the
            download or preparation failed.
    """
    with prepared.name_of("get.name", "NAME"):
        return downloaded(name, data_dir=data_dir)


def downloaded(name: str, *, data_dir: str | Path | None = None) -> Path | None:
    """Find or download a data set for `load`; see `get`, whose errors name another argument."""
    if name in BUILT_IN:
        return None
    found = prepared.find(name, data_dir)
    if found:
        reading.open_prepared(found)
        return found
    root = prepared.folders(data_dir)[0]
    builder = builder_of(name, root)
    _check_not_manual(builder, name)
    _check_reachable(builder, name)
    with (
        one_line(name, "be a set that can be downloaded and prepared", **ways_out(name), flag="--data"),
        contextlib.redirect_stdout(sys.stderr),
    ):
        builder.download_and_prepare(download_config=download_config())
    return Path(builder.data_path)


def on_disk(name: str, *, data_dir: str | Path | None = None) -> Path:
    """Find the folder of a prepared set without using the network; raise `InputError` if it is not there."""
    found = prepared.find(name, data_dir)
    if not found:
        places = ", ".join(str(each) for each in prepared.folders(data_dir))
        builder_of(name, prepared.folders(data_dir)[0])
        received = f"{name!r}, which is not there"
        refuse(name, f"be a set that is prepared in {places}", received, **ways_out(name), flag="--data")
    return found


def check_name(name: str, data_dir: str | Path | None = None) -> None:
    """Refuse a name that neither a prepared set nor one of tensorflow-datasets has."""
    if name not in BUILT_IN and not prepared.find(name, data_dir):
        builder_of(name, prepared.folders(data_dir)[0])


def builder_of(name: str, root: Path) -> "tfds.core.DatasetBuilder":
    """Make the builder of a set; raise `InputError` if the name is unknown or the set is not image classification."""
    import tensorflow_datasets as tfds

    wanted = prepared.NAME.fullmatch(name)
    known = tfds.list_builders(with_community_datasets=False)
    if not wanted or wanted["name"] not in known:
        matches = difflib.get_close_matches(name.lower().replace("-", "_"), [*BUILT_IN, *known], n=3)
        close = f"Close to it: {', '.join(matches)}. " if matches else ""
        refuse(
            "load.name",
            "name a data set, or be the path of a folder of images",
            repr(name),
            f"{close}`data.available()` lists the sets of this machine, `tensorflow_datasets.list_builders()` all sets",
            flag="--data",
            typed_remedy=f"{close}`tf-kit data list` shows the sets of this machine",
        )
    with one_line(name, "be a set that can be built", "`name/config` chooses a config", flag="--data"):
        builder = tfds.builder(name, data_dir=root)
    features = builder.info.features.to_json()["content"].get("features", {})
    if not prepared.image_and_label(features, builder.info.supervised_keys):
        prepared.not_images(name)
    return builder


def download_config(manual_dir: Path | None = None) -> "tfds.download.DownloadConfig":
    """Make the configuration of a download from the original source of each set."""
    import tensorflow_datasets as tfds

    # Not from the shared bucket of prepared sets, which would have to be reachable too.
    return tfds.download.DownloadConfig(try_download_gcs=False, manual_dir=manual_dir)


def ways_out(name: str, more: str = "") -> dict[str, str]:
    """Make the remedies of `refuse` for a set that cannot be downloaded, for Python and for the command line."""
    prepares = f"Without a network: `tf-kit data import {name} FOLDER` prepares it from its raw files, and"
    points = f"TFDS_DATA_DIR can point to a folder where it is prepared{more}"
    return {
        "remedy": f"{prepares} data_dir or {points}",
        "typed_remedy": f"{prepares} --data-dir or {points}",
    }


def _check_not_manual(builder, name):
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        remedies = ways_out(name, ". " + " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split()))
        requirement = "name a set that a program may download"
        refuse("load.name", requirement, repr(name), **remedies, flag="--data")


def _check_reachable(builder, name):
    """Raise `InputError` within seconds if no host of the files answers; tensorflow-datasets tries for minutes."""
    hosts = {}
    for url in builder.url_infos:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in ("http", "https", "ftp"):
            hosts.setdefault(parts.hostname, url)
    silence = dict.fromkeys(hosts, f"no answer in {PROBE_SECONDS:g} s")

    def ask(host, url):
        silence[host] = _silence(url)

    # The lookup of a host name has no time limit; a thread that is not waited for imposes one.
    threads = [threading.Thread(target=ask, args=each, daemon=True) for each in hosts.items()]
    deadline = time.monotonic() + PROBE_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    if silence and all(silence.values()):
        received = ", ".join(f"{host}: {reason}" for host, reason in list(silence.items())[:3])
        requirement = "be a set on this machine or on a host that answers"
        refuse(name, requirement, received, **ways_out(name), flag="--data")


def _silence(url):
    """Return why the host of a URL does not answer; None if it answers, with any status below 500."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return None if error.code < 500 else f"HTTP {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return str(getattr(error, "reason", error))


@contextlib.contextmanager
def one_line(
    subject: str | Path,
    requirement: str,
    remedy: str = "",
    *,
    flag: str | None = None,
    typed_remedy: str | None = None,
) -> Iterator[None]:
    """Turn any exception of the block into an `InputError` of one line; the arguments are those of `refuse`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        message = str(error).strip().splitlines() or [""]
        received = f"{type(error).__name__}: {message[0]}".strip(": ")
        refuse(subject, requirement, received, remedy, flag=flag, typed_remedy=typed_remedy)
