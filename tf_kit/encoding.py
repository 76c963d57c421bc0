"""Bytes of a file as characters, in the encodings that people's files have."""

import codecs
import unicodedata

_MARKS = (  # the byte order marks; that of UTF-32 begins like that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_LAYOUT = frozenset("\t\n\v\f\r\x1a\x85")  # control characters that occur in texts


def decoded(content: bytes) -> tuple[str, str]:
    """Convert bytes to text: by their byte order mark, otherwise from UTF-8, from Windows-1252, or else from Latin-1.

    Args:
        content: the bytes.

    Returns:
        The text without the mark, and the name of the encoding.

    Example:
        >>> decoded("für".encode()), decoded("für".encode("latin-1")), decoded("für".encode("utf-16"))
        (('für', 'UTF-8'), ('für', 'Windows-1252'), ('für', 'UTF-16'))
    """
    for mark, codec, name in _MARKS:
        if content.startswith(mark):
            return content.decode(codec, "replace"), name
    for codec, name in (("utf-8", "UTF-8"), ("cp1252", "Windows-1252")):
        try:
            return content.decode(codec), name
        except UnicodeDecodeError:
            pass
    return content.decode(
        "latin-1"
    ), "Latin-1"  # any bytes; those that Windows-1252 lacks are control characters


def is_text(characters: str) -> bool:
    """Return whether characters are those of a text: no control characters but those of lines and tabs.

    Example:
        >>> is_text("two\\r\\nlines"), is_text("PK\\x03\\x04")
        (True, False)
    """
    controls = {each for each in set(characters) if unicodedata.category(each) == "Cc"}
    return controls <= _LAYOUT
