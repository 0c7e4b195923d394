"""ONNX Runtime: found without importing it, clear errors, stock results, and stopping a run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper

from silverprint import _core
from silverprint.errors import BackboneError, OnnxRuntimeError, TrainingCancelled
from silverprint.features import runtime
from silverprint.features.extractor import CustomFeatureExtractor, GraphFunction
from silverprint.features.prints import ScenePrint
from support import graphs
from support.children import run_python, shared_object

CPU = runtime.CPU
USE = """
    from silverprint.errors import OnnxRuntimeError
    from silverprint.features.runtime import library_info
    for _ in range(2):  # the error of the second call is that of the first
        try:
            print(library_info()["version"])
        except OnnxRuntimeError as error:
            print(error)
"""


def made(model: onnx.ModelProto, provider: str = CPU) -> Any:
    """The core's extractor for 8 x 8 pictures."""
    path = runtime.library_path()
    return _core.runtime.Extractor(path, model.SerializeToString(), provider, 1, 8, 8, "scale_fill")


def outcome(env: dict[str, str], code: str = USE) -> str:
    first, second = run_python(code, env=env).stdout.splitlines()
    assert first == second
    return first


# Finding and loading the library


def test_the_library_of_the_installed_wheel_is_used() -> None:
    info = runtime.library_info()
    assert info["path"] == runtime.library_path()
    assert Path(info["path"]).parent.name == "capi"
    assert tuple(map(int, info["version"].split(".")[:2])) >= (1, 19)
    assert CPU in info["providers"]
    assert info["build"]
    assert any(name.startswith("onnxruntime") for name in runtime.distributions())


def test_nothing_imports_the_onnxruntime_package() -> None:
    code = """
        import sys
        import numpy as np
        import silverprint.features.extractor, silverprint.features.extraction
        from silverprint.features.prints import ScenePrint
        from silverprint.features.runtime import distributions, library_info
        ScenePrint().extract([np.zeros((4, 4, 3), np.uint8)])
        library_info(), distributions()
        print([name for name in sys.modules if name.startswith("onnxruntime")])
    """
    assert run_python(code).stdout == "[]\n"


def test_importing_the_extractors_imports_no_heavy_package() -> None:
    code = """
        import sys
        import silverprint.features.extractor, silverprint.features.prints
        print(sorted({"onnx", "PIL", "onnxruntime"} & set(sys.modules)))
    """
    assert run_python(code).stdout == "[]\n"


def test_an_override_is_taken() -> None:
    path = runtime.library_path()
    code = """
        from silverprint.features.runtime import library_info, library_path
        print(library_path()); print(library_info()["path"])
    """
    assert outcome({"SILVERPRINT_RUNTIME": path}, code) == path


def test_an_override_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "libnothing.so", tmp_path):
        message = outcome({"SILVERPRINT_RUNTIME": str(path)})
        assert message.startswith(f"SILVERPRINT_RUNTIME={path}: no such file")
        assert "unset it" in message


def test_a_file_that_is_no_library_is_named(tmp_path: Path) -> None:
    path = tmp_path / "libonnxruntime.so"
    path.write_text("not a library, but some text that is long enough to look at\n" * 50)
    message = outcome({"SILVERPRINT_RUNTIME": str(path)})
    assert str(path) in message
    assert "cannot be loaded" in message
    assert "reinstall onnxruntime" in message


