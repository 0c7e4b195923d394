"""Writes Core ML files, ``.mlpackage`` and ``.mlmodel``, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from silverprint.errors import ExportError, SilverprintError
from silverprint.export.atomic import replace_file, replace_folder
from silverprint.export.coreml.describe import (
    Details,
    check_labels,
    check_metadata,
    check_rule,
    describe,
    swift_lines,
)
from silverprint.export.coreml.folder import complete, serialized, weights_folder
from silverprint.export.coreml.graph.prepare import prepare
from silverprint.export.coreml.library import quiet, require
from silverprint.export.coreml.names import IMAGE, PROBABILITIES
from silverprint.export.coreml.options import ExportOptions, Format, format_of
from silverprint.export.coreml.translate.mlprogram import to_ml_program
from silverprint.export.coreml.translate.neuralnetwork import to_neural_network
from silverprint.export.coreml.translate.program import brief, to_program
from silverprint.export.interruption import uninterrupted

if TYPE_CHECKING:
    import onnx

_SYSTEMS = {
    4: "iOS 13 / macOS 10.15",
    5: "iOS 14 / macOS 11",
    6: "iOS 15 / macOS 12",
    7: "iOS 16 / macOS 13",
    8: "iOS 17 / macOS 14",
    9: "iOS 18 / macOS 15",
    10: "iOS 26 / macOS 26",
}
"""Oldest system that runs each specification version (coremltools' table)."""

Prove = Callable[[Path], Any]
"""Reads a file back before it takes its place; raises ExportError where it is not right."""


@dataclass(frozen=True)
class PackageSummary:
    """What was written.

    Attributes:
        path: where.
        size: bytes of all its files.
        specification_version: of Core ML.
        oldest_system: that runs it.
        swift: lines to use it with Vision.
        proof: what the proof gave; None without one.
    """

    path: Path
    size: int
    specification_version: int
    oldest_system: str
    swift: str
    proof: Any = None


def write_classifier(
    graph: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    labels: Sequence[str],
    picture_rule: Mapping[str, Any],
    metadata: Mapping[str, str],
    details: Details | None = None,
    options: ExportOptions | None = None,
    prove: Prove | None = None,
) -> PackageSummary:
    """Translate a classifier and write it to `path`, replacing an older file atomically.

    `graph` begins at ``image`` (float32 NCHW, RGB, 0..255) and gives ``targetProbability``
    [N, len(labels)], as composed by silverprint or by `adopt_classifier`. The file takes an image
    of the size of `picture_rule` (keys ``height``, ``width``, ``crop_and_scale``, ``version``)
    and gives the label and a dictionary of probabilities, named as `options` says.

    Args:
        path: ends in ``.mlpackage`` (ML Program) or ``.mlmodel`` (NeuralNetwork).
        metadata: ``author``, ``license``, ``version``, ``short_description`` and further keys of
            the user, text to text.
        details: records such as ``training`` or ``backbone``, written as JSON.
        prove: called with the finished file or folder under a temporary name; what it returns
            stands in the summary.

    Same arguments, same bytes, with the same coremltools and onnx2coreml.

    Raises ExportError: Core ML export is not available here, operators without a translation,
    duplicate labels, a wrong number of them, an incomplete rule, a place that cannot be written,
    a failed proof. Then `path` is as it was.
    """
    labels = list(labels)
    check_labels(labels)
    options = options or ExportOptions()
    taken = {options.label_name, f"{options.label_name}_probs"}
    name = options.probability_name
    if format_of(path, options) == "mlprogram":
        # There the dictionary and the tensor it is made from are two values.
        taken.add(name)
        name = f"{name}_tensor"
        name = f"{name}_" if name in taken else name
    return _Order(graph, {PROBABILITIES: name}, frozenset(taken), labels, options).write(
        path, picture_rule, metadata, details or {}, prove
    )


def write_backbone(
    graph: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    picture_rule: Mapping[str, Any],
    metadata: Mapping[str, str],
    details: Details | None = None,
    options: ExportOptions | None = None,
    prove: Prove | None = None,
) -> PackageSummary:
    """Translate a feature extractor and write it to `path`, as `write_classifier` does.

    `graph` begins at ``image`` (float32 NCHW, RGB, 0..255), as made by `adopt_backbone`. Each of
    its outputs becomes a multi-array of its name, float32 and with its shape, batch 1.

    Raises ExportError: as `write_classifier`; a name of an output that Swift does not allow.
    """
    outputs = [value.name for value in graph.graph.output]
    for name in outputs:
        if not name.isidentifier() or not name.isascii() or name == IMAGE:
            raise ExportError(
                f"the output {name!r} needs another name: letters, digits and _, not {IMAGE!r}"
            )
    order = _Order(graph, {n: n for n in outputs}, frozenset(), None, options or ExportOptions())
    return order.write(path, picture_rule, metadata, details or {}, prove)


@dataclass(frozen=True)
class _Order:
    """What is to be translated: `outputs` of `graph` and their names in the file."""

    graph: onnx.ModelProto
    outputs: Mapping[str, str]
    taken: frozenset[str]
    labels: Sequence[str] | None
    options: ExportOptions

    def write(
        self,
        path: str | os.PathLike[str],
        rule: Mapping[str, Any],
        metadata: Mapping[str, str],
        details: Details,
        prove: Prove | None,
    ) -> PackageSummary:
        form = format_of(path, self.options)
        check_rule(rule)
        check_metadata(metadata, details)
        require()
        size = (rule["height"], rule["width"])
        replace = replace_folder if form == "mlprogram" else replace_file
        with replace(path) as temporary:
            # Stopped midway, coremltools keeps scopes and symbols that fail later translations.
            spec = uninterrupted(partial(self._translated, form, size, temporary))
            describe(spec, rule, metadata, details)
            if form == "mlprogram":
                complete(temporary, spec)
            else:
                temporary.write_bytes(serialized(spec))
            proof = prove(temporary) if prove else None
            written = [temporary, *temporary.rglob("*")]
            size_on_disk = sum(file.stat().st_size for file in written if file.is_file())
        return PackageSummary(
            path=Path(path),
            size=size_on_disk,
            specification_version=spec.specificationVersion,
            oldest_system=_SYSTEMS[spec.specificationVersion],
            swift=swift_lines(Path(path).stem, rule),
            proof=proof,
        )

    def _translated(self, form: Format, size: tuple[int, int], temporary: Path) -> Any:
        layout = self.options.layout
        ready = prepare(self.graph, *size, self.outputs, taken=self.taken, layout=layout)
        targets = self.options.targets() if form == "mlprogram" else ("iOS15",)
        with quiet():
            program, target = to_program(ready, targets)
            self._check_outputs(program)
            try:
                if form == "neuralnetwork":
                    return to_neural_network(program, size, self.options, labels=self.labels)
                weights = weights_folder(temporary)
                return to_ml_program(
                    program, size, self.options, target, labels=self.labels, weights=weights
                )
            except (OSError, SilverprintError):
                raise
            except Exception as error:
                raise ExportError(
                    f"coremltools could not write this graph: {brief(error)}"
                ) from error

    def _check_outputs(self, program: Any) -> None:
        outputs = program.functions["main"].outputs
        for output in outputs:
            if not all(isinstance(side, int | np.integer) for side in output.shape):
                raise ExportError(
                    f"the output {output.name!r} has a size that follows from the picture: leave "
                    "it out (outputs=[...] names those to keep)"
                )
            if not output.shape:
                raise ExportError(
                    f"the output {output.name!r} is a single number without axes, for which a "
                    "description has no shape: keep an axis (keepdims=1), or leave it out "
                    "(outputs=[...] names those to keep)"
                )
        if self.labels is None:
            return
        found = tuple(outputs[0].shape)
        if found != (1, len(self.labels)):
            raise ExportError(
                f"the graph gives {list(found)} probabilities for {len(self.labels)} labels"
            )
