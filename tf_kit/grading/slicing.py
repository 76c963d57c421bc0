"""Slices of a notebook: the definitions that an exercise asks for and everything they use, without the rest.

Running a whole notebook would not do: experiments train for minutes, another answer may never end, and a cell may
stand above the definitions that it uses. Instead, the statements that bind the requested names are taken, and those
that bind the names used in them, each after the statements that it depends on.
"""

import ast
import builtins
import dataclasses
import functools
import re
import symtable
from collections.abc import Mapping, Sequence

LONGEST_CELL = 200_000  # characters; no answer needs more, and Python's parser becomes very slow beyond that
UNCHANGED = "the cell is as it was handed out"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A code cell.

    Args:
        source: its text.
        marks: ids of the exercises that it is marked as an answer to.
    """

    source: str
    marks: tuple[str, ...] = ()


@dataclasses.dataclass(eq=False)
class Statement:
    """A top-level statement.

    Args:
        cell: index of its cell.
        text: its source.
        binds: names that it binds.
        uses: names that it refers to.
        touches: name of an object that it changes without binding it, or "".
        imports: whether it is an import.
        future: whether it imports from `__future__`.
        node: its syntax tree.
    """

    cell: int
    text: str
    binds: frozenset[str]
    uses: frozenset[str]
    touches: str = ""
    imports: bool = False
    future: bool = False
    node: ast.stmt | None = None

    @functools.cached_property
    def shape(self) -> str:
        """The statement without spacing, comments and choice of quotes."""
        try:
            return self.text if self.node is None else ast.dump(self.node)
        except (RecursionError, MemoryError):
            return self.text


@dataclasses.dataclass(frozen=True)
class Answer:
    """The code of an answer, or the reason why there is none.

    Args:
        code: the code.
        status: "missing" or "error" if there is no code.
        why: the reason.
    """

    code: str = ""
    status: str = ""
    why: str = ""


class Notebook:
    """The code cells of a submission, split into statements.

    Args:
        cells: the cells in the order of the notebook.
        stubs: id of an exercise -> (names that it defines, its cell as handed out). If several cells define such a
            name, the last one that differs from the stub is used, so an extra copy of the cell does no harm.
    """

    def __init__(self, cells: Sequence[Cell], stubs: Mapping[str, tuple[Sequence[str], str]]):
        self.cells = cells
        self._broken = {}
        self._statements = []
        for i, cell in enumerate(cells):
            try:
                self._statements += statements(cell.source, i)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                self._broken[i] = error
        self._untouched = {id: self._choose(id, *stub) for id, stub in stubs.items()}
        self._bindings: dict[str, list[Statement]] = {}
        for statement in self._statements:
            for name in statement.binds:
                self._bindings.setdefault(name, []).append(statement)

    def _choose(self, id, names, stub):
        """Keep one cell's definition of each name. Returns whether every definition is still the stub."""
        untouched = True
        blank = _shape(stub)
        for name in names:
            found = [s for s in self._statements if name in s.binds and not s.imports]
            written = [s for s in found if s.shape not in blank]
            untouched = untouched and not written
            marked = [s for s in written if id in self.cells[s.cell].marks]
            kept = (marked or written or found)[-1:]
            dropped = [s for s in found if kept and s.cell != kept[0].cell]
            self._statements = [s for s in self._statements if s not in dropped]
        return untouched

    def answer(self, id: str, names: Sequence[str]) -> Answer:
        """Extract the answer to an exercise.

        Args:
            id: id of the exercise.
            names: names that the answer must define.
        """
        absent = [name for name in names if name not in self._bindings]
        if absent:
            return self._absent(id, absent)
        if self._untouched.get(id):
            return Answer(status="missing", why=UNCHANGED)
        try:
            return Answer("\n\n".join(s.text for s in self._needed(names)) + "\n")
        except RecursionError:
            return Answer(status="error", why="the definitions depend on each other too deeply")

    def _absent(self, id, names):
        for i, error in self._broken.items():
            cell = self.cells[i]
            if id in cell.marks or any(
                re.search(rf"^(class|def) +{n}\b|^{n} *=", cell.source, re.M) for n in names
            ):
                line = getattr(error, "lineno", None)
                at = f" in line {line} of its cell" if line else ""
                reason = getattr(error, "msg", None) or "too deeply nested or too long"
                return Answer(status="error", why=f"{type(error).__name__}{at}: {reason}")
        return Answer(status="missing", why=f"no cell defines {', '.join(f'`{name}`' for name in names)}")

    def _needed(self, names):
        ordered, seen = [], set()

        def need(name):
            for statement in self._bindings.get(name, ()):
                visit(statement)

        def visit(statement):
            if statement in seen:
                return
            seen.add(statement)
            for name in sorted(statement.uses):
                need(name)
            ordered.append(statement)

        for name in names:
            need(name)
        for statement in self._statements:
            if statement.touches and any(statement.touches in s.binds and not s.imports for s in ordered):
                visit(statement)
        bound = frozenset().union(*(s.binds for s in ordered))
        unknown = frozenset().union(*(s.uses for s in ordered)) - bound - set(dir(builtins))
        stars = [s for s in self._statements if "*" in s.binds] if unknown else []
        future = [s for s in self._statements if s.future]
        return [*future, *stars, *(s for s in ordered if not s.future)]


