"""Makes session-1/: python tests/formats/make_session.py"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ["SILVERPRINT_CACHE"] = "off"

import silverprint as sp  # noqa: E402
from silverprint.training.store.store import DATABASE, FORMAT_VERSION  # noqa: E402
from support.classifier_sets import COLOURS, draw  # noqa: E402
from support.guests import tiny_extractor  # noqa: E402
from support.sessions import SHORT, advance, resumed, session_of  # noqa: E402

PLACE = Path("/tmp/silverprint-session")
"""Where the sessions think that they lie, and their pictures: a path of no machine."""


def main() -> None:
    PLACE.mkdir()
    try:
        os.chdir(PLACE)
        for label, colour in COLOURS.items():
            for i in range(SHORT // len(COLOURS)):
                draw(PLACE / "pictures" / label / f"{i}.png", colour, size=8)
        tiny_extractor(PLACE)
        advance(session_of(PLACE, "unfinished"), sp.Phase.TRAINING, 3)
        session = session_of(PLACE, "finished")
        model, _ = resumed(session)
        checkpoint = sp.ImageClassifier(checkpoint=session.checkpoints[-1])
        pictures = sorted(map(str, (PLACE / "pictures").rglob("*.png")))
        expected = {
            "probabilities": model.probabilities(pictures).tolist(),
            "checkpoint": checkpoint.probabilities(pictures).tolist(),
        }
        (PLACE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        for name in ("unfinished", "finished"):  # whose was the lease is still in free pages
            with closing(sqlite3.connect(PLACE / name / DATABASE)) as database:
                database.execute("VACUUM")
        shutil.copytree(PLACE, HERE / f"session-{FORMAT_VERSION}")
    finally:
        shutil.rmtree(PLACE)


if __name__ == "__main__":
    main()
