"""Words that Matplotlib draws."""

from matplotlib.backends.backend_agg import RendererAgg

NAMES = (
    "$1_$9",
    "$5-$10",
    "$10",
    r"a\$b$",
    "_rest",
    "$x^{2$",
)  # of classes or folders; two `$` are mathematics


def drawn_words(monkeypatch):
    """Return a list to which every figure adds the lines that it draws as they are, and not as mathematics."""
    found, draw = [], RendererAgg.draw_text

    def listen(self, gc, x, y, line, prop, angle, ismath=False, mtext=None):
        found.append(f"mathematics: {line}" if ismath else line)
        draw(self, gc, x, y, line, prop, angle, ismath, mtext)

    monkeypatch.setattr(RendererAgg, "draw_text", listen)
    return found
