"""Prohibitions: the parts of the kit that stay open to an answer."""

import ast
from pathlib import Path

import tf_kit
from tf_kit.grading.sandbox.prohibitions import FOUNDATION

PACKAGE = Path(tf_kit.__file__).parent


def imported(path):
    """List the parts of the kit that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "tf_kit":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tf_kit."):
            found.add(node.module.split(".")[1])
    return found


def test_an_answer_can_import_everything_that_data_needs():
    files = [PACKAGE / f"{name}.py" for name in FOUNDATION]
    assert [path for path in files if not path.is_file()] == [], "the sandbox opens these files to an answer"
    for path in [*files, *(PACKAGE / "data").rglob("*.py")]:
        assert imported(path) <= {"data", *FOUNDATION}, path
