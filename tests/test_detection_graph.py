"""A detector as one ONNX graph: stock ONNX Runtime gives the core's boxes and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from silverprint import _core
from silverprint.features.map_extractors import CustomMapExtractor
from silverprint.model.detection_graph import (
    CONFIDENCE,
    COORDINATES,
    DetectionHead,
    compose_detector,
)
from support.graphs import weights

ort = pytest.importorskip("onnxruntime")

SIZE = 160
PLAIN = {"mean": (100.0, 110.0, 120.0), "std": (50.0, 60.0, 70.0)}


def backbone(path: Path) -> Path:
    """Convolutions of stride 2, of which the third, fourth and fifth give maps."""
    nodes, stored, channels, tensor = [], [], 3, "pixels"
    for stride, width in ((2, 6), (4, 6), (8, 7), (16, 9), (32, 11)):
        stored.append(weights(f"w{stride}", width, channels, 3, 3, seed=stride))
        name = f"stride{stride}"
        nodes.append(
            onnx.helper.make_node(
                "Conv", [tensor, f"w{stride}"], [f"{name}.sum"], strides=[2, 2], pads=[1] * 4
            )
        )
        nodes.append(onnx.helper.make_node("Tanh", [f"{name}.sum"], [name]))
        channels, tensor = width, name
    value = onnx.helper.make_tensor_value_info
    shape = ["N", 3, SIZE, SIZE]
    outputs = [value(f"stride{s}", onnx.TensorProto.FLOAT, None) for s in (8, 16, 32)]
    graph = onnx.helper.make_graph(
        nodes, "maps", [value("pixels", onnx.TensorProto.FLOAT, shape)], outputs, stored
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("strides", "coarser", "context", "tower"),
    [((16, 32), True, 2, 2), ((8, 16, 32), False, 1, 1), ((8, 16, 32), True, 0, 1)],
)
def test_onnx_runtime_gives_what_the_core_computes(
    tmp_path: Path, strides: tuple[int, ...], coarser: bool, context: int, tower: int
) -> None:
    extractor = CustomMapExtractor(
        backbone(tmp_path / "maps.onnx"), size=(SIZE, SIZE), strides=strides, **PLAIN
    )
    random = np.random.default_rng(0)
    inputs = [(stride, *extractor.maps[stride]) for stride in strides]
    count = sum(one[1] for one in inputs)
    mean = random.normal(0, 0.3, count).astype(np.float32)
    deviation = random.uniform(0.5, 2, count).astype(np.float32)
    network = _core.detect.Network(
        inputs,
        3,
        mean,
        deviation,
        channels=16,
        context=context,
        tower=tower,
        coarser=coarser,
        batch=2,
        seed=1,
    )
    parameters = network.parameters
    network.parameters = parameters + random.normal(0, 0.1, parameters.shape).astype(np.float32)
    statistics = random.uniform(0.5, 1.5, network.statistics.shape).astype(np.float32)
    network.statistics = statistics

    def named(flat: np.ndarray, listed: dict) -> dict[str, np.ndarray]:
        return {
            name: flat[offset : offset + int(np.prod(shape))].reshape(shape)
            for name, (offset, shape, _) in listed.items()
        }

    head = DetectionHead(
        named(network.parameters, network.parameter_list),
        named(statistics, network.statistic_list),
        mean,
        deviation,
        tuple((int(s), int(h), int(w)) for s, h, w in network.levels),
        3,
        context,
        tower,
    )
    model = compose_detector(extractor.backbone, head)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    tensor = random.integers(0, 256, (1, 3, SIZE, SIZE)).astype(np.float32)
    confidence, coordinates = session.run([CONFIDENCE, COORDINATES], {"image": tensor})

    maps = extractor.function.run_tensor(tensor)
    row = np.concatenate([maps[stride].ravel() for stride in strides]).astype(np.float16)
    logits, distances = network.forward(row[None], False)
    centres = np.concatenate(
        [
            np.stack([axis.ravel() for axis in np.mgrid[:h, :w][::-1]], 1) * s + s / 2
            for s, h, w in head.levels
        ]
    )
    expected = 1 / (1 + np.exp(-logits[0].astype(np.float64)))
    # Maps reach the core in half precision.
    np.testing.assert_allclose(confidence[0], expected, atol=3e-3)
    left, top, right, bottom = distances[0].astype(np.float64).T
    boxes = np.stack(
        [
            centres[:, 0] + (right - left) / 2,
            centres[:, 1] + (bottom - top) / 2,
            left + right,
            top + bottom,
        ],
        1,
    )
    np.testing.assert_allclose(coordinates[0], boxes / SIZE, rtol=5e-3, atol=3e-3)
