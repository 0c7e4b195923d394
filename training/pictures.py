"""The source pictures, decoded once and kept as bytes on the device."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class Bank:
    """`pixels` uint8 [P, 3, side, side], each picture in the top left; `sizes` [P, 2] (h, w)."""

    pixels: Tensor
    sizes: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


def _decode(path: Path, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    with Image.open(path) as file:
        file.draft("RGB", (side, side))
        picture = file.convert("RGB")
    scale = side / max(picture.size)
    if scale < 1:
        size = [max(1, round(scale * length)) for length in picture.size]
        picture = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    square = np.zeros((side, side, 3), np.uint8)
    square[: pixels.shape[0], : pixels.shape[1]] = pixels
    return square, (pixels.shape[0], pixels.shape[1])


def is_held_out(name: str) -> bool:
    """One picture in 23, by the hash of its file name, is never trained on."""
    return hashlib.sha256(name.encode()).digest()[0] % 23 == 0


def load(folder: Path, side: int, device: torch.device) -> tuple[Bank, Bank]:
    """(training pictures, held-out pictures) of a flat folder, in the order of their names."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES)
    parts = [
        [p for p in paths if not is_held_out(p.name)],
        [p for p in paths if is_held_out(p.name)],
    ]
    if not all(parts):
        raise ValueError(f"{folder}: too few pictures ({len(paths)}); some dozens are the least")
    banks = []
    with ThreadPoolExecutor() as pool:
        for part in parts:
            decoded = list(pool.map(lambda path: _decode(path, side), part))
            pixels = torch.from_numpy(np.stack([d[0] for d in decoded]))
            sizes = torch.tensor([d[1] for d in decoded], dtype=torch.float32)
            planes = pixels.permute(0, 3, 1, 2).contiguous()
            banks.append(Bank(planes.to(device), sizes.to(device)))
    return banks[0], banks[1]
