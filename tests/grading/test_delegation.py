"""Delegation: it is found in the code, and honest code is not taken for it."""

import pytest

from grading import attacks
from tf_kit.grading import delegation

OPEN = {"Descent": "keras.optimizers.Optimizer"}


@pytest.mark.parametrize("name", attacks.DELEGATIONS)
def test_delegation_is_found(name):
    code = "import keras\n" + attacks.DELEGATIONS[name]
    assert delegation.findings(code, ["keras.optimizers"], list(OPEN.values()), OPEN)


@pytest.mark.parametrize(
    "code",
    [
        "class Descent(keras.optimizers.Optimizer):\n    pass",
        "from keras.optimizers import Optimizer\nclass Descent(Optimizer): pass",
        "import os, sys, keras\nx = getattr(self, name)",
        "def f(signal, compile):\n    model.compile('adam')\n    return signal",
        "import keras\ny = keras.ops.relu(x)",
        "import tensorflow as tf\ny = tf.nn.relu(x)",
        "from tf_kit import data",
    ],
)
def test_honest_code_is_not_taken_for_delegation(code):
    assert delegation.findings(f"import keras\n{code}", ["keras.optimizers"], list(OPEN.values()), OPEN) == []
