"""Tests of accuracy by number of labels: equal budgets, choices on validation, one test. (`runs/test_killed.py` kills
it.)"""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from experiments.bar import BARS, Bar

from tf_kit import data, pretraining
from tf_kit.errors import InputError
from tf_kit.experiments import format_labels, label_efficiency, run_label_efficiency
from tf_kit.experiments.label_efficiency import rows as rows_module
from tf_kit.experiments.label_efficiency import settings as settings_module
from tf_kit.pretraining.methods import IMAGE_METHODS
from tf_kit.runs import Run

TINY = {
    "labels": (30, None),
    "steps": 16,
    "passes": 1,
    "rounds": 2,
    "pretrain_epochs": 1,
    "learning_rates": (0.01,),
    "probe_learning_rates": (0.03,),
    "neighbors": (1, 5),
}


def run(out, methods=("masked",), seeds=2, **changes):
    changes = TINY | changes
    return run_label_efficiency("digits", seeds=seeds, out=out, methods=methods, quiet=True, **changes)


SHOWN = {}  # folder of a cell → images of its fine-tuning, and their classes


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    fit = Run.fit

    def recording(self, model, x, y=None, **options):
        if isinstance(model, pretraining.Classifier) and not model.frozen:
            SHOWN[self.folder.name] = {image.tobytes() for image in x}, np.unique(y)
        return fit(self, model, x, y, **options)

    out = tmp_path_factory.mktemp("labels") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "fit", recording)
        return run(out), out


def cell(out, row, labels, seed):
    return json.loads((out / f"{row}-{labels}-seed-{seed}" / "results.json").read_text())


@pytest.mark.slow
def test_every_row_has_all_numbers_of_labels(table):
    results, out = table
    assert list(results["rows"]) == ["scratch-mlp", "masked"]
    assert results["examples"] == {"train": 1197, "valid": 300, "test": 300}
    for name, row in results["rows"].items():
        assert list(row["labels"]) == ["30", "all"]
        for labels, measures in row["labels"].items():
            for measure, found in measures.items():
                for part in ("valid", "test"):
                    each = [cell(out, name, labels, seed)[measure][part] for seed in (0, 1)]
                    assert found[part]["seeds"] == each
                    np.testing.assert_allclose(found[part]["mean"], np.mean(each))
                    np.testing.assert_allclose(found[part]["std"], np.std(each, ddof=1))
                    assert all(0 <= accuracy <= 100 for accuracy in each)
            assert measures["finetuned"]["learning_rate"] == [0.01, 0.01]
            assert all(k in (1, 5) for k in measures["neighbors"]["k"])
    assert json.loads((out / "results.json").read_text()) == results
    assert (out / "figures" / "label_efficiency.png").stat().st_size > 5000
    assert (out / "pretrained-masked-seed-1" / "encoder.keras").is_file()
    more = results["rows"]["masked"]["labels"]
    assert more["all"]["neighbors"]["test"]["mean"] > more["30"]["neighbors"]["test"]["mean"]


@pytest.mark.slow
def test_finished_run_returns_the_same_results(table):
    assert run(table[1], methods=("masked", "masked"), resume=True) == table[0], (
        "a method named twice counts once"
    )


@pytest.mark.slow
def test_bar_ends_at_its_total(tmp_path, monkeypatch):
    """In a whole run, a killed one and a finished one, with three seeds of which two share a pretraining."""
    monkeypatch.setattr(label_efficiency, "Progress", Bar)
    methods = ("masked", "supervised")
    arguments = {"methods": methods, "seeds": 3, "pretrainings": 2, "labels": (30,)}
    run(tmp_path / "run", **arguments)
    np.testing.assert_allclose([BARS[-1].trained, BARS[-1].skipped], [BARS[-1].total, 0])
    run(tmp_path / "run", resume=True, **arguments)
    np.testing.assert_allclose([BARS[-1].trained, BARS[-1].skipped], [0, BARS[-1].total])
    for method in methods:
        # The cells are measured again, with the pretraining that exists.
        (tmp_path / "run" / f"{method}-30-seed-1" / "results.json").unlink()
    (tmp_path / "run" / "results.json").unlink()
    run(tmp_path / "run", resume=True, **arguments)
    assert 0 < BARS[-1].trained < BARS[-1].skipped
    np.testing.assert_allclose(BARS[-1].trained + BARS[-1].skipped, BARS[-1].total)


