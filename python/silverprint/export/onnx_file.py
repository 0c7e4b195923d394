"""The .onnx file: the composed graph itself."""

from __future__ import annotations

import os
from pathlib import Path

from silverprint.export.atomic import replace_file


def write_onnx(model: bytes, path: str | os.PathLike[str]) -> Path:
    """Write a composed model to `path`, replacing an older file at once.

    Raises:
        ExportError: the place cannot be written; what was there is as it was.
    """
    with replace_file(path) as temporary:
        temporary.write_bytes(model)
    return Path(path)
