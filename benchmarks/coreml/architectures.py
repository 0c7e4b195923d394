"""What stands in the zoo: architectures of timm and torchvision, the smallest of each family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CLASSES = 101
"""A prime: no other layer has as many channels."""

Exporter = Literal["script", "dynamo"]
"""torch's exporter by TorchScript tracing, and the one by torch.export."""


@dataclass(frozen=True)
class Architecture:
    """One network of the zoo and the way it becomes an ONNX file.

    Attributes:
        name: as timm or torchvision calls it.
        family: the row group of the tables.
        size: height and width of its input, in pixels.
        opset: of the file that the TorchScript exporter makes; the other one's is 18.
        library: where it comes from.
        options: further arguments of its constructor.
        free_batch: the batch is a symbol, so that shapes are computed in the graph.
        keep_norms: batch normalisations are not folded into convolutions.
        fuse_branches: branches that exist for training only are fused before the export.
        exporters: those that can write it.
    """

    name: str
    family: str
    size: int = 224
    opset: int = 17
    library: Literal["timm", "torchvision"] = "timm"
    options: Mapping[str, Any] = field(default_factory=dict)
    free_batch: bool = True
    keep_norms: bool = False
    fuse_branches: bool = False
    exporters: tuple[Exporter, ...] = ("script", "dynamo")


_INTERPOLATED = {"img_size": 518, "dynamic_img_size": True}
"""Position embeddings of 518 pixels, brought to the size of the picture in the graph."""

ARCHITECTURES = (
    Architecture("resnet18", "CNN", opset=13, keep_norms=True),
    Architecture("resnet50", "CNN"),
    Architecture("regnety_002", "CNN", opset=16),
    Architecture("densenet121", "CNN", opset=14, keep_norms=True),
    Architecture("inception_v3", "CNN", size=299, opset=15),
    Architecture("squeezenet1_1", "CNN", opset=13, library="torchvision", free_batch=False),
    Architecture("tf_efficientnetv2_b0", "CNN"),
    Architecture("hgnetv2_b0", "CNN", opset=18),
    Architecture("mobilenetv2_100", "mobile", opset=13, keep_norms=True),
    Architecture("mobilenetv3_small_100", "mobile", opset=14),
    Architecture("mobilenetv4_conv_small", "mobile", opset=18),
    Architecture("efficientnet_b0", "mobile", opset=15),
    Architecture("efficientnet_lite0", "mobile", opset=16),
    Architecture("ghostnet_100", "mobile", opset=17),
    Architecture("shufflenet_v2_x0_5", "mobile", opset=13, library="torchvision"),
    Architecture("repvgg_a0", "re-parameterised", opset=16, keep_norms=True),
    Architecture("mobileone_s0", "re-parameterised", fuse_branches=True),
    Architecture("repvit_m0_9", "re-parameterised", fuse_branches=True, free_batch=False),
    Architecture("convnext_atto", "ConvNeXt-like", opset=17),
    Architecture("convnextv2_atto", "ConvNeXt-like", opset=18),
    Architecture("inception_next_atto", "ConvNeXt-like", opset=16, free_batch=False),
    Architecture("poolformer_s12", "ConvNeXt-like", opset=15),
    Architecture("vit_tiny_patch16_224", "ViT", opset=17),
    Architecture("deit_tiny_distilled_patch16_224", "ViT", opset=14),
    Architecture("vit_small_patch14_dinov2", "ViT", opset=18, options={"img_size": 224}),
    Architecture(
        "vit_small_patch14_reg4_dinov2", "ViT", options=_INTERPOLATED, exporters=("dynamo",)
    ),
    Architecture("eva02_tiny_patch14_224", "ViT", exporters=("dynamo",)),
    Architecture("swin_tiny_patch4_window7_224", "Swin-like", opset=17),
    Architecture("swinv2_tiny_window8_256", "Swin-like", size=256, opset=18, free_batch=False),
    Architecture("pvt_v2_b0", "Swin-like", opset=16),
    Architecture("mobilevit_xxs", "hybrid", size=256, opset=15),
    Architecture("mobilevitv2_050", "hybrid", size=256),
    Architecture("fastvit_t8", "hybrid", size=256, opset=17),
    Architecture("efficientformer_l1", "hybrid", opset=16),
    Architecture("efficientformerv2_s0", "hybrid", opset=18, free_batch=False),
    Architecture("efficientvit_b0", "hybrid", opset=15),
    Architecture("levit_128s", "hybrid", opset=14),
    Architecture("edgenext_xx_small", "hybrid", size=256, opset=17),
    Architecture("coatnet_pico_rw_224", "hybrid", opset=17),
    Architecture("maxvit_pico_rw_256", "hybrid", size=256, opset=18, exporters=("script",)),
)
