"""Folding of batch normalisation: never another net, and the usual one where that is right."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional
from torch.nn.utils import parametrizations

from paretomark.models.export import _fold
from paretomark.models.nets import _libraries
from paretomark.suites.spec._errors import UserError
from paretomark.tests import _drawn

pytestmark = pytest.mark.build

Forward = Callable[["Net", Tensor], Tensor]


class Net(nn.Module):
    """A few layers, and a forward that does with them what a test says."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.two = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.alias = self.conv
        self.up = nn.ConvTranspose2d(3, 8, 3)
        self.line, self.linear, self.flat = nn.Conv1d(3, 8, 3), nn.Linear(9, 8), nn.BatchNorm1d(8)
        self.said = [forward]

    def forward(self, x: Tensor) -> Tensor:
        return self.said[0](self, x)


def norms(net: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules())


def half(x: Tensor) -> Tensor:
    return functional.avg_pool2d(x, 2)


def seen_twice(net: Net, x: Tensor) -> Tensor:
    y = net.conv(x)
    out: Tensor = net.one(y) + y
    return out


def asks(net: Net, x: Tensor) -> Tensor:
    out: Tensor = net.one(net.conv(x * 2 if isinstance(x, Tensor) else x))
    return out


def tokens(net: Net, x: Tensor) -> Tensor:
    """(N, 8, 9) to (N, 8, 8): channels in the last axis, the normalisation is over the second."""
    out: Tensor = net.flat(net.linear(x.flatten(1)[:, :72].reshape(-1, 8, 9)))
    return out


@pytest.mark.parametrize(
    ("forward", "left"),
    [
        pytest.param(lambda n, x: n.one(n.conv(x)) + n.two(n.other(x)), 0, id="ordinary"),
        pytest.param(
            lambda n, x: n.one(n.conv(x)).mean((2, 3)) + n.two(n.conv(half(x))).mean((2, 3)),
            2,
            id="one convolution, two normalisations",
        ),
        pytest.param(lambda n, x: n.one(n.conv(x)) + n.conv(-x), 1, id="called bare as well"),
        pytest.param(lambda n, x: n.one(n.conv(x)) + n.alias(-x), 1, id="under two names"),
        pytest.param(lambda n, x: n.one(n.conv(x)) + n.one(n.other(x)), 0, id="one normalisation"),
        pytest.param(lambda n, x: n.one(n.one(n.conv(x))), 1, id="twice in a row"),
        pytest.param(seen_twice, 1, id="output seen by two"),
        pytest.param(lambda n, x: n.one(n.conv(x)) * n.conv.weight.mean(), 1, id="weight read"),
        pytest.param(
            lambda n, x: n.one(n.conv(x)) + functional.conv2d(x, n.conv.weight, padding=1),
            1,
            id="weight used by the code",
        ),
        pytest.param(lambda n, x: n.one(n.up(x)), 1, id="transposed"),
        pytest.param(lambda n, x: n.flat(n.line(x.flatten(2))), 0, id="of one dimension"),
        pytest.param(lambda n, x: n.flat(n.linear(x.mean((1, 2)))), 0, id="linear"),
        pytest.param(tokens, 1, id="linear, channels last"),
        pytest.param(
            lambda n, x: functional.batch_norm(n.conv(x), n.one.running_mean, n.one.running_var),
            0,
            id="functional",
        ),
        pytest.param(asks, 1, id="code that asks for the type"),
        pytest.param(lambda n, x: n.one(n.conv(x)) if x.sum() > -1e9 else x, 1, id="branches"),
    ],
)
def test_what_is_folded_answers_as_before(forward: Forward, left: int) -> None:
    net = _drawn.lively(Net(forward))
    small = _fold.folded(net, _drawn.pictures(2))
    assert _drawn.off(net, small, _drawn.pictures(3, 1)) < 1e-5
    used = {m for m in small.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    called: set[nn.Module] = set()
    for module in used:
        module.register_forward_hook(lambda m, x, y: called.add(m))
    small(_drawn.pictures(1))
    assert len(called) == left


def no_statistics(net: Net) -> None:
    net.one = nn.BatchNorm2d(8, track_running_stats=False)


def training(net: Net) -> None:
    net.one.train()


def parametrized(net: Net) -> None:
    parametrizations.weight_norm(net.conv)


def hooked(net: Net) -> None:
    net.one.register_forward_hook(lambda m, x, y: y + 1)


def no_scale(net: Net) -> None:
    net.one = nn.BatchNorm2d(8, affine=False)
    _drawn.lively(net.one)


@pytest.mark.parametrize(
    ("change", "left"),
    [(no_statistics, 1), (training, 1), (parametrized, 1), (hooked, 1), (no_scale, 0)],
)
def test_only_fixed_statistics_and_plain_weights_are_folded(
    change: Callable[[Net], None], left: int
) -> None:
    net = Net(lambda n, x: n.one(n.conv(x)))
    _drawn.lively(net)
    change(net)
    x = _drawn.pictures(4)
    small = _fold.folded(net, x)
    assert isinstance(small.get_submodule("one"), nn.BatchNorm2d) if left else not norms(small)
    assert _drawn.off(copy.deepcopy(net), small, x) < 1e-5


@pytest.mark.parametrize("affine", [True, False])
def test_a_shared_weight_is_folded_for_one_alone(affine: bool) -> None:
    net = Net(lambda n, x: n.one(n.conv(x)) + n.two(n.other(-x)))
    net.other.weight = net.conv.weight
    net.one = nn.BatchNorm2d(8, affine=affine)
    small = _fold.folded(_drawn.lively(net), _drawn.pictures(1))
    assert norms(small) == 0
    assert _drawn.off(net, small, _drawn.pictures(2)) < 1e-5
    assert net.other.weight is net.conv.weight


def of_libraries(name: str) -> Any:
    models = _libraries.import_torchvision().models
    torch.manual_seed(0)
    return models.get_model(name, weights=None)


@pytest.mark.parametrize(
    "name", ["digits_cnn", "scenes_resnet", "scenes_mobilenet", "mobilenet_v1_0_25", "resnet18"]
)
def test_ordinary_nets_are_folded_as_by_torch(name: str) -> None:
    if name == "resnet18":
        net, channels, size = of_libraries(name), 3, (64, 64)
    else:
        plugin = importlib.import_module(f"paretomark.models.nets.{name}")
        net, channels, size = plugin.net(), len(plugin.PREPROCESS.mean), plugin.PREPROCESS.size
    _drawn.lively(net)
    theirs, ours = fuse(net), _fold.folded(net, torch.randn(1, channels, *size))
    assert ours.code == theirs.code
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    assert all(value.equal(expected[key]) for key, value in ours.state_dict().items())


def test_what_cannot_be_traced_is_told() -> None:
    x = _drawn.pictures(1)
    for forward, why in (
        (asks, "answers otherwise"),
        (lambda n, x: x if x.sum() else -x, "traced"),
    ):
        with pytest.raises(UserError, match=why):
            _fold.graph(Net(forward).eval(), ((x,), {}))
