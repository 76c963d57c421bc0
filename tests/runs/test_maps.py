"""Tests of the map of embeddings, their neighbors, and the files for TensorBoard's projector."""

import sys
import types

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from runs import drawn
from tensorboard.plugins.projector import ProjectorConfig

from tf_kit.errors import InputError
from tf_kit.runs import maps
from tf_kit.runs.embedding import Embeddings


@pytest.fixture
def found(tmp_path):
    """Embeddings of seven pictures in two folders; the brightness of a picture is its number."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / ("dim" if i < 3 else "bright") / f"{i}\t.png" for i in range(7)]
    for i, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((6, 10), 30 * i, "uint8")).save(path)
    files = tuple(str(path) for path in paths)
    return Embeddings(files, rng.normal(size=(7, 5)).astype("float32"), paths=tuple(paths), shape=(6, 10, 1))


def test_projector_reads_what_was_written(found, tmp_path):
    how = maps.draw_map(found, tmp_path / "map")
    assert how.startswith("PCA (umap-learn is not installed), ")
    folder = tmp_path / "map"
    (config,) = text_format.Parse(
        (folder / "projector_config.pbtxt").read_text(), ProjectorConfig()
    ).embeddings
    vectors = np.loadtxt(folder / config.tensor_path, delimiter="\t")
    np.testing.assert_allclose(vectors, found.x, rtol=1e-5)
    head, *rows = (folder / config.metadata_path).read_text().splitlines()
    assert [len(row.split("\t")) for row in (head, *rows)] == [2] * 8
    assert [row.split("\t")[1] for row in rows] == ["dim"] * 3 + ["bright"] * 4
    width, height = config.sprite.single_image_dim
    sheet = np.asarray(Image.open(folder / config.sprite.image_path))
    assert (width, height, sheet.shape) == (10, 6, (18, 30))
    in_order = [sheet[6 * (i // 3) + 2, 10 * (i % 3) + 4] for i in range(7)]  # row by row
    assert in_order == [30 * i for i in range(7)]
    assert {each.name for each in folder.glob("*.png")} == {"map.png", "neighbors.png", "sprite.png"}


def test_legend_has_the_name_of_every_folder_as_it_is(found, tmp_path, monkeypatch):
    words, k = drawn.drawn_words(monkeypatch), len(drawn.NAMES)
    files = tuple(f"{name}/0.png" for name in drawn.NAMES)
    maps.draw_map(Embeddings(files, found.x[:k], paths=found.paths[:k], shape=found.shape), tmp_path / "map")
    assert [each for each in words if "embeddings" not in each and "pictures" not in each] == sorted(
        drawn.NAMES
    )


def test_positions_of_pca_keep_the_distances_of_vectors_in_a_plane():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(9, 2)) @ np.linalg.qr(rng.normal(size=(6, 2)))[0].T + 3
    places, how = maps.positions(x.astype("float32"))
    expected = np.linalg.norm(x[:, None] - x[None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(places[:, None] - places[None], axis=-1), expected, atol=1e-5)
    assert "100 % of the variance" in how


def test_umap_is_used_where_it_is_installed(monkeypatch):
    made = types.SimpleNamespace(fit_transform=lambda x: x[:, :2])
    monkeypatch.setitem(
        sys.modules, "umap", types.SimpleNamespace(UMAP=lambda **given: made, __spec__=object())
    )
    places, how = maps.positions(np.ones((4, 3)))
    assert (places.shape, how) == ((4, 2), "UMAP (cosine distance) of")


def test_neighbors_are_those_of_a_loop():
    x = np.random.default_rng(2).normal(size=(12, 4))
    cosine = [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in x] for a in x]
    for i in range(12):
        others = sorted((j for j in range(12) if j != i), key=lambda j: -cosine[i][j])
        assert maps.neighbors(x, np.array([i]), 3)[0].tolist() == others[:3]
    assert maps.neighbors(x[:3], np.array([0])).shape == (1, 2)


def test_few_pictures_and_a_file_as_folder_are_refused(found, tmp_path):
    two = Embeddings(found.files[:2], found.x[:2], paths=found.paths[:2], shape=found.shape)
    with pytest.raises(InputError, match=r"must be at least three for a map\. Received: 2"):
        maps.draw_map(two, tmp_path / "map")
    (tmp_path / "taken").write_text("precious")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "deeper")
    for place, reason in (("taken", "is a file"), ("dangling", "is a link that leads to no folder")):
        with pytest.raises(InputError, match=f"`embed.map` must be a folder .* which {reason}"):
            maps.draw_map(found, tmp_path / place)
