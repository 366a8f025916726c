"""Channels that say nothing are removed without a trace, from nets drawn at random, or refused.

PARETOMARK_EXAMPLES is how many nets are drawn for each importance.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from paretomark.models.compress import _step
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.tests import _drawn

pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

EXAMPLES = int(os.environ.get("PARETOMARK_EXAMPLES", "8"))
CTX = _step.Context("noise", Preprocess((_drawn.SIZE, _drawn.SIZE), (127.0,) * 3), seed=0)
WIDTH = 16
KINDS = (
    *("plain", "bare", "twice", "four", "depthwise", "residual", "bottleneck", "concatenated"),
    *("gated", "widened", "split", "shuffled", "transposed", "dense"),
)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Tanh)  # that keep 0
HEADS = ("mean", "flat", "two", "apart")

Plan = tuple[tuple[tuple[str, int], ...], str, int]


class Drawn(nn.Module):
    """A net of streams WIDTH wide, or twice as wide, whose silent channels stand at the same places
    in each: `convolution` makes them so."""

    def __init__(self, plan: Plan, silent: frozenset[int]) -> None:
        super().__init__()
        operations, self.head, seed = plan
        torch.manual_seed(seed)
        self.silent = silent
        self.kinds = [kind for kind, _ in operations]
        self.stem = self.convolution(3, WIDTH)
        self.acts = nn.ModuleList(ACTIVATIONS[act]() for _, act in operations)
        self.layers = nn.ModuleList(map(self.layer, self.kinds))
        self.one, self.two = nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 3)
        self.flat = nn.Linear(WIDTH * _drawn.SIZE**2, 4)

    def convolution(
        self, wide: int, out: int, kernel: int = 1, norm: bool = True, **how: Any
    ) -> Any:
        """A layer with its normalisation, in which the channels of every WIDTH // 4 that are silent
        put out 0."""
        kind = how.pop("kind", nn.Conv2d)
        layer = kind(wide, out, kernel, padding=kernel // 2, **how)
        mute = [c for c in range(out) if c % 4 in self.silent]
        part = nn.Sequential(layer, nn.BatchNorm2d(out)) if norm else nn.Sequential(layer)
        _drawn.lively(part)
        with torch.no_grad():
            weight = layer.weight.transpose(0, 1) if kind is nn.ConvTranspose2d else layer.weight
            for tensor in (weight, layer.bias, *part[1:].parameters()):
                tensor[mute] = 0
        return part

    def layer(self, kind: str) -> nn.Module:
        new, w = self.convolution, WIDTH
        parts: dict[str, Callable[[], list[nn.Module]]] = {
            "plain": lambda: [new(w, w, 3)],
            "bare": lambda: [new(w, w, norm=False)],
            "twice": lambda: [new(w, w, 3, groups=2)],
            "four": lambda: [new(w, w, 3, groups=4)],
            "depthwise": lambda: [new(w, w, 3, groups=w)],
            "residual": lambda: [new(w, w, 3)],
            "bottleneck": lambda: [
                new(w, w // 2),
                new(w // 2, w // 2, 3, groups=2),
                new(w // 2, w),
            ],
            "concatenated": lambda: [new(w, w), new(2 * w, w)],
            "gated": lambda: [new(w, w // 2, norm=False), new(w // 2, w, norm=False)],
            "widened": lambda: [new(w, 2 * w), new(2 * w, 2 * w, 3, groups=2 * w), new(2 * w, w)],
            "split": lambda: [new(w // 2, w // 2, 3), new(w // 2, w // 2)],
            "shuffled": lambda: [new(w, w, groups=2), new(w, w, groups=2)],
            "transposed": lambda: [new(w, w, 3, kind=nn.ConvTranspose2d)],
            "dense": lambda: [new(w, w, 3), new(2 * w, w, 3), new(3 * w, w)],
        }
        return nn.ModuleList(parts[kind]())

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for kind, layer, act in zip(self.kinds, self.layers, self.acts, strict=True):
            x = act(self.operation(kind, layer, act, x))
        mean = x.mean((2, 3))
        if self.head == "flat":
            return self.flat(x.flatten(1))  # type: ignore[no-any-return]
        if self.head == "mean":
            return self.one(mean)  # type: ignore[no-any-return]
        if self.head == "two":
            return torch.cat([self.one(mean), self.two(x.amax((2, 3)))], 1)
        return self.one(mean) + self.flat(x.flatten(1))  # type: ignore[no-any-return]

    def operation(self, kind: str, layer: Any, act: nn.Module, x: Tensor) -> Any:
        if kind == "residual":
            return x + layer[0](x)
        if kind == "concatenated":
            return layer[1](torch.cat([x, act(layer[0](x))], 1))
        if kind == "gated":
            return x * torch.sigmoid(layer[1](act(layer[0](x.mean((2, 3), keepdim=True)))))
        if kind == "split":
            one, two = x.chunk(2, 1)
            return torch.cat([layer[0](one), layer[1](two)], 1)
        if kind == "shuffled":
            y = layer[0](x)
            return layer[1](y.view(len(y), 2, -1, *y.shape[2:]).transpose(1, 2).flatten(1, 2))
        if kind == "dense":
            x = torch.cat([x, act(layer[0](x))], 1)
            return layer[2](torch.cat([x, act(layer[1](x))], 1))
        for each in layer:
            x = each(x)
        return x


def plans() -> st.SearchStrategy[Plan]:
    operation = st.tuples(st.sampled_from(KINDS), st.integers(0, len(ACTIVATIONS) - 1))
    operations = st.lists(operation, min_size=1, max_size=5).map(tuple)
    return st.tuples(operations, st.sampled_from(HEADS), st.integers(0, 99))


@pytest.mark.parametrize("by", ["l1", "l2", "bn"])
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    plan=plans(),
    silent=st.sets(st.integers(0, 3), min_size=2, max_size=2).map(frozenset),
    ratio=st.sampled_from([0.1, 0.25, 0.4]),
    first=st.booleans(),
)
def test_silent_channels_go_without_a_trace(
    by: str, plan: Plan, silent: frozenset[int], ratio: float, first: bool
) -> None:
    net = Drawn(plan, silent).eval().requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    step = {"method": "channels", "ratio": ratio, "by": by, "round_to": 1, "prune_first": first}
    try:
        got = _step.apply(net, step, CTX)
    except UserError:
        return
    finally:
        assert all(value.equal(before[name]) for name, value in net.state_dict().items())
    assert _drawn.off(net, got, _drawn.pictures(3)) < 1e-4
    assert sum(p.numel() for p in got.parameters()) < sum(p.numel() for p in net.parameters())
