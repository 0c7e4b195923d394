"""Writes a classifier as a Core ML model package, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from silverprint.errors import ExportError, nearest
from silverprint.export.atomic import MANIFEST, replace_folder
from silverprint.export.coreml.check import check_classifier
from silverprint.export.coreml.describe import (
    check_labels,
    check_metadata,
    check_rule,
    describe,
    swift_lines,
)
from silverprint.export.coreml.names import LABEL, PROBABILITIES
from silverprint.export.coreml.reader import WEIGHTS
from silverprint.export.coreml.translate import Precision, translate

if TYPE_CHECKING:
    import onnx

_SYSTEMS = {6: "iOS 15 / macOS 12"}
"""Oldest system that runs each specification version written here (coremltools' table)."""

_FOLDER = "com.apple.CoreML"


@dataclass(frozen=True)
class PackageSummary:
    """What was written: `size` in bytes of all its files, `swift` lines to use it with Vision."""

    path: Path
    size: int
    specification_version: int
    oldest_system: str
    swift: str


def write_mlpackage(
    graph: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    labels: Sequence[str],
    picture_rule: Mapping[str, Any],
    metadata: Mapping[str, str],
    precision: Precision = "float16",
) -> PackageSummary:
    """Translate `graph` and write it to `path`, replacing an older package atomically.

    `graph` begins at ``image`` (float32 NCHW, RGB, 0..255) and gives ``targetProbability``
    [N, len(labels)], as composed by silverprint. The package takes an RGB image of the size of
    `picture_rule` (keys ``height``, ``width``, ``crop_and_scale``, ``version``) and gives
    ``target`` (the label) and ``targetProbability`` (a dictionary), Create ML's names.
    `metadata` may hold ``author``, ``license``, ``version``, ``short_description`` and further
    keys of the user. In float16 a head with numbers beyond 1000 stays float32.

    Same arguments, same bytes, with the same coremltools and onnx2coreml. The saved file is
    read back and checked before it takes its place.

    Raises ExportError: Core ML export is not available here, operators without a translation,
    duplicate labels, a wrong number of them, an incomplete rule, a place that cannot be written.
    Then `path` is as it was.
    """
    if Path(path).suffix != ".mlpackage":
        raise ExportError(f"{path}: the name of a model package ends in .mlpackage")
    if precision not in ("float16", "float32"):
        known = ("float16", "float32")
        raise ExportError(
            f"precision={precision!r}: expected float16 or float32{nearest(precision, known)}"
        )
    labels = list(labels)
    check_labels(labels)
    check_rule(picture_rule)
    check_metadata(metadata)
    with replace_folder(path) as folder:
        model = translate(
            graph,
            height=picture_rule["height"],
            width=picture_rule["width"],
            labels=labels,
            precision=precision,
        )
        spec = model.get_spec()
        _name_outputs(spec)
        describe(spec, picture_rule, metadata)
        weights = Path(model.weights_dir) / Path(WEIGHTS).name
        try:
            _write_files(folder, spec, weights)
        finally:
            shutil.rmtree(model.package_path, ignore_errors=True)
        check_classifier(folder, labels=labels, picture_rule=picture_rule, metadata=metadata)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return PackageSummary(
        path=Path(path),
        size=size,
        specification_version=spec.specificationVersion,
        oldest_system=_SYSTEMS[spec.specificationVersion],
        swift=swift_lines(Path(path).stem, picture_rule),
    )


def _name_outputs(spec: Any) -> None:
    """coremltools always calls the dictionary of an ML Program ``<label>_probs``."""
    import coremltools as ct

    ct.utils.rename_feature(spec, f"{LABEL}_probs", PROBABILITIES)


def _write_files(folder: Path, spec: Any, weights: Path) -> None:
    """Lay out the package as coremltools does, but with identifiers made from the content."""
    data = folder / "Data" / _FOLDER
    (data / WEIGHTS).parent.mkdir(parents=True)
    model = spec.SerializeToString(deterministic=True)
    (data / "model.mlmodel").write_bytes(model)
    shutil.copyfile(weights, data / WEIGHTS)
    with weights.open("rb") as stream:
        digest = hashlib.sha256(model + hashlib.file_digest(stream, "sha256").digest()).hexdigest()
    items = {
        _identifier(digest, name): {
            "author": _FOLDER,
            "description": description,
            "name": name,
            "path": f"{_FOLDER}/{name}",
        }
        for name, description in (
            ("model.mlmodel", "CoreML Model Specification"),
            ("weights", "CoreML Model Weights"),
        )
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": items,
        "rootModelIdentifier": _identifier(digest, "model.mlmodel"),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=4) + "\n", encoding="utf-8")


def _identifier(digest: str, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, digest + name)).upper()
