"""Tests of the character between the cells of a table."""

import pytest

from tf_kit.tables import separated


@pytest.mark.parametrize("mark", ["sep=|", "SEP=|", '"sep=|"', "sep=|,,"])
def test_the_line_of_a_spreadsheet_is_taken_and_left_out(mark):
    assert separated(f"{mark}\na;b|c;d\n") == ("a;b|c;d\n", "|")


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("name;mail\nLovelace, Ada;a@x\nTuring, Alan;b@x\n", ";"),
        ("name,mail\n'a;b',c@x\n", ","),
        ("a title\nname\tmail\nAda\ta@x\nAlan\tb@x\n", "\t"),
        ("file,label\n" + '"' + "x" * 200_000, ","),
        ("sep\n1;2\n", ";"),
        ("", ";"),
    ],
)
def test_most_rows_decide(text, delimiter):
    assert separated(text) == (text, delimiter)
