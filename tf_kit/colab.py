"""Badge that opens a notebook in Colab. There is one where the kit's repository is on GitHub, and none elsewhere."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, quote

from tf_kit.checks import refuse
from tf_kit.first_cell import address

COLAB = "https://colab.research.google.com"
LABS = "labs/notebooks"  # the notebooks that the kit's repository holds
BADGE = r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)"  # any badge, as a regular expression
_GITHUB = (
    r"(?ai)(?:[\w.-]+(?:\[[^]]*\])?\s*@\s*)?"  # name of the package
    r"(?:git\+)?(?:(?:https?|ssh|git)://)?(?:[^\s/@]+@)?(?:www\.)?github\.com[/:]"
    r"(?P<owner>[\w-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?"
    r"(?:@(?P<branch>[^\s@#]+))?(?:#(?P<options>\S*))?"
)


def badge(name: str, requirement: str = "", folder: str | None = None) -> str:
    """Return the badge of a notebook as Markdown, or "" if the repository is not on GitHub.

    Args:
        name: name of the notebook's file.
        requirement: address of the repository as for `first_cell`: `"git+https://github.com/OWNER/NAME"`, with
            `@BRANCH` if the branch is not main. Defaults to "", the repository's address in pyproject.toml.
        folder: folder of the repository in which the notebook lies. Defaults to None, that of the labs' notebooks.

    Raises:
        InputError: `folder` is given and the repository is not on GitHub, or `folder` is outside of it.

    Example:
        >>> badge("03_optimizers.ipynb", "git+https://github.com/me/tf_kit").split("](")[-1]
        'https://colab.research.google.com/github/me/tf_kit/blob/main/labs/notebooks/03_optimizers.ipynb)'
        >>> badge("03_optimizers.ipynb", "git+https://gitlab.com/me/tf_kit")
        ''
    """
    found = re.fullmatch(_GITHUB, address(requirement).strip())
    if folder is not None:
        _check(folder, requirement, found)
    if not found:
        return ""
    kit = parse_qs(found["options"] or "").get("subdirectory", [""])[0].strip("/")
    path = PurePosixPath(kit, LABS, name) if folder is None else PurePosixPath(folder, name)
    branch = quote(found["branch"] or "main", safe="")
    place = f"{COLAB}/github/{found['owner']}/{found['name']}/blob/{branch}/{quote(str(path))}"
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({place})"


def beneath_heading(text: str, badge: str) -> str:
    """Return the text of a cell with a badge beneath its heading, or at its top.

    Example:
        >>> beneath_heading("# Optimizers", "[badge]")
        '# Optimizers\\n\\n[badge]'
    """
    if not badge:
        return text
    heading = text.partition("\n")[0] if text.startswith("# ") else ""
    return "\n\n".join(part for part in (heading, badge, text.removeprefix(heading).strip("\n")) if part)


def _check(folder, requirement, found):
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or "://" in folder:
        refuse("folder", "be a folder of the repository, as in `demos`", f"{folder!r}", flag="--colab")
    if not found:
        given = repr(requirement) if requirement else "no address on GitHub"
        remedy = "Give its address, as in git+https://github.com/OWNER/NAME"
        typed = "Add --install git+https://github.com/OWNER/NAME"
        refuse("folder", "be in a repository on GitHub", given, remedy, flag="--colab", typed_remedy=typed)
