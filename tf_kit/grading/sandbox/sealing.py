"""Functions that run for permitted arguments only, and that nothing in Python leads around."""

from __future__ import annotations

import collections
import functools
import itertools
import threading
from typing import Any


def restricted(function, is_permitted):
    """Make a function that restricts another one to calls which begin with given arguments, if they are permitted.

    All steps are of compiled code, but for `is_permitted`. So no frame, no closure and no attribute shows `function`:
    not to code that runs below (a conversion, a finalizer, the handler of a signal), not in a traceback, not to another
    thread. What is returned can be called with the rest of the arguments, and shows nothing either.

    Args:
        function: the function.
        is_permitted: function of a tuple of arguments. It must look up nothing that an answer can replace.

    Example:
        >>> add = restricted(max, lambda head: head[0] > 2)
        >>> add((3,))(7)
        7
    """
    heads: collections.deque[tuple[Any, ...]] = collections.deque()
    permitted = filter(is_permitted, iter(heads.popleft, None))
    made = map(_sealed, itertools.starmap(functools.partial(functools.partial, function), permitted))
    take, lock = _sealed(functools.partial(next, made)), threading.Lock()

    def made_for(head):
        with lock:
            heads.append(head)
            return take()  # IndexError if it is not permitted

    return made_for


# Wraps a function so that it can be called, but not be found by attributes: the wrapper of `functools.lru_cache`, which
# is compiled and, made directly, has no `__wrapped__`.
_wrapper: Any = functools._lru_cache_wrapper
_sealed = functools.partial(_wrapper, maxsize=0, typed=False, cache_info_type=tuple)
