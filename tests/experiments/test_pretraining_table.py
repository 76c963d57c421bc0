"""Tests of the five-row table: choices on validation, and one test. (`runs/test_killed.py` kills it.)"""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from experiments.bar import BARS, Bar
from PIL import Image

from tf_kit import pretraining
from tf_kit.errors import InputError
from tf_kit.experiments import format_table, pretraining_table, run_table, table_figure

TINY = {"units": 8, "layers": 2, "epochs": 2, "pretrain_epochs": 1, "batch_size": 128}


@pytest.fixture(scope="module", autouse=True)
def _bar():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining_table, "Progress", Bar)
        yield


ALL = list(pretraining_table.SYSTEMS)
RATES = (0.001, 0.01)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(["autoencoder", "shallow"], marks=pytest.mark.slow),
        pytest.param(ALL, marks=pytest.mark.slow),
    ],
    ids=["two systems", "all systems"],
)
def table(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("table") / "run"
    arguments = {"seeds": 2, "systems": request.param, "quiet": True, "learning_rates": RATES, **TINY}
    BARS.clear()
    return run_table("digits", out=out, **arguments), out


def test_every_row_has_all_splits(table):
    results, out = table
    assert list(results["systems"]) in (["autoencoder", "shallow"], ALL)
    for system, row in results["systems"].items():
        for split in ("train", "valid", "test"):
            each = [
                json.loads((out / f"{system}-seed-{seed}" / "results.json").read_text())["errors"][split]
                for seed in (0, 1)
            ]
            assert row[split]["seeds"] == each
            np.testing.assert_allclose(row[split]["mean"], np.mean(each))
            np.testing.assert_allclose(row[split]["std"], np.std(each, ddof=1))
            assert all(0 <= error <= 100 for error in each)
        assert all(rate in (0.001, 0.01) for rate in row["learning_rate"])
        assert "paper" not in row, "the paper's figures are for MNIST"
    assert json.loads((out / "results.json").read_text()) == results
    assert (out / "figures" / "table.png").stat().st_size > 5000


def test_bar_ends_at_its_total(table):
    np.testing.assert_allclose([BARS[0].trained, BARS[0].skipped], [BARS[0].total, 0])
    arguments = {
        "seeds": 2,
        "systems": list(table[0]["systems"]),
        "quiet": True,
        "learning_rates": RATES,
        **TINY,
    }
    again = run_table("digits", out=table[1], resume=True, **arguments)
    np.testing.assert_allclose([BARS[-1].trained, BARS[-1].skipped], [0, BARS[0].total])
    assert again == table[0], "the seconds too are those of the first run"


def test_a_system_named_twice_counts_once(table):
    options = {"learning_rates": RATES, "out": table[1], "quiet": True, **TINY}
    with pytest.raises(InputError, match=r"Received: systems=\['deep'\], but the run began with "):
        run_table("digits", systems=("deep", "deep"), resume=True, **options)


def test_table_as_text(table):
    lines = format_table(table[0]).splitlines()
    assert lines[0] == "digits, 1,197 / 300 / 300 examples, 2 seeds: error in %"
    rows = lines[3 : 3 + len(table[0]["systems"])]
    assert all("±" in row for row in rows)
    assert rows[-1].startswith("Shallow net, no pre-training")
    assert max(map(len, lines)) <= 100
    compared = [each["rows"] for each in table[0]["comparisons"]]
    text = "\n".join(lines)
    assert text.count("  [") == len(compared) == (4 if "deep" in table[0]["systems"] else 0)
    assert ("on its way down" in text) == ("deep" in table[0]["systems"])


def test_mnist_shows_the_errors_of_the_paper(table):
    rows = {
        system: [
            json.loads((table[1] / "shallow-seed-0" / "results.json").read_text()),
        ]
        for system in ALL
    }
    results = pretraining_table.summarize("mnist", ([0], [0], [0]), rows, pretraining_table.SMALL)
    text = format_table(results)
    assert "Bengio et al. 2007" in text
    assert "0.004  2.1  2.4" in text
    assert "±" not in text, "one seed has no spread"
    assert "One seed shows no spread" in text


@pytest.mark.parametrize(("ratio", "words"), [(0.005, "vanishes"), (2.0, "does not vanish")])
def test_sentence_on_the_gradient_follows_its_measurement(ratio, words):
    systems = {"deep": {"gradient_ratio": [ratio, ratio]}, "dbn": {"gradient_ratio": [0.02]}}
    text = " ".join(pretraining_table._cause(systems))
    assert text.startswith(f"The gradient {words} on its way down: at the start of fine-tuning")
    assert f"is {ratio:g} times that of the output layer without pre-training, 0.02 after DBN" in text


@pytest.mark.slow
def test_test_set_is_used_once_per_system_and_seed(tmp_path, monkeypatch):
    evaluate, sizes = pretraining.Classifier.evaluate, []

    def counting(self, x=None, y=None, **kwargs):
        if not kwargs.get("_use_cached_eval_dataset"):
            sizes.append(float(np.sum(x)))
        return evaluate(self, x, y, **kwargs)

    monkeypatch.setattr(pretraining.Classifier, "evaluate", counting)
    run_table(
        "digits",
        seeds=1,
        out=tmp_path / "r",
        systems=["shallow"],
        quiet=True,
        learning_rates=(0.001, 0.01),
        **TINY,
    )
    assert len(sizes) == len(set(sizes)) == 3, "train, validation and test, each once"


@pytest.mark.slow
def test_learning_rate_is_chosen_on_validation(tmp_path):
    results = run_table(
        "digits",
        seeds=1,
        out=tmp_path / "r",
        systems=["shallow"],
        quiet=True,
        learning_rates=(1e-9, 0.03),
        **TINY,
    )
    assert results["systems"]["shallow"]["learning_rate"] == [0.03]


def test_other_data_folder_does_not_resume(table, tmp_path):
    arguments = {"seeds": 2, "systems": list(table[0]["systems"]), "learning_rates": RATES, **TINY}
    with pytest.raises(InputError, match="data_dir"):
        run_table("digits", out=table[1], resume=True, quiet=True, data_dir=tmp_path, **arguments)


def test_unknown_system_and_seeds(tmp_path):
    with pytest.raises(InputError, match="systems='deeep'"):
        run_table("digits", out=tmp_path / "r", systems=["deeep"])
    with pytest.raises(InputError, match="seeds"):
        run_table("digits", out=tmp_path / "r", seeds=0)
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_table_on_mnist(mnist_dir, tmp_path):
    results = run_table(
        "mnist",
        seeds=1,
        out=tmp_path / "run",
        data_dir=mnist_dir,
        systems=["shallow"],
        quiet=True,
        units=16,
        epochs=1,
        batch_size=512,
        learning_rates=(0.01,),
    )
    assert results["examples"] == {"train": 50_000, "valid": 10_000, "test": 10_000}
    assert results["systems"]["shallow"]["test"]["mean"] < 25
    assert results["systems"]["shallow"]["paper"]["test"] == 1.9


def test_figure_shows_seeds_means_and_published_errors():
    errors = [[2.0, 4.0], [1.0, 1.5]]
    (axes,) = table_figure.errors_by_system(["deep", "shallow"], errors, [2.4, 1.9], "digits").axes
    assert axes.get_title() == "digits"
    assert [bar.get_width() for bar in axes.patches] == [3.0, 1.25]
    lines = [line.get_xdata().tolist() for line in axes.get_lines()]
    assert lines == [*errors, [2.4, 1.9]]
    assert [text.get_text() for text in axes.texts] == ["3.00 %", "1.25 %"]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["each seed", "Bengio et al. 2007"]
    plt.close("all")


@pytest.mark.parametrize(
    "changes",
    [
        {"units": 0},
        {"layers": 1.5},
        {"pretrain_epochs": 0},
        {"gibbs_steps": 0},
        {"learning_rates": (0.1, 0)},
        {"learning_rates": "0.1"},
        {"pretrain_learning_rates": {"dbn": 0}},
        {"pretrain_learning_rates": {"moco": 1}},
        {"moco": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_setting_out_of_range_is_refused(changes):
    (name,) = changes
    with pytest.raises(InputError, match=rf"`run_table\.({name}|\*\*changes)` must"):
        pretraining_table.settings_for(1000, **changes)


def test_a_change_of_some_rows_leaves_the_others():
    before = pretraining_table.settings_for(1000).pretrain_learning_rates
    found = pretraining_table.settings_for(1000, pretrain_learning_rates={"dbn": 0.5}, learning_rates=0.1)
    assert found.pretrain_learning_rates == {**before, "dbn": 0.5}
    assert found.learning_rates == (0.1,)
    assert set(pretraining_table.settings_for(1000, pretrain_epochs=3).pretrain_epochs.values()) == {3}


@pytest.fixture
def pictures(tmp_path):
    """Folder of color images without subfolders, and the file of their labels."""
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    rows = ["file,label"]
    for i in range(30):
        pixels = rng.integers(128 * (i % 2), 128 * (i % 2) + 127, (6, 6, 3), dtype="uint8")
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i}.png")
        rows.append(f"{i}.png,{'light' if i % 2 else 'dark'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "pictures", tmp_path / "labels.csv"


@pytest.mark.slow
def test_images_of_a_folder_are_read_as_chosen_and_resumed_only_so(pictures, tmp_path):
    folder, file = pictures
    chosen = {"image_size": 4, "color": "grey", "labels_file": file}
    arguments = {"seeds": 2, "systems": ["shallow"], "out": tmp_path / "r", "quiet": True, **TINY}
    results = run_table(str(folder), **chosen, **arguments)
    assert results == run_table(str(folder), resume=True, **chosen, **arguments)
    with pytest.raises(InputError, match="color"):
        run_table(str(folder), resume=True, **{**chosen, "color": "rgb"}, **arguments)
    file.write_text(file.read_text().replace("0.png,dark", "0.png,light", 1))
    with pytest.raises(InputError, match=r"labels\.csv"):
        run_table(str(folder), resume=True, **chosen, **arguments)
