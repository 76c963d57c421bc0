"""Slices of a notebook: the definitions that an exercise asks for and everything they use, without the rest.

Running a whole notebook would not do: experiments train for minutes, and another answer may never end. So the answer is
cut out of the notebook: the statements that bind the requested names and those that bind or change what these use,
whole and in the order of the notebook, up to the place where `check` judged the answer. A name that is not bound above
that place is looked for below it, since cells may be run in any order.

The definition that was bound last before `check` ran is the one that `check` measured, in whichever cell it stands.
Definitions below the last `check` do not count. Where there is no `check`, the marked cell counts.

If such a slice fails, others are tried (`Answer.others`): as the first `check` saw the answer, the marked cell alone,
with every statement above that might change something that the answer uses, and up to a later `check`.
"""

from __future__ import annotations

import ast
import bisect
import builtins
import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence

from tf_kit.grading import ipython
from tf_kit.grading.statements import JUDGES, Statement, shapes, statements

MOST_STATEMENTS = 20_000
MOST_FOR_WIDE = 3_000
UNCHANGED = "the cell is as it was handed out"

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "get_ipython", "display"}


@dataclasses.dataclass(frozen=True)
class Cell:
    """A code cell.

    Args:
        source: its text.
        marks: ids of the exercises that it is marked as an answer to.
    """

    source: str
    marks: tuple[str, ...] = ()


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
        self._broken: dict[int, BaseException] = {}
        self._statements: list[Statement] = []
        work = 0
        for i, cell in enumerate(cells):
            work += ipython.work(cell.source)
            try:
                if len(self._statements) > MOST_STATEMENTS:
                    raise ValueError("the notebook is too long")
                self._statements += statements(cell.source, i, work <= ipython.MOST_WORK)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                self._broken[i] = error
        self._bindings: dict[str, list[Statement]] = {}
        for place, statement in enumerate(self._statements):
            statement.place = place
            for name in statement.binds:
                self._bindings.setdefault(name, []).append(statement)
        self._checking = [statement for statement in self._statements if statement.checks]
        self._untouched = {id: self._drop_blank(*stub) for id, stub in stubs.items()}
        self._kept = dict(self._bindings)
        for id, (names, _) in stubs.items():
            for name in names:
                self._keep_one_cell(id, name)

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
        checked = max(self._checks(id), default=len(self.cells))
        written = [s for s in self._kept.get(name, ()) if not s.imports]
        candidates = [s for s in written if id in self.cells[s.cell].marks] or written
        kept = [s for s in candidates if s.cell <= checked][-1:] or candidates[-1:]
        if kept:
            self._kept[name] = [s for s in self._kept[name] if s.cell == kept[0].cell or s.imports]

    def _checks(self, id):
        """List the cells that check an exercise, by its id or with others, by a function that is not the student's."""
        own = {name for name in JUDGES if any(s.defines for s in self._bindings.get(name, ()))}
        found = [s.cell for s in self._checking if any(f not in own and e in (id, "") for f, e in s.checks)]
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
        tried += [(True, len(self.cells), wide) for wide in (False, True)]
        cells = [s.cell for s in self._statements]
        for alone, cell, wide in tried:
            if not wide or len(cells) <= MOST_FOR_WIDE:
                end = bisect.bisect_right(cells, cell)
                bindings = self._kept if alone else self._bindings
                changed = len(cells) if alone and not judged else end
                yield _Slice(self._statements, bindings, names, end, wide, changed).code()

    def _first_cell(self, name):
        """Find the first cell that defines a name; one below the notebook if the name is only imported."""
        return next((s.cell for s in self._bindings[name] if not s.imports), len(self.cells))

    def _seen(self, names, checks, check):
        """List the checks up to one that judged the definitions that this one saw."""
        last = max([s.cell for s in self._bindings[name] if s.cell <= check][-1] for name in names)
        return [i for i in checks if last <= i <= check]

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


