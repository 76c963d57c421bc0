"""The student in the name of a file or folder that a student has named: lovelace_ada in `lab2_lovelace_ada_final (1)`.

What is found is a guess, which may only be compared: with the roster of the class, and with other names in one folder.
Students of one first name may call their notebooks `ada.ipynb` and `ada_final.ipynb`, so a name never makes two files
one student's; a number that is long enough to be a student's does.
"""

from __future__ import annotations

import functools
import re

_BEGIN, _END = r"(?<![^\W_])", r"(?![^\W_])"  # no letter or digit there
_DATE = re.compile(rf"{_BEGIN}(?:19|20)\d\d[-_. ]?\d\d[-_. ]?\d\d(?:[-_tT ]\d{{4,6}})?{_END}")
_ADDED = re.compile(
    rf"(?i){_BEGIN}(?:(?:labs?|hw|homework|assignments?|exercises?|ex|[uü]e?bung(?:en)?|aufgaben?|blatt|tasks?|tp|weeks?|"
    r"woche|projects?|praktikum|experiments?|exp|version|final|last|new|old|draft|backup|copy(?: of)?|kopie(?: von)?|"
    r"attempt|submissions?|resubmission|abgabe|solutions?|l[oö]e?sung(?:en)?|answers?|notebooks?|nb|work|my|untitled|done|"
    rf"fixed|corrected|ipynb)[ _-]?\d{{0,2}}|(?:v|ver|rev)[ _-]?\d+){_END}|\(\d+\)"
)
_NUMBER = re.compile(r"[a-z]{0,3}\d{5,12}")


def person(text: str, labs: frozenset[str], number: str = "") -> str:
    """Remove from a name what is about the lab, and words that students add.

    Args:
        text: name of a file without its suffix, or name of a folder.
        labs: names and titles of labs, in lower case.
        number: number of the lab that is graded.

    Returns:
        The rest, or "" if nothing of a name is left.

    Example:
        >>> labs = frozenset({"02_backpropagation", "backpropagation"})
        >>> [person(each, labs, "02") for each in ("02_backprop_ada", "Backpropagation - Ada King (1)", "lab02_final")]
        ['ada', 'Ada King', '']
    """
    text = _DATE.sub(" ", _of_labs(labs).sub(" ", text))
    for word in re.findall(r"[^\W\d_]{4,}", text):
        if any(lab.startswith(word.casefold()) for lab in labs):
            text = re.sub(rf"{_BEGIN}{word}{_END}", " ", text)
    text = _ADDED.sub(" ", text)
    if number:
        text = re.sub(rf"^[\W_]*0*{int(number)}{_END}", " ", text)
    text = re.sub(r"\s+", " ", re.sub(r"^[\W_]+|[\W_]+$", "", text))
    return text if re.search(r"[^\W\d_]|\d{4}", text) else ""


@functools.cache
def _of_labs(labs):
    spellings = sorted(
        {r"[\W_]*".join(re.findall(r"[^\W_]+", lab)) for lab in labs if lab}, key=len, reverse=True
    )
    return re.compile(rf"(?i){_BEGIN}(?:{'|'.join(spellings)}){_END}" if spellings else r"(?!)")


def is_number(text: str) -> bool:
    """Whether a name is a number that a university gives to one student, such as `s1234567`, and no date."""
    return bool(_NUMBER.fullmatch(text.casefold())) and not _DATE.fullmatch(text)
