"""The slides of a demo: five sections, its figure inside the file, and the marked line of its code."""

import pytest

from tf_kit import lectures, plotting
from tf_kit.lectures import deck
from tf_kit.lectures.performance import Performance


def test_deck_is_one_file_with_five_slides_per_demo(tmp_path):
    figure = plotting.curves({"cost": [2.0, 1.0]})
    done = Performance("What?", "`cost` falls to 1 < 2.", True, figure, 1.0)
    path = deck.write_deck([(lectures.find("optimizers"), done)], tmp_path / "new" / "deck.html")
    text = path.read_text(encoding="utf-8")
    assert text.count("<section") == 5
    assert "data:image/png;base64," in text
    assert "<code>cost</code> falls to 1 &lt; 2." in text
    assert "http" not in text
    assert "<mark>" in text


@pytest.mark.parametrize("demo", lectures.demos(), ids=lambda demo: demo.topic)
def test_line_that_matters_is_in_the_demo(demo):
    wanted = deck.read("slides.toml")["topics"][demo.topic]["line"]
    assert demo.path.read_text(encoding="utf-8").count(wanted) == 1
