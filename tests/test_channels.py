"""Channel pruning: what goes, by closed forms, and that nothing else changes, by whole nets."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import io
from collections.abc import Sequence

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from paretomark.models.compress import _step
from paretomark.models.data import _data
from paretomark.models.nets import _zoo, digits_cnn, scenes_repvgg
from paretomark.models.training import _train

pytestmark = pytest.mark.build

CTX = _step.Context("digits", digits_cnn.PREPROCESS, seed=0)


def pruned(net: nn.Module, ctx: _step.Context = CTX, **parameters: object) -> nn.Module:
    return _step.apply(net, {"method": "channels", **parameters}, ctx)


def scattered(net: nn.Module) -> nn.Module:
    """The net with statistics as after training, all different, ready for evaluation."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -1.0), (module.running_var, 0.5)):
                assert tensor is not None
                nn.init.uniform_(tensor, low, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
            nn.init.uniform_(module.bias, -1.0, 1.0)
    return net.eval()


def silenced(net: nn.Module, smaller: nn.Module) -> nn.Module:
    """The net with all that `smaller` has no more set to zero, found by biases: all differ."""
    net = copy.deepcopy(net)
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d) and module.bias is not None:
            gone = ~torch.isin(module.bias, smaller.get_parameter(f"{name}.bias"))
            with torch.no_grad():
                module.bias[gone] = 0
                module.weight[gone] = 0
    return net


def difference(net: nn.Module, other: nn.Module, x: Tensor) -> float:
    """Of the answers in float64, as a share of the largest."""
    with torch.no_grad():
        one, two = (copy.deepcopy(n).double()(x.double()) for n in (net, other))
    return float((one - two).abs().max() / one.abs().max())


