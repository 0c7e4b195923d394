"""A checkpoint: a JSON index and raw bytes in parts of at most 15 MiB. No code, no pickles.

Tensors are stored as they are given; `training.trainer` decides what is rounded.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PART_BYTES = 15 * 2**20
_INDEX = "checkpoint.json"


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().flatten()
    return bytes(flat.view(torch.uint8).numpy().tobytes()) if flat.numel() else b""


def save(folder: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write parts first and the index last, each by replacement: a stop between leaves the old.

    Parts are named by their content, so the old index keeps its parts until the new one stands.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stream = b"".join(map(_bytes, tensors.values()))
    parts = []
    for start in range(0, len(stream), PART_BYTES):
        part = stream[start : start + PART_BYTES]
        digest = hashlib.sha256(part).hexdigest()
        name = f"checkpoint-{digest[:12]}.bin"
        _replace(folder / name, part)
        parts.append({"file": name, "sha256": digest})
    index = {
        "record": record,
        "parts": parts,
        "tensors": [
            [name, str(t.dtype).removeprefix("torch."), list(t.shape)]
            for name, t in tensors.items()
        ],
    }
    _replace(folder / _INDEX, json.dumps(index, indent=1).encode())
    keep = {str(part["file"]) for part in parts}
    for old in folder.glob("checkpoint-*.bin"):
        if old.name not in keep:
            old.unlink()


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors on the CPU, record); raises ValueError naming the file that is missing or broken."""
    path = folder / _INDEX
    if not path.is_file():
        raise ValueError(f"no checkpoint at {path}: pass the folder that training wrote to")
    index = json.loads(path.read_text())
    stream = bytearray()
    for part in index["parts"]:
        file = folder / part["file"]
        content = file.read_bytes() if file.is_file() else b""
        if hashlib.sha256(content).hexdigest() != part["sha256"]:
            raise ValueError(f"{file} is missing or damaged: bring every checkpoint-*.bin along")
        stream += content
    tensors, start = {}, 0
    for name, kind, shape in index["tensors"]:
        dtype = getattr(torch, kind)
        size = torch.Size(shape).numel() * dtype.itemsize
        raw = torch.frombuffer(bytearray(stream[start : start + size]), dtype=dtype)
        tensors[name] = raw.view(shape)
        start += size
    return tensors, index["record"]


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_bytes(content)
    os.replace(beside, path)
