"""Statements of a notebook: which names one binds, uses at once, uses later, and which objects it changes."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import symtable
from collections.abc import Iterable, Sequence

from tf_kit.grading import ipython, preparations
from tf_kit.grading.preparations import called

_BY_STRING = re.compile(r"\b(?:globals|locals|vars|get_ipython)\b")
LONGEST_REMEMBERED = 4_000  # characters of a cell whose statements are kept for the next notebook
LONGEST_CELL = 200_000  # characters; no answer needs more, and Python's parser becomes very slow beyond that

# Methods that change their object, wherever they are called; as a whole statement, any method may.
_CHANGING = {
    *(
        "append",
        "extend",
        "update",
        "add",
        "insert",
        "setdefault",
        "pop",
        "popitem",
        "remove",
        "discard",
        "clear",
    ),
    *(
        "sort",
        "reverse",
        "fill",
        "put",
        "assign",
        "assign_add",
        "assign_sub",
        "build",
        "adapt",
        "resize",
        "partition",
    ),
    *(
        "appendleft",
        "extendleft",
        "popleft",
        "move_to_end",
        "subtract",
        "set_weights",
        "load_weights",
        "register",
    ),
    *(
        "intersection_update",
        "difference_update",
        "symmetric_difference_update",
        "__setitem__",
        "__setattr__",
    ),
}
JUDGES = ("check", "points")
_WRITING = {
    *("save", "savez", "savez_compressed", "savetxt", "savefig", "save_weights", "tofile", "to_csv"),
    *("dump", "write", "write_text", "write_bytes", "copy", "copyfile", "rename"),
}
# Functions that change their first argument.
_FILLING = {
    *(
        "shuffle",
        "copyto",
        "put",
        "place",
        "putmask",
        "fill_diagonal",
        "heappush",
        "heapify",
        "heappop",
        "insort",
    ),
    *("setattr", "delattr", "setitem", "iadd", "put_along_axis"),
}


@dataclasses.dataclass(eq=False)
class Statement:
    """A top-level statement.

    Args:
        cell: index of its cell.
        text: its source.
        binds: names that it binds.
        uses: names that it refers to when it runs.
        later: names to which functions in it refer when they are called.
        touches: names of objects that it changes without binding them.
        imports: whether it is an import.
        future: whether it imports from `__future__`.
        node: its syntax tree.
        place: its index in the notebook.
    """

    cell: int
    text: str
    binds: frozenset[str]
    uses: frozenset[str]
    later: frozenset[str] = frozenset()
    touches: frozenset[str] = frozenset()
    imports: bool = False
    future: bool = False
    node: ast.stmt | None = None
    place: int = 0

    @functools.cached_property
    def shape(self) -> str:
        """The statement without spacing, comments and choice of quotes."""
        try:
            return self.text if self.node is None else ast.dump(self.node)
        except (RecursionError, MemoryError):
            return self.text

    @functools.cached_property
    def defines(self) -> bool:
        """Whether it defines a function or a class."""
        return isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)

    @functools.cached_property
    def only_defines(self) -> bool:
        """Whether it defines a function or a class and does nothing else, as a decorator or a base class might."""
        return self.defines and not any(
            getattr(self.node, each, ()) for each in ("decorator_list", "bases", "keywords")
        )

    @functools.cached_property
    def file(self) -> tuple[str, str] | None:
        """Name and text of the file that it writes by `%%writefile`."""
        return None if self.node is None or self.binds else ipython.file_in(self.node)

    @functools.cached_property
    def prepares(self) -> bool:
        """Whether it makes folders when it runs, as `Path("out").mkdir()` does, or sets an environment variable."""
        if self.node is None or self.only_defines:
            return False
        return preparations.prepares(self.node, self.text)

    @functools.cached_property
    def sets(self) -> tuple[str, frozenset[str]] | None:
        """The library whose option it may set, with the names in the values, as in `preparations.option`."""
        return None if self.node is None else preparations.option(self.node)

    @functools.cached_property
    def files(self) -> frozenset[str]:
        """Texts in it that may name files, without folder and ending: `np.save("a", x)` writes what `"a.npy"` names."""
        texts = (n.value for n in ast.walk(self.node) if isinstance(n, ast.Constant)) if self.node else ()
        names = (each for each in texts if isinstance(each, str) and len(each) < 256 and "\n" not in each)
        return frozenset(name for each in names if (name := each.rsplit("/", 1)[-1].split(".")[0].strip()))

    @functools.cached_property
    def writes(self) -> frozenset[str]:
        """Names of the files that it may write when it runs, as in `files`."""
        if self.node is None or self.only_defines or not any(name in self.text for name in _WRITING):
            return frozenset()
        calls = (n for n in ast.walk(self.node) if isinstance(n, ast.Call))
        return self.files if any(called(call) in _WRITING for call in calls) else frozenset()

    def checks(self, judges: Sequence[str] = JUDGES) -> frozenset[tuple[str, str]]:
        """Calls of `check` and `points` as (function, id of the exercise), with the id "" where all may be meant.

        Args:
            judges: names of the functions.
        """
        if self.node is None or not any(name in self.text for name in judges):
            return frozenset()
        calls = [node for node in ast.walk(self.node) if isinstance(node, ast.Call)]
        found = {(called(call), _exercise(call)) for call in calls if called(call) in judges}
        given = {
            each.id for call in calls for each in call.args if isinstance(each, ast.Name)
        }  # map(check, …)
        return frozenset(found | {(name, "") for name in given.intersection(judges)})

    def replaces(self, name: str) -> bool:
        """Whether it binds a name always and anew, so that what the name was bound to before no longer counts.

        A function or a class replaces the name that it is defined under, but not those that its body declares `global`.
        `import a.b` adds to the `a` of `import a.c`.
        """
        if self.defines:
            return getattr(self.node, "name", "") == name
        if isinstance(self.node, ast.AnnAssign):
            return self.node.value is not None
        if isinstance(self.node, ast.Import):
            return not re.match(r"import \S+\.\S+$", self.text)
        return self.imports or isinstance(self.node, ast.Assign | ast.ImportFrom)


def statements(source: str, cell: int = 0, magics: bool = True) -> list[Statement]:
    """Split the source of a cell into its top-level statements; an import of several names becomes one per name.

    Args:
        source: the source, which may hold IPython's syntax.
        cell: index of the cell.
        magics: whether IPython's syntax is read.

    Raises:
        SyntaxError: the source is not Python.
        ValueError: the source is longer than `LONGEST_CELL`, or has a null character.

    Example:
        >>> [sorted(s.binds) for s in statements("import numpy as np, keras\\ndef f(x):\\n    return np.sum(x)")]
        [['np'], ['keras'], ['f']]
    """
    if len(source) > LONGEST_CELL:
        raise ValueError("the cell is too long")
    split = _remembered if len(source) <= LONGEST_REMEMBERED else _split
    # copies, since each belongs to its cell; the syntax trees are shared, and nobody changes them
    return [dataclasses.replace(statement, cell=cell) for statement in split(source, magics)]


def _split(source, magics):
    try:
        tree = ast.parse(source)
    except SyntaxError:
        if not magics:
            raise
        source = ipython.as_python(source)
        tree = compile(source, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    lines = re.split(r"\r\n|\r|\n", source)  # `splitlines` ends a line at a form feed too
    found = []
    for i, node in enumerate(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [_import(node, alias) for alias in node.names]
            continue
        hidden = ipython.code_in(node)
        if hidden is not None:
            found += _split(hidden, True)
            continue
        text = _text(node, source, lines, tree.body[i - 1 : i] + tree.body[i + 1 : i + 2])
        try:
            binds, uses, later = _names(text)
        except SyntaxError:  # `await` outside of a function
            continue
        if _BY_STRING.search(text):
            own = _by_string(node)
            binds, uses, later = binds | own[0], uses | own[1], later | own[2]
        found.append(Statement(0, text, binds, uses, later, _touched(node), node=node))
    return found


@functools.lru_cache(128)
def _remembered(source, magics):
    """Split a cell once, since most cells of a class are those that were handed out."""
    return tuple(_split(source, magics))


def _import(node, alias):
    bound = alias.asname or alias.name.split(".")[0]
    text = ast.unparse(type(node)(**{**vars(node), "names": [alias]}))
    future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
    binds = frozenset() if future else frozenset([bound])
    return Statement(0, text, binds, frozenset(), imports=True, future=future, node=node)


def _text(node, source, lines, neighbors):
    """Get the text of a statement: whole lines with comments, unless it shares a line with a neighbor."""
    first = _first_line(node)
    if any(first <= other.end_lineno and _first_line(other) <= node.end_lineno for other in neighbors):
        return ast.get_source_segment(source, node)
    return "\n".join(lines[first - 1 : node.end_lineno])


def _first_line(node):
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])


def _names(text):
    """Find the names that a statement binds, those that it uses at once, and those that functions in it use."""
    table = symtable.symtable(text, "<cell>", "exec")
    binds = {
        s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()
    }
    uses = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    later: set[str] = set()
    pending = [(inner, uses) for inner in table.get_children()]
    while pending:
        inner, used = pending.pop()
        if inner.get_type() == "function" and inner.get_name() not in (
            "listcomp",
            "setcomp",
            "dictcomp",
            "genexpr",
        ):
            used = later
        pending += [(each, used) for each in inner.get_children()]
        for symbol in inner.get_symbols():
            if symbol.is_global():
                used.add(symbol.get_name())
                if symbol.is_declared_global() and symbol.is_assigned():
                    binds.add(symbol.get_name())
    return frozenset(binds), frozenset(uses), frozenset(later)


def _by_string(node, inside=False):
    """Find the names that a statement binds, uses, and uses in functions, as in `globals()["rate"] = 1`.

    Example:
        >>> _by_string(ast.parse("globals()['rate'] = table['other'] = vars()['start']").body[0])
        ({'rate'}, {'start'}, set())
    """
    binds, uses, later = set(ipython.names_by_update(node)), set(), set()
    name = ipython.name_by_string(node)
    if name:
        writes = not isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        default = isinstance(node, ast.Call) and node.func.attr == "setdefault"
        (binds if writes or default else later if inside else uses).add(name)
    inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for each in ast.iter_child_nodes(node):
        for names, more in zip((binds, uses, later), _by_string(each, inside), strict=True):
            names |= more
    return binds, uses, later


def _touched(node):
    """Find the names of the objects that a statement changes, as in `f.rate = 1`, `t["a"] = 2`, `n.append(z)`.

    Statements inside `for`, `if`, `while`, `with` and `try` count, those inside functions do not.
    """
    names: set[str | None] = set()
    pending: list[ast.AST] = [node]
    while pending:
        inner = pending.pop()
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        pending += ast.iter_child_nodes(inner)
        if isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load):
            names.add(_root(inner))
        elif isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call):
            names.add(_root(inner.value.func) if isinstance(inner.value.func, ast.Attribute) else None)
        elif isinstance(inner, ast.Call):
            names.update(_changed_by(inner))
    return frozenset(name for name in names if name)


def _exercise(call):
    """Find the id that `check` or `points` is given; "" if none, or none that can be read."""
    given = [*call.args[:1], *(each.value for each in call.keywords if each.arg in ("id", None))]
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else ""


def _changed_by(call) -> Iterable[str | None]:
    if isinstance(call.func, ast.Attribute) and call.func.attr in _CHANGING:
        yield _root(call.func)
    if called(call) in _FILLING and call.args:
        yield _root(call.args[0])
    for keyword in call.keywords:
        if keyword.arg == "out":
            yield _root(keyword.value)


def _root(node):
    """Find the name that an expression such as `a.b[0].c` begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


@functools.lru_cache(256)
def shapes(source: str) -> set[str]:
    """Return the statements of a cell without spacing, comments and choice of quotes."""
    try:
        return {ast.dump(node) for node in ast.parse(source).body}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {source}
