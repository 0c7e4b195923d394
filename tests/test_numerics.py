"""The numerics class and the kind of features: when rows may stand in one matrix."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL
import PIL.features
import pytest

from silverprint.features import numerics
from silverprint.features.extractor import CustomFeatureExtractor
from silverprint.features.kind import FeatureKind, kind_of
from silverprint.features.numerics import numerics_class
from silverprint.features.prints import ScenePrint
from silverprint.features.runtime import CPU, library_info, library_path
from support.children import run_python
from support.graphs import PLAIN, backbone, saved


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    numerics_class.cache_clear()
    yield
    numerics_class.cache_clear()


def test_it_is_one_line_that_stays_the_same() -> None:
    text = numerics_class(CPU)
    assert text.isprintable()
    numerics_class.cache_clear()
    assert numerics_class(CPU) == text
    code = (
        f"from silverprint.features.numerics import numerics_class; print(numerics_class({CPU!r}))"
    )
    assert run_python(code).stdout == text + "\n"


def test_it_names_the_runtime_that_is_loaded() -> None:
    size = Path(library_path()).stat().st_size
    assert f"onnxruntime {library_info()['version']} ({size} bytes)" in numerics_class(CPU)


def test_it_names_the_decoders() -> None:
    text = numerics_class(CPU)
    assert f"Pillow {PIL.__version__}" in text
    for feature, name in (
        ("libjpeg_turbo", "libjpeg-turbo"),
        ("littlecms2", "Little CMS"),
        ("webp", "WebP"),
        ("avif", "AVIF"),
    ):
        version = PIL.features.version(feature)
        assert (f"{name} {version}" in text) == (version is not None)


def test_it_costs_no_import_of_pillows_image_and_no_session() -> None:
    code = f"""
        import sys
        from silverprint.features.numerics import numerics_class
        numerics_class({CPU!r})
        assert not {{"PIL.Image", "onnx", "onnxruntime", "importlib.metadata"}} & set(sys.modules)
    """
    run_python(code)


def test_another_library_of_the_same_version_is_another_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = numerics_class(CPU)
    library = Path(library_path())
    other = tmp_path / library.resolve().name
    other.write_bytes(library.read_bytes() + b"built otherwise")
    monkeypatch.setenv("SILVERPRINT_RUNTIME", str(other))
    numerics_class.cache_clear()
    assert numerics_class(CPU) != here


CPUS = {
    "Haswell": "flags\t\t: fpu sse4_1 avx avx2 fma f16c erms",
    "Skylake": "flags\t\t: fpu sse4_1 avx avx2 fma f16c avx512f avx512bw avx512dq avx512vl",
    "Sapphire Rapids": "flags\t: avx avx2 fma avx512f avx512_vnni amx_tile amx_int8 amx_bf16",
    "Graviton": "Features\t: fp asimd evtstrm aes asimddp i8mm bf16 sve",
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of processors")
def test_processors_with_other_kernels_are_other_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    for line in CPUS.values():
        shown = f"processor\t: 0\n{line}\nprocessor\t: 1\nflags\t: none\n"
        monkeypatch.setattr(
            numerics, "open", lambda *_, shown=shown, **__: io.StringIO(shown), raising=False
        )
        numerics_class.cache_clear()
        texts.append(numerics_class(CPU))
    assert len(set(texts)) == len(CPUS)
    assert "avx avx2 f16c fma sse4_1;" in texts[0]
    assert "asimd asimddp bf16 i8mm sve;" in texts[3]


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_name_the_processor(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics.sys, "platform", system)
    monkeypatch.setattr(numerics, "_mac_brand", lambda: "Apple M4")
    monkeypatch.setattr(numerics.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(numerics.platform, "processor", lambda: "ARMv8 Family 8, Qualcomm")
    expected = "arm64 Apple M4" if system == "darwin" else "arm64 ARMv8 Family 8, Qualcomm"
    assert expected in numerics_class(CPU)


def test_another_provider_is_another_class() -> None:
    other = numerics_class("CUDAExecutionProvider")
    assert other.startswith("CUDAExecutionProvider float32; ")
    assert "driver" in other
    assert "driver" not in numerics_class(CPU)


def test_accelerators_are_those_that_the_driver_tells_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, model in enumerate(("NVIDIA H200", "NVIDIA A10", "NVIDIA H200")):
        (tmp_path / "gpus" / str(i)).mkdir(parents=True)
        text = f"Model: \t\t {model}\nIRQ:   \t\t 24\nBus Type: \t PCIe\n"
        (tmp_path / "gpus" / str(i) / "information").write_text(text)
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 2024\n"
    (tmp_path / "version").write_text(version)
    monkeypatch.setattr(numerics, "_NVIDIA", tmp_path)
    assert "; NVIDIA A10, NVIDIA H200, driver 550.54.15; " in numerics_class(
        "CUDAExecutionProvider"
    )


# Kinds


def test_the_kind_of_an_extractor() -> None:
    made = ScenePrint()
    kind = kind_of(made)
    assert kind.fingerprint == made.backbone.record["fingerprint"]
    assert kind.rule == made.rule.to_json()
    assert kind.numerics == numerics_class(CPU)
    assert kind.dimension == made.dimension


def test_equal_extractors_have_equal_keys(tmp_path: Path) -> None:
    paths = [saved(backbone(), tmp_path / name) for name in ("a.onnx", "b.onnx")]
    keys = {kind_of(CustomFeatureExtractor(path, **PLAIN)).key for path in paths}
    assert len(keys) == 1
    other: dict[str, Any] = PLAIN | {"std": (2.0, 2.0, 2.0)}
    assert kind_of(CustomFeatureExtractor(paths[0], **other)).key not in keys
    assert kind_of(ScenePrint(crop_and_scale="scale_fit")).key != kind_of(ScenePrint()).key


def test_a_key_is_made_of_every_field() -> None:
    kind = FeatureKind("ab", {"height": 1}, "a CPU", 2)
    # SHA-256 of the record as `sha256sum` has it.
    assert kind.record == (
        '{"dimension":2,"fingerprint":"ab","numerics":"a CPU","rule":{"height":1},"version":1}'
    )
    assert kind.key == "60312e4420909a96dcb546ed3859bf3112376faa88e99b7a200d5c112398f8bc"
    others = [
        replace(kind, fingerprint="ac"),
        replace(kind, rule={"height": 2}),
        replace(kind, numerics="another"),
        replace(kind, dimension=3),
    ]
    assert len({kind.key, *(other.key for other in others)}) == 5