def test_another_library_is_no_runtime(tmp_path: Path) -> None:
    path = shared_object(tmp_path, "libother", "int answer() { return 42; }")
    message = outcome({"SILVERPRINT_RUNTIME": str(path)})
    assert message == f"{path}: not an ONNX Runtime library; reinstall onnxruntime"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1.18.0", "ONNX Runtime 1.18.0 is too old; install onnxruntime 1.19 or newer"),
        ("rubbish", "ONNX Runtime rubbish is too old; install onnxruntime 1.19 or newer"),
        ("1.19.2", "ONNX Runtime 1.19.2 does not offer its API 19"),
    ],
)
def test_a_library_that_is_too_old_says_what_to_install(
    tmp_path: Path, version: str, message: str
) -> None:
    source = f"""
        struct Base {{ const void* (*get_api)(unsigned); const char* (*get_version)(); }};
        const void* get_api(unsigned) {{ return nullptr; }}
        const char* get_version() {{ return "{version}"; }}
        const Base base{{get_api, get_version}};
        extern "C" const Base* OrtGetApiBase() {{ return &base; }}
    """
    path = shared_object(tmp_path, "libonnxruntime", source)
    assert outcome({"SILVERPRINT_RUNTIME": str(path)}) == f"{path}: {message}"


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SILVERPRINT_RUNTIME", raising=False)
    monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    with pytest.raises(OnnxRuntimeError, match=r"pip install 'onnxruntime>=1\.19'"):
        runtime.library_path()


