"""HEIC, as iPhones write it, by the extra `heif`."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from silverprint.data.decode import decode
from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidDataError

pytest.importorskip("pi_heif", reason="needs silverprint[heif]")

PHOTO = base64.b64decode(
    """
    AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA
    AAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAADwAAgAAAAACKAABAAAAAAAAACQAAAA4aWluZgAAAAAA
    AgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADm
    aXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAq
    QgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQAN
    AAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAADAAAAABAAAAIAAAAAH////wAAAAAv///+AAAAACAAAAEHBp
    eGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEA
    AQAAAGhtZGF0AAAAOCgBr1j5Et3/yzP/UNIZsEc71aT37PznaFqmb+pBjNJH6lLUPEoJNwdoikdh4Eh4aYh+p69UagZg
    AAAABkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA
    """
)
"""Written by pillow-heif 1.8 (x265): 48 wide, 32 high; red, green above blue, yellow.

Turned a quarter clockwise, by EXIF orientation 6 and by the box ``irot``, which say the same.
"""


def test_a_photo_is_turned_once(tmp_path: Path) -> None:
    path = tmp_path / "IMG_0001.jpg"  # the name does not matter
    path.write_bytes(PHOTO)
    pixels = decode(path, PictureRule(224, 224))
    assert pixels.shape == (48, 32, 3)
    corners = pixels[[4, 4, -5, -5], [4, -5, 4, -5]].astype(int)
    expected = [(40, 60, 200), (200, 40, 40), (220, 200, 60), (40, 180, 60)]
    assert np.abs(corners - expected).max() <= 3


def test_threads_decode_at_the_same_time() -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = {pool.submit(decode, PHOTO) for _ in range(64)}
    assert len({answer.result().tobytes() for answer in answers}) == 1


@pytest.mark.parametrize("length", [30, 100, 400, len(PHOTO) - 60])
def test_a_photo_cut_short_is_refused(length: int) -> None:
    with pytest.raises(InvalidDataError, match=r"^photo: (damaged|truncated)$"):
        decode(PHOTO[:length], name="photo")
