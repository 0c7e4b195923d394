"""`silverprint info`."""

from __future__ import annotations

from typing import Annotated

import typer

from silverprint.cli.output import Output


def info(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What is installed and in use; the first thing to send with a report of trouble."""
    from silverprint.inspect.config import config, show_config

    if json:
        Output(True).finish(config())
    else:
        show_config()
