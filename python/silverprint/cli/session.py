"""`silverprint session`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from silverprint.cli.output import Output


def show(
    folder: Annotated[Path, typer.Argument(help="The folder of a session.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Where a training stands; also while another process goes on with it."""
    from silverprint.training.session import SessionView

    session = SessionView(folder)
    out = Output(json)
    out.say(session.summary())
    out.finish(_record(session))


def _record(session: Any) -> dict[str, Any]:
    holder = session.store.holder
    return {
        "folder": str(session.store.folder),
        "date": session.date.isoformat(),
        "size_on_disk": session.size_on_disk,
        "phase": session.phase,
        "iteration": session.iteration,
        "in_use_by": None if holder is None else str(holder),
        "status": dict(session.store.status),
        "runs": [
            {
                "number": run.number,
                "date": run.date.isoformat(),
                "phase": run.phase,
                "changes": run.changes,
                "pictures": run.pictures,
                "accuracy": run.accuracy,
                "accuracy_interval": run.accuracy_interval,
            }
            for run in session.runs
        ],
        "checkpoints": [
            {
                "phase": one.phase,
                "iteration": one.iteration,
                "date": one.date.isoformat(),
                "url": str(one.url),
                "metrics": dict(one.metrics),
            }
            for one in session.checkpoints
        ],
    }
