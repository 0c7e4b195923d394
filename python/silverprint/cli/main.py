"""The `silverprint` command: its commands, and what errors mean to the shell."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from silverprint.errors import (
    BackboneError,
    CorruptSessionError,
    ExportError,
    IncompatibleParametersError,
    InvalidDataError,
    InvalidParameterError,
    ModifiedTrainingDataError,
    OnnxRuntimeError,
    SessionInUseError,
    TrainingCancelled,
)

if TYPE_CHECKING:
    import typer

OK, BUG, USAGE, BAD_DATA, GATE_FAILED, ENVIRONMENT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (InvalidParameterError, USAGE),
    (IncompatibleParametersError, USAGE),
    (ModifiedTrainingDataError, BAD_DATA),
    (CorruptSessionError, ENVIRONMENT),
    (SessionInUseError, ENVIRONMENT),
    (InvalidDataError, BAD_DATA),
    (BackboneError, BAD_DATA),
    (OnnxRuntimeError, ENVIRONMENT),
    (ExportError, ENVIRONMENT),
    (OSError, ENVIRONMENT),
    (MemoryError, ENVIRONMENT),
    (TrainingCancelled, INTERRUPTED),
    (KeyboardInterrupt, INTERRUPTED),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 done; 1 our bug; 2 usage; 3 bad data; 4 a quality gate failed; 5 environment; 130 interrupted.
    """
    import typer

    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        status = _app()(args=arguments, prog_name="silverprint", standalone_mode=False)
    except typer.Abort:
        return INTERRUPTED
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        return _explain(error)
    return status if isinstance(status, int) else OK


def _explain(error: BaseException) -> int:
    show = getattr(error, "show", None)
    if show is not None:  # a usage error of the command line parser
        show()
        return int(getattr(error, "exit_code", USAGE))
    for kind, code in _CODES:
        if isinstance(error, kind):
            text = "out of memory" if isinstance(error, MemoryError) else str(error) or repr(error)
            print("interrupted" if code == INTERRUPTED else f"error: {text}", file=sys.stderr)
            return code
    import traceback

    traceback.print_exception(error)
    print(
        "This is a bug in silverprint. Please report it with the lines above and the output of "
        "`silverprint info`.",
        file=sys.stderr,
    )
    return BUG


def _app() -> typer.Typer:
    import typer

    from silverprint.cli import (
        cache,
        demo,
        evaluate,
        export,
        extract,
        info,
        predict,
        session,
        train,
    )

    app = typer.Typer(
        help="From a folder of labelled photos to a Core ML or ONNX model.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    trainer = typer.Typer(help="Train a model.", no_args_is_help=True)
    trainer.command("classifier")(train.classifier)
    app.add_typer(trainer, name="train")
    cached = typer.Typer(help="The features that are kept for later trainings.")
    cached.command()(cache.info)
    cached.command()(cache.clear)
    app.add_typer(cached, name="cache", no_args_is_help=True)
    sessions = typer.Typer(help="Trainings that are kept in folders.", no_args_is_help=True)
    sessions.callback()(lambda: None)
    sessions.command()(session.show)
    app.add_typer(sessions, name="session")
    app.command()(demo.demo)
    app.command()(evaluate.evaluate)
    app.command()(predict.predict)
    app.command()(extract.extract)
    app.command()(export.export)
    app.command()(info.info)
    return app
