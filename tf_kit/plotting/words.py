"""Words of the user, such as names of classes, in figures."""

from __future__ import annotations

from matplotlib.mathtext import MathTextParser


def literal(text: object) -> str:
    r"""Return text that Matplotlib draws as it is: without this, the characters between two `$` are mathematics.

    Example:
        >>> print(literal("$1 to $9"), literal("_rest"))
        \$1 to \$9 _rest
    """
    return str(text).replace("$", r"\$")


def drawable(text: object) -> str:
    r"""Return text as it is if Matplotlib can draw the mathematics between its `$`, otherwise as `literal` does.

    Example:
        >>> print(drawable("curvature $h$"), drawable("$a_{$"))
        curvature $h$ \$a_{\$
    """
    try:
        _PARSER.parse(str(text))
    except ValueError:
        return literal(text)
    return str(text)


_PARSER: MathTextParser = MathTextParser("path")
