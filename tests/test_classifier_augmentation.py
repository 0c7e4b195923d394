"""Training on augmented views: what learns from them, and that validation does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import silverprint as sp
from silverprint.features.augmentation import views_of
from silverprint.features.extraction import extract_blocks
from support.children import run_python
from support.classifier_sets import COLOURS, draw, draw_set

OPTIONS = {"flip", "crop"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("pictures"), dict.fromkeys(COLOURS, 6))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = draw_set(tmp_path_factory.mktemp("others"), dict.fromkeys(COLOURS, 3), first=100)
    return sorted(root.rglob("*.png"))


def train(data: Any, augmentation: Any = OPTIONS, **parameters: Any) -> sp.ImageClassifier:
    given = {"classifier": sp.LogisticRegressor(l2=0.05), "validation": None} | parameters
    return sp.ImageClassifier(
        data, sp.ModelParameters(augmentation=augmentation, **given), progress=False
    )


def test_the_head_is_fitted_to_each_picture_and_its_views(tmp_path: Path) -> None:
    """24 gray pictures under three labels and 7 views of each, extracted here, by scikit-learn. A
    picture counts as much as its views together."""
    for i in range(30):
        part = "train" if i < 24 else "asked"
        draw(tmp_path / part / ("heads", "tails", "edge")[i % 3] / f"{i}.png")
    items = sp.DataSource.labeled_directories(tmp_path / "train").items
    asked = sorted((tmp_path / "asked").rglob("*.png"))
    function = sp.ScenePrint().function
    (block,) = extract_blocks(
        [path for path, _ in items], function, block_size=24, views=views_of(OPTIONS), seed=4
    )
    assert block.views.shape == (24, 7, function.dimension)
    rows = np.concatenate([block.features[:, None], block.views], axis=1)
    scaler = StandardScaler().fit(rows.reshape(192, -1).astype(np.float64))
    x = scaler.transform(rows.reshape(192, -1))
    # A picture counts as much as its views together.
    weights = np.tile([1.0, *[1 / 7] * 7], 24)
    regression = LogisticRegression(C=1 / (0.05 * weights.sum()), tol=1e-9, max_iter=9999)
    regression.fit(x, np.repeat([label for _, label in items], 8), sample_weight=weights)
    golden = regression.predict_proba(scaler.transform(sp.ScenePrint().extract(asked)))
    model = train(tmp_path / "train", seed=4)
    np.testing.assert_allclose(model.probabilities(asked), golden, atol=5e-3)
    without = train(tmp_path / "train", (), seed=4)
    assert np.abs(without.probabilities(asked) - golden).max() > 0.1


def test_the_record_says_which_and_counts_pictures_not_views(
    pictures: Path, tmp_path: Path
) -> None:
    model = train(pictures, ["flip", "crop", "flip"])
    assert model.record.training["augmentation"] == ["crop", "flip"]
    assert model.record.training["counts"] == dict.fromkeys(sorted(COLOURS), 6)
    assert model.training_metrics is not None
    assert model.training_metrics.count == 24
    model.write(tmp_path / "Model.onnx")
    assert sp.load(tmp_path / "Model.onnx").record == model.record
    assert train(pictures, ()).record.training["augmentation"] == []


def test_the_order_of_the_options_does_not_matter(pictures: Path, tmp_path: Path) -> None:
    for name, options in (("one", ["flip", "crop"]), ("other", frozenset(OPTIONS))):
        train(pictures, options).write(tmp_path / f"{name}.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()


TRAIN = """
import sys, silverprint as sp
parameters = sp.ModelParameters(augmentation={"flip", "crop"}, seed=2)
threads = int(sys.argv[3])
sp.ImageClassifier(sys.argv[1], parameters, progress=False, threads=threads).write(sys.argv[2])
"""


def test_any_number_of_threads_gives_the_same_bytes(pictures: Path, tmp_path: Path) -> None:
    files = []
    for threads in ("1", "3"):
        path = tmp_path / f"{threads}.onnx"
        environment = {"SILVERPRINT_THREADS": threads, "PYTHONHASHSEED": threads}
        run_python(TRAIN, pictures, path, threads, env=environment)
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_views_follow_from_the_seed(pictures: Path, others: list[Path]) -> None:
    found = [train(pictures, {"crop"}, seed=seed).probabilities(others) for seed in (0, 0, 1)]
    assert found[0].tobytes() == found[1].tobytes() != found[2].tobytes()


@pytest.mark.parametrize("validation", ["automatic", sp.Split(0.4)], ids=["folds", "split"])
def test_validation_learns_nothing_from_views_of_what_it_asks(
    tmp_path: Path, validation: Any
) -> None:
    """Gray pictures under labels at random: training knows them, views included."""
    rng = np.random.default_rng(1)
    for i, label in enumerate(rng.permutation(["heads", "tails"] * 60)):
        draw(tmp_path / str(label) / f"{i}.png")
    classifier = sp.LogisticRegressor(l2=1e-4)
    model = train(tmp_path, {"flip"}, classifier=classifier, validation=validation)
    assert model.training_metrics is not None
    assert model.validation_metrics is not None
    assert model.training_metrics.accuracy > 0.9
    assert model.validation_metrics.count >= 30
    assert 0.25 < model.validation_metrics.accuracy < 0.75


def test_validation_pictures_of_their_own_have_no_views(pictures: Path, others: list[Path]) -> None:
    held = {label: [p for p in others if p.parent.name == label] for label in COLOURS}
    model = train(pictures, validation=held)
    assert model.validation_metrics is not None
    assert model.validation_metrics.count == 12
    again = model.evaluation(held)
    assert again.confusion_matrix == model.validation_metrics.confusion_matrix
    assert again.log_loss == pytest.approx(model.validation_metrics.log_loss, rel=1e-4)


def test_a_picture_that_cannot_be_read_is_left_out_with_its_views(tmp_path: Path) -> None:
    draw_set(tmp_path, dict.fromkeys(COLOURS, 6))
    (tmp_path / "red" / "2.png").write_bytes(b"no picture")
    model = sp.ImageClassifier(
        tmp_path,
        sp.ModelParameters(augmentation=OPTIONS, classifier=sp.LogisticRegressor(l2=0.05)),
        progress=False,
    )
    assert model.record.training["counts"]["red"] == 5
    assert model.validation_metrics is not None
    assert model.validation_metrics.accuracy == 1.0


def test_a_perceptron_learns_from_views_too(pictures: Path, others: list[Path]) -> None:
    perceptron = sp.MultilayerPerceptron([16])
    model, plain = (train(pictures, given, classifier=perceptron) for given in (OPTIONS, ()))
    assert model.predictions(others) == [path.parent.name for path in others]
    assert model.probabilities(others).tobytes() != plain.probabilities(others).tobytes()


@pytest.mark.parametrize("wrong", ["crop", {"crops"}, 3, {"crop", 7}])
def test_unknown_options_are_refused_before_anything_is_read(wrong: Any) -> None:
    with pytest.raises(sp.InvalidParameterError, match=r"augmentation=.*crop"):
        sp.ModelParameters(augmentation=wrong)
