"""The files of an ``.mlpackage`` folder, laid out as coremltools lays them out."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

from silverprint.export.atomic import MANIFEST

_WEIGHTS = "weights/weight.bin"
_FOLDER = "com.apple.CoreML"
_MODEL = "model.mlmodel"


def weights_folder(package: Path) -> Path:
    """The folder of ``weight.bin`` inside `package`, made if need be."""
    folder = (package / "Data" / _FOLDER / _WEIGHTS).parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def complete(package: Path, spec: Any) -> None:
    """Add the description and the manifest to `package`, whose weights are written.

    Identifiers are made from the content, so that equal models are equal folders.
    """
    model = serialized(spec)
    data = package / "Data" / _FOLDER
    (data / _MODEL).write_bytes(model)
    items = {_MODEL: "CoreML Model Specification"}
    digest = hashlib.sha256(model)
    weights = data / _WEIGHTS
    if weights.exists():
        items[weights.parent.name] = "CoreML Model Weights"
        with weights.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    else:
        weights.parent.rmdir()
    entries = {
        _identifier(digest.hexdigest(), name): {
            "author": _FOLDER,
            "description": description,
            "name": name,
            "path": f"{_FOLDER}/{name}",
        }
        for name, description in items.items()
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": entries,
        "rootModelIdentifier": _identifier(digest.hexdigest(), _MODEL),
    }
    (package / MANIFEST).write_text(json.dumps(manifest, indent=4) + "\n", encoding="utf-8")


def serialized(spec: Any) -> bytes:
    """The bytes of a Model protobuf, the same whatever the order of its maps in memory."""
    data: bytes = spec.SerializeToString(deterministic=True)
    return data


def _identifier(digest: str, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, digest + name)).upper()
