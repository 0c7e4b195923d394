"""The lines that show what silverprint is for run as they stand."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import silverprint as sp
from support.classifier_sets import shared_part


@pytest.fixture(scope="module")
def place(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the lines name: photos/, test/, cat.jpg, a.jpg, b.jpg, resnet.onnx."""
    root = tmp_path_factory.mktemp("place")
    names = {"dalmatian": "dog", "llama": "cat"}
    for part, folder in (("train", "photos"), ("test", "test")):
        images = shared_part(shared_data, "animals", part).labeled_images()
        for source, label in names.items():
            (root / folder / label).mkdir(parents=True)
            for path in images[source]:
                (root / folder / label / path.name).symlink_to(path.resolve())
    cats = sorted((root / "test" / "cat").iterdir())
    for name, path in zip(("cat.jpg", "a.jpg", "b.jpg"), cats, strict=False):
        (root / name).symlink_to(path.resolve())
    weights = shared_data / "weights" / "squeezenet11.onnx"
    (root / "resnet.onnx").write_bytes(weights.read_bytes())
    return root


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    pil_image = Image.open("a.jpg")
    array = np.asarray(Image.open("b.jpg").convert("RGB"))

    model = sp.ImageClassifier("photos/")
    print(model)
    assert capsys.readouterr().out.startswith("ImageClassifier: 2 labels (cat, dog)\n")
    assert model.labels == ("cat", "dog")
    assert model.validation_metrics is not None
    assert model.validation_metrics.accuracy > 0.9
    for mistake in model.validation_metrics.mistakes[:10]:
        assert mistake.truth != mistake.answer
        assert mistake.path.startswith("photos")
        assert 0.5 <= mistake.probability <= 1
    assert model.prediction("cat.jpg") == "cat"
    assert model.predictions(["a.jpg", pil_image, array]) == ["cat", "cat", "cat"]
    probabilities = model.probabilities(["a.jpg", "b.jpg"])
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (2, 2))
    assert model.classify("cat.jpg", top_k=3)[0][0] == "cat"
    metrics = model.evaluation("test/")
    assert metrics.accuracy > 0.9
    model.write("Pets.onnx")
    again = sp.load("Pets.onnx")
    assert again.labels == model.labels
    assert again.probabilities(["a.jpg"]).tobytes() == probabilities[:1].tobytes()
    assert isinstance(sp.ImageClassifier.load("Pets.onnx"), sp.ImageClassifier)
    pil_image.close()


def test_classifier_to_core_ml() -> None:
    pytest.importorskip("coremltools")
    model = sp.ImageClassifier("photos/", sp.ModelParameters(validation=None))
    model.write(
        "Pets.mlpackage", metadata=sp.ModelMetadata(author="me", license="CC0", version="1.0")
    )
    assert Path("Pets.mlpackage", "Manifest.json").is_file()


def test_data_and_parameters() -> None:
    data = sp.DataSource.labeled_directories("photos/")
    train, test = data.stratified_split([0.8, 0.2], seed=0)
    assert len(train) + len(test) == len(data)
    assert train.labels == test.labels == ("cat", "dog")
    backbone = sp.CustomFeatureExtractor("resnet.onnx", output_name="features")
    assert backbone.extract(["a.jpg", "b.jpg"]).shape == (2, backbone.dimension)
    blocks = list(backbone.stream(["a.jpg", "b.jpg"]))
    assert blocks[0].features.shape == (2, backbone.dimension)
    parameters = sp.ModelParameters(
        feature_extractor=sp.ScenePrint(revision=None),
        classifier=sp.LogisticRegressor(l2="auto", class_weights="balanced"),
        validation="automatic",
        max_iterations=None,
        crop_and_scale="center_crop",
        seed=0,
    )
    assert parameters.feature_extractor == sp.ScenePrint(revision=0)
    model = sp.ImageClassifier(train, parameters)
    assert model.evaluation(test).accuracy > 0.8


def test_data_in_the_other_forms() -> None:
    cats, dogs = (sorted(Path("photos", label).iterdir())[:8] for label in ("cat", "dog"))
    mapping = {"cat": cats, "dog": dogs}
    assert len(sp.DataSource.files_by_label(mapping)) == 16
    flat = Path("flat")
    flat.mkdir()
    for label, paths in mapping.items():
        for number, path in enumerate(paths):
            (flat / f"{label}.{number}.jpg").symlink_to(path.resolve())
    assert sp.DataSource.labeled_files("flat").counts == {"cat": 8, "dog": 8}
    parameters = sp.ModelParameters(validation=sp.Split(0.25, seed=7), max_iterations=50)
    model = sp.ImageClassifier(mapping, parameters)
    assert model.validation_metrics is not None


def test_a_job_can_be_awaited() -> None:
    async def train() -> sp.ImageClassifier:
        job = sp.ImageClassifier.train("photos/", sp.ModelParameters(validation=None))
        return await job

    assert asyncio.run(train()).labels == ("cat", "dog")


def test_sessions_and_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    data, parameters = sp.DataSource.labeled_directories("photos/"), sp.ModelParameters()
    session = sp.ImageClassifier.make_training_session(
        data, parameters, sp.SessionParameters("runs/pets")
    )
    job = sp.ImageClassifier.resume(session)
    for event in job:
        print(event)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("Extracting features", "Training", "Saved", "Done"))
    first = job.result()

    async def again() -> sp.ImageClassifier:
        job = sp.ImageClassifier.train(data, parameters, sp.SessionParameters("runs/pets"))
        return await job

    model = asyncio.run(again())
    assert model.labels == ("cat", "dog")
    assert model.validation_metrics == first.validation_metrics
    session = sp.ImageClassifier.restore_training_session(sp.SessionParameters("runs/pets"))
    model = sp.ImageClassifier(checkpoint=session.checkpoints[-1])
    assert model.prediction("cat.jpg") == "cat"
