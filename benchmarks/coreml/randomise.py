"""Gives a network numbers with which every part of it shows in its answer.

A network fresh from its constructor has biases of zero, scales of one and statistics that fit no
picture: a converter may delete or forget them unseen. Random ones may do worse: a deep network
whose activations are half cut off everywhere enlarges rounding errors a thousandfold, and no
trained one is like that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SPREAD = 2.0
"""Standard deviation of the logits of a picture."""

_BRANCH = 0.2
"""Size of scales that begin at zero: those of branches beside a path that leads through."""

_BatchNorm = nn.modules.batchnorm._BatchNorm


def pictures(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Normalised pictures, float32 (count, 3, size, size): some soft, some busy, of any colour."""
    found = torch.randn(count, 3, 1, 1, generator=generator).expand(-1, -1, size, size).clone()
    for side in (4, 16, 64, size):
        amounts = torch.rand(count, 1, 1, 1, generator=generator)
        noise = amounts * torch.randn(count, 3, side, side, generator=generator)
        found += nn.functional.interpolate(noise, size=(size, size), mode="bilinear")
    return found


@torch.no_grad()
def randomise(model: nn.Module, size: int, classes: int, generator: torch.Generator) -> None:
    """Change the parameters and statistics of `model` in place; it is in evaluation mode after.

    Every parameter of one dimension and every one whose numbers are all equal is drawn anew:
    scales in 0.5 to 1.5, a fifth of that where they begin at zero, all others normal of 0.1;
    biases of batch normalisations around 0.5, so that more passes than is cut off. Batch
    normalisations get the statistics of random pictures, each changed a little. The classifier is
    scaled to logits that softmax can tell apart.
    """
    model.eval()
    norms = [one for one in model.modules() if isinstance(one, _BatchNorm)]
    shifts = {id(norm.bias) for norm in norms}
    for name, parameter in model.named_parameters():
        constant = bool((parameter == parameter.flatten()[0]).all())
        if parameter.dim() > 1 and not constant:
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        if id(parameter) in shifts:
            parameter.copy_(0.5 + 0.3 * noise)
        elif name.endswith(("weight", "gamma")) or (constant and parameter.flatten()[0] != 0):
            scale = _BRANCH if constant and parameter.flatten()[0] == 0 else 1.0
            parameter.copy_(scale * (0.5 + torch.rand(parameter.shape, generator=generator)))
        else:
            parameter.copy_(0.1 * noise)

    def measure(norm: _BatchNorm, inputs: tuple[Tensor]) -> None:
        others = [axis for axis in range(inputs[0].dim()) if axis != 1]
        mean, variance = inputs[0].mean(others), inputs[0].var(others, correction=0)
        variance = variance.clamp(min=0.1 * float(variance.mean()))
        noise = torch.randn(mean.shape, generator=generator)
        norm.running_mean.copy_(mean + 0.1 * noise * variance.sqrt())
        norm.running_var.copy_(variance * (0.8 + 0.4 * torch.rand(mean.shape, generator=generator)))

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    spread = model(pictures(8, size, generator)).std(dim=1).mean()
    for hook in hooks:
        hook.remove()
    for module in model.modules():
        last = (isinstance(module, nn.Linear) and module.out_features == classes) or (
            isinstance(module, nn.Conv2d) and module.out_channels == classes
        )
        if last:
            module.weight.mul_(_SPREAD / spread)
