"""Random weights for a net that is only timed, or whose export is only checked.

As libraries initialise their nets, parts of them do nothing: the last normalisation of a residual
branch multiplies by 0, LayerScale by 1e-5, and without training the statistics of batch
normalisation let signals fade. Faults in such parts would not be seen in the answers, which would
hardly depend on the picture either. So what is constant is drawn, and every layer is scaled for its
outputs to vary by 1 (Mishkin and Matas, "All you need is a good init", 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


@torch.no_grad()
def initialise(net: nn.Module, sample: Tensor | tuple[Tensor, ...], seed: int) -> None:
    """Draw the weights of `net` in place, for a sample of its inputs, by the seed alone.

    It is of pictures (N, C, H, W), or a tuple of what is declared."""
    torch.manual_seed(seed)
    for name, parameter in net.named_parameters():
        if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
            _draw(name, parameter)
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    hooks = [m.register_forward_hook(_scale) for m in net.modules() if isinstance(m, LAYERS)]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the average over all batches, here one
            norm.train()
        net(*(sample if isinstance(sample, tuple) else (sample,)))
    finally:
        for hook in hooks:
            hook.remove()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def _draw(name: str, parameter: Tensor) -> None:
    """In place of a constant: a bias around 0, a factor around 1, weights by their fan-in."""
    if parameter.ndim > 1 and parameter.numel() > max(parameter.shape):
        parameter.normal_(0, parameter[0].numel() ** -0.5)
    elif name.endswith("bias"):
        parameter.normal_(0, 0.1)
    else:
        parameter.uniform_(0.5, 1.5)


def _scale(layer: nn.Module, inputs: object, output: Tensor) -> Tensor:
    scale = 1 / output.std().clamp(min=1e-6)
    for parameter in layer.parameters():
        parameter.mul_(scale)
    return output * scale
