"""Writes the zoo: networks with random weights as ONNX files, in a folder of yours.

Needs an environment of its own (requirements.txt beside this file); takes about ten minutes and
two gigabytes. The weights are drawn by a fixed seed. The files take `image`, normalised, and give
`logits`; their metadata say how to normalise. Each exporter of torch writes one where it can, the
others are reported.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coreml.architectures import ARCHITECTURES, CLASSES, Architecture, Exporter
from coreml.randomise import pictures, randomise

_NORMALISATION = {"mean": "[123.675, 116.28, 103.53]", "std": "[58.395, 57.12, 57.375]"}
_DYNAMO_OPSET = 18
_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="architectures to write")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    known = {one.name for one in ARCHITECTURES}
    if unknown := sorted(set(args.only or ()) - known):
        parser.error(f"no such architectures: {', '.join(unknown)}")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for architecture in ARCHITECTURES:
        if args.only and architecture.name not in args.only:
            continue
        begin = time.perf_counter()
        model = build(architecture)
        for exporter in architecture.exporters:
            path = args.folder / f"{architecture.name}-{exporter}.onnx"
            try:
                export(model, architecture, exporter, path)
            except Exception as error:  # whatever an exporter raises is its answer
                reason = (str(error).strip().splitlines() or [""])[0][:200]
                print(f"{path.stem}: {type(error).__name__}: {reason}", flush=True)
                continue
            seconds = time.perf_counter() - begin
            size = path.stat().st_size / 1e6
            print(f"{path.stem}: {size:.1f} MB after {seconds:.0f} s", flush=True)


def build(architecture: Architecture) -> nn.Module:
    """The network with its random weights, ready for pictures."""
    torch.manual_seed(zlib.crc32(architecture.name.encode()))
    if architecture.library == "torchvision":
        torchvision = _torchvision()
        create = getattr(torchvision.models, architecture.name)
        model: nn.Module = create(num_classes=CLASSES, **architecture.options)
    else:
        _torchvision()
        import timm

        model = timm.create_model(architecture.name, num_classes=CLASSES, **architecture.options)
    generator = torch.Generator().manual_seed(1)
    randomise(model, architecture.size, CLASSES, generator)
    if architecture.fuse_branches:
        from timm.utils.model import reparameterize_model

        model = reparameterize_model(model)
    return model.eval()


def _torchvision() -> Any:
    """torchvision, also where its compiled part needs another build of torch than there is.

    No network of the zoo needs an operator of that part, but its import wants two to be known.
    """
    if "torchvision" not in sys.modules:
        for operator in ("nms", "qnms"):
            with contextlib.suppress(RuntimeError):
                _LIBRARY.define(f"{operator}(Tensor dets, Tensor scores, float iou) -> Tensor")
    return importlib.import_module("torchvision")


def export(model: nn.Module, architecture: Architecture, exporter: Exporter, path: Path) -> None:
    """Write `model` to `path` and check that the file is whole."""
    size = architecture.size
    example = pictures(2, size, torch.Generator().manual_seed(2))
    if not architecture.free_batch:
        example = example[:1]
    keep = torch.onnx.TrainingMode.PRESERVE if architecture.keep_norms else None
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        written = Path(folder) / "model.onnx"
        if exporter == "script":
            torch.onnx.export(
                model,
                (example,),
                written,
                dynamo=False,
                input_names=["image"],
                output_names=["logits"],
                opset_version=architecture.opset,
                dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}}
                if architecture.free_batch
                else None,
                training=keep or torch.onnx.TrainingMode.EVAL,
                do_constant_folding=not architecture.keep_norms,
            )
        else:
            torch.onnx.export(
                model,
                (example,),
                written,
                dynamo=True,
                input_names=["image"],
                output_names=["logits"],
                opset_version=_DYNAMO_OPSET,
                dynamic_shapes=({0: torch.export.Dim("batch")},)
                if architecture.free_batch
                else None,
                external_data=False,
            )
        made = onnx.load(written)
    shown = {"input_size": str(size), "channel_order": "RGB", **_NORMALISATION}
    onnx.helper.set_model_props(made, shown)
    onnx.checker.check_model(made, full_check=True)
    whole = path.with_suffix(".part")
    whole.write_bytes(made.SerializeToString(deterministic=True))
    whole.replace(path)


if __name__ == "__main__":
    main()
