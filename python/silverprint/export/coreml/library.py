"""coremltools and onnx2coreml: whether they are there, and how to use them without noise."""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from silverprint.errors import ExportError

ONNX2COREML = ((1, 1), (1, 2))
"""First release of onnx2coreml that is known to work, and the first that is not."""

_ONE_AT_A_TIME = threading.RLock()
_NATIVE = ("libmilstoragepython", "libmodelpackage")
_REMEDY = (
    "Core ML export works on Linux x86-64 and on macOS with Python 3.11 to 3.13: run "
    "pip install 'coremltools>=9.0' 'onnx2coreml>=1.1,<1.2' there. Everything else works "
    "without; write the model as .onnx here and export that file on such a machine."
)


def available() -> str | None:
    """None where Core ML export works here, else one sentence on what is missing and the remedy.

    Looks only at what is installed and imports nothing, so that it can be asked before a
    training starts.
    """
    missing = [name for name in ("coremltools", "onnx2coreml") if not _installed(name)]
    if missing:
        return f"{' and '.join(missing)} not installed. {_REMEDY}"
    spec = find_spec("coremltools")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    lost = [name for name in _NATIVE if not any(folder.glob(f"{name}.*"))]
    if lost:
        return (
            f"the installed coremltools lacks its native part ({', '.join(lost)}), as it does "
            f"where no wheel exists for this platform and Python. {_REMEDY}"
        )
    return _wrong_version()


def require() -> Any:
    """The coremltools module. Raises ExportError with the reason where `available` has one."""
    reason = available()
    if reason:
        raise ExportError(f"Core ML export is not available: {reason}")
    # onnx2coreml may evaluate a node with ONNX Runtime, which must not report to anyone.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with quiet():
        try:
            import_module("onnx2coreml")
            return import_module("coremltools")
        except ImportError as error:
            raise ExportError(f"coremltools cannot be imported ({error}). {_REMEDY}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the warnings and progress bars of coremltools, one thread at a time.

    Its errors still show. The bar of its passes takes no argument that would silence it.
    """
    logger = logging.getLogger("coremltools")
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.ERROR)
        passes: Any = sys.modules.get("coremltools.converters.mil.mil.passes.pass_pipeline")
        bar = getattr(passes, "tqdm", None)
        if bar is not None:
            passes.tqdm = functools.partial(bar, disable=True)
        try:
            yield
        finally:
            logger.setLevel(level)
            if bar is not None:
                passes.tqdm = bar


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _wrong_version() -> str | None:
    try:
        found = version("onnx2coreml")
    except PackageNotFoundError:
        return f"onnx2coreml is there but its version is unknown. {_REMEDY}"
    first, last = ONNX2COREML
    try:
        number = tuple(int(part) for part in found.split(".")[:2])
    except ValueError:
        number = ()
    if not first <= number < last:
        return f"onnx2coreml {found} is not a release that silverprint knows (1.1.x). {_REMEDY}"
    return None
