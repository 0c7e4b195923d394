"""The recipe in `training/`: its pieces, and that a training continues to the same bytes.

Needs torch (training/requirements.txt); without it everything here is skipped.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is only needed to train the built-in prints")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import onnxruntime  # noqa: E402
from training import checkpoint, crops, drawn, export, pictures, smoke, train  # noqa: E402
from training.importer import Geometry, import_onnx  # noqa: E402
from training.mobile import Mobile  # noqa: E402
from training.networks import Network  # noqa: E402
from training.objective import Look, cells  # noqa: E402
from training.recipe import MOBILE_1, Architecture, Inherited, Target  # noqa: E402
from training.seeds import on_device  # noqa: E402
from training.student import Student  # noqa: E402
from training.teachers import MapTarget  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures and a random teacher."""
    root: Path = tmp_path_factory.mktemp("recipe")
    smoke.write_pictures(root / "pictures", 60)
    smoke.write_teacher(root / "teachers" / "random_teacher.onnx")
    return root


def files(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in out.iterdir() if p.suffix in (".bin", ".onnx")}


def randomised(student: Network) -> Network:
    """Batch normalisations as after training, not as they begin."""
    torch.manual_seed(0)
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias)
    return student.eval()


def test_imported_teacher_equals_onnx_runtime(folder: Path) -> None:
    path = folder / "teachers" / "random_teacher.onnx"
    names = ["features", "stride8", "stride16", "stride32"]
    image = np.random.default_rng(0).standard_normal((2, 3, 96, 64)).astype(np.float32)
    want = onnxruntime.InferenceSession(str(path)).run(names, {"image": image})
    got = import_onnx(path, names).module(torch.from_numpy(image))
    for mine, other in zip(got, want, strict=True):
        np.testing.assert_allclose(mine.numpy(), other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "tensor", "side", "stride", "offset"),
    [
        ("efficientnetv2b0_teacher", "stride16", 64, 16, 15),
        ("inceptionv3_truncated_teacher", "stride8", 96, 8, 13),
    ],
)
def test_shared_teachers_import(
    shared_data: Path, name: str, tensor: str, side: int, stride: int, offset: float
) -> None:
    # Offsets by hand: SAME padding at even sizes pads behind; Inception's stem pads nothing.
    imported = import_onnx(shared_data / "weights" / f"{name}.onnx", [tensor])
    assert imported.geometry[tensor].stride == stride
    assert imported.geometry[tensor].offset == offset
    assert imported.module(torch.zeros(1, 3, side, side))[0].isfinite().all()


def test_an_unknown_tensor_names_the_outputs_there_are(folder: Path) -> None:
    with pytest.raises(ValueError, match="stride32"):
        import_onnx(folder / "teachers" / "random_teacher.onnx", ["logits"])


def test_exported_file_equals_the_trained_network() -> None:
    student = randomised(Student(Architecture(8, (8, 16, 24, 32), (1, 1, 1, 1), 2, 32, 64)))
    found = export.compare(export.build(student).SerializeToString(), student)
    assert found["difference"] < 1e-3
    assert found["rounding"] < 2e-2  # weights are stored as float16


def test_exported_file_is_small_and_for_every_engine() -> None:
    model = export.build(Student(Architecture()).eval())
    assert len(model.SerializeToString()) < 12e6
    assert {node.op_type for node in model.graph.node} == {
        *("Cast", "Conv", "Relu", "Add", "GlobalAveragePool", "Flatten", "Concat", "Identity")
    }
    metadata = {p.key for p in model.metadata_props}
    assert metadata >= {"mean", "std", "input_size", "feature_tensors", "licence", "revision"}


