"""How much a float net computes."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from paretomark.suites.spec._model import Preprocess


def macs(net: nn.Module, preprocess: Preprocess, device: str = "cpu") -> int:
    """Return multiply-accumulates of convolutions, linear layers and matrix products for one
    picture."""
    sample = torch.zeros(1, len(preprocess.mean), *preprocess.size, device=device)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(sample)
    return int(counter.get_total_flops()) // 2
