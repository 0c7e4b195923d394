"""End to end in a minute on two CPU cores: `python -m training.smoke`.

Draws its own pictures and a small teacher with random weights: nothing has to be there.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from training import checkpoint, drawn
from training.recipe import MEAN, STD, Architecture, Recipe, Target, Teacher, View
from training.seeds import on_device, on_host
from training.train import Limits, Session, run

_WIDTH = 24

TINY = Recipe(
    teachers=(
        Teacher(
            "random_teacher.onnx",
            (
                Target("features", 24, 1.0),
                Target("stride8", 8, 0.5, 8),
                Target("stride16", 16, 0.5, 16),
                Target("stride32", 16, 0.5, 32),
            ),
        ),
    ),
    student=Architecture(8, (8, 16, 24, 32), (1, 1, 1, 1), 2, 32, 64),
    usual=View(64, 48, 16, 2, (64, 96), (0.7, 0.3), 16, 0.2),
    large=View(96, 16, 8, 1, (96, 128), (0.5, 0.5), 8, 0.7),
    large_every=4,
    picture_side=96,
    drawn=8,
    drawn_share=0.15,
    drawn_groups=4,
    calibration_crops=128,
    held_out_crops=32,
    maps_weight=0.5,
    learning_rate=5e-3,
    adapter_rate=0.5,
    weight_decay=0.02,
    warm_up_steps=4,
    clip_norm=2.0,
    ema_decay=0.9,
    save_every=100,
    report_every=2,
    seed=1,
)


def write_pictures(folder: Path, count: int) -> None:
    """`count` drawn JPEGs of several sizes."""
    folder.mkdir(parents=True)
    device = torch.device("cpu")
    pictures = drawn.draw(count, 96, on_device(device, "smoke")).permute(0, 2, 3, 1).numpy()
    for number, picture in enumerate(pictures):
        cut = picture[: 96 - number % 3 * 16]
        Image.fromarray(cut).save(folder / f"drawn{number:03}.jpg", quality=90)


def write_teacher(path: Path) -> None:
    """A convolutional network with random weights and every operator that the importer knows."""
    dice = on_host("teacher")
    nodes: list[onnx.NodeProto] = []
    bounds = {"no": np.array(0, np.float32), "six": np.array(6, np.float32)}
    numbers = [numpy_helper.from_array(value, name) for name, value in bounds.items()]

    def add(kind: str, inputs: list[str], output: str, **given: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **given))
        return output

    def conv(x: str, name: str, shape: tuple[int, ...], **given: Any) -> str:
        weight = dice.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5
        step = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
        bias = dice.standard_normal(shape[0]) * 0.1
        for suffix, array in (
            ("q", np.round(weight / step).astype(np.int8)),
            ("s", step.astype(np.float32)),
            ("b", bias.astype(np.float32)),
        ):
            numbers.append(numpy_helper.from_array(array, f"{name}.{suffix}"))
        add("Cast", [f"{name}.q"], f"{name}.c", to=TensorProto.FLOAT)
        add("Mul", [f"{name}.c", f"{name}.s"], f"{name}.w")
        return add("Conv", [x, f"{name}.w", f"{name}.b"], name, **given)

    w = _WIDTH
    halved: dict[str, Any] = {"strides": [2, 2], "pads": [0, 0, 1, 1]}
    x = conv("image", "a", (w, 3, 3, 3), **halved)
    x = add("Mul", [x, add("Sigmoid", [x], "a.gate")], "a.silu")
    x = add("Clip", [conv(x, "b", (w, 1, 3, 3), group=w, **halved), "no", "six"], "b.six")
    even: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    x = add("Relu", [conv(x, "c", (w, w, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1])], "c.relu")
    gate = conv(add("GlobalAveragePool", [x], "c.mean"), "d", (w, w, 1, 1))
    x = add("Identity", [add("Mul", [add("Sigmoid", [gate], "d.gate"), x], "d.gated")], "stride8")
    x = add("MaxPool", [x], "e", strides=[2, 2], **even)
    y = add("AveragePool", [x], "f", count_include_pad=0, strides=[1, 1], **even)
    x = conv(add("Concat", [x, y], "g", axis=1), "stride16", (w, 2 * w, 1, 1))
    x = conv(x, "h", (w, w, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1])
    x = add("Relu", [add("Add", [x, conv(x, "i", (w, w, 1, 1))], "j")], "stride32")
    add("Flatten", [add("GlobalAveragePool", [x], "k")], "features", axis=1)

    def value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    outputs = [value("features", ["n", w])]
    outputs += [value(f"stride{s}", ["n", w, f"h{s}", f"w{s}"]) for s in (8, 16, 32)]
    graph = helper.make_graph(nodes, "t", [value("image", ["n", 3, "h", "w"])], outputs, numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for key, numbers_of in (("mean", MEAN), ("std", STD)):
        model.metadata_props.add(key=key, value=str(list(numbers_of)))
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def piece(
    folder: Path, out: Path, rounds: int, resume: Path | None = None, **changes: Any
) -> Session:
    """One piece of a tiny training of 8 rounds; `folder` holds `pictures` and `teachers`."""
    folders = (folder / "pictures", folder / "teachers", out)
    limits = Limits(rounds=rounds, total_rounds=8)
    return run(replace(TINY, **changes), folders, limits, resume=resume)


def losses(out: Path) -> list[float]:
    """The pooled losses of the rounds that were reported in `out`."""
    lines = map(json.loads, (out / "train.log").read_text().splitlines())
    return [line["train"][0] for line in lines if "round_seconds" in line]


def smoke(folder: Path) -> None:
    """Train, resume, export, run; raises AssertionError with what is wrong."""
    write_pictures(folder / "pictures", 60)
    write_teacher(folder / "teachers" / "random_teacher.onnx")
    first, second = folder / "first", folder / "second"
    piece(folder, first, 3)
    session = piece(folder, second, 5, first)
    again = piece(folder, folder / "again", 5, first)
    piece(folder, folder / "still", 8, learning_rate=0.0)
    assert session.round == 8, session.round
    before, after = losses(folder / "still")[-1], losses(second)[-1]
    assert after < 0.9 * before, f"the loss is {after}, and {before} without learning"
    same = checkpoint.load(session.out)[0], checkpoint.load(again.out)[0]
    assert all(torch.equal(a, same[1][name]) for name, a in same[0].items()), "runs differ"
    runtime = onnxruntime.InferenceSession(
        str(session.out / "scene_print_1.onnx"), providers=["CPUExecutionProvider"]
    )
    features = runtime.run(["features"], {"image": np.zeros((2, 3, 96, 64), np.float32)})[0]
    assert features.shape == (2, 96), features.shape
    assert np.isfinite(features).all()
    print(f"smoke: loss {before} to {after} at step {session.trainer.step}: well")


if __name__ == "__main__":
    torch.set_num_threads(min(2, torch.get_num_threads()))
    with tempfile.TemporaryDirectory() as scratch:
        smoke(Path(scratch))
