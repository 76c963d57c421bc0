"""Text that students wrote (names of files, source, messages of exceptions), cleaned where it enters the grader.

It may hold anything that a file system, a JSON text or an exception can: lone surrogates, which no encoding can write;
control characters and escape sequences, by which a terminal changes colors or clears itself; marks that reverse the
direction of writing; megabytes. Cleaned text can be printed, stored and put into every report.
"""

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST = 300  # characters of a line in a report

# Control characters, marks of direction, surrogates, noncharacters. Tabs and ends of lines are kept.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff]"
    "|[\ud800-\udfff]|[\U0001fffe\U0001ffff\U000e0000-\U000e007f]"
)
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # surrogates that stand for no byte of a name
_ESCAPE = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-_])")


def line(text: object, longest: int = LONGEST) -> str:
    """Clean text that is shown in one line, and shorten it.

    Args:
        text: the text, or an object whose `str` is taken.
        longest: number of characters that are kept.

    Example:
        >>> line("\\x1b[31mred\\x1b[0m\\n\\ud800 end"), line("a" * 9, longest=5)
        ('red � end', 'aaaa…')
    """
    try:
        text = text if isinstance(text, str) else str(text)
    except Exception:  # the object's `__str__` fails
        return ""
    text = " ".join(paragraphs(text[: 8 * longest]).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def file_name(text: str) -> str:
    """Read the name of a file or folder as text. Bytes that are no UTF-8 are read as Windows-1252, so names stay apart.

    Example:
        >>> file_name("M\\udcfcller"), file_name("M\\udc81ller")
        ('Müller', 'M\\\\x81ller')
    """
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        text = _NO_BYTE.sub(REPLACEMENT, text)
        return text.encode("utf-8", "surrogateescape").decode("cp1252", "backslashreplace")


def paragraphs(text: str) -> str:
    """Clean text of several lines; its ends of lines and its tabs are kept.

    Example:
        >>> paragraphs("one\\r\\ntwo\\x00\\t\\u202e")
        'one\\ntwo�\\t�'
    """
    text = _ESCAPE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _UNPRINTABLE.sub(REPLACEMENT, text)


def source(text: str) -> str:
    """Replace lone surrogates, which Python cannot compile; all else in the source of a cell is the student's.

    Example:
        >>> source("x = 1  # \\ud83d\\ude00 \\udc80")
        'x = 1  # 😀 �'
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
