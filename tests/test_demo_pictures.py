"""The picture set of ``silverprint demo``: what is drawn, and that it measures an extractor.

The second half trains a linear probe (scikit-learn) on 40 pictures a label and tests it on 20
of another seed. With six labels, guessing scores 0.17.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

from silverprint.demo.draw import LABELS, draw_pictures
from silverprint.errors import InvalidDataError, InvalidParameterError


def drawn(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*.jpg"))}


def test_each_label_is_a_folder_of_numbered_pictures(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "new" / "demo", per_label=2)
    assert LABELS == ("bicycle", "fish", "house", "mug", "tree", "umbrella")
    assert list(drawn(tmp_path / "new" / "demo")) == [
        f"{label}/{label}_{number}.jpg" for label in LABELS for number in ("001", "002")
    ]


def test_pictures_are_rgb_jpegs_of_varying_size(tmp_path: Path) -> None:
    draw_pictures(tmp_path, per_label=2)
    sizes = set()
    for path in tmp_path.rglob("*.jpg"):
        with Image.open(path) as picture:
            assert (picture.format, picture.mode) == ("JPEG", "RGB")
            assert 320 <= picture.width <= 400
            assert 240 <= picture.height <= 300
            sizes.add(picture.size)
    assert len(sizes) > 6


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        draw_pictures(tmp_path / name, per_label=2, seed=seed)
    assert drawn(tmp_path / "a") == drawn(tmp_path / "b")
    assert set(drawn(tmp_path / "a").values()).isdisjoint(drawn(tmp_path / "c").values())
    assert len(set(drawn(tmp_path / "a").values())) == 12


def test_more_pictures_change_none_of_the_first(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "few", per_label=1)
    draw_pictures(tmp_path / "more", per_label=2)
    assert drawn(tmp_path / "few").items() < drawn(tmp_path / "more").items()


def test_progress_counts_pictures(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    draw_pictures(tmp_path, per_label=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_drawing_again_replaces_the_drawings_and_nothing_else(tmp_path: Path) -> None:
    draw_pictures(tmp_path, per_label=2)
    (tmp_path / "fish" / "fish_mine.jpg").write_bytes(b"a photo of my own")
    draw_pictures(tmp_path, per_label=1, seed=1)
    assert len(drawn(tmp_path)) == 7
    assert (tmp_path / "fish" / "fish_mine.jpg").read_bytes() == b"a photo of my own"


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    photo = tmp_path / "fish" / "fish_001.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"a photo of my own")
    with pytest.raises(InvalidDataError, match=r"not drawn here; name a new or an empty folder"):
        draw_pictures(tmp_path, per_label=1)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [photo]
    assert photo.read_bytes() == b"a photo of my own"


@pytest.mark.parametrize("below", ["", "sub/demo"])
def test_a_file_in_the_way_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InvalidDataError, match=r"notes\.txt.*name another folder"):
        draw_pictures(tmp_path / "notes.txt" / below, per_label=1)


@pytest.mark.parametrize(("name", "value"), [("per_label", 0), ("per_label", 2.5), ("seed", -1)])
def test_parameters_are_checked_before_anything_is_written(
    tmp_path: Path, name: str, value: int
) -> None:
    with pytest.raises(InvalidParameterError, match=name):
        draw_pictures(tmp_path / "demo", **{name: value})
    assert not (tmp_path / "demo").exists()


Features = Callable[[Image.Image], NDArray[np.float32]]
Part = tuple[list[Image.Image], list[str]]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Part]:
    """Training and test pictures, with their labels."""
    root = tmp_path_factory.mktemp("demo")
    read = []
    for seed, per_label in ((0, 40), (1, 20)):
        draw_pictures(root / str(seed), per_label=per_label, seed=seed)
        files = sorted((root / str(seed)).rglob("*.jpg"))
        pictures = []
        for file in files:
            with Image.open(file) as picture:
                pictures.append(picture.copy())
        read.append((pictures, [file.parent.name for file in files]))
    return read


def probe(parts: list[Part], features: Features) -> float:
    """Test accuracy of logistic regression on standardised features."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    (train, train_labels), (test, test_labels) = parts
    x = np.stack([features(picture) for picture in train]).astype(np.float64)
    scaler = preprocessing.StandardScaler().fit(x)
    head = linear_model.LogisticRegression(C=0.01, max_iter=1000)
    head.fit(scaler.transform(x), train_labels)
    y = np.stack([features(picture) for picture in test]).astype(np.float64)
    return float(head.score(scaler.transform(y), test_labels))


def colour_histogram(picture: Image.Image) -> NDArray[np.float32]:
    pixels = np.asarray(picture).reshape(-1, 3)
    counts, _ = np.histogramdd(pixels, bins=(8, 8, 8), range=[(0, 256)] * 3)
    return np.concatenate([pixels.mean(0), counts.ravel() / len(pixels)]).astype(np.float32)


def thumbnail(picture: Image.Image) -> NDArray[np.float32]:
    small = picture.convert("L").resize((32, 32), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32).ravel()


def network(model: onnx.ModelProto) -> Features:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def features(picture: Image.Image) -> NDArray[np.float32]:
        pixels = np.asarray(picture.resize((224, 224), Image.Resampling.BILINEAR), np.float32)
        scaled = (pixels - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
        image = scaled.transpose(2, 0, 1)[None].astype(np.float32)
        return np.asarray(session.run(["features"], {"image": image})[0]).ravel()

    return features


def shuffled(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with the values of every weight tensor in random order."""
    rng = np.random.default_rng(0)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        mixed = rng.permutation(values.ravel()).reshape(values.shape)
        tensor.CopyFrom(onnx.numpy_helper.from_array(mixed, tensor.name))
    return copy


@pytest.mark.parametrize("features", [colour_histogram, thumbnail])
def test_colours_and_coarse_pixels_hardly_tell_the_labels(
    parts: list[Part], features: Features
) -> None:
    assert probe(parts, features) < 0.35


def test_a_trained_extractor_learns_the_set_and_its_shuffled_weights_do_not(
    parts: list[Part], shared_data: Path
) -> None:
    preview = onnx.load(shared_data / "weights" / "silverprint_preview.onnx")
    trained = probe(parts, network(preview))
    assert 0.7 < trained < 0.97
    assert probe(parts, network(shuffled(preview))) < trained - 0.3
