"""Encoders of a run by name: residual networks, models of `keras.applications`, and Keras files."""

import importlib.util
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from tf_kit import networks
from tf_kit.errors import InputError
from tf_kit.runs import encoders
from tf_kit.runs.classification import finetune_run
from tf_kit.runs.embedding import embed
from tf_kit.runs.exporting import TOLERANCE, export
from tf_kit.runs.files import write_json
from tf_kit.runs.prediction import predict
from tf_kit.runs.pretraining import pretrain

GREY, RGB = (8, 8, 1), (32, 32, 3)


def save(path, *layers, shape=GREY):
    keras.Sequential([keras.Input(shape), *layers]).save(path)
    return str(path)


def small(path, units=5):
    return save(path, keras.layers.Flatten(), keras.layers.Dense(units, "relu"))


def of_any_size(path):
    pooled = (keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.GlobalMaxPooling2D())
    return save(path, *pooled, shape=(None, None, 3))


def test_file_of_any_size_gives_an_encoder_of_the_size_of_the_images(tmp_path):
    kind = of_any_size(tmp_path / "mine.keras")
    encoder = encoders.make_encoder(RGB, **encoders.encoder_options("simclr", kind, RGB, {}))
    assert encoder.input_shape == (None, *RGB)
    x = np.random.default_rng(0).random((2, *RGB), "float32")
    np.testing.assert_array_equal(encoder(x), keras.models.load_model(kind)(x))


def test_run_whose_encoder_takes_any_size_is_refused(tmp_path, folder):
    """As older versions have written it."""
    of_any_size(tmp_path / "encoder.keras")
    options = {"command": "pretrain", "method": "simclr", "data": str(folder)}
    write_json(tmp_path / "config.json", {"options": options})
    with pytest.raises(InputError, match=r"one size of images.*\(None, None, 3\).*pretrain again"):
        finetune_run(tmp_path)
    with pytest.raises(InputError, match=r"must be a run on images.*\(None, None, 3\)"):
        embed(tmp_path, folder)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("resnet8", "nearest name is resnet"),
        ("cn", "nearest name is cnn"),
        ("keras:mobilnetv2", "nearest name is keras:MobileNetV2"),
        ("keras:qqq", "They are .*MobileNetV2"),
        ("keras:MobileNetV2:imagenet", "save an encoder that has them"),
        ("missing.keras", "must be an existing file"),
    ],
)
def test_an_unknown_encoder_is_refused_in_one_line(kind, message):
    with pytest.raises(InputError, match=message) as refused:
        encoders.encoder_options("simclr", kind, RGB, {})
    assert "\n" not in str(refused.value)


def test_sizes_do_not_apply_to_networks_of_fixed_sizes():
    with pytest.raises(InputError, match="be left out for resnet18"):
        encoders.encoder_options("simclr", "resnet18", RGB, {"units": (8,)})


def test_methods_for_one_kind_of_encoder_refuse_the_others():
    with pytest.raises(InputError, match="be mlp for rbm"):
        encoders.encoder_options("rbm", "resnet18", RGB, {})


@pytest.mark.slow
def test_images_that_are_too_small_for_a_model_are_refused():
    with pytest.raises(InputError, match=r"(?s)images of 28×28×1.*at least 32.*resnet18"):
        encoders.make_encoder((28, 28, 1), "keras:MobileNetV2")


def made_from(path, shape=GREY):
    return encoders.make_encoder(shape, **encoders.encoder_options("simclr", str(path), shape, {}))


def test_an_encoder_of_a_file_starts_from_the_weights_of_the_file(tmp_path):
    path = small(tmp_path / "mine.keras")
    for ours, theirs in zip(made_from(path).weights, keras.models.load_model(path).weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_that_changes_during_a_run_is_refused(tmp_path):
    options = encoders.encoder_options("simclr", small(tmp_path / "mine.keras"), GREY, {})
    small(tmp_path / "mine.keras", units=6)
    with pytest.raises(InputError, match="which has changed"):
        encoders.make_encoder(GREY, **options)


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ((keras.layers.Flatten(),), (8, 8, 3), r"accept examples of shape \(8, 8, 1\)"),
        ((keras.layers.ReLU(),), GREY, "map each example to one vector"),
        (
            (keras.layers.Flatten(), keras.layers.Dense(3, "softmax")),
            GREY,
            "returns probabilities of classes",
        ),
        ((keras.layers.Flatten(), keras.layers.Softmax()), GREY, "returns probabilities of classes"),
    ],
)
def test_a_file_that_holds_no_encoder_of_these_images_is_refused(layers, shape, message, tmp_path):
    with pytest.raises(InputError, match=message):
        made_from(save(tmp_path / "other.keras", *layers, shape=shape))