def statements(source: str, cell: int = 0) -> list[Statement]:
    """Split the source of a cell into its top-level statements; an import of several names becomes one per name.

    Args:
        source: the source.
        cell: index of the cell.

    Raises:
        SyntaxError: the source is not Python.
        ValueError: the source is longer than `LONGEST_CELL`, or has a null character.

    Example:
        >>> [sorted(s.binds) for s in statements("import numpy as np, keras\\ndef f(x):\\n    return np.sum(x)")]
        [['np'], ['keras'], ['f']]
    """
    if len(source) > LONGEST_CELL:
        raise ValueError("the cell is too long")
    try:
        tree = ast.parse(source)
    except SyntaxError:
        source = without_magics(source)
        tree = ast.parse(source)
    lines = re.split(r"\r\n|\r|\n", source)  # `splitlines` ends a line at a form feed too
    found = []
    for i, node in enumerate(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [_import(node, alias, cell) for alias in node.names]
            continue
        text = _text(node, source, lines, tree.body[i - 1 : i] + tree.body[i + 1 : i + 2])
        binds, uses = _names(text)
        found.append(Statement(cell, text, binds, uses, _touched(node), node=node))
    return found


def without_magics(source: str) -> str:
    """Comment out the lines that only IPython understands.

    Example:
        >>> without_magics("%matplotlib inline\\nx = 1\\n!ls")
        '# %matplotlib inline\\nx = 1\\n# !ls'
    """
    if source.lstrip().startswith("%%"):
        head, _, rest = source.lstrip().partition("\n")
        return source if head.split()[0] not in ("%%time", "%%timeit", "%%capture") else f"# {head}\n{rest}"
    return re.sub(r"^(\s*)([%!]|\?)", r"\1# \2", source, flags=re.MULTILINE)


def _import(node, alias, cell):
    bound = alias.asname or alias.name.split(".")[0]
    text = ast.unparse(type(node)(**{**vars(node), "names": [alias]}))
    future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
    return Statement(cell, text, frozenset() if future else frozenset([bound]), frozenset(), "", True, future)


def _text(node, source, lines, neighbors):
    """Get the text of a statement: whole lines with comments, unless it shares a line with a neighbor."""
    first = _first_line(node)
    if any(first <= other.end_lineno and _first_line(other) <= node.end_lineno for other in neighbors):
        return ast.get_source_segment(source, node)
    return "\n".join(lines[first - 1 : node.end_lineno])


def _first_line(node):
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])


def _names(text):
    table = symtable.symtable(text, "<cell>", "exec")
    binds = {
        s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()
    }
    uses = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    pending = list(table.get_children())
    while pending:
        inner = pending.pop()
        pending += inner.get_children()
        for symbol in inner.get_symbols():
            if symbol.is_global():
                uses.add(symbol.get_name())
                if symbol.is_declared_global() and symbol.is_assigned():
                    binds.add(symbol.get_name())
    return frozenset(binds), frozenset(uses)


def _touched(node):
    """Find the name whose object a statement changes, as in `f.rate = 1`, `t["a"] = 2`, `del x.y`, `n.append(z)`."""
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets = [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func
        if isinstance(called, ast.Name) and called.id in ("setattr", "delattr") and node.value.args:
            targets = [ast.Attribute(node.value.args[0], "", ast.Store())]
        elif isinstance(called, ast.Attribute) and called.attr in (
            "append",
            "extend",
            "update",
            "add",
            "insert",
        ):
            targets = [called]
        else:
            return ""
    else:
        return ""
    for target in targets:
        if isinstance(target, ast.Attribute | ast.Subscript):
            while isinstance(target, ast.Attribute | ast.Subscript):
                target = target.value
            if isinstance(target, ast.Name):
                return target.id
    return ""


@functools.lru_cache(256)
def _shape(code):
    """Get the statements of a cell without spacing, comments and choice of quotes."""
    try:
        return {ast.dump(node) for node in ast.parse(code).body}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {code}
