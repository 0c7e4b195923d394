"""Everything that decides what is trained: plain records, and two recipes ready to use."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Architecture:
    """The student. Widths and depths are those of the stages at strides 4, 8, 16 and 32."""

    stem: int = 16
    widths: tuple[int, int, int, int] = (32, 64, 144, 320)
    depths: tuple[int, int, int, int] = (1, 2, 5, 3)
    expansion: int = 2
    pooled16: int = 384
    pooled32: int = 1024

    revision: ClassVar[int] = 1
    size: ClassVar[int] = 224
    rate: ClassVar[float] = 1.0
    licence: ClassVar[str] = "Apache-2.0 (trained for this project)"


@dataclass(frozen=True)
class Inherited:
    """A student that begins with the numbers of a MobileNetV2, `file` in the teachers' folder.

    Attributes:
        size: pixels of the side of a picture that `features` are meant for.
        frozen: so many blocks, and the stem, stay as they are.
        rate: its learning rate over that of the adapters, which begin with nothing.
    """

    file: str
    size: int
    frozen: int
    rate: float

    revision: ClassVar[int] = 1
    licence: ClassVar[str] = (
        "Apache-2.0 (trained for this project from MobileNetV2 of the ONNX Model Zoo, Apache-2.0)"
    )


def student_record(fields: dict[str, Any]) -> Architecture | Inherited:
    """The record of a student from `asdict` of it, tuples as lists or not."""
    if "file" in fields:
        return Inherited(**fields)
    tuples = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
    return Architecture(**fields | tuples)


@dataclass(frozen=True)
class Target:
    """One tensor of a teacher, seen through `dims` fixed random directions.

    A pooled tensor is regressed from `features`; a map (`stride` 8, 16 or 32) from the student's
    map of that stride.
    """

    tensor: str
    dims: int
    weight: float
    stride: int = 0


@dataclass(frozen=True)
class Teacher:
    """An ONNX file in the teachers' folder; its metadata holds `mean` and `std`."""

    file: str
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class View:
    """How a round looks at pictures: crops per round, and how often the student sees each.

    Teachers see crops of `canvas` pixels once; the student sees them `passes` times, each batch at
    one of `sizes` drawn with `odds`.
    """

    canvas: int
    crops: int
    batch: int
    passes: int
    sizes: tuple[int, ...]
    odds: tuple[float, ...]
    teacher_batch: int
    collage: float


@dataclass(frozen=True)
class Recipe:
    """All of it. `large_every`: each so many rounds one is of the view `large`.

    `adapter_rate` is the learning rate of the adapter of `features` over the student's: over a
    thousand inputs of unit variance, Adam's steps of equal size add up.
    """

    teachers: tuple[Teacher, ...]
    student: Architecture | Inherited
    usual: View
    large: View
    large_every: int
    picture_side: int
    drawn: int
    drawn_share: float
    drawn_groups: int
    calibration_crops: int
    held_out_crops: int
    maps_weight: float
    learning_rate: float
    adapter_rate: float
    weight_decay: float
    warm_up_steps: int
    clip_norm: float
    ema_decay: float
    save_every: int
    report_every: int
    seed: int

    def fingerprint(self) -> str:
        """A hash of the whole record: a checkpoint is continued by the recipe that made it only."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def view(self, number: int) -> View:
        """The view of round `number` (from 0)."""
        return self.large if number % self.large_every == self.large_every - 1 else self.usual


_EFFICIENTNET = Teacher(
    "efficientnetv2b0_teacher.onnx",
    (
        Target("features", 224, 1.0),
        Target("features_s16", 160, 0.7),
        Target("stride8", 24, 0.5, 8),
        Target("stride16_expanded", 96, 1.0, 16),
        Target("stride32", 96, 0.5, 32),
        Target("stride32_head", 128, 1.0, 32),
    ),
)
_INCEPTION = Teacher(
    "inceptionv3_truncated_teacher.onnx",
    (
        Target("features", 256, 1.0),
        Target("features_s16", 128, 0.5),
        Target("stride8", 40, 0.5, 8),
        Target("stride16", 96, 1.0, 16),
        Target("stride32", 96, 0.5, 32),
        Target("stride32_deep", 96, 0.5, 32),
    ),
)

PRINT_1 = Recipe(
    teachers=(_EFFICIENTNET, _INCEPTION),
    student=Architecture(),
    usual=View(
        canvas=224,
        crops=8192,
        batch=1024,
        passes=3,
        sizes=(128, 160, 192, 224),
        odds=(0.15, 0.3, 0.25, 0.3),
        teacher_batch=512,
        collage=0.15,
    ),
    large=View(
        canvas=416,
        crops=2048,
        batch=256,
        passes=2,
        sizes=(256, 320, 416),
        odds=(0.3, 0.3, 0.4),
        teacher_batch=128,
        collage=0.7,
    ),
    large_every=8,
    picture_side=256,
    drawn=1024,
    drawn_share=0.15,
    drawn_groups=8,
    calibration_crops=8192,
    held_out_crops=512,
    maps_weight=0.5,
    learning_rate=3e-3,
    adapter_rate=0.2,
    weight_decay=0.02,
    warm_up_steps=400,
    clip_norm=2.0,
    ema_decay=0.999,
    save_every=40,
    report_every=8,
    seed=1,
)

_MOBILENET = Teacher(
    "mobilenetv2_float.onnx",
    (
        Target("features", 192, 0.6),
        Target("stride16_expanded", 64, 0.6, 16),
        Target("stride32", 64, 0.4, 32),
    ),
)

MOBILE_1 = Recipe(
    teachers=(
        replace(_EFFICIENTNET, targets=tuple(t for t in _EFFICIENTNET.targets if t.stride != 8)),
        _MOBILENET,
    ),
    student=Inherited("mobilenetv2_float.onnx", size=176, frozen=6, rate=0.1),
    usual=View(
        canvas=224,
        crops=1024,
        batch=64,
        passes=4,
        sizes=(128, 160, 192, 176),
        odds=(0.1, 0.2, 0.15, 0.55),
        teacher_batch=32,
        collage=0.25,
    ),
    large=View(
        canvas=416,
        crops=128,
        batch=16,
        passes=2,
        sizes=(256, 320, 416),
        odds=(0.4, 0.3, 0.3),
        teacher_batch=8,
        collage=0.8,
    ),
    large_every=6,
    picture_side=256,
    drawn=256,
    drawn_share=0.1,
    drawn_groups=8,
    calibration_crops=1024,
    held_out_crops=256,
    maps_weight=0.5,
    learning_rate=3e-3,
    adapter_rate=0.3,
    weight_decay=0.02,
    warm_up_steps=150,
    clip_norm=2.0,
    ema_decay=0.998,
    save_every=2,
    report_every=2,
    seed=1,
)

RECIPES = {"scratch": PRINT_1, "mobile": MOBILE_1}