def assert_same(rows, others):
    """Rows of two tables are the same but for ties among nearly equal neighbors, which rounding by threads decides."""
    if isinstance(rows, dict):
        assert rows.keys() == others.keys()
        for name in rows:
            assert_same(rows[name], others[name])
    elif isinstance(rows, str) or rows is None:
        assert rows == others
    else:
        np.testing.assert_allclose(rows, others, atol=100 * 2 / 300)  # two of 300 images


@pytest.mark.slow
def test_a_table_is_the_same_with_several_jobs(table, tmp_path, monkeypatch):
    """Its processes count what they train, and a resumed table asks them for what is missing only."""
    monkeypatch.setattr(label_efficiency, "Progress", Bar)
    out = tmp_path / "run"
    rows = run(out, jobs=2)["rows"]
    assert_same(rows, table[0]["rows"])
    bar = next(each for each in reversed(BARS) if each.total)
    assert bar._done == pytest.approx(bar.total)
    for name in ("results.json", "masked-30-seed-1/results.json"):
        (out / name).unlink()
    assert_same(run(out, jobs=2, resume=True)["rows"], rows)


@pytest.mark.slow
def test_table_as_text(table):
    lines = format_labels(table[0]).splitlines()
    assert lines[0].startswith("digits: test accuracy in %, 2 seeds; 1,197 training images, choices on 300")
    assert [line.split()[0] for line in lines[2:6]] == ["fine-tuned", "multilayer", "from", "masked"]
    assert [line.split()[0] for line in lines[7:11]] == ["linear", "multilayer", "untrained", "masked"]
    assert lines[2].split("   ")[-1].strip() == "all labels"
    assert "±" in lines[4]
    assert len(lines) == 16


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Run of two methods and two seeds that share a pretraining; its folder, and what its trainings were given."""
    fit, load = Run.fit, data.load
    seen = SimpleNamespace(folder=tmp_path_factory.mktemp("watched") / "run", fits=[], splits=[])

    def recording(self, model, x, y=None, **options):
        kind = "supervised" if isinstance(model, pretraining.Supervised) else "pretraining"
        if isinstance(model, pretraining.Classifier) and kind != "supervised":
            kind = "probe" if model.frozen else "finetuned"
        total = None if y is None else float(np.sum(y))
        seen.fits.append((self.folder.name, kind, images(x), len(x), total, options))
        return fit(self, model, x, y, **options)

    def loading(*arguments, **options):
        seen.splits.append(load(*arguments, **options))
        return seen.splits[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "fit", recording)
        patch.setattr(data, "load", loading)
        run(seen.folder, methods=("supervised", "masked"), pretrainings=1, labels=(30,))
    return seen


def images(x):
    return {np.asarray(image).tobytes() for image in x}


@pytest.mark.slow
def test_every_row_has_the_same_budget(watched):
    """With the same number of labels: the same examples in the same steps, the same rates, no augmentation."""
    seen = {}
    for folder, kind, _, count, total, options in watched.fits:
        if kind in ("finetuned", "probe"):
            given = count, options["epochs"], options["batch_size"], total, kind
            seen.setdefault(folder, []).append(given)
    for seed in (0, 1):
        rows = [seen[f"{row}-30-seed-{seed}"] for row in ("scratch-mlp", "masked", "supervised")]
        assert rows[0] == rows[1] == rows[2]
        examples, epochs, batch_size, *_ = rows[1][-1]
        assert examples * epochs >= 16 * batch_size, "few labels are repeated until there are enough steps"


@pytest.mark.slow
def test_fewer_labels_are_among_more_and_cover_all_classes(table):
    for seed in (0, 1):
        (few, classes), (more, _) = (SHOWN[f"masked-{labels}-seed-{seed}"] for labels in (30, "all"))
        assert (len(few), len(more)) == (30, 1197)
        assert few < more
        np.testing.assert_array_equal(classes, np.arange(10))
        assert SHOWN[f"scratch-mlp-30-seed-{seed}"][0] == few


@pytest.mark.slow
def test_choices_are_made_on_validation_and_tested_once(tmp_path, monkeypatch):
    evaluate, knn, seen = pretraining.Classifier.evaluate, rows_module.share_of_votes_right, []

    def counting(self, x=None, y=None, **options):
        if not options.get("_use_cached_eval_dataset"):
            seen.append(("evaluate", len(x)))
        return evaluate(self, x, y, **options)

    def counting_knn(encoder, train, test, k):
        seen.append(("neighbors", len(test.y)))
        return knn(encoder, train, test, k)

    monkeypatch.setattr(pretraining.Classifier, "evaluate", counting)
    monkeypatch.setattr(rows_module, "share_of_votes_right", counting_knn)
    choices = {"learning_rates": (1e-9, 0.01), "neighbors": (1, 30)}
    results = run(tmp_path / "run", seeds=1, labels=(30,), val_labels=50, **choices)
    for row in results["rows"].values():
        assert row["labels"]["30"]["finetuned"]["learning_rate"] == [0.01]
        assert row["labels"]["30"]["neighbors"]["k"] == [1], (
            "with 30 of 30 neighbors all images get one class"
        )
    of_test = [what for what, count in seen if count == 300]
    assert of_test == ["evaluate", "neighbors", "evaluate"] * 2
    assert [count for _, count in seen if count != 300] == [50] * 4, "two numbers of neighbors, two rows"


@pytest.mark.slow
def test_seeds_may_share_a_pretraining(watched):
    """But not a supervised one, whose labels differ."""
    assert [path.name for path in watched.folder.glob("pretrained-masked-*")] == ["pretrained-masked-seed-0"]
    assert len(list(watched.folder.glob("pretrained-supervised-*"))) == 2
    assert cell(watched.folder, "masked", 30, 0) != cell(watched.folder, "masked", 30, 1), (
        "the labels still differ"
    )


@pytest.mark.slow
def test_no_test_image_was_in_the_pretraining(watched):
    """Seeds that share a pretraining share its split, but never a supervised pretraining."""
    saw, labels_seen, tuned = {}, {}, {}
    found = {"pretraining": saw, "supervised": labels_seen, "finetuned": tuned}
    for folder, kind, shown, *_ in watched.fits:
        if kind == "finetuned":
            tuned[folder] = shown
        elif kind in found:
            found[kind].setdefault(folder, shown)
    assert list(saw) == ["pretrained-masked-seed-0"]
    assert not any(images(test.x) & saw["pretrained-masked-seed-0"] for _, _, test in watched.splits)
    for seed in (0, 1):
        assert (
            tuned[f"supervised-30-seed-{seed}"] == labels_seen[f"pretrained-supervised-seed-{seed}-30-labels"]
        )
    options = json.loads((watched.folder / "pretrained-masked-seed-0" / "config.json").read_text())["options"]
    assert options["split_seed"] == 0


@pytest.mark.slow
def test_collapsed_encoder_is_measured(tmp_path, monkeypatch):
    """Equal representations are reported in one line and in the table, not refused as an overlap of images."""
    printed = []

    def collapsed(*arguments):
        encoder = make(*arguments)
        for variable in encoder.trainable_variables:
            variable.assign(0 * variable)
        return encoder

    make = rows_module._new_encoder
    monkeypatch.setattr(rows_module, "_new_encoder", collapsed)
    monkeypatch.setattr(label_efficiency.Progress, "print", lambda self, line: printed.append(line))
    results = run(
        tmp_path / "run", seeds=1, labels=(30,), learning_rates=(1e-9,), probe_learning_rates=(1e-9,)
    )
    assert results["rows"]["scratch-mlp"]["labels"]["30"]["neighbors"]["test"]["mean"] < 25
    warned = [line for line in printed if "collapsed" in line]
    assert len(warned) == 1
    assert warned[0].startswith("masked, seed 0, pretraining, epoch 1: the embeddings have collapsed")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (100, (10, 960)),  # 300 steps of 32, in ten rounds of 960
        (900, (15, 960)),  # fifteen passes need more
        (1000, (15, 1000)),  # an epoch is a round
        (50_000, (15, 50_000)),
    ],
)
def test_rounds_of_a_fine_tuning(labels, expected):
    settings = settings_module.Settings(steps=300, passes=15, rounds=10, batch_size=32)
    assert settings_module.rounds_of(settings, labels) == expected


@pytest.mark.parametrize(
    ("given", "received"),
    [
        ({"methods": ["moco"]}, "methods='moco'"),
        ({"seeds": 0}, "seeds=0"),
        ({"labels": (5,)}, "labels=5"),
        ({"labels": (2000,)}, "labels=2000"),
        ({"val_labels": 301}, "val_labels=301"),
        ({"steps": 0}, "steps=0"),
        ({"pretrain_epochs": 0}, "pretrain_epochs=0"),
        ({"pretrainings": 0}, "pretrainings=0"),
        ({"probe_learning_rates": (0,)}, "probe_learning_rates=0"),
        ({"labels": ()}, r"labels=\(\)"),
        ({"neighbors": (0,)}, "neighbors=0"),
        (
            {"neighbors": (50,), "labels": (20,)},
            r"at most 20, the fewest labels. Received: neighbors=\(50,\)",
        ),
        ({"pretrain_learning_rates": {"masked": 0}}, "pretrain_learning_rates=0"),
        ({"moco": 1}, "changes='moco'"),
        ({"units": ()}, r"units=\(\)"),
        ({"units": (20, 0)}, "units=0"),
        ({"units": 20, "methods": ["simclr"]}, r"units=20 with methods=\['simclr'\]"),
    ],
)
def test_setting_out_of_range_is_refused(given, received, tmp_path):
    with pytest.raises(InputError, match=received):
        run(tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_hidden_layers_of_the_perceptron_are_given(tmp_path):
    few = {"labels": (30,), "seeds": 1}
    run(tmp_path / "run", methods=["rbm"], units=(30, 20), **few)
    encoder = keras.saving.load_model(tmp_path / "run" / "pretrained-rbm-seed-0" / "encoder.keras")
    assert [layer.units for layer in encoder.layers if hasattr(layer, "units")] == [30, 20]
    with pytest.raises(InputError, match=r"units=\[30\]"):
        run(tmp_path / "run", methods=["rbm"], units=30, resume=True, **few)


@pytest.mark.slow
def test_a_run_from_before_units_could_be_chosen_resumes(tmp_path):
    first = run(tmp_path / "run", labels=(30,), seeds=1)
    (tmp_path / "run" / "results.json").unlink()
    for config in (tmp_path / "run").rglob("config.json"):
        began = json.loads(config.read_text())
        assert began["options"].pop("units") == [200, 200, 200]
        config.write_text(json.dumps(began))
    assert_same(run(tmp_path / "run", labels=(30,), seeds=1, resume=True)["rows"], first["rows"])


def test_every_method_has_a_row_below_its_encoder_from_scratch():
    rows = settings_module.rows_of(list(IMAGE_METHODS))
    assert set(rows) == {*IMAGE_METHODS, "scratch-mlp", "scratch-cnn", "scratch-vit"}
    for kind in ("mlp", "cnn", "vit"):
        own = [row for row in rows if settings_module.kind_of(row) == kind]
        first = rows.index(f"scratch-{kind}")
        assert rows[first : first + len(own)] == own


def test_points_are_refused_before_a_method_for_images_trains(tmp_path):
    with pytest.raises(InputError, match=r"examples that are not images, which cnn needs"):
        run_label_efficiency("two_moons", 1, tmp_path / "r", methods=["masked", "simclr"], quiet=True)
    assert not (tmp_path / "r").exists()


def test_a_precision_that_depends_on_the_network_is_refused(tmp_path):
    with pytest.raises(InputError, match="precision='auto'"):
        run(tmp_path / "r", precision="auto")
