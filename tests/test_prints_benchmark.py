"""The arithmetic of `benchmarks/prints`: what is drawn, the probe, intervals, retrieval."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from silverprint.classifier.classifier import ImageClassifier
from silverprint.classifier.parameters import ModelParameters
from silverprint.features.cache import FeatureCache
from silverprint.features.extractor import CustomFeatureExtractor
from support.graphs import PLAIN, backbone, saved

pytest.importorskip("sklearn")
BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("needs the source tree", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

from sklearn.metrics import average_precision_score  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

import shared_sets  # noqa: E402
from prints import contenders, features, intervals, probe, report, retrieval  # noqa: E402

Answers = npt.NDArray[np.bool_]


def digests(count: int) -> list[bytes]:
    return [hashlib.sha256(b"%d" % i).digest() for i in range(count)]


def answers(seeds: int, tests: int, ability: float, seed: int) -> Answers:
    """Answers as they come: most pictures are easy or hard for every seed."""
    generator = np.random.default_rng(seed)
    difficulty = generator.normal(size=tests) + generator.normal(0, 0.5, (seeds, tests))
    found: Answers = difficulty < ability
    return found


# What is drawn


def test_as_many_are_drawn_of_each_label_or_all_that_there_are() -> None:
    truth = np.repeat([0, 1, 2], [30, 5, 12])
    rows = probe.drawn(digests(47), truth, 10, seed=0)
    assert np.bincount(truth[rows]).tolist() == [10, 5, 10]
    assert rows.tolist() == sorted(set(rows.tolist()))
    np.testing.assert_array_equal(probe.drawn(digests(47), truth, None, seed=0), np.arange(47))


def test_more_contain_fewer_and_another_seed_draws_others() -> None:
    truth = np.repeat([0, 1], 40)
    few, many = (set(probe.drawn(digests(80), truth, n, seed=1).tolist()) for n in (5, 20))
    assert few < many
    assert few != set(probe.drawn(digests(80), truth, 5, seed=2).tolist())


def test_what_is_drawn_does_not_depend_on_the_order() -> None:
    truth, names = np.repeat([0, 1], 20), digests(40)
    turned = probe.drawn(names[::-1], truth[::-1], 4, seed=0)
    assert sorted((39 - turned).tolist()) == probe.drawn(names, truth, 4, seed=0).tolist()


# The probe


@pytest.fixture
def picture_set(tmp_path: Path) -> Path:
    """24 pictures of each of three labels that are easily mistaken, with a split."""
    generator, lines = np.random.default_rng(0), ["path,label,part"]
    for label, level in {"dark": 110, "grey": 120, "light": 130}.items():
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(24):
            name = f"{label}/{i}.png"
            pixels = np.clip(generator.normal(level, 40, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name)
            lines.append(f"{name},{label},{'test' if i % 3 == 0 else 'train'}")
    (tmp_path / "set" / "split.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "set"


def test_probe_scores_what_a_classifier_scores(picture_set: Path, tmp_path: Path) -> None:
    extractor = CustomFeatureExtractor(saved(backbone(), tmp_path / "model.onnx"), **PLAIN)
    data = features.extract(picture_set, extractor, FeatureCache(tmp_path / "kept"), threads=1)
    (right,) = probe.right_answers(data, [None], seeds=5)
    train, test = shared_sets.sources(picture_set)
    expected = []
    for seed in range(5):
        parameters = ModelParameters(feature_extractor=extractor, seed=seed)
        model = ImageClassifier(train, parameters, progress=False)
        expected.append(model.evaluation(test).accuracy)
    assert len(set(expected)) > 1  # the seed decides on the folds, and they on l2
    assert right.mean(axis=1).tolist() == pytest.approx(expected)


def test_probe_on_as_many_as_there_are_is_the_probe_on_all() -> None:
    generator = np.random.default_rng(0)
    truth = np.tile(np.arange(3, dtype=np.int32), 20)
    rows = (generator.normal(size=(60, 6)) + truth[:, None]).astype(np.float32)
    data = features.Features(("a", "b", "c"), rows, truth, digests(60), train_count=45)
    every, same, few = probe.right_answers(data, [None, 15, 4], seeds=2)
    assert every.shape == few.shape == (2, 15)
    np.testing.assert_array_equal(every, same)
    assert every.mean() > few.mean()


# Intervals


def test_with_one_seed_the_interval_is_that_of_an_ordinary_mean() -> None:
    """Of paired differences, by the central limit theorem."""
    ours, theirs = answers(1, 400, 0.9, seed=1), answers(1, 400, 0.6, seed=2)
    found = intervals.paired_difference([ours], [theirs])
    difference = ours[0].astype(float) - theirs[0]
    assert found.mean == pytest.approx(difference.mean())
    half = 1.96 * difference.std() / 20
    assert found.low == pytest.approx(difference.mean() - half, abs=0.005)
    assert found.high == pytest.approx(difference.mean() + half, abs=0.005)


def test_both_pictures_and_seeds_are_resampled() -> None:
    """Variance of a mean over rows and columns drawn independently, from its decomposition."""
    values = answers(5, 100, 0.9, seed=3).astype(float) - answers(5, 100, 0.3, seed=4)
    values += np.linspace(-0.3, 0.3, 5)[:, None]
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns + values.mean()
    expected = rows.var() / 5 + columns.var() / 100 + rest.var() / 500
    found = intervals.resampled_means(values, 20_000, seed=0)
    assert found.mean() == pytest.approx(values.mean(), abs=4 * np.sqrt(expected / 20_000))
    assert found.var() == pytest.approx(expected, rel=0.05)


def test_pairing_takes_out_what_is_hard_for_both() -> None:
    theirs = np.tile(np.arange(100) >= 30, (5, 1))
    ours = np.tile(np.arange(100) >= 20, (5, 1))
    paired = intervals.paired_difference([ours], [theirs])
    assert paired.mean == pytest.approx(0.1)
    # 2.5 % and 97.5 % of a binomial distribution, n 100, p 0.1
    assert (paired.low, paired.high) == pytest.approx((0.05, 0.16), abs=0.011)
    assert intervals.paired_difference([theirs], [theirs]) == intervals.Interval(0, 0, 0)


def test_sets_count_the_same_whatever_their_size() -> None:
    ours = [answers(5, tests, 0.9, seed=tests) for tests in (80, 500)]
    theirs = [answers(5, tests, 0.6, seed=tests + 1) for tests in (80, 500)]
    means = [a.mean() - b.mean() for a, b in zip(ours, theirs, strict=True)]
    found = intervals.paired_difference(ours, theirs)
    assert found.mean == pytest.approx(sum(means) / 2)


def test_sets_are_resampled_by_themselves() -> None:
    ours, theirs = answers(5, 80, 0.9, seed=8), answers(5, 80, 0.6, seed=9)
    alone = intervals.paired_difference([ours], [theirs])
    twice = intervals.paired_difference([ours, ours], [theirs, theirs])
    assert twice.mean == pytest.approx(alone.mean)
    narrower = (alone.high - alone.low) / (twice.high - twice.low)
    assert narrower == pytest.approx(np.sqrt(2), rel=0.1)


# Retrieval


def test_retrieval_equals_scikit_learn() -> None:
    generator = np.random.default_rng(6)
    truth = generator.integers(0, 4, 160)
    rows = (generator.normal(size=(160, 12)) + 0.8 * truth[:, None]).astype(np.float32)
    rows[:, 0] *= 1000  # standardised away
    gallery, queries = slice(0, 120), slice(120, 160)
    found = retrieval.retrieve(rows[gallery], truth[gallery], rows[queries], truth[queries])

    scaler = StandardScaler().fit(rows[gallery])
    near = KNeighborsClassifier(1, metric="cosine")
    near.fit(scaler.transform(rows[gallery]), truth[gallery])
    scaled = scaler.transform(rows[queries])
    assert found.recall_at_1 == pytest.approx(near.score(scaled, truth[queries]))
    distances, places = near.kneighbors(scaled, 120)
    expected = [
        average_precision_score(truth[gallery][place] == own, -distance)
        for own, place, distance in zip(truth[queries], places, distances, strict=True)
    ]
    assert found.mean_average_precision == pytest.approx(np.mean(expected))


def test_a_feature_that_never_changes_has_no_say() -> None:
    generator = np.random.default_rng(7)
    rows = generator.normal(size=(30, 4)).astype(np.float32)
    truth = np.arange(30) % 3
    constant = np.hstack([rows, np.full((30, 1), 7, np.float32)])
    whole = retrieval.retrieve(rows[:20], truth[:20], rows[20:], truth[20:])
    assert retrieval.retrieve(constant[:20], truth[:20], constant[20:], truth[20:]) == whole


# Who is compared


def test_added_files_name_their_output_or_take_the_first(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.touch()
    assert contenders.addition(f"mine={file}") == contenders.Addition("mine", file, None)
    assert contenders.addition(f"mine={file}:map") == contenders.Addition("mine", file, "map")
    for wrong in (str(file), f"={file}", "mine=absent.onnx", "mine=absent.onnx:map"):
        with pytest.raises(argparse.ArgumentTypeError, match="NAME=PATH"):
            contenders.addition(wrong)


def test_every_print_and_every_backbone_stands_once(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    shutil.copy(str(files("silverprint") / "prints" / "scene_print_0.onnx"), tmp_path / "weights")
    metadata = {"mean": "0", "std": "1", "input_size": "8"}
    saved(backbone(output_name="features", metadata=metadata), tmp_path / "weights" / "tiny.onnx")
    added = contenders.Addition("mine", tmp_path / "weights" / "tiny.onnx", "map")
    found = contenders.find(tmp_path, [added], "scale_fill")
    names = [one.name for one in found]
    assert names[0] == "ScenePrint 0"
    assert names[-2:] == ["mine", "tiny"]
    assert "scene_print_0" not in names
    assert {one.extractor.rule.crop_and_scale for one in found} == {"scale_fill"}
    with pytest.raises(SystemExit, match="one name"):
        contenders.find(tmp_path, [added, added], "scale_fill")


def test_report_compares_pair_by_pair(tmp_path: Path) -> None:
    """Cells by hand; no difference here has anything to vary with."""
    file = saved(backbone(), tmp_path / "model.onnx")
    extractor = CustomFeatureExtractor(file, **PLAIN)
    found = [contenders.Contender(name, file, extractor) for name in ("a", "b")]
    right = np.ones((2, 10), bool)
    half = right.copy()
    half[1] = False
    scores = {
        name: {
            "one": report.SetScores({"all": one}, retrieval.Retrieval(0.5, 0.25)),
            "two": report.SetScores({"all": two}, retrieval.Retrieval(0.7, 0.35)),
        }
        for name, one, two in (("a", right, half), ("b", ~right, half))
    }
    text = report.text(found, scores, {"a": [30.0, 40.0], "b": [10.0, 20.0]}, ["b"])
    assert "| a | 0.7500 | 0.6000 | 0.3000 | 35 (30–40) | 2.50× (2.00–3.00) | 0.0 | 5 |" in text
    means = "+50.0 (+50.0 to +50.0)"
    assert f"| a | {means} | +100.0 (+100.0 to +100.0) | +0.0 (+0.0 to +0.0) |" in text
    assert "|  | one (10) | two (10) |" in text
    assert "| a | 1.0000 (1.000–1.000) | 0.5000 (0.000–1.000) |" in text
