"""What the tests of networks share: a wrong twin in place of the right function, for the length of a test."""

import pytest
from support.twins import wrong_function


@pytest.fixture
def wrong_twin(monkeypatch):
    """install(owner, name, right, wrong): puts that `wrong_function` in the place of owner.name."""

    def install(owner, name, right, wrong):
        monkeypatch.setattr(owner, name, wrong_function(owner, name, right, wrong))

    return install