def test_a_damaged_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "bad.keras").write_bytes(b"PK not a model")
    with pytest.raises(InputError, match="be a Keras file") as refused:
        made_from(tmp_path / "bad.keras")
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetB0"])
def test_a_model_of_keras_depends_only_on_the_seed(name):
    first, again, other = (encoders.make_encoder(RGB, f"keras:{name}", seed=seed) for seed in (3, 3, 4))
    x = np.random.default_rng(0).random((4, *RGB)).astype("float32")
    np.testing.assert_array_equal(first(x), again(x))
    assert np.abs(first(x) - other(x)).max() > 0
    norms = [each for each in encoders.all_layers(first) if isinstance(each, keras.layers.BatchNormalization)]
    assert norms
    assert all(each.synchronized and each.momentum == encoders.MOMENTUM for each in norms)


@pytest.mark.slow
def test_a_model_that_divides_by_255_sees_the_values_of_its_images():
    """Where Keras's EfficientNet divides by 255 first, images in [0, 1] would be nearly black."""
    encoder = encoders.make_encoder(RGB, "keras:EfficientNetB0")
    inner = next(each for each in encoder.layers if isinstance(each, keras.Model))
    x = np.random.default_rng(0).random((2, *RGB)).astype("float32")
    np.testing.assert_allclose(encoder(x), inner(255 * x), rtol=1e-5)


@pytest.fixture
def folder(tmp_path):
    """Two classes of color images of 32×32."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 128)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(low, low + 127, RGB, dtype="uint8")
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{i}.png")
    return tmp_path / "pictures"


def sum_in_a_new_process(file):
    """Sum of the outputs of a saved encoder for a grey image, after `import tf_kit` alone."""
    code = (
        "import sys, numpy as np, keras, tf_kit\n"
        "encoder = keras.models.load_model(sys.argv[1])\n"
        "print(float(np.sum(encoder(np.full((1, 32, 32, 3), 0.5, 'float32')))))\n"
    )
    words = [sys.executable, "-c", code, str(file)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["resnet18", "keras:MobileNet", "FILE", "FILE of any size"])
def test_a_run_is_used_by_every_command(kind, folder, tmp_path):
    """Loaded, fine-tuned (two next to their twins from scratch), for classes, embeddings, in the installed formats."""
    if kind == "FILE":
        network = networks.cnn((8,), units=(6,), num_classes=None, input_shape=RGB)
        network.save(tmp_path / "mine.keras")
        kind = str(tmp_path / "mine.keras")
    elif kind == "FILE of any size":
        kind = of_any_size(tmp_path / "mine.keras")
    run, chosen = tmp_path / "run", {"epochs": 1, "batch_size": 8, "seed": 0}
    pretrain("simclr", str(folder), run, encoder=kind, monitor_every=0, **chosen)
    here = keras.models.load_model(run / "encoder.keras")(np.full((1, *RGB), 0.5, "float32"))
    assert embed(run, folder).x.shape == (40, here.shape[1])
    if kind == "resnet18":  # the one with most classes of the kit; what follows takes a minute with it
        assert sum_in_a_new_process(run / "encoder.keras") == pytest.approx(float(np.sum(here)), rel=1e-4)
        return
    results = finetune_run(run, epochs=1, batch_size=8, out=tmp_path / "tuned", compare=True)
    assert "from_scratch" in results
    assert all((each / "report.html").is_file() for each in (run, tmp_path / "tuned"))
    predicted = predict(tmp_path / "tuned", folder)
    np.testing.assert_allclose(np.sum(predicted.probabilities, axis=1), np.ones(40), rtol=1e-5)
    assert export(tmp_path / "tuned").difference <= TOLERANCE
    if importlib.util.find_spec("tf2onnx") and importlib.util.find_spec("onnxruntime"):
        assert export(tmp_path / "tuned", "onnx").difference <= TOLERANCE
    if importlib.util.find_spec("ai_edge_litert"):
        assert export(tmp_path / "tuned", "litert").difference <= TOLERANCE
