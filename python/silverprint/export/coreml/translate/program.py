"""From an ONNX graph to a MIL program; the one place that knows onnx2coreml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from silverprint.errors import ExportError
from silverprint.export.coreml.translate.lowerings import register_all
from silverprint.export.coreml.translate.traps import refuse_traps

if TYPE_CHECKING:
    import onnx

    from silverprint.export.coreml.options import Target


def to_program(graph: onnx.ModelProto, targets: Sequence[Target]) -> tuple[Any, Target]:
    """A MIL program that computes what `graph` (as `prepare` leaves it) computes.

    Built for the first of `targets`, oldest first, that knows all its operations; that target is
    the second result. To be called inside `library.quiet`.

    Raises ExportError: operators without a translation (all of them, with the nodes), or an
    operator that is used in a way that Core ML does not know.
    """
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder
    from onnx2coreml import ConversionError, Converter, UnsupportedOpError

    refuse_traps(graph)
    refused: ConversionError | None = None
    for target in targets:
        # Names of values are numbered through; the same graph is to have the same names.
        Builder.name_count.clear()
        converter = Converter()
        register_all(converter)
        try:
            # float32 even for a float16 file: coremltools rounds later, without first cutting
            # large weights down to what float16 can hold. The fusions are expanded again anyway.
            program = converter.to_mil(
                graph,
                target=getattr(ct.target, target),
                precision=ct.precision.FLOAT32,
                fuse=False,
            )
        except UnsupportedOpError as error:
            raise ExportError(_missing(error.missing)) from error
        except ConversionError as error:
            refused = refused or error
        except Exception as error:
            raise ExportError(
                f"the graph cannot be translated to Core ML: {brief(error)}"
            ) from error
        else:
            return program, target
    assert refused is not None
    raise ExportError(
        f"operator {refused.op_key}, node {refused.node_name!r}, cannot be translated to Core ML: "
        f"{brief(refused.cause)}"
    ) from refused


def brief(error: BaseException) -> str:
    """The type of an exception and what it says."""
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}"


def _missing(operators: dict[str, list[str]]) -> str:
    lines = [f"  {operator}: {', '.join(operators[operator])}" for operator in sorted(operators)]
    return (
        "these operators of the graph have no Core ML translation:\n"
        + "\n".join(lines)
        + "\nexport the backbone without them, or write the model as .onnx"
    )
