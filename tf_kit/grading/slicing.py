"""Slices of a notebook: the definitions that an exercise asks for and everything they use, without the rest.

Running a whole notebook would not do: experiments train for minutes, and another answer may never end. So the answer is
cut out of the notebook: the statements that bind the requested names and those that bind or change what these use,
whole and in the order of the notebook, up to the place where `check` judged the answer. A name that is not bound above
that place, and is not one of Python's own, is looked for below it, since cells may be run in any order.

The definition that was bound last before `check` ran is the one that `check` measured, in whichever cell it stands.
Definitions below the last `check` do not count. Where there is no `check`, the marked cell counts. If the cells were
executed in another order than they stand in, that order is tried last (`in_order_of_execution`).

If such a slice fails, others are tried (`Answer.others`): as the first `check` saw the answer, the marked cell alone,
with every statement above that might change something that the answer uses, and up to a later `check`.
"""

from __future__ import annotations

import ast
import bisect
import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence

from tf_kit.grading import ipython
from tf_kit.grading.dependencies import Slice
from tf_kit.grading.statements import JUDGES, Statement, shapes, statements

MOST_STATEMENTS = 20_000
MOST_FOR_WIDE = 3_000
UNCHANGED = "the cell is as it was handed out"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A code cell.

    Args:
        source: its text.
        marks: ids of the exercises that it is marked as an answer to.
        executed: number that Jupyter gave it when it was executed last, or None.
    """

    source: str
    marks: tuple[str, ...] = ()
    executed: int | None = None


def in_order_of_execution(cells: Sequence[Cell]) -> list[Cell] | None:
    """Return the cells in the order in which they were executed, the others behind them; None if they stand so.

    Example:
        >>> [cell.source for cell in in_order_of_execution([Cell("a", (), 3), Cell("b"), Cell("c", (), 2)])]
        ['c', 'a', 'b']
        >>> in_order_of_execution([Cell("a", (), 2), Cell("b", (), 3)])
    """
    ordered = sorted(cells, key=lambda cell: (cell.executed is None, cell.executed or 0))
    numbers = [cell.executed for cell in cells if cell.executed is not None]
    return None if numbers == sorted(numbers) else ordered


@dataclasses.dataclass(frozen=True)
class Answer:
    """The code of an answer, or the reason why there is none.

    Args:
        code: the code.
        status: "missing" or "error" if there is no code.
        why: the reason.
        wider: other slices, most of them wider, cut out as they are asked for.
    """

    code: str = ""
    status: str = ""
    why: str = ""
    wider: Iterator[str] = dataclasses.field(default_factory=lambda: iter(()), compare=False)

    @functools.cached_property
    def others(self) -> tuple[str, ...]:
        """Other slices, to be tried if the code does not get all points."""
        with contextlib.suppress(RecursionError):
            return tuple(dict.fromkeys(code for code in self.wider if code != self.code))
        return ()


class Notebook:
    """The code cells of a submission, split into statements.

    Args:
        cells: the cells in the order of the notebook.
        stubs: id of an exercise -> (names that it defines, its cell as handed out). Definitions as handed out do not
            count where there are others, so an extra copy of the cell does no harm.
    """

    def __init__(self, cells: Sequence[Cell], stubs: Mapping[str, tuple[Sequence[str], str]]):
        self.cells = cells
        self._broken: list[tuple[Cell, BaseException]] = []
        self._statements: list[Statement] = []
        work = 0
        for i, cell in enumerate(cells):
            work += ipython.work(cell.source)
            try:
                if len(self._statements) > MOST_STATEMENTS:
                    raise ValueError("the notebook is too long")
                self._statements += statements(cell.source, i, work <= ipython.MOST_WORK)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                self._broken.append((cell, error))
        self._checking = self._find_checks()
        self._parts = self._split_at_checks(cells)
        self._own_modules()
        self._bindings: dict[str, list[Statement]] = {}
        for place, statement in enumerate(self._statements):
            statement.place = place
            for name in statement.binds:
                self._bindings.setdefault(name, []).append(statement)
        self._untouched = {id: self._drop_blank(*stub) for id, stub in stubs.items()}
        self._kept = dict(self._bindings)
        for id, (names, _) in stubs.items():
            for name in names:
                self._keep_one_cell(id, name)

    def _find_checks(self):
        """Find the statements that check: by `check`, by another name of it, or by a function that calls it."""
        imports = [
            s.node for s in self._statements if isinstance(s.node, ast.ImportFrom) and " as " in s.text
        ]
        named = [a.asname for node in imports for a in node.names if a.asname and a.name in JUDGES]
        found = {s: checks for s in self._statements if (checks := s.checks((*JUDGES, *named)))}
        helpers = {name: found.pop(s) for s in [s for s in found if s.defines] for name in s.binds}
        for s in self._statements if helpers else ():
            for name in s.uses & helpers.keys() if not s.only_defines else ():
                found[s] = found.get(s, frozenset()) | helpers[name]
        return found

    def _split_at_checks(self, cells):
        """Make cells of the parts of a cell above and below a check, which did not see the code below it."""
        parts: list[Cell] = []
        before = None
        for s in self._statements:
            if before is None or s.cell != before[0] or before[1] in self._checking:
                parts.append(cells[s.cell])
            before = s.cell, s
            s.cell = len(parts) - 1
        return parts

    def _own_modules(self):
        """Take an import from a module that the notebook writes for a definition of the names."""
        written: dict[str, str] = {}
        for s in self._statements:
            if s.file:
                written[s.file[0]] = written.get(s.file[0], "") + "\n" + s.file[1]
        for s in self._statements if written else ():
            module = (s.node.module or "").rsplit(".", 1)[-1] if isinstance(s.node, ast.ImportFrom) else ""
            if module in written:
                s.imports = False
                if "*" in s.binds:
                    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                        s.binds = s.binds.union(*(each.binds for each in statements(written[module])))

    def _drop_blank(self, names, stub):
        """Drop definitions as they were handed out where there are others. Returns whether there are none."""
        untouched = True
        blank = shapes(stub)
        for name in names:
            found = self._bindings.get(name, ())
            if any(not s.imports and s.shape not in blank for s in found):
                untouched = False
                self._bindings[name] = [s for s in found if s.imports or s.shape not in blank]
        return untouched

    def _keep_one_cell(self, id, name):
        """Keep one cell's definition of a name: a marked cell, else the last one, above the last check if possible."""
        checked = max(self._checks(id), default=len(self._parts))
        written = [s for s in self._kept.get(name, ()) if not s.imports]
        candidates = [s for s in written if id in self._parts[s.cell].marks] or written
        kept = [s for s in candidates if s.cell <= checked][-1:] or candidates[-1:]
        if kept:
            self._kept[name] = [s for s in self._kept[name] if s.cell == kept[0].cell or s.imports]

    def _checks(self, id):
        """List the cells that check an exercise, by its id or with others, by a function that is not the student's."""
        own = {name for name in JUDGES if any(s.defines for s in self._bindings.get(name, ()))}
        found = [
            s.cell
            for s, checks in self._checking.items()
            if any(f not in own and e in (id, "") for f, e in checks)
        ]
        return list(dict.fromkeys(found))

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
            slices = self._slices(id, names)
            return Answer(next(slices), wider=slices)
        except RecursionError:
            return Answer(status="error", why="the definitions depend on each other too deeply")

    def _slices(self, id, names):
        """Cut out the answer as the last and the first check saw it, then the cell that is kept; then wider slices."""
        checks = self._checks(id)
        last = max(self._kept[name][-1].cell for name in names)
        judged = [i for i in checks if i >= last]
        begun = max(self._first_cell(name) for name in names)
        seeing = [i for i in checks if i >= begun]
        views = [(False, self._seen(names, checks, check)) for check in (*seeing[-1:], *seeing[:1])]
        views.append((True, judged or [last]))  # without a check, nobody knows when the answer was judged
        places = dict.fromkeys((alone, ends[at]) for at in (0, -1) for alone, ends in views if ends)
        tried = [(alone, cell, wide) for wide in (False, True) for alone, cell in places]
        tried += [(True, len(self._parts), wide) for wide in (False, True)]
        cells = [s.cell for s in self._statements]
        for alone, cell, wide in tried:
            if not wide or len(cells) <= MOST_FOR_WIDE:
                end = bisect.bisect_right(cells, cell)
                bindings = self._kept if alone else self._bindings
                changed = len(cells) if alone and not judged else end
                yield Slice(self._statements, bindings, names, end, wide, changed).code()

    def _first_cell(self, name):
        """Find the first cell that defines a name; one below the notebook if the name is only imported."""
        return next((s.cell for s in self._bindings[name] if not s.imports), len(self._parts))

    def _seen(self, names, checks, check):
        """List the checks up to one that judged the definitions that this one saw."""
        last = max([s.cell for s in self._bindings[name] if s.cell <= check][-1] for name in names)
        return [i for i in checks if last <= i <= check]

    def _absent(self, id, names):
        for cell, error in self._broken:
            if id in cell.marks or any(
                re.search(rf"^(class|def) +{n}\b|^{n} *=", cell.source, re.M) for n in names
            ):
                line = getattr(error, "lineno", None)
                at = f" in line {line} of its cell" if line else ""
                reason = getattr(error, "msg", None) or "too deeply nested or too long"
                return Answer(status="error", why=f"{type(error).__name__}{at}: {reason}")
        return Answer(status="missing", why=f"no cell defines {', '.join(f'`{name}`' for name in names)}")
