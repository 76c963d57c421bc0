"""A third of the cases of every parametrized test, so that three runs together have all; and which cases run."""

import collections
import hashlib


def third_of(tests, number):
    """Return the tests that run number `number` has: every third case of a test, and each test without cases.

    Tests of one and two cases keep one. Where a test begins depends on its name, or one case of many tests, such as a
    method of pretraining, would always come together.

    Args:
        tests: names, as `"test_fit.py::test_repeats[SimCLR]"`, in their order.
        number: any whole number from 0.
    """
    cases = collections.defaultdict(list)
    for test in tests:
        cases[test.partition("[")[0]].append(test)
    kept = []
    for test, of_test in cases.items():
        step = min(3, len(of_test))
        kept += of_test[(_hash(test) + number) % step :: step]
    return kept


def cases_of_this_run(request, test):
    """Return the cases of a test of this file that are part of the run, so that a fixture prepares no others.

    Args:
        request: that of a fixture.
        test: name of the function, whose only parameter has names as values.
    """
    here = [item for item in request.session.items if item.path == request.path]
    return [next(iter(item.callspec.params.values())) for item in here if item.originalname == test]


def _hash(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
