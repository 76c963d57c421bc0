"""Commands as a user types them, in this process or in a new one, and folders of images to type them on."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tf_kit import cli


def type_command(*arguments, cwd=None, timeout=120, **environment):
    """Run `tf-kit …` in a new process."""
    code = "from tf_kit.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=timeout,
        env={**os.environ, **environment},
    )


def run_main(monkeypatch, capsys, *arguments):
    """Run `tf-kit …` in this process. Returns exit status, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["tf-kit", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    captured = capsys.readouterr()
    return exit_.value.code or 0, captured.out, captured.err


def write_folders(path):
    """Write folders of images: an empty one, one without classes, one whose fourth file is truncated."""
    (path / "empty").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype="uint8")
    for name in ("flat", "damaged"):
        (path / name).mkdir()
        for i in range(6):
            Image.fromarray(pixels).save(path / name / f"{i}.png")
    truncated = path / "damaged" / "3.png"
    truncated.write_bytes(truncated.read_bytes()[:60])
