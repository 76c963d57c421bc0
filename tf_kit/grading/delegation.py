"""Delegation: answers that leave the work to a library, found by reading their code.

`check` reads the code so that the student learns of it early; `sandbox.prohibitions` enforces the rule. No code is run
here.
"""

import ast
from collections.abc import Mapping, Sequence

from tf_kit.grading import ipython
from tf_kit.grading.exercise import Exercise

# Names by which code could get around every rule about names. No exercise needs them.
_DETOURS = {
    "eval",
    "exec",
    "compile",
    "globals",
    "__builtins__",
    "builtins",
    "ctypes",
    "gc",
    "sys.modules",
    "sys.settrace",
    "sys.setprofile",
    "sys._getframe",
    "inspect.currentframe",
    "inspect.stack",
    "subprocess",
    "multiprocessing",
    "socket",
    "signal",
    "atexit",
    "runpy",
    "pickle",
    "importlib.util",
    "importlib.reload",
    "importlib.machinery",
}
_BARE = {"eval", "exec", "compile", "globals", "__builtins__"}
_HANDLES = {
    *("__subclasses__", "__globals__", "__code__", "__closure__", "__builtins__", "__loader__", "__spec__"),
    *("f_back", "f_globals", "f_locals", "tb_frame", "gi_frame", "cr_frame", "_ih", "_oh"),
}
_INTERNAL = ("keras.src", "keras.api", "tensorflow.python", "tensorflow.raw_ops", "tensorflow.compat")
# Switches methods such as `reshape` of tensors on, in the words of older error messages of TensorFlow.
_HARMLESS = {f"tensorflow.python.ops.numpy_ops.np_config{each}" for each in ("", ".enable_numpy_behavior")}
_KIT = "tf_kit"


