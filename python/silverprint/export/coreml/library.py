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
from typing import Any, TypeVar

from silverprint.errors import ExportError

Result = TypeVar("Result")

RELEASES = {"coremltools": ((9, 0), (10, 0)), "onnx2coreml": ((1, 1), (1, 2))}
"""First release of each that is known to work, and the first that is not."""

_ONE_AT_A_TIME = threading.RLock()
_BARS = {
    "coremltools.converters.mil.mil.passes.pass_pipeline": "tqdm",
    "coremltools.converters.mil.backend.nn.op_mapping": "_tqdm",
}
"""Modules that show a progress bar, and what they call it; it has no switch to silence it."""

_REMEDY = (
    "run pip install 'coremltools>=9.0,<10' 'onnx2coreml>=1.1,<1.2' with Python 3.11 to 3.13 on "
    "Linux x86-64 or on macOS, where both install ready made. Everything else works without; "
    "write the model as .onnx here and export that file on such a machine."
)


def available() -> str | None:
    """None where Core ML export works here, else one sentence on what is missing and the remedy.

    Looks only at what is installed and imports nothing, so that it can be asked before a
    training starts.
    """
    missing = [name for name in RELEASES if not _installed(name)]
    if missing:
        return f"{' and '.join(missing)} not installed: {_REMEDY}"
    wrong = [problem for name in RELEASES if (problem := _wrong_version(name))]
    return wrong[0] if wrong else None


def require() -> Any:
    """The coremltools module. Raises ExportError with the reason where `available` has one."""
    reason = available()
    if reason:
        raise ExportError(f"Core ML export is not available: {reason}")
    # onnx2coreml may evaluate a node with ONNX Runtime, which must not report to anyone.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with quiet():
        try:
            for name in ("onnx2coreml", *_BARS):
                import_module(name)
            return import_module("coremltools")
        except ImportError as error:
            raise ExportError(f"coremltools cannot be imported ({error}): {_REMEDY}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the warnings and progress bars of coremltools, one thread at a time.

    Its errors still show.
    """
    logger = logging.getLogger("coremltools")
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logger.level
        logger.setLevel(logging.ERROR)
        bars = [(sys.modules[name], bar) for name, bar in _BARS.items() if name in sys.modules]
        shown = [getattr(module, bar) for module, bar in bars]
        for (module, bar), original in zip(bars, shown, strict=True):
            setattr(module, bar, functools.partial(original, disable=True))
        try:
            yield
        finally:
            logger.setLevel(level)
            for (module, bar), original in zip(bars, shown, strict=True):
                setattr(module, bar, original)


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _wrong_version(name: str) -> str | None:
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is there but its version is unknown: {_REMEDY}"
    first, last = RELEASES[name]
    try:
        number = tuple(int(part) for part in found.split(".")[:2])
    except ValueError:
        number = ()
    if not first <= number < last:
        return f"{name} {found} is not a release that silverprint knows: {_REMEDY}"
    return None
