"""The kit's column of the table of folders and files that `benchmarks/folders.py` prints."""

import pytest
from benchmarks import folders


@pytest.mark.slow
def test_each_folder_and_file_is_read_right_or_refused_by_name():
    cells = folders.column(folders.read_kit)
    assert len(cells) == 40
    assert {case: cell for case, cell in cells.items() if cell != "right"} == {}
    wrong = folders.column(lambda root: (("cat", "dog"), *folders.read_kit(root)[1:]))
    assert {case for case, cell in wrong.items() if cell != "right"} == {"no subfolder", "spaces and umlauts"}
