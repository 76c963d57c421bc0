"""Tables as text that people hand in: which character separates their cells."""

import csv
import io
import itertools
import re

_DELIMITERS = ";\t|,"  # a comma may be part of a name
_SAMPLE = 200  # rows that are looked at


def separated(text: str) -> tuple[str, str]:
    """Find the character between the cells of a table.

    It is that of a first line `sep=;`, by which Excel knows it, or else the one by which most rows have the same number
    of cells, more than one.

    Args:
        text: the table, whose lines end in a line feed.

    Returns:
        The table without that line, and the character.

    Example:
        >>> separated("sep=;\\nfile;label\\na,1.png;b\\n")
        ('file;label\\na,1.png;b\\n', ';')
        >>> separated("file|label\\na.png|b, c\\n")[1], separated("a,b\\n")[1]
        ('|', ',')
    """
    line = re.match(r"(?i)\"?sep=([^\w\n\"])\"?[;,\t|]*\n", text)
    if line:
        return text[line.end() :], line[1]
    return text, max(_DELIMITERS, key=lambda each: _share(text, each))


def _share(text, delimiter):
    """Return the share of rows that have the most frequent number of cells, and whether a delimiter is in the first."""
    in_first = delimiter in text.partition("\n")[0]
    try:
        rows = list(itertools.islice(csv.reader(io.StringIO(text), delimiter=delimiter), _SAMPLE))
    except csv.Error:
        return 0.0, in_first
    counts = [len(row) for row in rows if any(cell.strip() for cell in row)]
    several = [count for count in counts if count > 1]
    if not several:
        return 0.0, in_first
    return max(map(several.count, set(several))) / len(counts), counts[0] > 1
