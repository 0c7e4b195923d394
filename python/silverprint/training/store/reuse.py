"""Features of one session taken over by another."""

from __future__ import annotations

import shutil

from silverprint.errors import InvalidParameterError
from silverprint.features.disk import explained, make_folder
from silverprint.training.progress import Phase
from silverprint.training.store.documents import Key
from silverprint.training.store.files import sync_file
from silverprint.training.store.run import feature_records, runs_of
from silverprint.training.store.store import SessionStore, decoded, encoded


def reuse_features(store: SessionStore, other: SessionStore) -> int:
    """Copy what the newest run of `other` has extracted; returns how many pictures that is.

    Raises:
        InvalidParameterError: `other` has not finished its extraction, or `store` has begun.
        SessionInUseError: a job is working on `store`.
    """
    documents = other.read()
    newest = runs_of(documents)[-1]
    if newest.phase in (Phase.INITIALIZED, Phase.EXTRACTING_FEATURES):
        raise InvalidParameterError(
            "from_", str(other.folder), "a session that is past its extraction"
        )
    with store.writer() as writer:
        mine = store.read()
        if any(key.kind == "rows" and key.run for key in mine):
            raise InvalidParameterError(
                "session_directory", str(store.folder), "a session that has extracted nothing yet"
            )
        number = sum(key.kind == "matrix" and not key.run for key in mine)
        make_folder(writer.folder / "features")
        put: dict[Key, bytes] = {}
        pictures = 0
        for key, body in documents.items():
            if key.kind != "matrix" or key.run != newest.number:
                continue
            record = decoded(body)
            name = f"reused{number + len(put):04}"
            source = other.folder / record["files"]["matrix"]["name"]
            file = f"features/{name}{source.suffix}"
            with explained(source):
                shutil.copyfile(source, writer.folder / file)
            sync_file(writer.folder / file)
            record["files"]["matrix"]["name"] = file
            rows = feature_records(documents, newest.number, key.name).rows
            put[Key(0, "matrix", name)] = encoded(record)
            put[Key(0, "rows", f"{name}/000001")] = rows.tobytes()
            pictures += len(rows)
        writer.commit(put)
    return pictures
