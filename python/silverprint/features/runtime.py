"""Where the ONNX Runtime library lies, without importing the onnxruntime package."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from silverprint import _core
from silverprint.errors import OnnxRuntimeError

CPU = "CPUExecutionProvider"
_NAMES = ("libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll")


def library_path() -> str:
    """The library inside the installed onnxruntime wheel, or the one SILVERPRINT_RUNTIME names.

    Raises:
        OnnxRuntimeError: none is found, or the wheel is older than 1.19.
    """
    override = os.environ.get("SILVERPRINT_RUNTIME")
    if override:
        if not Path(override).is_file():
            raise OnnxRuntimeError(
                f"SILVERPRINT_RUNTIME={override}: no such file; give the path of libonnxruntime, "
                "or unset it to use the installed onnxruntime"
            )
        return override
    folder = _package_folder()
    if folder is None:
        raise OnnxRuntimeError("onnxruntime is not installed: pip install 'onnxruntime>=1.19'")
    found = sorted(path for name in _NAMES for path in (folder / "capi").glob(name))
    if not found:
        raise OnnxRuntimeError(
            f"{folder}: holds no ONNX Runtime library, as before version 1.19: "
            "pip install --upgrade 'onnxruntime>=1.19'"
        )
    return str(found[-1])


def distributions() -> list[str]:
    """Installed distributions that put files into the ``onnxruntime`` folder."""
    from importlib.metadata import distributions as installed

    names = {distribution.metadata["Name"] for distribution in installed()}
    return sorted(
        name
        for name in names
        if name.replace("_", "-").lower().startswith("onnxruntime")
        and name.replace("_", "-").lower().removeprefix("onnxruntime")
        in ("", "-gpu", "-directml", "-openvino", "-qnn", "-silicon", "-training", "-rocm")
    )


@lru_cache(maxsize=1)
def library_info() -> dict[str, Any]:
    """``path``, ``version``, ``providers`` and ``build`` of the library, which this loads."""
    return _core.runtime.library_info(library_path())


def _package_folder() -> Path | None:
    spec = find_spec("onnxruntime")
    locations = None if spec is None else spec.submodule_search_locations
    return Path(next(iter(locations))) if locations else None
