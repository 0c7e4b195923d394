"""Random numbers that depend on what they are for, not on what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def seed_of(*what: object) -> int:
    """A 62-bit seed from the text of `what`."""
    digest = hashlib.sha256("/".join(map(str, what)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 2


def on_device(device: torch.device, *what: object) -> torch.Generator:
    """A generator on `device`."""
    return torch.Generator(device).manual_seed(seed_of(*what))


def on_host(*what: object) -> np.random.Generator:
    """A NumPy generator: the same numbers on every machine."""
    return np.random.Generator(np.random.PCG64(seed_of(*what)))
