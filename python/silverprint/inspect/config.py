"""What is installed and in use: the first thing to ask for in a report of trouble."""

from __future__ import annotations

import platform
from typing import Any

from silverprint import _core
from silverprint.errors import OnnxRuntimeError
from silverprint.export.coreml import available
from silverprint.features.prints import REVISIONS
from silverprint.features.runtime import distributions, library_info


def config() -> dict[str, Any]:
    """What was compiled in, what this machine offers, and which ONNX Runtime is used."""
    runtime: dict[str, Any]
    try:
        runtime = dict(library_info())
    except OnnxRuntimeError as error:
        runtime = {"error": str(error)}
    found = distributions()
    if len(found) > 1:
        runtime["warning"] = (
            f"{' and '.join(found)} share one folder and overwrite each other's files; "
            "uninstall all and install one"
        )
    return {
        "silverprint": _core.build.version,
        "compiler": _core.build.compiler,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "instruction_sets": {
            "available": _core.build.available_isas(),
            "active": _core.build.active_isa(),
        },
        "threads": _core.build.threads(),
        "onnxruntime": runtime,
        "scene_print_revisions": list(REVISIONS),
        "core_ml": available() or "available",
    }


def show_config() -> None:
    """Print `config`."""
    for key, value in config().items():
        if not isinstance(value, dict):
            print(f"{key}: {_text(value)}")
            continue
        print(f"{key}:")
        for name, inner in value.items():
            print(f"  {name}: {_text(inner)}")


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
