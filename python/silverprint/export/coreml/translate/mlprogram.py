"""From a MIL program to an ML Program: the description, and its weights on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from silverprint.export.coreml.names import IMAGE
from silverprint.export.coreml.options import ExportOptions, Target
from silverprint.export.coreml.translate.blob import BlobWriter
from silverprint.export.coreml.translate.precision import may_round
from silverprint.export.coreml.translate.quantize import quantize_program

_NEVER = {
    # It turns the normalisation into a batch_norm with an epsilon of its own.
    "common::fuse_elementwise_to_batchnorm",
}
_TO_FLOAT16 = "common::add_fp16_cast"


def to_ml_program(
    program: Any,
    size: tuple[int, int],
    options: ExportOptions,
    target: Target,
    *,
    labels: Sequence[str] | None,
    weights: Path,
) -> Any:
    """The Model protobuf of `program`, whose large constants go to the folder `weights`.

    Its input is an image of `size` (height, width). With `labels` the one output becomes
    ``target`` and ``targetProbability`` (or what `options` calls them). `program` is changed. To
    be called inside `library.quiet`.
    """
    import coremltools as ct
    from coremltools.converters.mil.backend.mil import load

    main = program.functions["main"]
    colours = getattr(ct.colorlayout, options.layout)
    main.set_input_types(
        (ct.ImageType(IMAGE, shape=(1, 3, *size), color_layout=colours, channel_first=True),)
    )
    apply_passes(program, "mlprogram", options)
    if options.weights == 8:
        quantize_program(program, options.precision)
    apply_last_passes(program, "mlprogram")
    classifier = None
    if labels is not None:
        classifier = ct.ClassifierConfig(list(labels), predicted_feature_name=options.label_name)
    with _own_writer(load):
        spec = load.load(
            program,
            weights_dir=str(weights),
            specification_version=getattr(ct.target, target).value,
            classifier_config=classifier,
            convert_to="mlprogram",
            convert_from="milinternal",
        )
    if labels is not None:
        # coremltools always calls the dictionary of an ML Program so.
        ct.utils.rename_feature(spec, f"{options.label_name}_probs", options.probability_name)
    return spec


def apply_passes(program: Any, form: str, options: ExportOptions) -> None:
    """coremltools' own clean-up and fusions, and the step to float16 of an ML Program."""
    from coremltools.converters.mil.mil.passes.pass_pipeline import (
        PassPipeline,
        PassPipelineManager,
    )

    passes = PassPipeline.get_pipeline("default")
    passes.remove_passes(_NEVER)
    if form == "mlprogram" and options.precision == "float16":
        passes.set_options(_TO_FLOAT16, {"op_selector": may_round(program)})
    else:
        passes.remove_passes({_TO_FLOAT16, "common::add_int16_cast"})
    PassPipelineManager.apply_pipeline(program, passes)


def apply_last_passes(program: Any, form: str) -> None:
    """What coremltools does to a program just before it is written in the format `form`.

    Raises ValueError where Core ML would not load the result, a tensor of rank 6 for example.
    """
    from coremltools.converters.mil.mil.passes.pass_pipeline import (
        PassPipeline,
        PassPipelineManager,
    )

    PassPipelineManager.apply_pipeline(program, PassPipeline.get_pipeline(f"backend_{form}"))
    program._check_early_error_out_for_invalid_program()


@contextmanager
def _own_writer(load: Any) -> Iterator[None]:
    """Put our writer of ``weight.bin`` in the place of the native one, which is not everywhere."""
    native = load.BlobWriter
    load.BlobWriter = BlobWriter
    try:
        yield
    finally:
        load.BlobWriter = native
