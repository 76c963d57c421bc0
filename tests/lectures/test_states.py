"""Pages with sliders and animations: every state has its own picture, found without Python and without network."""

import base64
import html.parser
import io
import itertools
import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from tf_kit import lectures, plotting
from tf_kit.errors import InputError
from tf_kit.lectures import catalog, states

KNOBS = {"rate": ["0.1", "<0.2", "0.3"], "</script>": ["low", "high"]}


def draw(rate, height=0):
    figure, axes = plt.subplots(figsize=(2, 1.5))
    axes.plot([0, 1], [rate, height])
    axes.set(ylim=(-1, 4))
    return figure


class Page(html.parser.HTMLParser):
    """Elements of a page: their attributes, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.inside = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.inside = dict(attributes) if tag == "script" else None

    def handle_data(self, data):
        if self.inside is not None:
            self.scripts.append((self.inside, data))

    def handle_endtag(self, tag):
        self.inside = None

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "new" / "page.html"
    made = lectures.States(KNOBS, draw, start=(2, 1))
    return made, states.write_page(made, path, "Which <rate>?", "The second.").read_text(encoding="utf-8")


def table(text):
    (data,) = [data for attributes, data in Page(text).scripts if attributes.get("class") == "states"]
    return json.loads(data)


def test_every_combination_of_positions_has_its_picture(written):
    """The script of the page computes place · positions + position over the sliders, from the first to the last."""
    made, text = written
    found = table(text)
    assert found["labels"] == list(KNOBS.values())
    assert len(found["pictures"]) == 6 == len(set(found["pictures"]))
    for position in itertools.product(range(3), range(2)):
        place = 0
        for at, labels in zip(position, found["labels"], strict=True):
            place = place * len(labels) + at
        shown = base64.b64decode(found["pictures"][place].removeprefix("data:image/png;base64,"))
        assert shown == plotting.picture(made.draw(*position), states.SHARP)
        Image.open(io.BytesIO(shown)).verify()


def test_sliders_reach_the_positions_and_begin_at_the_start(written):
    page = Page(written[1])
    ranges = [(each["min"], each["max"], each["value"]) for each in page.all("input")]
    assert ranges == [("0", "2", "2"), ("0", "1", "1")]
    assert page.all("img")[0]["src"] == table(written[1])["pictures"][5]
    assert len(page.all("output")) == 2


def test_page_needs_no_network_and_escapes_text(written):
    text = written[1]
    assert "http" not in text
    assert not any("src" in each for each in Page(text).all("script"))
    assert "Which &lt;rate&gt;?" in text
    assert len(Page(text).all("script")) == text.count("</script>") == 2


def test_animation_has_a_frame_per_state_and_repeats(tmp_path):
    made = lectures.States({"step": [str(step) for step in range(4)]}, draw)
    with Image.open(states.write_animation(made, tmp_path / "new" / "a.gif", seconds=2)) as film:
        assert film.n_frames == 4
        assert film.info["loop"] == 0
        assert film.info["duration"] == 500
        first = np.asarray(film.convert("RGB"))
        film.seek(3)
        assert not np.array_equal(first, np.asarray(film.convert("RGB")))
        assert film.info["duration"] == 2000


@pytest.mark.parametrize(
    ("knobs", "start", "message"),
    [
        ({}, (), "two positions or more"),
        ({"a": ["1"]}, (), "two positions"),
        (KNOBS, (3, 0), "one position for"),
    ],
)
def test_states_without_choice_or_start_are_refused(knobs, start, message):
    with pytest.raises(InputError, match=message):
        lectures.States(knobs, draw, start)


def test_page_with_too_many_pictures_is_refused():
    with pytest.raises(InputError, match=r"at most 120 pictures.*Received: 121 pictures"):
        states.page(lectures.States({"step": ["x"] * 121}, draw), "")


def test_notebook_without_widgets_shows_the_page(monkeypatch):
    display = pytest.importorskip("IPython.display", reason="needs the labs extra: IPython")
    shown = []
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    monkeypatch.setattr(display, "display", shown.append)
    states.show(lectures.States({"step": ["0", "1"]}, draw), "Title")
    assert 'type="range"' in shown[0].data


@pytest.mark.parametrize(("kind", "topic"), [("sliders", "losses"), ("animation", "losses")])
def test_demo_that_does_not_move_is_refused_with_those_that_do(kind, topic):
    with pytest.raises(InputError, match=r"Received: demo 03.*06"):
        catalog.moving(lectures.find(topic), kind)


MOVING = [
    (demo, kind) for demo in lectures.demos() for kind in ("sliders", "animation") if kind in demo.functions
]


def test_five_pages_and_three_animations():
    assert {demo.number for demo, kind in MOVING if kind == "sliders"} == {"05", "06", "10", "16", "19"}
    assert {demo.number for demo, kind in MOVING if kind == "animation"} == {"01", "06", "17"}


@pytest.mark.slow
@pytest.mark.parametrize(("demo", "kind"), MOVING, ids=lambda each: getattr(each, "topic", each))
def test_first_and_last_state_of_a_demo_differ(demo, kind):
    module = lectures.load(demo)
    made = getattr(module, kind)(module.Config.quick())
    positions = list(made.positions())
    assert len(positions) <= states.MOST
    assert plotting.picture(made.draw(*positions[0])) != plotting.picture(made.draw(*positions[-1]))
