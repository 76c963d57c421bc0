"""Fixture for the tests of `networks`: a wrong twin in place of a function during one test."""

import pytest
from support.twins import wrong_function


@pytest.fixture
def wrong_twin(monkeypatch):
    """Function install(owner, name, right, wrong) that replaces owner.name by that `wrong_function`."""

    def install(owner, name, right, wrong):
        monkeypatch.setattr(owner, name, wrong_function(owner, name, right, wrong))

    return install
