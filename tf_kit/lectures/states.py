"""States of a figure: a page with sliders that works without Python, widgets in a notebook, and animations.

A demo declares the states of a figure in a function `sliders(config)` or `animation(config)`, which returns `States`.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
import json
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_kit.checks import refuse
from tf_kit.markup import escaped
from tf_kit.whole_files import replacing, write_text

MOST = 120  # pictures in a page, which holds all of them
SHARP = 140  # pixels per inch in a page, which is as wide as the window


@dataclasses.dataclass(frozen=True)
class States:
    """A figure that depends on one position or on several.

    Attributes:
        knobs: name of each slider → labels of its positions.
        draw: function of one position per slider, each counted from 0, that returns the figure.
        start: position of each slider at first. Defaults to (), all at 0.
    """

    knobs: Mapping[str, Sequence[str]]
    draw: Callable[..., Any]
    start: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        sizes = [len(labels) for labels in self.knobs.values()]
        places = self.start or (0,) * len(sizes)
        if not sizes or min(sizes) < 2:
            refuse("States.knobs", "have two positions or more per slider", f"positions: {sizes}")
        if len(places) != len(sizes) or not all(
            0 <= at < size for at, size in zip(places, sizes, strict=False)
        ):
            refuse("States.start", f"have one position for each of {sizes}", f"start={self.start}")
        object.__setattr__(self, "start", tuple(places))

    def positions(self) -> Iterator[tuple[int, ...]]:
        """Yield all combinations of positions; those of the last slider follow one another."""
        return itertools.product(*(range(len(labels)) for labels in self.knobs.values()))

    def pictures(self, dpi: int = 90) -> list[bytes]:
        """Draw every state with `dpi` pixels per inch; return PNG files in the order of `positions`."""
        from tf_kit.plotting import picture

        return [picture(self.draw(*position), dpi) for position in self.positions()]


def page(states: States, title: str, caption: str = "") -> str:
    """Return a page of HTML with one slider per knob and every picture inside.

    Args:
        states: states of the figure.
        title: heading, such as the question of the demo.
        caption: text below the figure. Defaults to "".

    Raises:
        InputError: there are more than 120 pictures.
    """
    count = len(list(states.positions()))
    if count > MOST:
        refuse("page.states", f"be at most {MOST} pictures", f"{count} pictures", "Use fewer positions")
    encoded = [f"data:image/png;base64,{base64.b64encode(each).decode()}" for each in states.pictures(SHARP)]
    knobs = [
        f"<label><span>{escaped(name)}</span>"
        f'<input type="range" min="0" max="{len(labels) - 1}" value="{at}" autocomplete="off">'
        f"<output>{escaped(labels[at])}</output></label>"
        for (name, labels), at in zip(states.knobs.items(), states.start, strict=True)
    ]
    table = json.dumps({"labels": [list(labels) for labels in states.knobs.values()], "pictures": encoded})
    template = string.Template((Path(__file__).parent / "sliders.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escaped(title),
        caption=escaped(caption),
        knobs="\n".join(knobs),
        first=encoded[list(states.positions()).index(states.start)],
        states=table.replace("</", "<\\/"),
    )


def write_page(states: States, path: str | Path, title: str, caption: str = "") -> Path:
    """Write the page of `page` to a file; missing folders are made."""
    return write_text(path, page(states, title, caption))


def write_animation(states: States, path: str | Path, seconds: float = 8.0) -> Path:
    """Write the states as an animated GIF, which starts again after a pause on its last picture.

    Args:
        states: states of the figure, one after another.
        path: path of the file; missing folders are made.
        seconds: duration of one round. Defaults to 8.

    Returns:
        The path.
    """
    from PIL import Image

    frames = [Image.open(io.BytesIO(each)).convert("RGB") for each in states.pictures()]
    # One palette for all frames, from the last, in which everything has appeared, so that no color flickers.
    palette = frames[-1].quantize(256, dither=Image.Dither.NONE)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    times = [max(40, round(1000 * seconds / len(frames)))] * (len(frames) - 1) + [2000]
    with replacing(path) as unfinished:
        frames[0].save(
            unfinished, save_all=True, append_images=frames[1:], duration=times, loop=0, disposal=2
        )
    return path


def show(states: States, title: str = "") -> None:
    """Show the states in a notebook: with ipywidgets if it is installed, otherwise as the page.

    Args:
        states: states of the figure.
        title: heading of the page. Defaults to "".
    """
    from IPython.display import HTML, Image, display

    from tf_kit.plotting import picture

    try:
        import ipywidgets
    except ModuleNotFoundError:
        display(HTML(page(states, title)))
        return
    names = [f"knob_{k}" for k in range(len(states.knobs))]
    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(label, k) for k, label in enumerate(labels)], value=at, description=knob
        )
        for name, (knob, labels), at in zip(names, states.knobs.items(), states.start, strict=True)
    }
    ipywidgets.interact(
        lambda **at: display(Image(picture(states.draw(*(at[name] for name in names))))), **sliders
    )
