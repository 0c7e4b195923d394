"""Converts subjects in child processes, and holds the files against onnxruntime."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from coreml import inspection, subjects
from coreml.convert import Order, Precision, Tool
from coreml.inspection import Agreement, Face
from coreml.subjects import Array, Subject

_SCRIPT = Path(__file__).with_name("convert.py")
_LIMIT = 1800


@dataclass(frozen=True)
class Variant:
    """A kind of file: `suffix` .mlpackage or .mlmodel, and its precision."""

    suffix: str
    precision: Precision

    @property
    def title(self) -> str:
        return f"{self.suffix} {self.precision}"


@dataclass(frozen=True)
class Outcome:
    """What one tool made of one subject.

    Attributes:
        error: why there is no file, or why it cannot be executed; "" where all went well.
        converted: there is a file.
        seconds: of the conversion; ours with its proof.
        memory: peak of the process that converted, MB.
        size: bytes of the file.
        operators: how often it has each.
        face: what an app sees of it.
        agreement: with onnxruntime; floats computed as float32.
        rounded: the same with every float16 value rounded; float16 ML Programs only.
        unproven: layers whose parameters ours did not compare.
    """

    error: str
    converted: bool = False
    seconds: float = 0.0
    memory: float = 0.0
    size: int = 0
    operators: dict[str, int] | None = None
    face: Face | None = None
    agreement: Agreement | None = None
    rounded: Agreement | None = None
    unproven: tuple[str, ...] = ()


class Pictures:
    """The same picture files for every subject, at any size."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(str(path.resolve()) for path in paths)
        self._levels: dict[int, Array] = {}

    def levels(self, size: int) -> Array:
        """float32 (n, 3, size, size)."""
        if size not in self._levels:
            self._levels[size] = subjects.levels([Path(path) for path in self.paths], size)
        return self._levels[size]


def convert(
    subject: Subject,
    tool: Tool,
    variant: Variant,
    pictures: Pictures,
    expected: Array,
    work: Path,
    python: str = sys.executable,
) -> Outcome:
    """Convert `subject` in a child process of `python`, then look at the file.

    What went well is kept in `work`, and taken from there the next time.
    """
    output = work / f"{subject.key}-{tool}-{variant.precision}{variant.suffix}"
    kept = output.with_name(f"{output.name}.json")
    if kept.exists():
        return _load(kept.read_text())
    outcome = _measured(subject, tool, variant, pictures, expected, output, python)
    if not outcome.error:
        kept.write_text(json.dumps(asdict(outcome)))
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink(missing_ok=True)
    return outcome


def _measured(
    subject: Subject,
    tool: Tool,
    variant: Variant,
    pictures: Pictures,
    expected: Array,
    output: Path,
    python: str,
) -> Outcome:
    order = Order(
        tool=tool,
        file=subject.file,
        output=str(output),
        precision=variant.precision,
        size=subject.size,
        labels=subject.labels,
        pictures=pictures.paths,
        trained=subject.mean is None,
    )
    try:
        ran = subprocess.run(
            [python, str(_SCRIPT)],
            input=order.to_json(),
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(f"no end within {_LIMIT} s")
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or [""])[-1]
        return Outcome(f"the process ended with {ran.returncode}: {last}")
    answer = json.loads(ran.stdout.splitlines()[-1])
    if "error" in answer:
        return Outcome(answer["error"])
    levels = pictures.levels(subject.size)
    rounds = variant == Variant(".mlpackage", "float16")
    agreement = rounded = None
    error = ""
    try:
        agreement = inspection.compare(output, subject, levels, expected, "none")
        if rounds:
            rounded = inspection.compare(output, subject, levels, expected, "float16")
    except Exception as failure:  # a file of another tool may hold anything
        error = f"not executed: {type(failure).__name__}: {failure}"
    return Outcome(
        error=error,
        converted=True,
        seconds=answer["seconds"],
        memory=answer["memory"],
        size=inspection.size(output),
        operators=dict(inspection.operators(output)),
        face=inspection.face(output, subject),
        agreement=agreement,
        rounded=rounded,
        unproven=tuple(answer.get("unproven", ())),
    )


def _load(text: str) -> Outcome:
    found = json.loads(text)
    for name, kind in (("agreement", Agreement), ("rounded", Agreement), ("face", Face)):
        found[name] = found[name] and kind(**found[name])
    found["unproven"] = tuple(found["unproven"])
    return Outcome(**found)


def expected(subject: Subject, pictures: Pictures) -> Array:
    """What onnxruntime answers."""
    return subjects.reference(subject, pictures.levels(subject.size))
