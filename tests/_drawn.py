"""Small nets drawn at random, of what nets are made of and where folding and steps go wrong."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 8  # channels of all tensors inside
SIZE = 9  # of a picture, odd on purpose
OPERATIONS = (
    *("convolution", "normalised", "before", "depthwise", "dilated", "transposed"),
    *("again", "tied", "other_norm", "residual", "seen", "functional", "read"),
    *("pool", "padded", "attention", "products", "pointwise"),
)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Identity)
HEADS = ("mean", "flat", "two", "last")

Plan = tuple[tuple[tuple[str, int], ...], str, int]  # operations with an activation, head, seed


def plans() -> st.SearchStrategy[Plan]:
    """Plans of `Drawn`."""
    operation = st.tuples(st.sampled_from(OPERATIONS), st.integers(0, len(ACTIVATIONS) - 1))
    operations = st.lists(operation, min_size=1, max_size=6).map(tuple)
    return st.tuples(operations, st.sampled_from(HEADS), st.integers(0, 99))


def pictures(count: int, seed: int = 0) -> Tensor:
    """Pictures (count, 3, SIZE, SIZE)."""
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def lively(net: nn.Module) -> nn.Module:
    """Put a net in evaluation, with statistics and scales as after training."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.running_mean, module.bias):
                if tensor is not None:
                    nn.init.uniform_(tensor, -0.5, 0.5)
            for tensor in (module.running_var, module.weight):
                if tensor is not None:
                    nn.init.uniform_(tensor, 0.3, 1.5)
    return net.eval().requires_grad_(False)


def off(expected: nn.Module, net: nn.Module, x: Tensor) -> float:
    """The largest difference of answers, by the standard deviation of what is expected."""
    with torch.no_grad():
        answers = expected(x)
        return float((answers - net(x)).abs().max() / answers.std().clamp(min=1e-3))


class Drawn(nn.Module):
    """A net (N, 3, SIZE, SIZE) to (N, 5): every operation has its own rule below."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        operations, self.head, seed = plan
        torch.manual_seed(seed)
        self.steps = [(kind, i) for i, (kind, _) in enumerate(operations)]
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        self.acts = nn.ModuleList(ACTIVATIONS[act]() for _, act in operations)
        for kind, i in self.steps:
            self.layers.append(self._layer(kind, i))
            self.norms.append(nn.BatchNorm2d(WIDTH, affine=i % 3 != 2))
        self.reduce, self.norm = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH)
        self.flat = nn.Linear(WIDTH * SIZE * SIZE, WIDTH)
        self.one, self.two = nn.Linear(WIDTH, 5), nn.Linear(WIDTH, 5, bias=False)

    def _layer(self, kind: str, i: int) -> nn.Module:
        if kind == "depthwise":
            return nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False)
        if kind == "dilated":
            return nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2, groups=2)
        if kind == "transposed":
            return nn.ConvTranspose2d(WIDTH, WIDTH, 3, padding=1)
        if kind == "attention":
            return nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        layer = nn.Conv2d(WIDTH, WIDTH, 1 + 2 * (i % 2), padding=i % 2, bias=kind != "normalised")
        if kind == "tied":
            of = [
                m
                for m in self.layers
                if type(m) is nn.Conv2d and m.weight.shape == layer.weight.shape
            ]
            layer.weight = of[-1].weight if of else layer.weight
        return layer

    def forward(self, x: Tensor) -> Tensor:
        x = first = self.stem(x)
        for kind, i in self.steps:
            x = self.acts[i](self._operation(kind, i, x, first))
        out: Tensor = self._head(x)
        return out

    def _operation(self, kind: str, i: int, x: Tensor, first: Tensor) -> Any:
        layer: Any = self.layers[i]
        norm: Any = self.norms[i]
        if kind in ("attention", "products"):
            tokens = x.flatten(2).transpose(1, 2)
            if kind == "attention":
                mixed = layer(tokens, tokens, tokens, need_weights=False)[0]
            else:
                heads = tokens.reshape(-1, SIZE * SIZE, 2, WIDTH // 2).transpose(1, 2)
                mixed = functional.scaled_dot_product_attention(heads, heads, heads)
                mixed = mixed.transpose(1, 2).flatten(2)
            return x + mixed.transpose(1, 2).unflatten(2, (SIZE, SIZE))
        if kind == "pool":
            return functional.max_pool2d(x, 3, 1, 1) + functional.avg_pool2d(x, 3, 1, 1)
        if kind == "padded":
            return norm(layer(functional.pad(x, (1, 1, 1, 1))))[:, :, 1:-1, 1:-1]
        if kind == "pointwise":
            return x * torch.sigmoid(x.mean((2, 3), keepdim=True))
        if kind == "functional":
            mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
            return functional.batch_norm(layer(x), mean, variance)
        if kind == "read":
            return norm(layer(x)) + 0.1 * layer.get_parameter("weight").mean()
        y = layer(norm(x) if kind == "before" else x)
        rules = {
            "again": lambda: norm(y) + norm(layer(y)),
            "other_norm": lambda: norm(y) + self.norms[0](layer(-x)),
            "residual": lambda: x + norm(y),
            "seen": lambda: norm(y) + 0.5 * y,
            "convolution": lambda: y,
            "before": lambda: y,
        }
        return rules.get(kind, lambda: norm(y))()

    def _head(self, x: Tensor) -> Any:
        if self.head == "flat":
            return self.one(torch.relu(self.flat(x.flatten(1))))
        if self.head == "last":  # channels last, where normalisation is over the tokens
            return self.one(torch.relu(self.reduce(x.flatten(2).transpose(1, 2))).mean(1))
        y = self.norm(self.reduce(x.mean((2, 3))))
        return self.one(y) + self.two(torch.relu(y)) if self.head == "two" else self.one(y)
