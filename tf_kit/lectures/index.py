"""Index of the lecture: the deck slide by slide, each slide with its demo, modules, lab and answer.

The declaration is `slides.toml`; `tf-kit lecture slides` and the table of the gallery are made from it.
"""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from pathlib import Path

from tf_kit.lectures.catalog import demos

HEAD = (
    "Each slide with its statement, the answer of this kit (→), and where to see it: commands, modules and labs. "
    "`tf-kit lecture NN --quick` gives a first look; `tf-kit lab release NN --out labs` writes the notebook of lab NN."
)


@dataclasses.dataclass(frozen=True)
class Slide:
    """One slide of the deck.

    Attributes:
        title: title, as printed.
        part: words that tell slides of one title apart, or "".
        sentence: statement or question of the slide.
        topics: topics of the demos that take it up; none for a slide of organization.
        answer: answer of the kit.
        commands: commands that show the answer.
        modules: modules of the package, such as `"networks.losses"`.
        labs: numbers of the labs.
    """

    title: str
    part: str
    sentence: str
    topics: tuple[str, ...]
    answer: str
    commands: tuple[str, ...]
    modules: tuple[str, ...]
    labs: tuple[str, ...]

    @property
    def heading(self) -> str:
        """Title, followed by the part if there is one."""
        return f"{self.title}: {self.part}" if self.part else self.title


def read(name: str) -> dict:
    """Read a declaration that lies next to this file."""
    return tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))


@functools.cache
def slides() -> tuple[Slide, ...]:
    """Return the slides in the order of the deck."""
    declared = read("slides.toml")
    numbers = {demo.topic: demo.number for demo in demos()}
    found = []
    for slide in declared["slides"]:
        of = [declared["topics"][topic] for topic in slide["topics"]]
        by_demo = [f"tf-kit lecture {numbers[topic]}" for topic in slide["topics"]]
        modules = dict.fromkeys(module for topic in of for module in topic["modules"])
        labs = dict.fromkeys(topic["lab"] for topic in of if "lab" in topic)
        found.append(
            Slide(
                slide["title"],
                slide.get("part", ""),
                slide["sentence"],
                tuple(slide["topics"]),
                slide["answer"],
                tuple(slide.get("commands", by_demo)),
                tuple(modules),
                tuple(labs),
            )
        )
    return tuple(found)


def as_text() -> str:
    """Return the index for a terminal, with a line in front that explains its four lines per slide."""
    lines = [HEAD, ""]
    for i, slide in enumerate(slides(), 1):
        modules = [f"tf_kit.{module}" for module in slide.modules]
        where = [*slide.commands, *modules, *(f"lab {lab}" for lab in slide.labs)]
        lines += [f"{i:>2}  {slide.heading}", f"      {slide.sentence}", f"      → {slide.answer}"]
        lines += [f"      {' · '.join(where)}", ""]
    return "\n".join(lines)
