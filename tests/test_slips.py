"""The slips in the slides: each has a `Slide:` line in its module and a test that shows its consequence."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# slip: module, words of its `Slide:` paragraph, file of its tests, their names after `test_slide_`
SLIPS = {
    "1 classification cost without its minus sign": (
        "networks/losses.py",
        "the minus sign of L is missing",
        "networks/test_losses.py",
        ["minimizing_the_printed_cost_lowers_the_likelihood"],
    ),
    "2 sum to M averaged over N": (
        "networks/losses.py",
        "the sums run to M and are divided by N",
        "networks/test_losses.py",
        ["dividing_a_sum_to_m_by_n_changes_the_weight_of_the_penalty"],
    ),
    "3 ∂J/∂W without λW": (
        "networks/backpropagation.py",
        "The gradient is α δ + λ W",
        "networks/test_backpropagation.py",
        ["without_lambda_w_fails_the_gradient_check"],
    ),
    "4 f'(z) in δ of a sigmoid with cross-entropy": (
        "networks/backpropagation.py",
        "cancels and δ = α − y",
        "networks/test_backpropagation.py",
        [
            "with_the_factor_of_squared_error_fails_the_gradient_check",
            "with_that_factor_confident_mistakes_have_no_gradient",
        ],
    ),
    "5 AdaGrad without its minus sign": (
        "optimizers/adagrad.py",
        "without the minus sign",
        "optimizers/test_adagrad.py",
        ["without_the_minus_sign_climbs"],
    ),
    "6 AdaGrad downscales the step, by gradients": (
        "optimizers/adagrad.py",
        "it is the step, by the historical gradients",
        "optimizers/test_adagrad.py",
        ["downscaling_parameters_leaves_the_minimum"],
    ),
    "7 Adam under the name RMSProp with Nesterov": (
        "optimizers/rmsprop.py",
        '"Algorithm 7 RMSProp with Nesterov" prints Adam',
        "optimizers/test_rmsprop.py",
        ["algorithm_7_is_adam"],
    ),
    "8 Adam's ε = 0.0001 and ρ₂ = 0.9": (
        "optimizers/adam.py",
        "The paper has 0.001 and 0.999",
        "optimizers/test_adam.py",
        ["rate_is_ten_times_too_slow", "decay_walks_away_from_the_minimum"],
    ),
    "9 two momentum rules": (
        "optimizers/momentum.py",
        "prints (1) and (3) under one name",
        "optimizers/test_momentum.py",
        ["one_letter_for_two_rates"],
    ),
    "10 batch size defined as epochs": (
        "design/minibatch.py",
        "The batch size is the number of examples in one update",
        "design/test_minibatch.py",
        ["batch_size_is_not_a_number_of_passes"],
    ),
    "11 p keeps, p drops, α keeps": (
        "regularization/dropout.py",
        "p is the probability of *keeping* a neuron on one slide and of *dropping* it",
        "regularization/test_dropout.py",
        ["alpha_is_the_probability_of_keeping", "scaling_again_at_prediction_is_wrong"],
    ),
    "12 168 MB without gradients, slots and batch": (
        "design/memory.py",
        "168 MB leaves out gradients, slots and the minibatch",
        "design/test_memory.py",
        ["of_the_50_layer_network"],
    ),
    "13 whitening divides by the root of the eigenvalue": (
        "design/preprocessing/whitening.py",
        "must read: by its square root",
        "design/test_preprocessing.py",
        ["dividing_by_the_eigenvalue_turns_the_spread_around"],
    ),
    "14 uniform weights without their width": (
        "networks/gradient_flow.py",
        "leaves out the width",
        "networks/test_gradient_flow.py",
        ["one_width_of_uniform_weights_vanishes_or_explodes"],
    ),
    "15 RMSProp averages squared gradients": (
        "optimizers/rmsprop.py",
        "of the squared gradient, as in Algorithm 5",
        "optimizers/test_rmsprop.py",
        ["average_of_the_gradient_itself_has_no_root"],
    ),
    "16 W^(L) and b^(L) behind the output layer": (
        "networks/perceptron.py",
        "counts one matrix too many",
        "networks/test_perceptron.py",
        ["layer_l_has_no_weights_behind_it"],
    ),
}


def slide_paragraphs(path):
    """The text after each `Slide:` of a file, up to the next heading or blank line, on one line."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r'^ *Slide: (.*?)(?=\n *(?:[A-Z]\w+: |"""|\n))', text, re.S | re.M)
    return [" ".join(paragraph.split()) for paragraph in found]


@pytest.mark.parametrize("slip", SLIPS)
def test_slip_is_named_and_shown(slip):
    module, words, file, tests = SLIPS[slip]
    paragraphs = slide_paragraphs(ROOT / "tf_kit" / module)
    assert any(words in paragraph for paragraph in paragraphs), f"{module} has {paragraphs}"
    defined = re.findall(
        r"^def test_slide_(\w+)\(", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.M
    )
    assert set(tests) <= set(defined)


def test_every_test_of_a_slip_is_listed():
    listed = {(file, name) for _, _, file, names in SLIPS.values() for name in names}
    found = {
        (path.relative_to(ROOT / "tests").as_posix(), name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def test_slide_(\w+)\(", path.read_text(encoding="utf-8"), re.M)
    }
    assert found == listed
