"""The numerics class: what must be equal for the same picture to give the same bytes."""

from __future__ import annotations

import platform
import re
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from silverprint.features.runtime import CPU, library_info, library_path

# What ONNX Runtime chooses its kernels by: onnxruntime/core/mlas/lib/platform.cpp, 1.19 to 1.31,
# by the names of Linux.
_KERNEL_FLAGS = """
    sse4_1 avx avx2 fma f16c avx_vnni avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_bf16
    amx_tile amx_int8 amx_bf16 asimd asimddp asimdhp fphp bf16 i8mm sve sve2 svei8mm svebf16 sme
    sme2
"""

_NVIDIA = Path("/proc/driver/nvidia")

# Pillow's modules that hold decoders and colour management, and where they say which.
_DECODERS = (
    ("_imaging", "libjpeg_turbo_version", "libjpeg-turbo"),
    ("_imagingcms", "littlecms_version", "Little CMS"),
    ("_webp", "webpdecoder_version", "WebP"),
    ("_avif", "libavif_version", "AVIF"),
)


@cache
def numerics_class(provider: str) -> str:
    """One line; where it is equal, the same picture and graph give the same bytes.

    It names the execution provider and its precision, the build of ONNX Runtime, what its kernels
    are chosen by on this machine, and the versions of the decoders. Our own kernels give the same
    bytes on every machine and are not in it.

    Raises:
        OnnxRuntimeError: the library of ONNX Runtime is missing.
    """
    parts = [f"{provider} float32", _runtime(), _processor(), _decoders()]
    if provider != CPU:
        parts.insert(3, _accelerators())
    return "; ".join(parts)


def _runtime() -> str:
    """Version and size of the library's file: builds of one version may differ in their kernels."""
    path = Path(library_path()).resolve()
    found = re.search(r"\d+\.\d+\.\d+", path.name)
    version = found[0] if found else library_info()["version"]
    return f"onnxruntime {version} ({path.stat().st_size} bytes)"


def _processor() -> str:
    machine = platform.machine()
    if sys.platform == "linux":
        return " ".join([machine, *sorted(_linux_flags().intersection(_KERNEL_FLAGS.split()))])
    if sys.platform == "darwin":
        return f"{machine} {_mac_brand()}"
    return f"{machine} {platform.processor()}"


def _linux_flags() -> set[str]:
    """Of the first processor: x86 calls them flags, Arm Features."""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, values = line.partition(":")
            if name.strip() in ("flags", "Features"):
                return set(values.split())
    return set()


def _mac_brand() -> str:
    import ctypes

    text = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t(len(text))
    library = ctypes.CDLL(None)
    library.sysctlbyname(b"machdep.cpu.brand_string", text, ctypes.byref(size), None, 0)
    return text.value.decode("utf-8", "replace")


def _accelerators() -> str:
    """The NVIDIA driver and GPUs, where Linux tells of them; nothing elsewhere."""
    texts = [path.read_text() for path in _NVIDIA.glob("gpus/*/information")]
    models = {found[1] for text in texts if (found := re.search(r"Model:\s*(.+)", text))}
    try:
        driver = re.search(r"\d+\.\d+(\.\d+)?", (_NVIDIA / "version").read_text())
    except OSError:
        driver = None
    return ", ".join([*sorted(models), f"driver {driver[0]}" if driver else "driver unknown"])


def _decoders() -> str:
    """Versions of what decoding uses, without the part of Pillow that is slow to import."""
    parts = [f"Pillow {import_module('PIL').__version__}"]
    for module, attribute, name in _DECODERS:
        try:
            version = getattr(import_module(f"PIL.{module}"), attribute, None)
        except ImportError:  # Pillow was built without it
            continue
        if version:
            parts.append(f"{name} {version}")
    return ", ".join(parts + _heif())


def _heif() -> list[str]:
    spec = find_spec("pi_heif")
    if spec is None or spec.origin is None:
        return []
    # importlib.metadata would know, too, and costs 20 ms to import.
    installed = Path(spec.origin).parent.parent.glob("pi_heif-*.dist-info")
    return [path.name.removesuffix(".dist-info").replace("-", " ") for path in installed][:1] or [
        "pi_heif"
    ]
