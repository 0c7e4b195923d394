"""Export: `python -m training.export --checkpoint DIR --out scene_print_1.onnx`.

The moving average, batch normalisations and residuals of depthwise convolutions folded; weights
as float16 with a Cast in the graph. Checked against torch through ONNX Runtime.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from training import checkpoint
from training.graph import Graph
from training.mobile import ScaledConv
from training.networks import Network, network
from training.recipe import MEAN, STD, student_record
from training.student import ConvNorm


def build(student: Network) -> onnx.ModelProto:
    """The folded graph: `image` to `features`, `stride8`, `stride16`, `stride32`."""
    graph, shape = Graph(), student.shape
    pooled, maps = student.write(graph)
    graph.add("Concat", pooled, "features", axis=1)
    count, widths = student.dims, student.widths
    outputs = [_value("features", ["batch", count])]
    for stride, width in widths.items():
        name = f"stride{stride}"
        graph.add("Identity", [maps[stride]], name)
        outputs.append(_value(name, ["batch", width, f"{name}_h", f"{name}_w"]))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            f"scene_print_{shape.revision}",
            [_value("image", ["batch", 3, "height", "width"])],
            outputs,
            graph.numbers,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
        producer_name="silverprint",
    )
    tensors = {"features": [count]} | {f"stride{s}": [w] for s, w in widths.items()}
    for key, value in {
        "name": "silverprint scene print",
        "revision": str(shape.revision),
        "input": "image",
        "input_layout": "NCHW",
        "channel_order": "RGB",
        "pixel_range": "0..255 before (pixel - mean) / std",
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "input_size": str(shape.size),
        "interpolation": "bilinear",
        "resize": "stretch or centre square, then input_size x input_size",
        "features": "features",
        "feature_tensors": json.dumps(tensors),
        "licence": shape.licence,
        "weight_storage": "float16, cast to float32 in the graph",
    }.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    return model


def _value(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _as_stored(student: Network) -> Network:
    """The same network with every folded weight rounded as the file keeps it."""
    for layer in student.modules():
        if isinstance(layer, ConvNorm | ScaledConv):
            layer.become_stored()
    return student


@torch.no_grad()
def compare(content: bytes, student: Network) -> dict[str, float]:
    """Largest difference over an output's largest value: (file, torch) and (file, unrounded)."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    found = {"difference": 0.0, "rounding": 0.0}
    exact = student.eval()
    features_at = [(1, 224, 224), (2, 160, 96)]
    images = [torch.randn(n, 3, h, w, generator=generator) for n, h, w in features_at]
    exact_outputs = [_flat(exact(image)) for image in images]
    stored = _as_stored(student)
    for image, unrounded in zip(images, exact_outputs, strict=True):
        got = session.run(None, {"image": image.numpy()})
        for mine, want, whole in zip(got, _flat(stored(image)), unrounded, strict=True):
            size = float(want.abs().max()) + 1e-12
            found["difference"] = max(
                found["difference"], float((torch.from_numpy(mine) - want).abs().max()) / size
            )
            found["rounding"] = max(found["rounding"], float((want - whole).abs().max()) / size)
    return found


def _flat(outputs: tuple[torch.Tensor, dict[int, torch.Tensor]]) -> list[torch.Tensor]:
    return [outputs[0], *outputs[1].values()]


def export(folder: Path, out: Path) -> dict[str, Any]:
    """Write `out` from the checkpoint in `folder`; raises ValueError if the file computes wrong."""
    kept, record = checkpoint.load(folder)
    student = network(student_record(record["architecture"])).eval()
    prefix = "average."
    weights = {k.removeprefix(prefix): v for k, v in kept.items() if k.startswith(prefix)}
    missing = student.load_state_dict(weights, strict=False)
    if missing.unexpected_keys or any("num_batches" not in k for k in missing.missing_keys):
        raise ValueError(f"{folder}: the checkpoint does not fit its own architecture")
    content = build(student).SerializeToString()
    found = compare(content, student)
    if not found["difference"] <= 1e-3:
        raise ValueError(f"the file computes other numbers than torch: {found}")
    out.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return {"file": out.name, "bytes": len(content), "sha256": digest, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the print as ONNX.")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    print(json.dumps(export(args.checkpoint, args.out)))


if __name__ == "__main__":
    main()
