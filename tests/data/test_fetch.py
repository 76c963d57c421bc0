"""`get`: from disk, by download, and an error of one line within seconds if there is no network."""

import http.server
import socket
import threading
import time
from pathlib import Path

import pytest

from tf_kit.data import fetch, get, import_raw, load
from tf_kit.errors import InputError


def no_name(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")


def hangs(*args, **kwargs):
    time.sleep(8)
    no_name()


@pytest.mark.parametrize("lookup", [no_name, hangs])
@pytest.mark.parametrize("function", [load, get])
def test_without_network_fails_within_seconds(monkeypatch, tmp_path, tiny, lookup, function):
    import tensorflow_datasets  # noqa: F401  so that its import is not timed

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(fetch, "PROBE_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"tf-kit-tiny.invalid: ") as caught:
        function("tf_kit_tiny", data_dir=tmp_path / "prepared")
    assert time.monotonic() - start < 5
    line = str(caught.value)
    assert "`tf-kit data import tf_kit_tiny FOLDER`" in line
    assert "TFDS_DATA_DIR" in line
    assert "\n" not in line
    assert not (tmp_path / "prepared").exists()


def test_time_limit_is_below_five_seconds():
    assert fetch.PROBE_SECONDS < 5


class Server(http.server.BaseHTTPRequestHandler):
    """Serve the raw files of the tiny set; `status` is the answer of a host or a proxy to a probe."""

    files: dict = {}  # noqa: RUF012
    status = 200

    def do_HEAD(self):
        self.send_response(self.status)
        self.end_headers()

    def do_GET(self):
        content = self.files[self.path.lstrip("/")]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def host(monkeypatch, tiny):
    """Serve the tiny set from this machine."""
    import tensorflow_datasets as tfds

    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setattr(Server, "files", dict(tiny["tf_kit_tiny"]))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    builder = type(tfds.builder("tf_kit_tiny", data_dir="unused"))
    original = builder.url_infos.fget
    here = f"http://127.0.0.1:{server.server_address[1]}"

    def url_infos(self):
        return {f"{here}/{url.rsplit('/', 1)[1]}": info for url, info in original(self).items()}

    monkeypatch.setattr(builder, "url_infos", property(url_infos))
    yield Server
    server.shutdown()
    server.server_close()


def test_download_reports_on_standard_error(host, tmp_path, capsys):
    train, _, _ = load("tf_kit_tiny", data_dir=tmp_path)
    assert len(train) == 50
    assert capsys.readouterr().out == ""
    assert get("tf_kit_tiny", data_dir=tmp_path) == tmp_path / "tf_kit_tiny" / "1.0.0"


@pytest.mark.parametrize("status", [403, 405])
def test_host_that_rejects_the_probe_counts_as_reachable(host, tmp_path, monkeypatch, status):
    monkeypatch.setattr(host, "status", status)
    assert get("tf_kit_tiny", data_dir=tmp_path).is_dir()


def test_gateway_without_host_counts_as_unreachable(host, tmp_path, monkeypatch):
    monkeypatch.setattr(host, "status", 503)
    with pytest.raises(ValueError, match=r"127.0.0.1: HTTP 503"):
        get("tf_kit_tiny", data_dir=tmp_path)


def test_wrong_checksum_is_an_error_of_one_line(host, tmp_path, tiny):
    host.files["train-images.npy.gz"] = tiny["tf_kit_other"]["train-images.npy.gz"]
    with pytest.raises(ValueError, match=r"NonMatchingChecksumError: .*tf-kit data import") as caught:
        get("tf_kit_tiny", data_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(Path(tmp_path).glob("tf_kit_tiny/*"))


def test_built_in_sets_need_no_download():
    assert get("digits") is None
    assert get("spirals") is None


def test_set_with_manual_download_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"imagenet2012.*tf-kit data import.*ILSVRC2012_img_train.tar"
    ) as caught:
        get("imagenet2012", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "subject", "flag"),
    [
        (lambda **at: load("mnits", **at), "load.name", "--data"),
        (lambda **at: get("mnits", **at), "get.name", "NAME"),
        (lambda **at: import_raw("mnits", at["data_dir"], **at), "import_raw.name", "NAME"),
        (lambda **at: get("imagenet2012", **at), "get.name", "NAME"),
        (lambda **at: load("mnist", download=False, **at), "mnist", "--data"),
    ],
)
def test_errors_name_the_argument_that_was_typed(tmp_path, function, subject, flag):
    with pytest.raises(InputError) as caught:
        function(data_dir=tmp_path)
    assert (caught.value.subject, caught.value.flag) == (subject, flag)
    assert str(caught.value).startswith(f"`{subject}` must {caught.value.requirement}. Received: ")
    assert "data_dir" not in caught.value.typed_remedy
