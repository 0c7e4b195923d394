"""A classifier as a Core ML file that is proven before it takes its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from silverprint.data.source import StrPath
from silverprint.export.coreml import ExportOptions, PackageSummary, write_classifier
from silverprint.export.coreml.damage import named
from silverprint.export.coreml.pictures import drawn, readable, tensors_of
from silverprint.model.compose import ClassifierRecord
from silverprint.model.metadata import RECORD_KEY

if TYPE_CHECKING:
    from silverprint.data.decode import Picture
    from silverprint.export.coreml.proof import Proof


def write_core_ml(
    model: bytes,
    record: ClassifierRecord,
    path: StrPath,
    options: ExportOptions,
    *,
    pictures: Sequence[Picture] | None,
    examples: Sequence[str],
) -> PackageSummary:
    """Translate a composed classifier and prove the file.

    Args:
        pictures: of which 16 prove it; None: `examples` as far as they can be read, or drawn ones.

    Raises:
        ExportError: see `ImageClassifier.write`.
        InvalidDataError: one of `pictures` cannot be read.
    """
    import onnx

    from silverprint.export.coreml.proof import Expected, prove

    rule = record.rule
    if pictures is not None:
        tensors = tensors_of(pictures, rule)
    else:
        tensors = readable(examples, rule) or drawn(rule)
    graph = onnx.ModelProto.FromString(model)
    metadata = record.metadata.to_dict() | {RECORD_KEY: record.to_json()}
    details = details_of(record)
    expected = Expected(rule.to_json(), record.labels, (), metadata, details, options)

    def proof(written: Path) -> Proof:
        return replace(prove(written, graph, tensors, expected=expected), path=str(path))

    with named(Path(path)):
        return write_classifier(
            graph,
            path,
            labels=record.labels,
            picture_rule=rule.to_json(),
            metadata=metadata,
            details=details,
            options=options,
            prove=proof,
        )


def details_of(record: ClassifierRecord) -> dict[str, Any]:
    """What stands in the metadata of a Core ML file beside the author's words."""
    return {"training": record.training, "backbone": record.extractor}
