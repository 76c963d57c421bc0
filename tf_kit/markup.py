"""Text in HTML and XML: cleaned of what neither can hold, and escaped."""

from __future__ import annotations

import html
import re

_CONTROL = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def clean(text: str) -> str:
    """Replace the characters that XML forbids."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def escaped(text: object) -> str:
    """Write any text for use between tags and in quoted attributes.

    Example:
        >>> escaped("<b>'1\\x00'")
        '&lt;b&gt;&#x27;1�&#x27;'
    """
    return html.escape(clean(str(text)))
