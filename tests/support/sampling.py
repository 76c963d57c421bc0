"""A sixth of the slow tests, so that six runs together have all; and which cases of a test run."""

import collections
import hashlib


def sixth_of(tests, number):
    """Return the tests of run number `number`: every sixth case of each test, and every sixth test without cases.

    Where a test begins depends on its name, or one case of many tests, such as a method of pretraining, would always
    come together.

    Args:
        tests: names, as `"test_fit.py::test_repeats[SimCLR]"`, in their order.
        number: any whole number from 0.
    """
    cases = collections.defaultdict(list)
    for test in tests:
        cases[test.partition("[")[0]].append(test)
    return [
        test
        for name, of_test in cases.items()
        for i, test in enumerate(of_test, start=_hash(name))
        if (i + number) % 6 == 0
    ]


def tests_of_this_run(request):
    """Return the names of the functions of this file that are part of the run, so that a fixture prepares no more."""
    return {item.originalname for item in request.session.items if item.path == request.path}


def cases_of_this_run(request, test):
    """Return the cases of a test of this file that are part of the run.

    Args:
        request: that of a fixture.
        test: name of the function, whose only parameter has names as values.
    """
    here = [item for item in request.session.items if item.path == request.path]
    return [next(iter(item.callspec.params.values())) for item in here if item.originalname == test]


def _hash(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
