"""The statements of a notebook that some names need, put together as a program."""

from __future__ import annotations

import ast
import bisect
import builtins
import re

from tf_kit.grading import delegation, preparations
from tf_kit.grading.statements import Statement

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "get_ipython", "display"}


class Slice:
    """The statements that some names need, as they stand at a place of the notebook.

    Args:
        statements: all statements.
        bindings: name -> statements that bind it.
        names: the names.
        end: number of statements above the place.
        wide: whether to take every statement above that might change an object that the names use, makes folders,
            sets an option of a library, or writes a file that they name.
        changed: number of statements above the place up to which objects may be changed.
    """

    def __init__(self, statements, bindings, names, end, wide, changed):
        self._all, self._bindings, self._end, self._changed = statements, bindings, end, changed
        self._taken: dict[Statement, set[Statement]] = {}  # statement -> those that must run before it
        self._asked: set[tuple[str, int]] = set()
        # below it a name that nothing above binds may come from the import
        self._first_star = next(
            (s.place for s in statements if s.imports and "*" in s.binds), len(statements)
        )
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
        if not chosen and found and name not in _BUILTINS and (self._wide or place <= self._first_star):
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

        It makes folders, sets an option of a library, writes a file that the slice names, or refers to an object of it,
        if only by a function.
        """
        reach = {name: s.later | s.uses for s in self._all if s.defines for name in s.binds}
        libraries = frozenset(name for s in self._all if s.imports and _has_options(s) for name in s.binds)
        while True:
            own = {name for s in self._taken if not s.imports for name in s.binds}
            named = frozenset().union(*(s.files for s in self._taken))
            more = [
                s
                for s in self._all[: self._end]
                if s not in self._taken
                and not s.imports
                and not s.only_defines
                and (
                    s.prepares
                    or s.writes & named
                    or _reached(s.uses | s.later, reach) & own
                    or self._sets_option(s, libraries)
                )
            ]
            if not more:
                return
            for statement in more:
                self._extra.add(statement)
                self._add(statement, self._end)
            self._settle()

    def _sets_option(self, statement, libraries):
        """Whether a statement sets options of libraries to constants, itself or by a function that does only this."""
        call = getattr(statement.node, "value", None)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not statement.binds:
            own = self._bindings.get(call.func.id, ())
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            return (
                bool(own)
                and all(preparations.only_sets(s.node, libraries) for s in own)
                and all(isinstance(each, ast.Constant | ast.Name) for each in given)
            )
        if statement.sets is None or statement.sets[0] not in libraries:
            return False
        values = [s for name in statement.sets[1] - libraries for s in self._bindings.get(name, ())]
        return all(isinstance(getattr(s.node, "value", None), ast.Constant) for s in values)

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


def _has_options(statement):
    """Whether an import is of a library whose options count: not one for plots, nor one that no answer may name."""
    module = getattr(statement.node, "module", None) or statement.text.split()[1]
    return not (module.split(".")[0] in ("matplotlib", "seaborn") or delegation.is_detour(module))


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
