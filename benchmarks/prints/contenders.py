"""The extractors that are compared: built-in prints, shared backbones, and what --add names."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from silverprint.features.extractor import FeatureExtractor


@dataclass(frozen=True)
class Contender:
    """An extractor, and the ONNX file that it comes from."""

    name: str
    file: Path
    extractor: FeatureExtractor

    @property
    def size(self) -> str:
        """Height and width of its input, in pixels."""
        rule = self.extractor.rule
        return f"{rule.height} × {rule.width}"


@dataclass(frozen=True)
class Addition:
    """What --add names; output None is the first one."""

    name: str
    file: Path
    output: str | None


def addition(text: str) -> Addition:
    """An `Addition` from NAME=PATH[:output]."""
    name, _, place = text.partition("=")
    path, output = place, None
    if not Path(place).is_file() and ":" in place:
        path, _, output = place.rpartition(":")
    if not name or not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH[:output] of an ONNX file")
    return Addition(name, Path(path), output)


def find(data: Path, additions: list[Addition], crop_and_scale: str) -> list[Contender]:
    """Every revision of `ScenePrint`, what is added, and every backbone in `data`/weights.

    A backbone that is a built-in print, byte for byte, stands here once.
    """
    from silverprint.features.extractor import CustomFeatureExtractor
    from silverprint.features.prints import REVISIONS, ScenePrint

    found = []
    for revision in REVISIONS:
        file = Path(str(files("silverprint") / "prints" / f"scene_print_{revision}.onnx"))
        extractor = ScenePrint(revision, crop_and_scale)
        found.append(Contender(f"ScenePrint {revision}", file, extractor))
    prints = {contender.file.read_bytes() for contender in found}
    shared = [
        Addition(path.stem, path, "features")
        for path in sorted((data / "weights").glob("*.onnx"))
        if path.read_bytes() not in prints
    ]
    for one in [*additions, *shared]:
        custom = CustomFeatureExtractor(one.file, one.output, crop_and_scale=crop_and_scale)
        found.append(Contender(one.name, one.file, custom))
    names = [contender.name for contender in found]
    if len(set(names)) < len(names):
        raise SystemExit(f"two extractors of one name: {', '.join(names)}")
    return found
