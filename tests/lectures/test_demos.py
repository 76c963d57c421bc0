"""Tests of every demo at quick size: its claim, its figure, its docstring and its notebook.

A new demo in the folder is tested like the others. Each demo runs once for all tests of this file. Demos that take
longer than a few seconds run under `pytest -m slow`; every wing has a demo that runs without it.
"""

import ast
import copy
import dataclasses
import functools
import inspect
import re
import sys

import click
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import optimize
from support.cases import mostly_slow

from tf_kit import lectures, plotting
from tf_kit.errors import InputError
from tf_kit.first_cell import first_cell
from tf_kit.lectures import index
from tf_kit.lectures.performance import carry_out

DEMOS = lectures.demos()
LONG = {  # some seconds of one core at quick size, so `pytest -m slow` runs these
    "perceptron",
    "activations",
    "losses",
    "optimizers",
    "early_stopping",
    "penalties",
    "augmentation",
    "batch_norm",
    "monitoring",
    "search",
    "memory",
    "greedy",
    "joint_embedding",
    "parallelism",
    "masked",
    "dropout",
    "compression",
    "growing_batches",
    "saddle",
    "dying_units",
    "noise",
    "dropout_by_layer",
    "retraining",
    "shuffling",
    "covariate_shift",
    "variance",
    "generation",
    "growing",
    "letters",
    "other_domain",
    "machines",
    "centered_outputs",
    "local_minima",
    "bias_correction",
    "regret",
    "large_sets",
    "subcategories",
    "network_size",
    "gradient_flow",
    "preprocessing",
}


def mark(topic):
    return pytest.mark.slow if topic in LONG else ()


def name(demo):
    return f"{demo.number}_{demo.topic}"


every_demo = pytest.mark.parametrize("demo", DEMOS, ids=name)
every_run = pytest.mark.parametrize(
    "demo", [pytest.param(demo, marks=mark(demo.topic)) for demo in DEMOS], ids=name
)


@functools.cache
def module_of(demo):
    return lectures.load(demo)


@functools.cache
def results_of(demo):
    module = module_of(demo)
    return module.run(module.Config.quick())


def equal(first, second):
    """Return whether two results hold the same numbers in dictionaries, lists, tuples and dataclasses."""
    if dataclasses.is_dataclass(first):
        return type(first) is type(second) and equal(vars(first), vars(second))
    if isinstance(first, dict):
        return list(first) == list(second) and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    first, second = np.asarray(first), np.asarray(second)
    return np.array_equal(first, second, equal_nan=first.dtype.kind == second.dtype.kind == "f")


def test_numbers_and_topics_are_unique():
    assert DEMOS
    assert len({demo.number for demo in DEMOS}) == len({demo.topic for demo in DEMOS}) == len(DEMOS)
    assert {demo.topic for demo in DEMOS} >= LONG


# What a notebook would show in red: warnings for users, and deprecations in the demo's own lines.
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.filterwarnings("error:__array__:DeprecationWarning:tf_kit_lecture_.*")
@every_run
def test_claim_holds(demo):
    answer = module_of(demo).check(results_of(demo))
    assert answer.endswith(".")
    assert any(letter.isdigit() for letter in answer), "the answer has no numbers"
    assert "\n" not in answer


@every_run
def test_check_does_not_change_results(demo):
    """`plot` gets the results of `run`, whether it is called before or after `check`."""
    before = copy.deepcopy(results_of(demo))
    module_of(demo).check(results_of(demo))
    assert equal(results_of(demo), before)


@pytest.mark.slow
def test_claim_holds_on_mnist(mnist_dir):
    """At full size demo 17 takes MNIST where it is prepared, at quick size always the digits."""
    module = module_of(lectures.find("greedy"))
    data = module.Config().data
    config = dataclasses.replace(module.Config.quick(), data=data, examples=1500)
    results = module.run(config)
    module.check(results)
    assert results["image_shape"] == (28, 28, 1)


