"""Seeds: every case starts from the same state, although a watched process is seeded only after a draw."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from grading.class_of_students import LAB
from tensorflow.python.framework import random_seed

from tf_kit.grading import checking
from tf_kit.grading.sandbox import seeds

recorded = {"now": None}
MANY = tf.data.Dataset.range(50)

DRAWS = {
    "Python": random.random,
    "NumPy": lambda: np.random.normal(size=3),
    "NumPy, half of a pair": lambda: np.random.normal(),
    "TensorFlow": lambda: tf.random.normal((3,)),
    "TensorFlow, an operation with a seed": lambda: tf.random.uniform((3,), seed=5),
    "TensorFlow, recorded": lambda: recorded["now"](),
    "TensorFlow, another seed for all": lambda: tf.random.set_seed(random.randrange(9)),
    "Keras": lambda: keras.random.normal((3,)),
    "Keras, weights": lambda: keras.layers.Dense(2)(np.ones((1, 3), "float32")),
    "Keras, dropout": lambda: keras.layers.Dropout(0.5)(np.ones((4, 5), "float32"), training=True),
    "Keras, another seed for all": lambda: keras.utils.set_random_seed(7),
    "tf.data": lambda: list(MANY.shuffle(50).take(3).as_numpy_iterator()),
    "nothing": lambda: tf.zeros(3) + 1,
}


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(random_seed, "get_seed", random_seed.get_seed)  # restores it after the test
    monkeypatch.setattr(seeds, "_fresh", None)
    monkeypatch.setattr(seeds, "_drawn", [True])
    seeds.watch()
    recorded["now"] = tf.function(lambda: tf.random.uniform((3,)))  # not traced yet, as in a new process


def cases(seed):
    """Run two cases of every kind of draw, and collect the next number of every generator after each."""
    seen = []
    for draw in [*DRAWS.values(), *reversed(DRAWS.values())]:
        seed()
        seen += [draw(), random.random(), np.random.rand(), keras.random.uniform(())]
        seed()
        draw()
        seen.append(tf.random.uniform((2,)))
    return [np.array(each) for each in seen if each is not None]


@pytest.mark.slow
def test_watched_process_draws_the_same_as_one_that_is_always_seeded(watched):
    lazily = cases(seeds.seed)
    always = cases(lambda: keras.utils.set_random_seed(seeds.SEED))
    for one, other in zip(lazily, always, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", DRAWS)
def test_two_cases_draw_the_same(name, watched):
    outcomes = []
    for _ in range(2):
        seeds.seed()
        outcomes.append(DRAWS[name]())
    if outcomes[0] is not None:
        np.testing.assert_array_equal(*map(np.array, outcomes))


def test_one_seed_for_all_cases_would_not_draw_the_same():
    seeds.seed()
    assert np.random.rand() != np.random.rand()


def test_answer_that_draws_nothing_is_seeded_once(watched, monkeypatch):
    given = []
    monkeypatch.setattr(keras.utils, "set_random_seed", given.append)
    for _ in range(3):
        seeds.seed()
        DRAWS["nothing"]()
    assert given == [0]
    seeds.seed("tf.raw_ops.RandomUniform(shape=[2], dtype=tf.float32, seed=1)")
    assert given == [0, 0]


def test_check_seeds_every_case():
    drawn = []

    def leaky_relu(x, slope):
        drawn.append(np.random.rand())
        return np.where(x > 0, x, slope * x)

    checking.review(LAB, LAB.exercises["leaky"], {"leaky_relu": leaky_relu})
    assert len(drawn) == 2
    assert drawn[0] == drawn[1]
