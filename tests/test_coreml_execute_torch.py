"""A model that coremltools itself converts from PyTorch, executed and held against PyTorch.

Nothing of silverprint writes this file. Needs torch, which is no dependency; without it everything
here is skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs a model from PyTorch; torch is no dependency")

from silverprint.export.coreml import available  # noqa: E402
from silverprint.export.coreml.execute import execute  # noqa: E402
from silverprint.export.coreml.library import quiet  # noqa: E402
from silverprint.export.coreml.reader import main_block, read_model  # noqa: E402

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

nn: Any = torch.nn


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: Any) -> Any:
        scale = self.up(nn.functional.silu(self.down(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(scale)


class Attention(nn.Module):
    """Two heads with their own projections, normalised before, added after."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.all = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        width = self.out.in_features
        # Sizes that come from a shape are integers of the graph, which coremltools 9 cannot take.
        parts = self.all(self.norm(x)).reshape(1, -1, 3, 2, width // 2)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        mixed = attended.transpose(1, 2).reshape(1, -1, width)
        return x + self.out(mixed)


class Hybrid(nn.Module):
    """Convolutions, depthwise and grouped, pools, squeeze and excitation, attention, resizing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.Hardswish()
        )
        self.deep = nn.Sequential(
            nn.Conv2d(12, 12, 5, 1, 2, groups=12), nn.BatchNorm2d(12), nn.ReLU6(), Squeeze(12)
        )
        self.grouped = nn.Sequential(nn.Conv2d(12, 24, 3, 2, 1, groups=3), nn.PReLU(24))
        self.pools = (nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1, count_include_pad=False))
        self.token = nn.Parameter(torch.zeros(1, 1, 24))
        self.attention, self.norm = Attention(24), nn.LayerNorm(24)
        self.mlp = nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24))
        self.smooth = nn.GELU(approximate="tanh")
        self.group = nn.GroupNorm(4, 24)
        self.head = nn.Linear(24, 5)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        x = self.grouped(x + self.deep(x))
        x = self.group(x + self.pools[0](x) - self.pools[1](x))
        wide = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = x + nn.functional.interpolate(wide, scale_factor=0.5, mode="nearest")
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token, tokens], 1)
        tokens = self.attention(tokens)
        tokens = self.norm(tokens + self.smooth(self.mlp(tokens)))
        return self.head(tokens[:, 0]).softmax(-1)


def randomised() -> Any:
    """Every weight and statistic random: zeros and ones would hide what is left out."""
    torch.manual_seed(0)
    model = Hybrid().eval()
    with torch.no_grad():
        for name, one in [*model.named_parameters(), *model.named_buffers()]:
            if one.is_floating_point() and one.ndim <= 1:
                one.uniform_(0.5, 1.5) if "var" in name else one.normal_()
        model.token.normal_()
    return model


@pytest.mark.parametrize("target", ["iOS15", "iOS17", "iOS18"])
@pytest.mark.parametrize("precision", ["FLOAT32", "FLOAT16"])
@pytest.mark.filterwarnings("ignore")
def test_a_model_from_pytorch(tmp_path: Path, target: str, precision: str) -> None:
    model, path = randomised(), tmp_path / "Hybrid.mlpackage"
    x = np.random.default_rng(0).normal(size=(1, 3, 32, 24)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).numpy()
        traced = torch.jit.trace(model, torch.from_numpy(x))
    with quiet():
        import coremltools as ct

        ct.convert(
            traced,
            inputs=[ct.TensorType("x", x.shape, dtype=np.float32)],
            outputs=[ct.TensorType("y", dtype=np.float32)],
            minimum_deployment_target=getattr(ct.target, target),
            compute_precision=getattr(ct.precision, precision),
            skip_model_load=True,
        ).save(str(path))
    saved = read_model(path)
    assert len({one.type for one in main_block(saved.spec).operations}) > 15
    found = execute(saved, {"x": x})["y"]
    assert found.shape == expected.shape
    tolerance = 2e-5 if precision == "FLOAT32" else 2e-2
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    rounded = execute(saved, {"x": x}, rounding="float16")["y"]
    assert np.abs(rounded - expected).max() <= tolerance * np.abs(expected).max()
    assert (rounded == found).all() == (precision == "FLOAT32")
