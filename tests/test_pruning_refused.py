"""What pruning of weights and of channels refuses, and why it says so."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor, nn

from paretomark.models.compress import _step
from paretomark.models.nets import _zoo, digits_cnn
from paretomark.suites.spec._errors import UserError

pytestmark = pytest.mark.build

CTX = _step.Context("digits", digits_cnn.PREPROCESS, seed=0)


def trained(name: str = "digits_mlp") -> nn.Module:
    net: nn.Module = importlib.import_module(f"paretomark.models.nets.{name}").net()
    net.load_state_dict(load_file(_zoo.weights(name)))
    return net.eval()


def channels(net: nn.Module, **parameters: object) -> nn.Module:
    return _step.apply(net, {"method": "channels", **parameters}, CTX)


@pytest.mark.parametrize(
    ("pruned", "message"),
    [
        ({"method": "n_m", "pattern": "128:256"}, "must be a multiple of 256; 1 has 64, 3 has 64"),
        ({"method": "block", "sparsity": 0.5, "shape": "128x1"}, "no layer holds a block of 128x1"),
        ({"method": "magnitude", "sparsity": 0.5, "exclude": ["1", "3", "5"]}, "exclude fewer"),
    ],
)
def test_a_net_that_a_method_cannot_prune_says_why(pruned: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _step.apply(trained(), pruned, CTX)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"method": "gradual", "sparsity": 1.0}, "sparsity must be at least 0 and below 1"),
        (
            {"method": "gradual", "sparsity": 0.5, "begin": 0.6, "end": 0.5},
            "0 <= begin <= end <= 1",
        ),
        ({"method": "gradual", "sparsity": 0.5, "every": 0}, "every must be at least 1 step"),
        ({"method": "gradual", "sparsity": 0.5, "lr": 0}, "must be positive"),
        ({"method": "rigl", "sparsity": 0.5, "scope": "erc"}, "did you mean 'erk'"),
        ({"method": "rigl", "sparsity": 0.5, "start": "zero"}, "unknown start 'zero'"),
        ({"method": "rigl", "sparsity": 0.5, "alpha": 0}, "alpha and until must be above 0"),
        ({"method": "n_m", "pattern": "4:2"}, "pattern must be N:M with 0 < N < M"),
        ({"method": "block", "sparsity": 0.5, "shape": "0x4"}, "got '0x4'"),
        ({"method": "block", "sparsity": 0.5, "norm": "l3"}, "unknown norm 'l3'"),
        ({"method": "block", "sparsity": 0.5, "exclude": ["7"]}, "unknown layer to exclude '7'"),
    ],
)
def test_bad_steps_are_refused_before_anything_is_built(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _step.check([bad], _zoo.weights("digits_mlp"))


class Sized(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(-1, 16 * 8 * 8)


@pytest.mark.parametrize(
    ("middle", "message"),
    [
        (nn.ChannelShuffle(4), "channel_shuffle in '1' may mix channels in a way that is not"),
        (nn.Softmax(1), "softmax in '1' may mix channels"),
        (nn.GroupNorm(4, 16), "group_norm in '1' may mix channels"),
        (nn.Sequential(Sized(), nn.Linear(1024, 4)), "the net's code expects channels that would"),
    ],
)
def test_a_net_that_cannot_be_followed_is_refused(middle: nn.Module, message: str) -> None:
    tail = [] if isinstance(middle, nn.Sequential) else [nn.Conv2d(16, 4, 1)]
    net = nn.Sequential(nn.Conv2d(1, 16, 1), middle, *tail).eval()
    with pytest.raises(UserError) as error:
        channels(net, ratio=0.5, prune_first=True)
    assert message in str(error.value)


def test_what_cannot_be_reached_is_said() -> None:
    net = digits_cnn.net()
    with pytest.raises(UserError, match="of the MACs is the least that can remain"):
        channels(net, macs=0.05)
    with pytest.raises(UserError, match="no channel of this net can go"):
        channels(net, macs=0.5, exclude=["2.2.0", "3.0.0", "3.2.0"])
    with pytest.raises(UserError, match="needs a batch normalisation after every layer"):
        channels(trained("digits_mlp"), macs=0.5, by="bn")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"macs": 0.5, "ratio": 0.5}, "give macs or ratio, one of them"),
        ({"macs": 1.0}, "above 0 and below 1, got 1.0 and 0.0"),
        ({"macs": 0.5, "by": "l3"}, "unknown importance 'l3'; did you mean"),
        ({"macs": 0.5, "scope": "layers"}, "unknown scope 'layers'"),
        ({"macs": 0.5, "round_to": 0}, "must be positive, got 0 and 256"),
        ({"macs": 0.5, "exclude": ["3.2.9"]}, "unknown layer to exclude '3.2.9'"),
    ],
)
def test_bad_parameters_of_channels_are_refused_before_anything_is_built(
    parameters: dict[str, object], message: str
) -> None:
    step = {"method": "channels", **parameters}
    with pytest.raises(UserError) as error:
        _step.check([step], _zoo.weights("digits_cnn"))
    assert message in str(error.value)