def findings(
    code: str,
    forbids: Sequence[str] = (),
    allows: Sequence[str] = (),
    bases: Mapping[str, str] | None = None,
    kit: Sequence[str] = ("data",),
) -> list[str]:
    """List the forbidden names that an answer uses, as sentences.

    Args:
        code: code of the answer.
        forbids: dotted names that would do the work; a module stands for everything in it.
        allows: dotted names that may be used although `forbids` covers them.
        bases: name of a class -> dotted name of the class that it must derive from.
        kit: modules of the kit that may be used.

    Example:
        >>> findings("import keras\\nclass Mine(keras.optimizers.Adam): pass", ["keras.optimizers"])
        ['`keras.optimizers.Adam` does the work of this exercise, which you must write yourself']
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    bases = dict(bases or {})
    reader = _Reader([*forbids], [*allows, *bases.values()], kit)
    try:
        reader.read(tree)
    except RecursionError:
        return ["the code is nested too deeply to be checked"]
    found = list(reader.found)
    for node in ast.walk(tree):
        file = ipython.file_in(node) if isinstance(node, ast.Call) else None
        if file is not None:
            found += findings(file[1], forbids, allows, bases, kit)
    return list(dict.fromkeys(found))


def summary(exercise: Exercise, code: str) -> str:
    """Write the first findings in an answer as one line; "" if there are none."""
    found = findings(code, exercise.forbids, exercise.allows, exercise.bases, exercise.kit)
    return "; ".join(found[:3])


def is_detour(module: str) -> bool:
    """Whether a module is one that no answer may name.

    Example:
        >>> is_detour("gc"), is_detour("random")
        (True, False)
    """
    return any(_inside(detour, module.split(".")[0]) for detour in _DETOURS if not detour.startswith("sys."))


class _Reader(ast.NodeVisitor):
    """Resolves names to the dotted names that they are bound to."""

    def __init__(self, forbids, allows, kit):
        self._forbids = [_plain(name) for name in forbids]
        self._allows = [_plain(name) for name in allows]
        self._kit = kit
        self._known = {}
        self.found = []

    def read(self, tree):
        """Fill `found`. A second pass resolves names that are bound below their use."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.visit(node)
        for _ in range(2):
            before = dict(self._known)
            self.found.clear()
            self.visit(tree)
            if self._known == before:
                break

    def visit_Import(self, node):
        for alias in node.names:
            bound = alias.asname or alias.name.split(".")[0]
            self._known[bound] = _plain(alias.name if alias.asname else bound)
            self._judge(_plain(alias.name))

    def visit_ImportFrom(self, node):
        for alias in node.names:
            name = f"{node.module or ''}.{alias.name}"
            self._known[alias.asname or alias.name] = _plain(name)
            self._judge(_plain(name if alias.name != "*" else node.module or ""))

    def visit_Assign(self, node):
        self.generic_visit(node)
        name = self._dotted(node.value)
        if name:
            for target in node.targets:
                bound = target.id if isinstance(target, ast.Name) else ipython.name_by_string(target)
                if bound:
                    self._known[bound] = name

    def visit_Attribute(self, node):
        if node.attr in _HANDLES:
            self.found.append(f"`{node.attr}` is not allowed in an answer")
        name = self._dotted(node)
        if name:
            self._judge(name)
        else:
            self.generic_visit(node)

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load):
            name = self._known.get(node.id) or (node.id if node.id in _BARE else "")
            if name:
                self._judge(name)

    def visit_Subscript(self, node):
        if self._is_own(node):
            return
        name = self._dotted(node)
        if name:
            self._judge(name)
        self.generic_visit(node)

    def _is_own(self, node):
        """Whether an expression is a name of the answer, read or written by a string. Such a name is judged as one."""
        bound = ipython.names_by_update(node)
        name = ipython.name_by_string(node)
        if not bound and not name:
            return False
        if name:
            self._judge(self._known.get(name, name if name in _BARE else ""))
        if isinstance(node, ast.Call):
            for each in [*node.args, *(keyword.value for keyword in node.keywords)]:
                self.visit(each)
        return True

    def visit_Call(self, node):
        if self._is_own(node):
            return
        name = self._dotted(node)
        if name:
            self._judge(name)
        called = self._called(node)
        if called == "getattr" and len(node.args) > 1 and _constant(node.args[1]) is None:
            owner = self._dotted(node.args[0])
            if owner and owner.split(".")[0] in ("keras", "tensorflow", _KIT):
                self.found.append(
                    f"`getattr` on `{owner}` with a computed name is not allowed in an answer; write the name out"
                )
        if called in ("__import__", "importlib.import_module") and (
            not node.args or _constant(node.args[0]) is None
        ):
            self.found.append(
                f"`{called}` with a computed name is not allowed in an answer; write the name out"
            )
        self.generic_visit(node)

    def _called(self, node):
        if isinstance(node.func, ast.Name):
            return self._known.get(node.func.id, node.func.id)
        return self._dotted(node.func)

    def _dotted(self, node):
        """Find the dotted name that an expression refers to, or ""."""
        if isinstance(node, ast.Name):
            return self._known.get(node.id, "")
        if own := ipython.name_by_string(node):
            return self._known.get(own, "")
        if isinstance(node, ast.Attribute):
            owner = self._dotted(node.value)
            return _plain(f"{owner}.{node.attr}") if owner else ""
        if isinstance(
            node, ast.Subscript
        ):  # vars(keras.optimizers)["Adam"], keras.optimizers.__dict__["Adam"]
            key = _constant(node.slice)
            owner = self._dotted(node.value).removesuffix(".__dict__")
            return f"{owner}.{key}" if owner and isinstance(key, str) else ""
        if isinstance(node, ast.Call):
            called = self._called(node)
            constants = [_constant(argument) for argument in node.args]
            if called == "getattr" and len(node.args) > 1 and isinstance(constants[1], str):
                owner = self._dotted(node.args[0])
                return _plain(f"{owner}.{constants[1]}") if owner else ""
            if called == "vars" and node.args:
                return self._dotted(node.args[0])
            if (
                called in ("__import__", "importlib.import_module")
                and constants
                and isinstance(constants[0], str)
            ):
                return _plain(constants[0])
        return ""

    def _judge(self, name):
        if any(_inside(name, allowed) for allowed in self._allows):
            return
        for forbidden in self._forbids:
            # the name of a forbidden module may be used if a part of the module is allowed
            if name == forbidden and any(_inside(allowed, forbidden) for allowed in self._allows):
                continue
            if _inside(name, forbidden):
                self.found.append(f"`{name}` does the work of this exercise, which you must write yourself")
                return
        if name in _HARMLESS:
            return
        if self._forbids and any(_inside(name, internal) for internal in _INTERNAL):
            self.found.append(
                f"`{name}` is internal to the library and not allowed in an answer; use its public names"
            )
        elif _inside(name, _KIT):
            part = name.split(".")[1:2]
            if part and part[0] not in self._kit:
                self.found.append(
                    f"`{name}` is part of the kit, which contains the solution, and not allowed in an answer"
                )
        elif any(_inside(name, detour) for detour in _DETOURS):
            self.found.append(f"`{name}` is not allowed in an answer")


def _plain(name):
    """Write a dotted name without the aliases `tf` and `tf.keras`.

    Example:
        >>> _plain("tf.keras.optimizers.Adam"), _plain("tf.nn.relu")
        ('keras.optimizers.Adam', 'tensorflow.nn.relu')
    """
    if name == "tf" or name.startswith("tf."):
        name = "tensorflow" + name[2:]
    return name.replace("tensorflow.keras", "keras", 1) if name.startswith("tensorflow.keras") else name


def _inside(name, parent):
    return name == parent or name.startswith(parent + ".")


def _constant(node):
    """Return the value of a constant or of a sum of constant strings; None for any other expression."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = _constant(node.left), _constant(node.right)
        return parts[0] + parts[1] if all(isinstance(part, str) for part in parts) else None
    if isinstance(node, ast.JoinedStr):
        parts = [_constant(p.value if isinstance(p, ast.FormattedValue) else p) for p in node.values]
        return "".join(map(str, parts)) if None not in parts else None
    return None
