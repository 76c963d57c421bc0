"""Slides of the demos: one HTML file with its figures inside, which needs no network.

A demo gives five slides: its question, what do you expect?, its figure, its answer, and the line of code that matters.
"""

from __future__ import annotations

import base64
import re
import string
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

from tf_kit.lectures.catalog import Demo, docstring
from tf_kit.lectures.index import read, slides
from tf_kit.lectures.performance import Performance
from tf_kit.lectures.quiz import LETTERS, everything
from tf_kit.markup import escaped
from tf_kit.whole_files import write_text

AROUND = 3  # lines of code shown before and after the one that matters


def write_deck(performances: Sequence[tuple[Demo, Performance]], path: str | Path) -> Path:
    """Write the slides of some demos into one HTML file.

    Args:
        performances: demos with what `carry_out` returned for them; their figures are closed.
        path: path of the file; missing folders are made.

    Returns:
        The path.
    """
    sections = [section for demo, done in performances for section in slides_of(demo, done)]
    title = performances[0][0].title if len(performances) == 1 else "The lecture, demo by demo"
    template = string.Template((Path(__file__).parent / "deck.html").read_text(encoding="utf-8"))
    return write_text(path, template.substitute(title=escaped(title), sections="\n".join(sections)))


def slides_of(demo: Demo, done: Performance) -> list[str]:
    """Return the slides of one demo as HTML sections."""
    named = escaped(f"{demo.number} · {demo.title}")
    asked = escaped(done.question)
    cited = [slide.heading for slide in slides() if demo.topic in slide.topics]
    where = f'<p class="where">Slide: {escaped("; ".join(cited))}</p>' if cited else ""
    image = f'<img alt="{asked}" src="data:image/png;base64,{_encoded(done)}">'
    answered = "".join(_paragraph(part) for part in sentences(done.answer))
    contents = {
        "question": f"<h1>{asked}</h1>{where}",
        "expect": f"<h2>What do you expect?</h2>{_paragraph(experiment(demo))}{_choices(demo)}",
        "figure": f'<h2 class="small">{asked}</h2>{image}',
        "answer": f"<h2>{'Answer' if done.holds else 'The claim does not hold'}</h2>{answered}",
        "code": f"<h2>The line that matters</h2>{code_of(demo)}"
        f'<p class="where">tf-kit lecture {demo.number}</p>',
    }
    return [
        f'<section class="{kind}"><div class="named">{named}</div><div class="body">{body}</div></section>'
        for kind, body in contents.items()
    ]


def experiment(demo: Demo) -> str:
    """Return the paragraph of a demo's docstring that describes the experiment."""
    return " ".join(docstring(demo).split("\n\n")[1].split())


def sentences(text: str) -> list[str]:
    """Split an answer into sentences, one for each line of a slide.

    Example:
        >>> sentences("Errors: 3.5 % and 2 %. Nothing died.")
        ['Errors: 3.5 % and 2 %.', 'Nothing died.']
    """
    return re.split(r"(?<=[a-z%)\d]\.) (?=[A-Z])", text)


def code_of(demo: Demo) -> str:
    """Return the line of a demo that matters, marked, with the lines around it."""
    wanted = read("slides.toml")["topics"][demo.topic]["line"]
    lines = demo.path.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if wanted in line)
    first, last = at, at
    while first > max(0, at - AROUND) and lines[first - 1].strip() not in ("", "# %%"):
        first -= 1
    while last < min(len(lines) - 1, at + AROUND) and lines[last + 1].strip():
        last += 1
    block = textwrap.dedent("\n".join(lines[first : last + 1])).splitlines()
    shown = [escaped(line) for line in block]
    shown[at - first] = f"<mark>{shown[at - first]}</mark>"
    return f"<pre>{chr(10).join(shown)}</pre>"


def _choices(demo):
    for question in everything():
        if question.topic == demo.topic and question.choices:
            shown = zip(LETTERS, question.shown(), strict=False)
            rows = "".join(f"<li>{_marked(f'{letter}) {choice}')}</li>" for letter, choice in shown)
            return f'<p class="asked">{_marked(question.ask)}</p><ul>{rows}</ul>'
    return ""


def _paragraph(text):
    return f"<p>{_marked(text)}</p>"


def _marked(text):
    """Escape text; what stands between backticks becomes code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text))


def _encoded(done):
    from tf_kit import plotting

    with tempfile.TemporaryDirectory() as folder:
        return base64.b64encode(plotting.save(done.figure, Path(folder) / "figure.png").read_bytes()).decode()