def test_digits_stand_in_for_mnist_where_it_is_not_prepared(tmp_path, monkeypatch, capsys):
    for name in ("TFDS_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    assert lectures.first_prepared("mnist or digits") == "digits"
    printed = capsys.readouterr().out
    assert (
        printed == "mnist is not prepared here, so this uses digits. `tf-kit data get mnist` prepares it.\n"
    )
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    assert lectures.first_prepared("mnist or digits") == "mnist"
    assert lectures.first_prepared("a/folder") == "a/folder"
    assert capsys.readouterr().out == ""


def assert_axes_are_named(figure):
    """Each axis of a drawn figure with numbers or bars has a name; elsewhere words at the ticks are enough."""
    for axes in figure.get_axes():
        if axes.axison and axes.get_visible():
            for axis in (axes.xaxis, axes.yaxis):
                shown = "".join(tick.get_text() for tick in axis.get_ticklabels() if tick.get_visible())
                words = re.sub(r"\\[a-z]+", "", shown)  # `\mathdefault` around powers of ten
                spoken = any(map(str.isalpha, words)) and not axes.containers
                named = axis.get_label_text() or spoken
                assert named or not words, f"the axis with {words} in {axes.get_title()!r} has no name"


@every_run
def test_figure_has_content(demo, caplog):
    results = results_of(demo)
    caplog.clear()  # of what TensorFlow says in a training
    figure = module_of(demo).plot(results)
    for axes in figure.get_axes():
        assert axes.has_data() or not axes.axison or not axes.get_visible(), "an empty panel"
    plotting.framed(figure, demo.question, module_of(demo).check(results_of(demo)))
    figure.canvas.draw()  # once, where `plotting.save` would draw twice
    assert not caplog.messages, "such as a character that the font does not have"
    assert_axes_are_named(figure)
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    used = figure.get_tightbbox()  # inches
    assert used.width * figure.dpi >= 800
    assert used.height * figure.dpi >= 300
    assert used.width <= 2.1 * used.height, "wider than a slide"
    inked = np.mean(image.min(axis=2) < 0.95 * 255)
    assert inked > 0.01, f"only {inked:.1%} of the figure is not white"
    colors = image @ np.array([1 << 16, 1 << 8, 1], "uint32")
    assert len(np.unique(colors)) > 20
    plt.close(figure)


@every_demo
def test_docstring_has_question_claim_and_reference(demo):
    text = module_of(demo).__doc__
    assert demo.question.endswith("?")
    assert demo.question == lectures.question(text)
    for heading in ("Claim:", "Reference:"):
        assert f"\n{heading}" in text, f"{demo.path.name} has no {heading}"
    assert demo.title
    assert 0 < demo.seconds <= 600
    assert demo.path.read_text(encoding="utf-8").startswith("# %%\n"), "the first cell"


def plain(text):
    """Words in small letters, without punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold()))


@every_demo
def test_docstring_names_a_slide_that_leads_to_the_demo(demo):
    """The first words in quotes after `Slide:` are in the title of such a slide."""
    named = re.search(r'^Slide: [^"]*"([^"]+)"', module_of(demo).__doc__, re.M)
    assert named, f"{demo.path.name} has no Slide:"
    headings = [slide.heading for slide in index.slides() if demo.topic in slide.topics]
    assert any(plain(named[1]) in plain(heading) for heading in headings), (
        f"{named[1]!r} is in none of {headings}"
    )


@every_demo
def test_gallery_shows_question_and_figure(demo):
    gallery = lectures.folder() / "README.md"
    section = f"## {demo.number} {demo.title}\n\n**{demo.question}**\n"
    figure = f"](figures/{demo.path.stem}.png)"
    assert section in gallery.read_text(encoding="utf-8")
    assert figure in gallery.read_text(encoding="utf-8").split(section)[1].split("\n## ")[0]
    assert (gallery.parent / "figures" / f"{demo.path.stem}.png").exists()


@every_demo
def test_config_fields_have_help_and_default(demo):
    config = module_of(demo).Config
    for field in dataclasses.fields(config):
        assert field.metadata.get("help"), f"--{field.name} has no help"
        assert field.default is not dataclasses.MISSING
    assert isinstance(config.quick(), config)
    assert config.quick() != config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.quick().anything = 1


@every_demo
def test_functions_have_the_arguments_of_the_runner(demo):
    module = module_of(demo)
    for name, argument in (("run", "config"), ("check", "results"), ("plot", "results")):
        assert list(inspect.signature(getattr(module, name)).parameters) == [argument]


@pytest.mark.parametrize("topic", ["backpropagation", pytest.param("gradient_flow", marks=pytest.mark.slow)])
def test_same_config_gives_same_results(topic):
    demo = lectures.find(topic)
    module = module_of(demo)
    assert equal(module.run(module.Config.quick()), results_of(demo))


def one_line_is_enough(results):
    results["line_accuracy"] = 1.0


def no_start_succeeds(results):
    results["learned"] = [0.75 for _ in results["learned"]]


def sigmoid_as_fast(results):
    results["epochs"]["sigmoid"] = results["epochs"]["ReLU"]


def losses_swapped(results):
    results["epochs"] = dict(zip(results["epochs"], reversed(results["epochs"].values()), strict=True))


def less_sure_takes_longer(results):
    results["epochs"]["squared error"][0] = results["epochs"]["squared error"][-1] + 1


def few_masks_err_more(results):
    results["errors"][:, results["sizes"].index(10)] += 3


def bagging_votes_as_well(results):
    wrong = results["voting"]["some wrong"]
    wrong["dropout"] = wrong["bagging"][-1]


def bagging_gains_nothing(results):
    wrong = results["voting"]["some wrong"]
    wrong["bagging"] = wrong["bagging"] - wrong["bagging"][-1] + wrong["plain"]


def dropout_costs_nothing(results):
    right = results["voting"]["right labels"]
    right["dropout"] = right["bagging"][-1]


def squared_error_without_slope(results):
    """As if its gradient were h − y."""
    results["slopes"]["squared error"] = results["slopes"]["cross-entropy"]


def printed_gradient(results):
    errors = results["errors"]
    errors["δ, corrected"] = errors["as printed: no $λW$"]


def equal_units_drift_apart(results):
    results["apart"]["equal weights"] = results["apart"]["random weights"]


def divided_by_the_eigenvalue(results):
    for table in ("condition", "shares"):
        results[table]["whitened"] = results[table]["as printed"]


def scaling_saves_nothing(results):
    results["shares"]["standardized"] = results["shares"]["centered"][:-1]


def training_takes_no_more_than_the_slide(results):
    results["bytes_of_32"] = results["slide_bytes"]


def depth_costs_nothing_without_pretraining(results):
    results["without"][-1] = results["without"][0]
    results["with"] = results["without"] - 1


def bill_without_gradients(results):
    for bill in results["bills"]["perceptron"].values():
        bill["gradients"] = 0


def initializations_swapped(results):
    norms = results["norms"]
    norms["relu", "he"], norms["relu", "uniform"] = norms["relu", "uniform"], norms["relu", "he"]


def power_2_converges(results):
    distances = results["distances"]
    distances["power 2: too fast"] = distances["power 1"]


def turned_valley_as_easy(results):
    results["steps"]["AdaGrad", "turned"] = results["steps"]["AdaGrad", "along an axis"]


def adagrad_recovers(results):
    results["own_rates"]["AdaGrad"] = results["own_rates"]["RMSProp"]


def momentum_averages_the_noise_away(results):
    results["noisy"]["averaged Momentum"]["cost"] = 0.2 * results["noisy"]["SGD"]["cost"]


def momentum_steps_are_as_noisy(results):
    results["noisy"]["averaged Momentum"]["step"] = results["noisy"]["SGD"]["step"]


def stopping_is_another_penalty(results):
    results["quadratic"]["difference"] = 1e-3


def penalties_swapped(results):
    weights = results["weights"]
    weights["l2"], weights["l1, stops at 0"] = weights["l1, stops at 0"], weights["l2"]


def augmentation_is_worthless(results):
    results["errors"]["turned anew"] = results["errors"]["as they are"]


def sixes_survive(results):
    results["kept"]["half a turn"] = np.ones(10)


def predictions_agree_less(results):
    results["agreement"] = results["agreement"] - 0.2


def normalization_does_not_help(results):
    results["errors"]["with BatchNorm"] = results["errors"]["without"]


def shift_by_the_moving_mean(results):
    results["undo"]["undone"] = results["undo"]["given"] + 0.1


def weights_below_pass_the_normalization(results):
    mean, deviation = results["changed"]["above"]
    results["changed"]["above"] = mean, 10 * deviation


def means_below_pass_the_normalization(results):
    mean, deviation = results["changed"]["above"]
    results["changed"]["above"] = mean + 3, deviation


def diagnoses_swapped(results):
    noisy, healthy = results["noisy"]["found"], results["healthy"]["found"]
    results["noisy"]["found"], results["healthy"]["found"] = healthy, noisy


def grid_and_random_swapped(results):
    best = results["best"]
    best["grid"], best["random"] = best["random"], best["grid"]


def hiding_most_pixels_is_as_good(results):
    """As if hiding 99 % of the pixels did not lower the probe."""
    results["probe"][-1] = results["probe"][2]


def filled_in_by_the_mean_image(results):
    results["error"] = [1.0 for _ in results["error"]]


def views_teach_nothing(results):
    for accuracies in results["probe"].values():
        accuracies[-1] = accuracies[0]


def collapse_goes_unnoticed(results):
    results["without variance term"] = results["VICReg"]


def replicas_change_weights(results):
    results["differences"]["kit"] = results["differences"]["mean"]


def traced_bytes_doubled(results):
    results["payloads"][2][1] *= 2


def splitting_never_pays(results):
    for bill in results["bills"].values():
        bill["data"], bill["model"] = bill["model"], bill["data"]


def pruning_costs_as_much(results):
    results["joules"][3] = results["joules"][0]


def growing_batches_settle(results):
    excess = results["excess"]
    excess["batch doubled"] = excess["both constant"]


def ridge_is_left(results):
    results["left"]["SGD"][0] = 100.0


def momentum_stays_as_long(results):
    results["left"]["Momentum"] = results["left"]["SGD"]


def momentum_needs_no_larger_steps(results):
    """As if momentum left sooner by its memory, whatever its steps sum to."""
    results["left"]["averaged Momentum"] = results["left"]["Momentum"]


def larger_steps_do_not_help(results):
    results["left"]["SGD at tenfold rate"] = results["left"]["SGD"]


def centered_oscillates_as_much(results):
    results["oscillating"]["sigmoid − 1/2"] = results["oscillating"]["sigmoid"]


def another_function_at_the_start(results):
    results["start"]["sigmoid − 1/2"] = results["start"]["sigmoid"] + 0.01


def saddles_instead_of_minima(results):
    results["curvature"][0] = -0.1


def more_units_do_not_help(results):
    results["errors"]["two more"] = results["errors"]["as many as needed"]


def corrections_do_not_matter(results):
    for early_or_final in ("early", "final"):
        found = results[early_or_final]
        found[0.999, "uncorrected"] = found[0.999, "corrected"]


def first_steps_are_smaller(results):
    """As if f(t) of the paper's β₂ were that of the slide's."""
    results["factor"][0.999] = results["factor"][0.9]


def learning_needs_corrections(results):
    results["final"][0.9, "uncorrected"] = 2 * results["final"][0.9, "uncorrected"]


def two_units_serve_for_every_function(results):
    results["errors"]["three waves"] = results["errors"]["one wave"]


def one_unit_too_many_does_no_harm(results):
    for errors in results["errors"].values():
        errors[0] = errors[0].min()


def penalty_brings_nothing(results):
    for name, errors in results["errors"].items():
        results["penalized"][name] = errors[:, -1]


def many_examples_help_two_units(results):
    results["errors"]["three waves"][-1, 1] /= 10


def transfer_brings_nothing(results):
    results["errors"]["all weights tuned"][:, 0] = results["errors"]["random weights"][:, 0]


def transfer_tells_subkinds_apart(results):
    results["errors"]["all weights tuned"][:, 1] /= 2


def kept_layers_tell_subkinds_apart(results):
    results["errors"]["hidden layers kept"] = results["errors"]["random weights"]


def sharing_brings_nothing(results):
    results["errors"]["two networks"] = results["errors"]["all weights tuned"]


def regret_exceeds_its_bound(results):
    for bound in results["bound"].values():
        bound /= 5


def regret_grows_with_the_rounds(results):
    """As if the regret per round stayed as it is."""
    rounds = results["marks"] / results["marks"][-1]
    for regret in results["regret"].values():
        regret[:] = regret[-1] * rounds[:, None, None]


def sgd_has_as_little_regret(results):
    regret = results["regret"]
    regret["different frequencies", "SGD, ε/√t"] = regret["different frequencies", "AdaGrad"]


def rare_features_do_not_matter(results):
    """As if AdaGrad won with equal frequencies too."""
    regret = results["regret"]
    regret["equal frequencies", "AdaGrad"] = 0.8 * regret["equal frequencies", "AdaGrad"]


def larger_sets_cost_sgd_more(results):
    counts = results["gradients"]["SGD"]
    counts[-1] = 10 * counts[-2]


def a_pass_over_large_sets_costs_no_more(results):
    counts = results["gradients"]["gradient descent"]
    counts[-1] = counts[-2]


def a_thousand_examples_are_enough(results):
    results["gradients"]["SGD"][0] = results["gradients"]["SGD"][1]


def small_sets_err_less_than_in_theory(results):
    results["final"][0] /= 2


def leaky_units_die(results):
    results["dead"]["leaky ReLU"] = results["dead"]["ReLU"]


def weight_noise_is_worthless(results):
    results["error"]["on the weights"] = results["error"]["none"]


def recurrent_gains_most(results):
    errors = results["error"]
    errors["recurrent, dropout"] = errors["recurrent"] - 10


def any_dropout_harms_recurrent_nets(results):
    results["error"]["recurrent, output only"] = results["error"]["recurrent"] + 1


def retraining_is_worthless(results):
    names = list(results["error"])
    results["error"][names[1]] = results["error"][names[0]]


def order_does_not_matter(results):
    results["errors"]["sorted by digit"] = results["errors"]["shuffled each epoch"]


def last_two_classes_are_most(results):
    results["late"] = 2 / 3


def normalized_inputs_move_as_far(results):
    results["shift"]["with BatchNorm"] = results["shift"]["without"]


def inputs_keep_their_spread(results):
    results["growth"] = {
        name: np.full_like(each, 0.9 - 0.1 * k) for k, (name, each) in enumerate(results["growth"].items())
    }


def variance_remains(results):
    results["with"] = results["without"] - 5


def samples_are_noise(results):
    results["distance"]["written"] = results["distance"]["independent pixels"]


def samples_are_copies(results):
    results["among_as_many"]["seen"] = 0.5 * results["among_as_many"]["unseen"]


def only_ones_are_written(results):
    results["digits"] = np.eye(10)[1]


def growing_is_worthless(results):
    results["test"][results["best"]] = results["test"][()]


def a_line_needs_hidden_units(results):
    results["separable"]["best"] = (4,)


def mirror_images_preserve_labels(results):
    results["taken"]["mirrored"] = results["taken"]["as they are"]


def letters_teach_nothing(results):
    results["error"]["letters"] = results["error"]["random weights"]


def noise_teaches_nothing(results):
    results["error"]["noise"] = results["error"]["random weights"]


def passes_do_not_matter(results):
    results["error"]["random weights, more passes"] = results["error"]["random weights"]


def structure_does_not_matter(results):
    results["received"]["random"] = results["received"]["window"]


def window_does_not_pay(results):
    for speed in results["speed"].values():
        speed *= 0.4


def random_connections_pay(results):
    results["speed"]["random"] = results["speed"]["window"] / 2.5


TWINS = [
    ("perceptron", one_line_is_enough),
    ("perceptron", no_start_succeeds),
    ("activations", sigmoid_as_fast),
    ("losses", losses_swapped),
    ("losses", squared_error_without_slope),
    ("losses", less_sure_takes_longer),
    ("backpropagation", printed_gradient),
    ("backpropagation", equal_units_drift_apart),
    ("minibatch", power_2_converges),
    ("optimizers", turned_valley_as_easy),
    ("optimizers", adagrad_recovers),
    ("optimizers", momentum_averages_the_noise_away),
    ("optimizers", momentum_steps_are_as_noisy),
    ("early_stopping", stopping_is_another_penalty),
    ("penalties", penalties_swapped),
    ("augmentation", augmentation_is_worthless),
    ("augmentation", sixes_survive),
    ("dropout", predictions_agree_less),
    ("dropout", few_masks_err_more),
    ("dropout", bagging_votes_as_well),
    ("dropout", bagging_gains_nothing),
    ("dropout", dropout_costs_nothing),
    ("batch_norm", normalization_does_not_help),
    ("batch_norm", shift_by_the_moving_mean),
    ("batch_norm", weights_below_pass_the_normalization),
    ("batch_norm", means_below_pass_the_normalization),
    ("preprocessing", divided_by_the_eigenvalue),
    ("preprocessing", scaling_saves_nothing),
    ("monitoring", diagnoses_swapped),
    ("search", grid_and_random_swapped),
    ("memory", bill_without_gradients),
    ("memory", training_takes_no_more_than_the_slide),
    ("gradient_flow", initializations_swapped),
    ("greedy", depth_costs_nothing_without_pretraining),
    ("masked", hiding_most_pixels_is_as_good),
    ("masked", filled_in_by_the_mean_image),
    ("joint_embedding", views_teach_nothing),
    ("joint_embedding", collapse_goes_unnoticed),
    ("parallelism", replicas_change_weights),
    ("parallelism", traced_bytes_doubled),
    ("parallelism", splitting_never_pays),
    ("compression", pruning_costs_as_much),
    ("growing_batches", growing_batches_settle),
    ("saddle", ridge_is_left),
    ("saddle", momentum_stays_as_long),
    ("saddle", momentum_needs_no_larger_steps),
    ("saddle", larger_steps_do_not_help),
    ("dying_units", leaky_units_die),
    ("noise", weight_noise_is_worthless),
    ("dropout_by_layer", recurrent_gains_most),
    ("dropout_by_layer", any_dropout_harms_recurrent_nets),
    ("retraining", retraining_is_worthless),
    ("shuffling", order_does_not_matter),
    ("shuffling", last_two_classes_are_most),
    ("covariate_shift", normalized_inputs_move_as_far),
    ("covariate_shift", inputs_keep_their_spread),
    ("variance", variance_remains),
    ("generation", samples_are_noise),
    ("generation", samples_are_copies),
    ("generation", only_ones_are_written),
    ("growing", growing_is_worthless),
    ("growing", a_line_needs_hidden_units),
    ("letters", mirror_images_preserve_labels),
    ("network_size", two_units_serve_for_every_function),
    ("network_size", one_unit_too_many_does_no_harm),
    ("network_size", penalty_brings_nothing),
    ("network_size", many_examples_help_two_units),
    ("subcategories", transfer_brings_nothing),
    ("subcategories", transfer_tells_subkinds_apart),
    ("subcategories", kept_layers_tell_subkinds_apart),
    ("subcategories", sharing_brings_nothing),
    ("other_domain", letters_teach_nothing),
    ("other_domain", noise_teaches_nothing),
    ("other_domain", passes_do_not_matter),
    ("machines", structure_does_not_matter),
    ("machines", window_does_not_pay),
    ("machines", random_connections_pay),
    ("centered_outputs", centered_oscillates_as_much),
    ("centered_outputs", another_function_at_the_start),
    ("local_minima", saddles_instead_of_minima),
    ("local_minima", more_units_do_not_help),
    ("bias_correction", corrections_do_not_matter),
    ("bias_correction", first_steps_are_smaller),
    ("bias_correction", learning_needs_corrections),
    ("regret", regret_exceeds_its_bound),
    ("regret", regret_grows_with_the_rounds),
    ("regret", sgd_has_as_little_regret),
    ("regret", rare_features_do_not_matter),
    ("large_sets", larger_sets_cost_sgd_more),
    ("large_sets", a_pass_over_large_sets_costs_no_more),
    ("large_sets", a_thousand_examples_are_enough),
    ("large_sets", small_sets_err_less_than_in_theory),
]


@pytest.mark.parametrize(
    ("topic", "twin"), [pytest.param(topic, twin, marks=mark(topic)) for topic, twin in TWINS]
)
def test_check_rejects_wrong_results(topic, twin):
    demo = lectures.find(topic)
    wrong = copy.deepcopy(results_of(demo))
    twin(wrong)
    with pytest.raises(AssertionError) as caught:
        module_of(demo).check(wrong)
    assert_is_sentence(f"{caught.value}")


def tanh_given_up(results):
    results["given_up"]["tanh"] = True
    return f"tanh more than {results['epochs']['tanh']:.1f}"


def leaky_relu_given_up(results):
    results["given_up"]["leaky ReLU"] = True
    return f"leaky ReLU more than {results['epochs']['leaky ReLU']:.1f}"


def squared_error_given_up(results):
    results["given_up"]["squared error"][0] = True
    return f"more than {results['epochs']['squared error'][0]} for squared error"


def sgd_given_up(results):
    results["steps"] |= dict.fromkeys([("SGD", "turned"), ("SGD", "along an axis")], results["limit"] + 1)
    return f"SGD more than {results['limit']} (more than {results['limit']})"


GIVEN_UP = [
    ("activations", tanh_given_up),
    ("activations", leaky_relu_given_up),
    ("losses", squared_error_given_up),
    ("optimizers", sgd_given_up),
]


@pytest.mark.parametrize(
    ("topic", "give_up"), [pytest.param(topic, give_up, marks=mark(topic)) for topic, give_up in GIVEN_UP]
)
def test_answer_says_of_a_run_that_was_given_up_that_it_needs_more(topic, give_up):
    demo = lectures.find(topic)
    results = copy.deepcopy(results_of(demo))
    expected = give_up(results)
    assert expected in module_of(demo).check(results)


def assert_is_sentence(text):
    """The text of a demo is one line of words and numbers."""
    assert text, "no words"
    assert not re.search(r"\n|[{}\[\]]|array\(|np\.float|\b(nan|inf)\b", text), text


@every_demo
def test_opens_as_notebook(demo, tmp_path):
    jupytext = pytest.importorskip("jupytext", reason="needs the labs extra: jupytext")
    path = lectures.write_notebook(demo, tmp_path)
    assert path == tmp_path / f"{demo.path.stem}.ipynb"
    notebook = jupytext.read(path)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    text = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert len(code) >= 7, "the cells: install, parameters, imports, Config, run, check, plot, main"
    for source in code:
        compile(re.sub(r"(?m)^( *)%pip.*", r"\1pass", source), path.name, "exec")
    assert any("lectures.main(globals())" in source for source in code)
    assert text[0] == f"# {demo.number} {demo.title}\n\n**{demo.question}**"
    assert text[1].count("$$") >= 2, "an equation"
    assert any(each.startswith("**Claim:**") for each in text)
    assert text[-1].startswith("<details><summary>Show what to expect</summary>")
    assert not any("Claim:" in source for source in code), "the docstring is prose"
    given = {}
    exec(code[1], given)
    assert module_of(demo).Config(**given["PARAMETERS"]) == module_of(demo).Config()
    changed = re.search(r"Change `(\w+)` to `(.+?)`", text[-2])
    assert changed[1] in given["PARAMETERS"]
    assert ast.literal_eval(changed[2]) != given["PARAMETERS"][changed[1]]
    assert notebook.metadata["kernelspec"]["name"] == "python3"


@every_demo
def test_ranges_are_declared_and_hold_what_the_demo_uses(demo):
    """The values are the defaults, those of the quick size, and the one that the notebook asks for."""
    config, asked = module_of(demo).Config, index.read("notebooks.toml")[demo.topic]["change"].split(" = ")
    for flag in lectures.flags(demo):
        assert not re.search(r"or more|above \d|in [\[(]", flag.help.rpartition(" [")[0]), flag.help
        values = [getattr(each, flag.name) for each in (config(), config.quick())]
        values += [ast.literal_eval(asked[1])] if asked[0] == flag.name else []
        for value in values:
            if not isinstance(value, bool):
                assert flag.type.convert(str(value), flag, None) == value


def smallest(config):
    """Return the smallest value allowed for each number parameter; without a bound, the parameter is missing."""
    values = {}
    for field in dataclasses.fields(config):
        limits, value = field.metadata["limits"], getattr(config, field.name)
        if field.metadata["choices"]:
            values[field.name] = min(field.metadata["choices"])
        elif "at_least" in limits:
            values[field.name] = type(value)(limits["at_least"])
        elif "above" in limits:
            values[field.name] = limits["above"] + 1e-3
    return values


@every_demo
def test_every_number_has_a_bound(demo):
    config = module_of(demo).Config()
    numbers = {name for name, value in vars(config).items() if type(value) in (int, float)}
    assert numbers <= set(smallest(config))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    "demo",
    mostly_slow(DEMOS, [demo for demo in DEMOS if demo.topic in ("saddle", "machines")]),
    ids=name,
)
def test_smallest_values_give_an_answer(demo):
    module = module_of(demo)
    quick = module.Config.quick()
    few = {"labels": 10} if hasattr(quick, "labels") else {}  # the digits have ten classes
    done = carry_out(module, dataclasses.replace(quick, **{**smallest(quick), **few}))
    assert_is_sentence(done.answer)
    plotting.framed(done.figure, done.question, done.answer)
    done.figure.canvas.draw()
    plt.close(done.figure)


@pytest.mark.parametrize(
    ("topic", "changes", "message"),
    [
        ("machines", {"side": 8, "window": 9}, "`Config.window` must be no wider than the layer"),
        ("augmentation", {"sets": 10}, "`Config.sets` must be at most 9 for 480 labels"),
        (
            "early_stopping",
            {"labels": 5},
            r"`Config.labels` must be at least 10, one per class of digits\. .*: 5\.$",
        ),
        ("search", {"labels": 2}, "`Config.labels` must be at least 10"),
        ("preprocessing", {"data": "{folder}"}, "`Config.data` must have classes .* separate subfolder"),
        (
            "augmentation",
            {"data": "two_moons"},
            "`Config.data` must have images .*two_moons, vectors of 2 numbers",
        ),
        ("augmentation", {"data": "bars_and_stripes"}, "`Config.data` must have ten classes"),
        ("greedy", {"data": "two_moons"}, "`Config.data` must have images"),
        ("masked", {"data": "two_moons"}, "`Config.data` must have images"),
        ("joint_embedding", {"data": "two_moons"}, "`Config.data` must have images"),
        ("generation", {"data": "two_moons"}, "`Config.data` must have images"),
        ("other_domain", {"data": "two_moons"}, "`Config.data` must have images"),
    ],
)
def test_run_refuses_in_one_line(topic, changes, message, tmp_path):
    for i in range(6):
        plt.imsave(tmp_path / f"{i}.png", np.random.default_rng(i).random((8, 8)))
    module = module_of(lectures.find(topic))
    changes = {name: str(tmp_path) if value == "{folder}" else value for name, value in changes.items()}
    with pytest.raises(InputError, match=message):
        module.run(dataclasses.replace(module.Config.quick(), **changes))


@pytest.mark.parametrize(
    ("topic", "typed"),
    [
        ("optimizers", "--steepness 1"),
        ("backpropagation", "--units 1"),
        ("noise", "--wrong 1.5"),
        ("minibatch", "--seed -1"),
        ("minibatch", "--draws 2"),
        ("augmentation", "--most 1"),
        ("memory", "--optimizer nope"),
        ("machines", "--bandwidth 0"),
        ("machines", "--window 4"),
        ("parallelism", "--largest 3"),
        ("activations", "--error -5"),
        ("preprocessing", "--examples 1"),
        ("early_stopping", "--labels 1"),
    ],
)
def test_value_out_of_range_is_refused(topic, typed):
    flag, value = typed.split()
    (option,) = [each for each in lectures.flags(lectures.find(topic)) if flag in each.opts]
    with pytest.raises(click.UsageError, match=f"`{flag}` must be"):
        option.type.convert(value, option, None)


@pytest.mark.slow
def test_notebook_runs_from_top_to_bottom(tmp_path):
    """Run the notebook of the shortest demo in a kernel."""
    pytest.importorskip("jupytext", reason="needs the labs extra: jupytext")
    nbclient = pytest.importorskip("nbclient", reason="needs the labs extra: nbclient")
    pytest.importorskip("ipykernel", reason="needs the labs extra: a kernel to run notebooks in")
    import nbformat

    demo = min(DEMOS, key=lambda demo: demo.seconds)
    notebook = nbformat.read(lectures.write_notebook(demo, tmp_path), as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert printed.startswith(demo.question)
    assert not [
        out for cell in notebook.cells for out in cell.get("outputs", []) if out.get("name") == "stderr"
    ]
    assert list((tmp_path / "figures").glob("*.png"))


@pytest.mark.slow
def test_network_over_two_processes_gets_the_weights_of_one():
    demo = lectures.find("machines")
    results = copy.deepcopy(results_of(demo))
    found = module_of(demo).on_two_machines(epochs=1)
    np.testing.assert_allclose(found["two"], found["one"], atol=1e-5)
    assert sorted(set(found["two_jobs"])) == ["job:localhost", "job:server"]
    assert set(found["one_jobs"]) == {"job:localhost"}
    results["machines"] = {"difference": 1e-3, "jobs": found["two_jobs"].tolist(), "seconds": [1.0, 2.0]}
    with pytest.raises(AssertionError, match="differs"):
        module_of(demo).check(results)


def test_error_without_data_is_that_of_many_examples_and_has_its_gradient():
    demo, rng = module_of(lectures.find("local_minima")), np.random.default_rng(0)
    w, v, x = rng.normal(size=(1, 4, 3)), rng.normal(size=(1, 2, 3)), rng.normal(size=(400_000, 3))
    outputs = [np.maximum(x @ each[0].T, 0).sum(axis=1) for each in (w, v)]
    squares = (outputs[0] - outputs[1]) ** 2 / 2
    bound = 5 * squares.std() / np.sqrt(len(squares))
    np.testing.assert_allclose(demo.error(w, v), squares.mean(), atol=bound)
    moved = 1e-6 * np.eye(12).reshape(12, 4, 3)
    twelve = np.broadcast_to(v, (12, 2, 3))
    numeric = (demo.error(w + moved, twelve) - demo.error(w - moved, twelve)) / 2e-6
    np.testing.assert_allclose(demo.gradient(w, v).ravel(), numeric, rtol=1e-6, atol=1e-8)


def test_expected_risk_is_the_mean_cost_of_many_examples():
    module = module_of(lectures.find("large_sets"))
    population = module.Population(dataclasses.replace(module.Config.quick(), largest=400_000, features=5))
    for theta in (np.zeros(5), population.teacher / population.deviations, np.arange(-2.0, 3.0)):
        z = population.x @ theta
        costs = np.logaddexp(0, z) - population.y * z
        bound = 5 * costs.std() / np.sqrt(len(costs)) + 1e-12
        np.testing.assert_allclose(population.risk(theta), costs.mean(), atol=bound)
    assert population.lowest == pytest.approx(population.risk(population.teacher / population.deviations))


def test_loss_of_the_best_fixed_parameters_is_that_of_a_solver():
    """The oracle minimizes the loss within the box from a random start."""
    module = module_of(lectures.find("regret"))
    x, y = module.draw("different frequencies", module.Config(rounds=200, features=12, streams=2))
    for each, label, found in zip(x, y, module.lowest("different frequencies", x, y), strict=True):
        start = np.random.default_rng(0).uniform(-1, 1, size=12)
        least = optimize.minimize(
            lambda theta, signed: np.logaddexp(0, -signed @ theta).sum(),
            start,
            args=(each * label[:, None],),
            bounds=[(-1, 1)] * 12,
        ).fun
        assert least - 0.011 < found < least + 1e-6


def test_first_cell_installs_what_it_is_told_or_tells_what_to_do():
    told = first_cell("git+https://example.org/kit")
    assert "%pip install --quiet git+https://example.org/kit\n" in told
    assert "Install tf-kit in this environment" in first_cell() or "git+" in first_cell()
    with pytest.raises(InputError, match="be one line"):
        lectures.write_notebook(DEMOS[0], "unused", install="a\nimport os")


def test_changed_parameter_whose_claim_fails_gives_an_answer(monkeypatch, capsys, tmp_path):
    """A notebook shows a sentence, not a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    module = module_of(lectures.find("machines"))
    lectures.main({**vars(module), "PARAMETERS": {"machines": False, "bandwidth": 1e15}})
    last = capsys.readouterr().out.splitlines()[-1]
    verdict = r"With these parameters the claim does not hold \(it is made for the defaults\): speed on 16 machines: "
    assert re.match(
        verdict + r"window [\d.]+, random [\d.]+, all [\d.]+ \(\d+ s; figure: figures/.*\.png\)$", last
    )


@pytest.mark.parametrize(
    ("topic", "changes", "line"),
    [
        ("machines", {"window": 4}, "`window` must be one of 3, 5, 7, 9, 11. Received: window=4."),
        ("memory", {"image": 8}, "`image` must be a whole number of at least 32. Received: image=8."),
        (
            "early_stopping",
            {"labels": 5},
            "`Config.labels` must be at least 10, one per class of digits. Received: 5.",
        ),
    ],
)
def test_notebook_prints_why_a_parameter_is_refused(monkeypatch, capsys, tmp_path, topic, changes, line):
    monkeypatch.chdir(tmp_path)  # the folder of the figures is made before the demo runs
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    module = module_of(lectures.find(topic))
    lectures.main({**vars(module), "PARAMETERS": changes})
    assert capsys.readouterr().out.splitlines()[-1] == line