class _Slice:
    """The statements that some names need, as they stand at a place of the notebook.

    Args:
        statements: all statements.
        bindings: name -> statements that bind it.
        names: the names.
        end: number of statements above the place.
        wide: whether to take every statement above that might change an object that the names use, makes folders, or
            writes a file that they name.
        changed: number of statements above the place up to which objects may be changed.
    """

    def __init__(self, statements, bindings, names, end, wide, changed):
        self._all, self._bindings, self._end, self._changed = statements, bindings, end, changed
        self._taken: dict[Statement, set[Statement]] = {}  # statement -> those that must run before it
        self._asked: set[tuple[str, int]] = set()
        self._pending: list[tuple[str, int, Statement | None]] = [(name, end, None) for name in names]
        self._extra: set[Statement] = set()
        self._late, self._wide = False, wide
        self._settle()
        if wide:
            self._widen()

    def _settle(self):
        """Take what is needed, and what changes the objects that were taken, until nothing more is needed."""
        while True:
            while self._pending:
                self._take(*self._pending.pop())
            own: dict[str, int] = {}
            for statement in self._taken:
                for name in statement.binds if not statement.imports else ():
                    own[name] = min(own.get(name, statement.place), statement.place)
            touching = [
                s
                for s in self._all[: self._changed]
                if s not in self._taken and any(own.get(name, self._changed) < s.place for name in s.touches)
            ]
            if not touching:
                return
            for statement in touching:
                if self._wide and not statement.binds:
                    self._extra.add(statement)
                self._add(statement, self._end)

    def _take(self, name, place, user):
        found = self._bindings.get(name, [])
        above = bisect.bisect_left(found, place, key=_place)
        start = next((i for i in reversed(range(above)) if found[i].replaces(name)), 0)
        chosen = found[start:above]
        if not chosen and found:
            chosen = [s for s in found if s.cell == found[0].cell]
            self._late = self._late or user is None or chosen[0].place > user.place
        for statement in chosen:
            if user is not None and statement is not user:
                self._taken[user].add(statement)
            self._add(statement, place)

    def _add(self, statement, place):
        """Take a statement, whose functions are called at a place or above it."""
        self._taken.setdefault(statement, set())
        wanted = [(name, statement.place) for name in statement.uses]
        wanted += [(name, max(place, statement.place)) for name in statement.later]
        if not statement.defines:  # its functions may be called at once
            wanted += [(name, statement.place) for name in statement.later]
        for name, at in wanted:
            if (name, at) not in self._asked:
                self._asked.add((name, at))
                self._pending.append((name, at, statement if at == statement.place else None))

    def _widen(self):
        """Take every statement above that the slice may need.

        It makes folders, writes a file that the slice names, or refers to an object of it, if only by a function.
        """
        reach = {name: s.later | s.uses for s in self._all if s.defines for name in s.binds}
        while True:
            own = {name for s in self._taken if not s.imports for name in s.binds}
            named = frozenset().union(*(s.files for s in self._taken))
            more = [
                s
                for s in self._all[: self._end]
                if s not in self._taken
                and not s.imports
                and not s.only_defines
                and (s.prepares or s.writes & named or _reached(s.uses | s.later, reach) & own)
            ]
            if not more:
                return
            for statement in more:
                self._extra.add(statement)
                self._add(statement, self._end)
            self._settle()

    def code(self):
        """Write the slice as a program."""
        bound = frozenset().union(*(s.binds for s in self._taken))
        unknown = frozenset().union(*(s.uses | s.later for s in self._taken)) - bound - _BUILTINS
        stars = [s for s in self._all if "*" in s.binds and (unknown or s.place < self._end)]
        future = [s for s in self._all if s.future]
        ordered = [s for s in self._ordered() if not s.future and s not in stars]
        ordered = [*stars, *ordered] if self._late else sorted({*stars, *ordered}, key=_place)
        files = self._files(ordered)
        ordered = [*files, *ordered] if self._late else sorted({*files, *ordered}, key=_place)
        # even if every name is known, the imports may replace Python's own functions
        guarded = self._extra if unknown else {*stars, *self._extra}
        return "\n\n".join(_guarded(s) if s in guarded else s.text for s in [*future, *ordered]) + "\n"

    def _files(self, taken):
        """Find the cells above that write a file which the statements or another file name, as `import` does."""
        named, found = {}, []
        for statement in self._all[: self._end]:
            if statement.file:
                named.setdefault(statement.file[0], []).append(statement)
        texts = [s.text for s in taken] if named else []
        while texts:
            more = [s for word in set(re.findall(r"\w+", texts.pop())) for s in named.pop(word, ())]
            texts += [s.file[1] for s in more]
            found += more
        return sorted(found, key=_place)

    def _ordered(self):
        taken = sorted(self._taken, key=_place)
        if not self._late:
            return taken
        ordered: dict[Statement, None] = {}
        for root in taken:
            path = [(root, iter(sorted(self._taken[root], key=_place)))]
            open_ = {root}
            while path:
                statement, needed = path[-1]
                inner = next((s for s in needed if s not in ordered and s not in open_), None)
                if inner is None:
                    ordered[statement] = None
                    path.pop()
                else:
                    open_.add(inner)
                    path.append((inner, iter(sorted(self._taken[inner], key=_place))))
        return list(ordered)


def _place(statement):
    return statement.place


def _reached(names, reach):
    """Follow names through the functions that they call."""
    found, pending = set(names), list(names)
    while pending:
        for name in reach.get(pending.pop(), ()):
            if name not in found:
                found.add(name)
                pending.append(name)
    return found


def _guarded(statement):
    """Let a statement fail without the answer, as a cell of a notebook may."""
    ignored = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
    return ast.unparse(ast.fix_missing_locations(ast.Try([statement.node], [ignored], [], [])))