def test_mobile_student_begins_with_the_numbers_of_the_file(shared_data: Path) -> None:
    assert isinstance(MOBILE_1.student, Inherited)
    student = Mobile(MOBILE_1.student).eval()
    student.inherit(shared_data / "weights")
    for layer in student.modules():
        if getattr(layer, "behind", None) is not None:
            layer.behind = 0  # the file pads before everywhere, as far as even sizes can tell
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    names = ["features", "stride8", "stride16", "stride32"]
    path = shared_data / "weights" / MOBILE_1.student.file
    want = onnxruntime.InferenceSession(str(path)).run(names, {"image": image})
    with torch.no_grad():
        features, maps = student(torch.from_numpy(image))
    got = [features[:, : want[0].shape[1]], *maps.values()]
    for mine, other in zip(got, want, strict=True):
        np.testing.assert_allclose(mine.numpy(), other, rtol=1e-3, atol=1e-4)


def test_another_network_is_not_inherited(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"random_teacher.onnx is not a MobileNetV2"):
        Mobile(Inherited("random_teacher.onnx", 64, 0, 1.0)).inherit(folder / "teachers")


def test_mobile_file_equals_the_network_and_is_for_every_engine() -> None:
    torch.manual_seed(0)
    student = Mobile(Inherited("", 176, 0, 1.0)).eval()
    model = export.build(student)
    content = model.SerializeToString()
    assert len(content) < 12e6
    assert {node.op_type for node in model.graph.node} == {
        *("Cast", "Conv", "Clip", "Add", "GlobalAveragePool", "Flatten", "Concat", "Identity")
    }
    found = export.compare(content, student)
    assert found["difference"] < 1e-3
    with torch.no_grad():
        maps = student(torch.zeros(1, 3, 96, 160))[1]
    assert {s: m.shape[1:] for s, m in maps.items()} == {
        8: (32, 12, 20),
        16: (96, 6, 10),
        32: (320, 3, 5),
    }


def test_mobile_student_learns_but_for_its_frozen_part(
    shared_data: Path, folder: Path, tmp_path: Path
) -> None:
    teachers = tmp_path / "teachers"
    shutil.copytree(folder / "teachers", teachers)
    shutil.copy(shared_data / "weights" / "mobilenetv2_float.onnx", teachers)
    (tmp_path / "pictures").symlink_to(folder / "pictures")
    shape = Inherited("mobilenetv2_float.onnx", 64, 6, 0.1)
    before = Mobile(shape)
    before.inherit(teachers)
    after = smoke.piece(tmp_path, tmp_path / "out", 1, student=shape).trainer.student
    assert isinstance(after, Mobile)
    moved = [
        not torch.allclose(a.filter.conv.weight, b.filter.conv.weight, atol=1e-3)
        for a, b in zip(before.blocks, after.blocks, strict=True)
    ]
    assert moved == [False] * 6 + [True] * 11
    assert (tmp_path / "out" / "scene_print_1.onnx").is_file()


def test_cells_of_a_map_are_centred_on_their_squares() -> None:
    """Turning the network and the picture around turns the maps around: no cell leans aside."""
    student = randomised(Student(Architecture(8, (8, 16, 24, 32), (1, 1, 1, 1), 2, 32, 64)))
    for name, weight in student.named_parameters():
        if name.endswith("conv.weight"):
            weight.data = (weight.data + weight.data.flip(2, 3)) / 2
    image = torch.rand(1, 3, 64, 96)
    plain, turned = student(image)[1], student(image.flip(2, 3))[1]
    for stride, cell_map in plain.items():
        torch.testing.assert_close(cell_map, turned[stride].flip(2, 3), rtol=1e-3, atol=1e-3)


def test_teacher_maps_are_read_where_the_student_looks() -> None:
    # A teacher of stride 8 whose first cell is centred on pixel 11: one student cell further in.
    place = MapTarget(Target("m", 1, 1.0, 8), Geometry(stride=8, offset=11.5))
    matrix, inside = cells(place, Look(32, 32, mirrored=False), 2)
    np.testing.assert_array_equal(inside.numpy(), [0, 1, 1, 0])
    np.testing.assert_allclose(matrix.numpy()[1:3], [[1, 0], [0, 1]], atol=1e-6)
    mirrored, _ = cells(place, Look(32, 32, mirrored=True), 2)
    np.testing.assert_allclose(mirrored.numpy()[1:3], [[0, 1], [1, 0]], atol=1e-6)


