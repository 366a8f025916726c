"""RepVGG (Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", 2021) for 96x96 scenes.

The net is trained with three branches a block, and its weights are shipped so; calling `fuse` on
every module that has it gives the plain stack of 3x3 convolutions that computes the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from paretomark.models.nets._blocks import MeanHW, conv_bn
from paretomark.models.nets._zoo import Training
from paretomark.suites.spec._model import Preprocess

DATA = "scenes"
PREPROCESS = Preprocess(size=(96, 96), mean=(127.5, 127.5, 127.5), std=(64.0, 64.0, 64.0))
TRAIN = Training(epochs=10, count=16_000, batch=32, lr=0.05, weight_decay=3e-4, shift=4, flip=True)


class RepBlock(nn.Module):
    """The sum of a 3x3 and a 1x1 convolution and, where shapes agree, the identity; then ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.branches = nn.ModuleList(
            [conv_bn(inputs, outputs, 3, stride), conv_bn(inputs, outputs, 1, stride)]
        )
        if inputs == outputs and stride == 1:
            self.branches.append(nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        out: Tensor = self.relu(total)
        return out

    def fuse(self) -> None:
        """Replace the branches, in place, by the one 3x3 convolution with bias they amount to.

        Exact for evaluation (batch normalisation by running statistics) up to rounding; a second
        call changes nothing.
        """
        if len(self.branches) == 1:
            return
        parts = [self._kernel(branch) for branch in self.branches]
        kernel = torch.stack([k for k, _ in parts]).sum(0)
        bias = torch.stack([b for _, b in parts]).sum(0)
        conv = nn.Conv2d(kernel.shape[1], len(bias), 3, self.stride, padding=1)
        conv.load_state_dict({"weight": kernel, "bias": bias})
        self.branches = nn.ModuleList([conv.to(parts[0][0].device).train(self.training)])

    def _kernel(self, branch: nn.Module) -> tuple[Tensor, Tensor]:
        """The (outputs, inputs, 3, 3) kernel and the bias of a branch, in float64."""
        norm = branch[1] if isinstance(branch, nn.Sequential) else branch
        assert isinstance(norm, nn.BatchNorm2d)
        identity = torch.eye(norm.num_features)[:, :, None, None]
        kernel = branch[0].weight if isinstance(branch, nn.Sequential) else identity
        assert isinstance(kernel, Tensor)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        bias = norm.bias.double() - norm.running_mean.double() * scale
        padded = functional.pad(kernel.to(scale), [(3 - kernel.shape[-1]) // 2] * 4)
        return (padded * scale[:, None, None, None]).detach(), bias.detach()


def net() -> nn.Module:
    """Make the net: float32 (N, 3, 96, 96) to logits (N, 12)."""
    return nn.Sequential(
        # No block: oneDNN corrupts memory in the weight gradient of a 1x1 stride-2 convolution
        # of 3 channels that lie last (seen with torch 2.13).
        conv_bn(3, 16, 3, stride=2),
        nn.ReLU(),
        RepBlock(16, 32, stride=2),
        RepBlock(32, 32),
        RepBlock(32, 64, stride=2),
        RepBlock(64, 64),
        RepBlock(64, 64),
        RepBlock(64, 128, stride=2),
        RepBlock(128, 128),
        MeanHW(),
        nn.Linear(128, 12),
    )