def macs(net: nn.Module, x: Tensor) -> float:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net(x)
    return counter.get_total_flops() / 2


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def widths(net: nn.Module) -> list[int]:
    return [m.weight.shape[0] for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


# A shuffle of channels or pixels is not followed, and the AlexNets take no smaller pictures.
REFUSED = ("shufflenet", "scenes_segmenter", "alexnet")
FOLLOWED = [name for name in _zoo.names() if not name.startswith(REFUSED)]


@pytest.mark.parametrize("name", FOLLOWED)
def test_a_net_of_the_zoo_loses_its_channels_as_if_they_were_zero(name: str) -> None:
    module = importlib.import_module(f"paretomark.models.nets.{name}")
    net = scattered(module.net())
    size = min(module.PREPROCESS.size[0], 96)  # float64 is slow
    preprocess = dataclasses.replace(module.PREPROCESS, size=(size, size))
    x = torch.randn(2, len(preprocess.mean), size, size)
    smaller = pruned(net, _step.Context(module.DATA, preprocess, 0), macs=0.5)
    assert difference(silenced(net, smaller), smaller, x) < 1e-9
    assert 0.45 < macs(smaller, x) / macs(net, x) <= 0.5
    assert parameters(smaller) < 0.9 * parameters(net)
    for before, after in zip(widths(net), widths(smaller), strict=True):
        assert after == before or after % 8 == 0
    file = io.BytesIO()
    torch.save(smaller, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(again(x), smaller(x))


class Ties(nn.Module):
    """Everything that ties channels: gates, sums of parts put together, pixels in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.left = nn.Conv2d(16, 8, 1)
        self.right = nn.Conv2d(16, 8, 3, padding="same", padding_mode="reflect")
        self.sum = nn.Conv2d(16, 16, 1)
        self.squeeze = nn.Conv2d(16, 8, 1)
        self.excite = nn.Conv2d(8, 16, 1)
        self.where = nn.Conv2d(16, 1, 1)
        self.norm = nn.BatchNorm2d(16)
        self.wide = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.hidden = nn.Linear(16 * 16, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu6(self.stem(x))
        both = torch.cat([self.left(x), self.right(x)], dim=-3) + self.sum(x)
        both = self.sum(functional.hardswish(both)) * 0.5  # the same layer again
        gate = torch.relu_(self.squeeze(functional.adaptive_avg_pool2d(both, 1)))
        gate = torch.sigmoid(self.excite(gate))
        x = self.norm(both * gate) * torch.sigmoid(self.where(both))
        x = functional.max_pool2d(self.wide(x) + x[:, :, :, :].mean((2, 3))[:, :, None, None], 2)
        out: Tensor = self.head(torch.tanh(self.hidden(x.reshape(len(x), -1))))
        return out


def test_every_way_to_tie_channels_is_followed() -> None:
    net = scattered(Ties())
    smaller = pruned(net, ratio=0.4, round_to=2, prune_first=True)
    assert difference(silenced(net, smaller), smaller, torch.randn(2, 1, 8, 8)) < 1e-9
    assert 0.45 * parameters(net) < parameters(smaller) < 0.95 * parameters(net)
    assert smaller.get_parameter("wide.weight").shape == (16, 4, 3, 3)  # in groups: left whole


class Pair(nn.Module):
    """A convolution and its normalisation, which a second one reads; filters are given."""

    def __init__(self, filters: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 1, 1)
        self.first = nn.Conv2d(1, len(filters), (1, 4), bias=False)
        self.norm = nn.BatchNorm2d(len(filters))
        self.second = nn.Conv2d(len(filters), 4, 1)
        self.head = nn.Linear(4, 2)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor(filters).view_as(self.first.weight))
            self.norm.weight.copy_(torch.tensor([3.0, 4.0, 1.0, 2.0]))
            self.second.weight.copy_(torch.arange(1.0, 5.0).diag()[..., None, None])

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(self.stem(x))))
        out: Tensor = self.head(self.second(x).mean((2, 3)))
        return out


FILTERS = [[1.0, 1.0, 1.0, -1.0], [0.0, -3.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0], [9.5, 9.5, 9.5, 9.5]]


@pytest.mark.parametrize(("by", "gone"), [("l1", 1), ("l2", 0), ("bn", 2)])
def test_the_least_important_channel_goes(by: str, gone: int) -> None:
    net = Pair(FILTERS)
    smaller = pruned(net, ratio=0.25, round_to=1, by=by, exclude=["second"])
    kept = [i for i in range(4) if i != gone]
    assert torch.equal(smaller.get_parameter("first.weight"), net.first.weight[kept])
    assert torch.equal(smaller.get_parameter("second.weight"), net.second.weight[:, kept])
    assert net.first.weight.shape[0] == 4  # the net that was given is left alone


def test_a_scope_shares_out_what_goes() -> None:
    net = Pair([[5.0] * 4] * 4)  # all the same in the first, 1 to 4 in the second
    assert widths(pruned(net, ratio=0.25, round_to=1, scope="layer")) == [1, 3, 3, 2]
    assert widths(pruned(net, ratio=0.25, round_to=1, scope="global")) == [1, 4, 2, 2]


def test_tied_layers_are_ranked_as_one() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 1, 1)
            self.a = nn.Conv2d(1, 3, 1)
            self.b = nn.Conv2d(1, 3, 1)
            self.head = nn.Conv2d(3, 2, 1)
            self.a.weight.data[:, 0, 0, 0] = torch.tensor([1.0, 4.0, 2.5])
            self.b.weight.data[:, 0, 0, 0] = torch.tensor([7.0, 5.0, 2.5])

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.a(self.stem(x)) + self.b(self.stem(x)))
            return out

    smaller = pruned(Sum(), ratio=0.3, round_to=1)
    assert smaller.get_parameter("a.weight").flatten().tolist() == [1.0, 4.0]
    assert smaller.get_parameter("b.weight").flatten().tolist() == [7.0, 5.0]


def trained(name: str) -> tuple[nn.Module, _step.Context]:
    module = importlib.import_module(f"paretomark.models.nets.{name}")
    net = module.net().eval()
    net.load_state_dict(load_file(_zoo.weights(name)))
    return net, _step.Context(module.DATA, module.PREPROCESS, 0)


def accuracy(net: nn.Module, ctx: _step.Context, count: int) -> float:
    test = _data.load(ctx.data, "test", count, ctx.preprocess)
    return _train.accuracy(net, test.images, test.labels, ctx.preprocess)


@pytest.mark.parametrize(("name", "macs"), [("digits_cnn", 0.5), ("scenes_mobilenet", 0.7)])
def test_reconstruction_keeps_accuracy_that_norms_lose(name: str, macs: float) -> None:
    net, ctx = trained(name)
    by_norm = pruned(net, ctx, macs=macs, by="l1")
    by_loss = pruned(net, ctx, macs=macs, by="reconstruction", count=96)
    dense = accuracy(net, ctx, 300)
    assert accuracy(by_loss, ctx, 300) > dense - 0.08
    assert accuracy(by_norm, ctx, 300) < dense - 0.2
    assert widths(by_loss) == widths(by_norm)


def test_reconstruction_makes_up_for_channels_that_others_tell() -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(64, 6), nn.Linear(6, 10)
    with torch.no_grad():
        for tensor in (first.weight, first.bias, last.weight.T):
            tensor[3:] = tensor[:3]
    net = nn.Sequential(nn.Flatten(), first, nn.ReLU(), last)
    pixels = _data.normalise(CTX.preprocess, _data.load("digits", "test", 50).images)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    smaller = pruned(net, ratio=0.5, round_to=1, by="reconstruction")
    assert widths(smaller) == [3, 10]
    assert difference(net, smaller, x) < 0.02
    assert difference(net, pruned(net, ratio=0.5, round_to=1), x) > 0.1


def test_a_smaller_net_is_trained_and_fused_like_any_other() -> None:
    net, ctx = trained("digits_cnn")
    smaller, x = pruned(net, macs=0.5), torch.randn(2, 1, 8, 8)
    tuned = _step.apply(smaller, {"method": "finetune", "epochs": 3, "count": 640}, ctx)
    assert widths(tuned) == widths(smaller)
    assert accuracy(tuned, ctx, 300) > accuracy(smaller, ctx, 300) + 0.1
    assert difference(tuned, fuse(tuned), x) < 1e-6


def test_branches_can_be_fused_before_and_afterwards() -> None:
    net, x = scattered(scenes_repvgg.net()), torch.randn(1, 3, 96, 96)
    ctx = _step.Context("scenes", scenes_repvgg.PREPROCESS, 0)
    fused = _step.apply(net, {"method": "reparameterize"}, ctx)
    assert 0.4 < macs(pruned(fused, ctx, macs=0.5), x) / macs(fused, x) <= 0.5
    smaller = pruned(net, ctx, macs=0.5)
    assert difference(smaller, _step.apply(smaller, {"method": "reparameterize"}, ctx), x) < 1e-5