def test_crops_depend_on_the_seed_alone(folder: Path) -> None:
    bank, held_out = pictures.load(folder / "pictures", 96, CPU)
    assert len(bank) + len(held_out) == 60
    plan = crops.Plan(64, drawn=0, drawn_share=0.0, collage=0.3)
    first, again, other = (
        crops.make(bank, plan, 8, on_device(CPU, seed)) for seed in ("a", "a", "b")
    )
    assert first.shape == (8, 3, 64, 64)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_drawn_pictures_vary() -> None:
    drawn_pictures = drawn.draw(6, 48, on_device(CPU, "test"))
    assert drawn_pictures.shape == (6, 3, 48, 48)
    assert (drawn_pictures.float().flatten(1).std(1) > 2).all()


def test_same_seed_same_bytes_and_stopping_changes_nothing(folder: Path, tmp_path: Path) -> None:
    whole = smoke.piece(folder, tmp_path / "whole", 4, save_every=2)
    smoke.piece(folder, tmp_path / "half", 2, save_every=2)
    rest = smoke.piece(folder, tmp_path / "rest", 2, tmp_path / "half", save_every=2)
    assert whole.trainer.step == rest.trainer.step
    assert files(tmp_path / "whole") == files(tmp_path / "rest")
    other = smoke.piece(folder, tmp_path / "other", 2, save_every=2, seed=2)
    assert files(tmp_path / "half") != files(other.out)


@pytest.mark.long
def test_a_hundred_steps_from_one_checkpoint_give_the_same_bytes(
    folder: Path, tmp_path: Path
) -> None:
    def train_on(out: str, rounds: int, resume: Path | None = None) -> train.Session:
        folders = (folder / "pictures", folder / "teachers", tmp_path / out)
        limits = train.Limits(rounds=rounds, total_rounds=24)
        return train.run(smoke.TINY, folders, limits, resume=resume)

    begun = train_on("begun", 3)
    first, second = (train_on(name, 21, begun.out) for name in ("first", "second"))
    assert first.trainer.step - begun.trainer.step >= 100
    assert files(first.out) == files(second.out)


def test_training_lowers_the_loss(folder: Path, tmp_path: Path) -> None:
    smoke.piece(folder, tmp_path / "learning", 6)
    smoke.piece(folder, tmp_path / "still", 6, learning_rate=0.0)
    assert smoke.losses(tmp_path / "learning")[-1] < 0.9 * smoke.losses(tmp_path / "still")[-1]


def test_time_runs_out_before_a_round_and_a_checkpoint_is_left(
    folder: Path, tmp_path: Path
) -> None:
    folders = (folder / "pictures", folder / "teachers", tmp_path)
    session = train.run(smoke.TINY, folders, train.Limits(minutes=0.0))
    assert session.round == 0
    assert checkpoint.load(tmp_path)[1]["round"] == 0
    assert (tmp_path / "scene_print_1.onnx").is_file()


def test_a_checkpoint_is_cut_into_parts_and_guards_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "PART_BYTES", 1000)
    tensors = {
        "a": torch.arange(300.0).view(3, 100),
        "b": torch.ones(7, dtype=torch.bfloat16),
        "c": torch.tensor(2.5),
    }
    checkpoint.save(tmp_path, tensors, {"round": 3})
    parts = sorted(tmp_path.glob("checkpoint-*.bin"))
    assert [p.stat().st_size <= 1000 for p in parts] == [True, True]
    loaded, record = checkpoint.load(tmp_path)
    assert record == {"round": 3}
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
    parts[0].write_bytes(b"damaged")
    with pytest.raises(ValueError, match=parts[0].name):
        checkpoint.load(tmp_path)


def test_another_recipe_does_not_continue_a_checkpoint(folder: Path, tmp_path: Path) -> None:
    smoke.piece(folder, tmp_path / "one", 0)
    with pytest.raises(ValueError, match="another recipe"):
        smoke.piece(folder, tmp_path / "two", 0, tmp_path / "one", seed=2)
