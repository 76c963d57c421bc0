"""Words of the user, such as names of classes, in figures."""

from __future__ import annotations


def literal(text: str) -> str:
    r"""Return text that Matplotlib draws as it is: without this, the characters between two `$` are mathematics.

    Example:
        >>> print(literal("$1 to $9"), literal("_rest"))
        \$1 to \$9 _rest
    """
    return text.replace("$", r"\$")