def test_a_package_without_a_library_is_too_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "capi").mkdir()
    spec = ModuleSpec("onnxruntime", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.delenv("SILVERPRINT_RUNTIME", raising=False)
    monkeypatch.setattr(runtime, "find_spec", lambda name: spec)
    with pytest.raises(
        OnnxRuntimeError, match=r"pip install --upgrade 'onnxruntime>=1\.19'"
    ) as caught:
        runtime.library_path()
    assert str(tmp_path) in str(caught.value)


def test_one_process_runs_one_runtime(tmp_path: Path) -> None:
    used = runtime.library_info()["path"]
    with pytest.raises(OnnxRuntimeError, match="this process already runs ONNX Runtime") as caught:
        _core.runtime.library_info(str(tmp_path / "libonnxruntime.so"))
    assert used in str(caught.value)


# Making a graph ready


@pytest.mark.parametrize(
    "provider", ["CUDAExecutionProvider", "CoreMLExecutionProvider", "nonsense"]
)
def test_a_provider_that_is_not_there_names_those_that_are(provider: str) -> None:
    there = runtime.library_info()["providers"]
    if provider in there:
        pytest.skip(f"{provider} is part of this ONNX Runtime")
    with pytest.raises(OnnxRuntimeError) as caught:
        ScenePrint(provider=provider).extract([np.zeros((4, 4, 3), np.uint8)])
    message = str(caught.value)
    assert message.startswith(f"{provider}: not part of ONNX Runtime")
    assert ", ".join(there) in message
    assert ("install onnxruntime-gpu" in message) is provider.startswith("CUDA")


def test_inputs_and_outputs_are_described() -> None:
    extractor = made(graphs.backbone())
    assert extractor.inputs == [("pixels", graphs.FLOAT, [-1, 3, 8, 8])]
    ((name, kind, _),) = extractor.outputs
    assert (name, kind) == ("flat", graphs.FLOAT)


def unknown_operator() -> onnx.ModelProto:
    return graphs.model([helper.make_node("Hallucinate", ["pixels"], ["out"])])


def future_opset() -> onnx.ModelProto:
    model = graphs.backbone()
    model.opset_import[0].version = 999
    return model


@pytest.mark.parametrize(
    ("make", "word"), [(unknown_operator, "Hallucinate"), (future_opset, "opset")]
)
def test_a_graph_that_the_runtime_refuses(make: Callable[[], onnx.ModelProto], word: str) -> None:
    with pytest.raises(BackboneError, match=word) as caught:
        made(make())
    message = str(caught.value)
    assert "\n" not in message
    assert ".cc" not in message  # nothing of where the library was built
    assert "onnxruntime::" not in message


def test_bytes_that_are_no_graph_are_refused() -> None:
    with pytest.raises(BackboneError):
        _core.runtime.Extractor(runtime.library_path(), b"text" * 99, CPU, 1, 8, 8, "scale_fill")


# Running it


def tensor(*shape: int, seed: int = 0) -> graphs.Floats:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def test_any_outputs_by_name_in_the_order_asked_for() -> None:
    model = graphs.backbone()
    model.graph.output.append(graphs.value("map", None))
    images, token = tensor(3, 3, 8, 8), _core.runtime.CancelToken()
    found = made(model).run_tensor(images, ["map", "flat"], token)
    expected = graphs.run_stock(model.SerializeToString(), {"pixels": images}, ["map", "flat"])
    assert [array.shape for array in found] == [(3, 5, 8, 8), (3, 5)]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_picture_is_prepared_by_the_rule_then_run() -> None:
    extractor, token = made(graphs.backbone()), _core.runtime.CancelToken()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    prepared = _core.image.prepare(pixels, 8, 8, "scale_fill")
    (expected,) = extractor.run_tensor(prepared[None], ["flat"], token)
    np.testing.assert_array_equal(extractor.run(pixels, ["flat"], token)[0], expected)
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    np.testing.assert_array_equal(extractor.run(bgr, ["flat"], token, "bgr")[0], expected)


def test_wrong_tensors_and_names_are_the_runtimes_errors() -> None:
    extractor, token = made(graphs.backbone()), _core.runtime.CancelToken()
    with pytest.raises(OnnxRuntimeError, match="Got: 9 Expected: 8"):
        extractor.run_tensor(tensor(1, 3, 9, 8), ["flat"], token)
    with pytest.raises(OnnxRuntimeError, match="rank"):
        extractor.run_tensor(tensor(3, 8, 8), ["flat"], token)
    with pytest.raises(OnnxRuntimeError, match="flatt"):
        extractor.run_tensor(tensor(1, 3, 8, 8), ["flatt"], token)


def test_an_output_of_integers_is_refused() -> None:
    model = graphs.model(
        [helper.make_node("Shape", ["pixels"], ["size"])],
        outputs=[graphs.value("size", None, onnx.TensorProto.INT64)],
    )
    with pytest.raises(BackboneError, match="not float32"):
        made(model).run_tensor(tensor(1, 3, 8, 8), ["size"], _core.runtime.CancelToken())


@pytest.fixture(scope="module")
def photo_tensors(shared_data: Path) -> graphs.Floats:
    from silverprint.data.decode import decode

    files = sorted((shared_data / "distill").glob("*.jpg"))[::500][:3]
    return np.stack([_core.image.prepare(decode(file), 224, 224, "scale_fill") for file in files])


@pytest.mark.parametrize("name", ["silverprint_preview.onnx", "mobilenetv2_float.onnx"])
def test_features_are_the_bytes_of_stock_onnx_runtime(
    shared_data: Path, photo_tensors: graphs.Floats, name: str
) -> None:
    extractor = CustomFeatureExtractor(shared_data / "weights" / name)
    ours = extractor.function.run_tensor(photo_tensors)
    (theirs,) = graphs.run_stock(extractor.backbone.graph, {"image": photo_tensors})
    assert ours.tobytes() == theirs.tobytes()
    # The file as it came, normalised by hand, differs in rounding only.
    file = onnx.load(shared_data / "weights" / name)
    entries = {entry.key: entry.value for entry in file.metadata_props}
    mean, std = (
        np.float32(json.loads(entries[key])).reshape(1, -1, 1, 1) for key in ("mean", "std")
    )
    feeds = {file.graph.input[0].name: (photo_tensors - mean) / std}
    (plain,) = graphs.run_stock(file.SerializeToString(), feeds, [file.graph.output[0].name])
    np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-4 * np.abs(plain).max())


def test_a_pad_of_zeros_before_a_maximum_counts_as_zeros() -> None:
    """ONNX Runtime's fusion of the two takes it as the least number; expected is what ONNX says."""
    borders = numpy_helper.from_array(np.asarray([0, 0, 0, 0, 0, 0, 1, 1], np.int64), "borders")
    zero = numpy_helper.from_array(np.zeros((), np.float32), "zero")
    one = numpy_helper.from_array(np.ones((), np.float32), "one")
    nodes = [
        helper.make_node("Sub", ["pixels", "one"], ["below"]),
        helper.make_node("Pad", ["below", "borders", "zero"], ["wide"]),
        helper.make_node("MaxPool", ["wide"], ["most"], kernel_shape=[2, 2]),
    ]
    extractor = made(graphs.model(nodes, [borders, zero, one]))
    black = np.zeros((1, 3, 8, 8), np.float32)
    (most,) = extractor.run_tensor(black, ["most"], _core.runtime.CancelToken())
    expected = np.full((1, 3, 8, 8), -1.0)
    expected[:, :, -1], expected[:, :, :, -1] = 0, 0
    np.testing.assert_array_equal(most, expected)


