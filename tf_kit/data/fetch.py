"""Getting a data set: from disk, or by a download that is tried only where the network answers."""

import contextlib
import difflib
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from pathlib import Path

from tf_kit.checks import refuse
from tf_kit.data import prepared, reading
from tf_kit.data.catalogue import BUILT_IN
from tf_kit.errors import InputError

PROBE_SECONDS = 3.0


def get(name, *, data_dir=None):
    """Downloads and prepares a data set of tensorflow-datasets, unless it is already there.

    Progress is shown on standard error. Whether the data set's host answers is asked first, so that a machine
    without a network learns it in seconds.

    Args:
        name: `name`, `name/config` or `name/config:1.2.3`, as tensorflow-datasets spells it.
        data_dir: folder of prepared sets; None for TFDS_DATA_DIR, or else tensorflow-datasets' own.

    Returns:
        folder of the prepared version; None for sets that need no download.

    Raises:
        ValueError: unknown name, not image classification, no network, a failed download or preparation.
    """
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
        one_line(name, "be downloaded and prepared", ways_out(name)),
        contextlib.redirect_stdout(sys.stderr),
    ):
        builder.download_and_prepare(download_config=download_config())
    return Path(builder.data_path)


def on_disk(name, *, data_dir=None):
    """Folder of a prepared set, or `InputError` that tells how to get it; never touches the network."""
    found = prepared.find(name, data_dir)
    if not found:
        places = ", ".join(str(each) for each in prepared.folders(data_dir))
        builder_of(name, prepared.folders(data_dir)[0])
        refuse(name, f"be prepared in {places}", "nothing of that name there", ways_out(name))
    return found


def builder_of(name, root):
    """The code that prepares a set, or `InputError` for a name that is unknown or not image classification."""
    import tensorflow_datasets as tfds

    wanted = prepared.NAME.fullmatch(name)
    known = tfds.list_builders(with_community_datasets=False)
    if not wanted or wanted["name"] not in known:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), [*BUILT_IN, *known], n=3)
        refuse(
            "load.name",
            "name a data set, or be the path of a folder of images",
            repr(name),
            (f"Close to it: {', '.join(close)}. " if close else "")
            + "`tf-kit data list` shows what is here, `tensorflow_datasets.list_builders()` all that can be had",
        )
    with one_line(name, "be a set that can be built", "`name/config` chooses a config"):
        builder = tfds.builder(name, data_dir=root)
    features = builder.info.features.to_json()["content"].get("features", {})
    if not prepared.image_and_label(features, builder.info.supervised_keys):
        prepared.not_images(name)
    return builder


def download_config(manual_dir=None):
    import tensorflow_datasets as tfds

    # Each set prepares from its own source: the shared bucket of ready-made sets is not asked.
    return tfds.download.DownloadConfig(try_download_gcs=False, manual_dir=manual_dir)


def ways_out(name):
    return (
        f"Without a network: `tf-kit data import {name} FOLDER` prepares it from its raw files, and --data-dir or "
        "TFDS_DATA_DIR points at a folder where it is prepared"
    )


def _check_not_manual(builder, name):
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        needs = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        refuse(
            "get.name",
            "name a set that may be downloaded by a program",
            repr(name),
            f"{ways_out(name)}. {needs}",
        )


def _check_reachable(builder, name):
    """`InputError` in seconds where no host of the files answers; tensorflow-datasets tries for minutes."""
    hosts = {}
    for url in builder.url_infos:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in ("http", "https", "ftp"):
            hosts.setdefault(parts.hostname, url)
    silence = dict.fromkeys(hosts, f"no answer in {PROBE_SECONDS:g} s")

    def ask(host, url):
        silence[host] = _silence(url)

    # Looking up a name has no time limit of its own, a thread that is not waited for has.
    threads = [threading.Thread(target=ask, args=each, daemon=True) for each in hosts.items()]
    deadline = time.monotonic() + PROBE_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    if silence and all(silence.values()):
        received = ", ".join(f"{host}: {reason}" for host, reason in list(silence.items())[:3])
        refuse(name, "be on this machine or within reach", received, ways_out(name))


def _silence(url):
    """None if the host of a url answers, whatever it says; otherwise why not."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return None if error.code < 500 else f"HTTP {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return str(getattr(error, "reason", error))


@contextlib.contextmanager
def one_line(name, requirement, remedy=""):
    """Whatever goes wrong within tensorflow-datasets is told in one line."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        told = str(error).strip().splitlines() or [""]
        refuse(name, requirement, f"{type(error).__name__}: {told[0]}".strip(": "), remedy)