def test_many_threads_at_once_get_the_same_bytes() -> None:
    function = ScenePrint().function
    pictures = np.random.default_rng(0).integers(0, 256, (6, 50, 40, 3), np.uint8)
    token = _core.runtime.CancelToken()
    alone = [function.run(picture, token).tobytes() for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = pool.map(lambda i: function.run(pictures[i % 6], token).tobytes(), range(48))
        assert list(together) == alone * 8


# Stopping it


def long_loop() -> onnx.ModelProto:
    """A loop of ten million rounds: many seconds of work."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["state", "one"], ["next"]),
        ],
        "body",
        [
            graphs.value("round", [], onnx.TensorProto.INT64),
            graphs.value("go", [], onnx.TensorProto.BOOL),
            graphs.value("state", None),
        ],
        [graphs.value("go_on", [], onnx.TensorProto.BOOL), graphs.value("next", None)],
    )
    stored = [
        numpy_helper.from_array(np.array(10**7, np.int64), "rounds"),
        numpy_helper.from_array(np.array(True), "start"),
        numpy_helper.from_array(np.float32(1), "one"),
    ]
    return graphs.model(
        [helper.make_node("Loop", ["rounds", "start", "pixels"], ["out"], body=body)], stored
    )


def run_on_tensor(extractor: Any, token: Any) -> object:
    return extractor.run_tensor(tensor(1, 3, 8, 8), ["out"], token)


def run_on_picture(extractor: Any, token: Any) -> object:
    return extractor.run(np.zeros((8, 8, 3), np.uint8), ["out"], token)


@pytest.mark.parametrize("run", [run_on_tensor, run_on_picture])
def test_cancelling_ends_runs_under_way(run: Callable[[Any, Any], npt.NDArray[Any]]) -> None:
    extractor, token = made(long_loop()), _core.runtime.CancelToken()
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(run, extractor, token) for _ in range(3)]
        threading.Timer(0.05, token.cancel).start()
        for future in runs:
            with pytest.raises(TrainingCancelled):
                future.result(timeout=60)
    assert token.cancelled


@pytest.mark.parametrize("run", [run_on_tensor, run_on_picture])
def test_a_cancelled_token_starts_nothing(run: Callable[[Any, Any], npt.NDArray[Any]]) -> None:
    token = _core.runtime.CancelToken()
    token.cancel()
    token.cancel()  # again is no harm
    with pytest.raises(TrainingCancelled):
        run(made(long_loop()), token)


def test_a_graph_goes_on_working_after_a_run_was_cancelled() -> None:
    extractor, images = made(graphs.backbone()), tensor(1, 3, 8, 8)
    cancelled = _core.runtime.CancelToken()
    cancelled.cancel()
    with pytest.raises(TrainingCancelled):
        extractor.run(np.zeros((8, 8, 3), np.uint8), ["flat"], cancelled)
    (found,) = extractor.run_tensor(images, ["flat"], _core.runtime.CancelToken())
    assert found.shape == (1, 5)


def test_a_graph_function_is_one_output_for_one_picture() -> None:
    backbone = ScenePrint().backbone
    function = GraphFunction(backbone.graph, "features", backbone.dimension, backbone.rule)
    pixels = np.full((9, 9, 3), 77, np.uint8)
    vector = function.run(pixels, _core.runtime.CancelToken())
    assert vector.shape == (backbone.dimension,)
    assert vector.dtype == np.float32
    np.testing.assert_array_equal(vector, ScenePrint().extract([pixels])[0])
