"""Multiply-accumulates of nets whose counts follow from their shapes by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from paretomark.models.build import _describe
from paretomark.models.nets import _macs
from paretomark.suites.spec._model import Preprocess

pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

T, E, H = 8, 8, 6  # of a sequence (1, T, E), and of the hidden state of recurrent layers
ATTENTION = T * 4 * E * E + 2 * T * T * E  # q, k, v and out; scores and their use
ENCODER = ATTENTION + T * 2 * E * 16


class Net(nn.Module):
    """Does with a module and the pictures (1, C, 8, 8) what a function says."""

    def __init__(self, part: nn.Module, does: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.part, self.does = part, does

    def forward(self, x: Tensor) -> Tensor:
        return self.does(self.part, x)


def count(
    part: nn.Module, does: Callable[[Any, Tensor], Tensor] = lambda m, x: m(x), channels: int = 1
) -> int | None:
    preprocess = Preprocess((T, E), (0.0,) * channels, (1.0,) * channels)
    return _macs.macs(Net(part, does).eval(), preprocess)


def itself(net: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = net(x[:, 0], x[:, 0], x[:, 0], need_weights=False)[0]
    return out


def first(net: nn.Module, x: Tensor) -> Tensor:
    out = net(x[:, 0])
    return out if isinstance(out, Tensor) else out[0]


def encoder() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(E, 2, 16, batch_first=True)


@pytest.mark.parametrize(
    ("part", "does", "macs"),
    [
        (nn.MultiheadAttention(E, 2, batch_first=True), itself, ATTENTION),
        (
            nn.MultiheadAttention(E, 2, batch_first=True, kdim=4, vdim=2),
            lambda m, x: m(x[:, 0], x[:, 0, :, :4], x[:, 0, :, :2])[0],
            T * E * (E + 4 + 2 + E) + 2 * T * T * E,
        ),
        (encoder(), first, ENCODER),
        (nn.TransformerEncoder(encoder(), 3), first, 3 * ENCODER),
        (
            nn.Identity(),
            lambda _, x: functional.scaled_dot_product_attention(x, x, x, is_causal=True),
            2 * T * T * E,
        ),
        (
            nn.LSTM(E, H, 2, bidirectional=True, batch_first=True),
            first,
            T * 2 * 4 * H * (E + H) + T * 2 * 4 * H * (2 * H + H),
        ),
        (
            nn.LSTM(E, H, proj_size=3, batch_first=True),
            first,
            T * (4 * H * (E + 3) + 3 * H),
        ),
        (nn.GRU(E, H, batch_first=True), first, T * 3 * H * (E + H)),
        (nn.RNN(E, H, 2, batch_first=True), first, T * H * (E + H) + T * H * (H + H)),
        (nn.LSTMCell(E, H), lambda m, x: m(x[:, 0, 0])[0], 4 * H * (E + H)),
        (nn.Bilinear(E, E, 5), lambda m, x: m(x[:, 0], x[:, 0]), T * 5 * E * E),
        (nn.Identity(), lambda _, x: x @ x, T * E * E),
        (nn.Identity(), lambda _, x: torch.einsum("bcij,bckj->bcik", x, x), T * E * T),
        (nn.Identity(), lambda _, x: torch.bmm(x[0], x[0]), T * E * E),
        (nn.Identity(), lambda _, x: x[0, 0] @ x[0, 0, 0], T * E),
        (nn.Linear(E, 5), torch.inference_mode()(lambda m, x: m(x)), T * E * 5),
    ],
)
def test_products_are_counted_wherever_they_are(
    part: nn.Module, does: Callable[[Any, Tensor], Tensor], macs: int
) -> None:
    assert count(part, does) == macs


@pytest.mark.parametrize(
    ("part", "macs"),
    [
        (nn.Conv2d(4, 6, 3, dilation=2, groups=2, padding=2), 64 * 6 * 2 * 9),
        (nn.Conv2d(4, 4, 3, groups=4, stride=2, padding=1), 16 * 4 * 9),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), 64 * 4 * 3 * 9),
        (nn.Sequential(nn.Flatten(2), nn.Conv1d(4, 6, 5)), 60 * 6 * 4 * 5),
        (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Conv3d(2, 3, 1)), 2 * 64 * 6),
    ],
)
def test_convolutions_of_all_kinds(part: nn.Module, macs: int) -> None:
    assert count(part, channels=4) == macs


@pytest.mark.parametrize(
    "does",
    [
        lambda m, x: m(x) if float(x.sum()) < 1 else x,  # looks at numbers
        lambda m, x: m(x + torch.ones(E, device="cpu")),  # makes a tensor on the processor
        lambda m, x: m(torch.from_numpy(x.numpy())),
    ],
)
def test_a_net_that_needs_numbers_is_counted_on_the_processor(
    does: Callable[[Any, Tensor], Tensor],
) -> None:
    assert count(nn.Linear(E, 5), does) == T * E * 5
    attention = nn.MultiheadAttention(E, 2, batch_first=True)
    layers = nn.ModuleList([nn.Linear(E, E), attention, nn.LSTM(E, H, batch_first=True)])

    def all_of(m: Any, x: Tensor) -> Tensor:
        return first(m[2], itself(m[1], does(m[0], x))[:, None])

    assert count(layers, all_of) == T * E * E + ATTENTION + T * 4 * H * (E + H)


def test_what_is_not_understood_makes_the_count_unknown() -> None:
    @torch.library.custom_op("paretomark_tests::square", mutates_args=())
    def square(x: Tensor) -> Tensor:
        return x @ x

    square.register_fake(torch.empty_like)
    assert count(nn.Linear(E, E), lambda m, x: m(square(x))) is None

    layer = nn.Sequential(nn.Linear(E, 5))
    quantized = torch.ao.quantization.quantize_dynamic(layer, {nn.Linear})  # type: ignore[no-untyped-call]
    assert count(quantized) is None

    with torch.no_grad():  # traced, the fast path is one operator for the whole layer
        traced = torch.jit.trace(encoder().eval(), torch.zeros(1, T, E), check_trace=False)  # type: ignore[no-untyped-call]
    assert count(traced, first) is None


def test_the_net_and_the_settings_of_torch_stay_as_they_were() -> None:
    net = Net(encoder(), first).eval()
    net.register_buffer("seen", torch.ones(3))
    before = {name: (value, value.clone()) for name, value in net.state_dict().items()}
    _macs.macs(net, Preprocess((T, E), (0.0,), (1.0,)))
    for name, value in net.state_dict().items():
        assert value.data_ptr() == before[name][0].data_ptr()
        assert torch.equal(value, before[name][1])
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_net_that_does_not_run_says_why() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        count(nn.Linear(5, 5))


@pytest.mark.parametrize(("name", "millions"), [("vit_b_16", 17_564), ("swin_t", 4_491)])
def test_transformers_have_the_published_count(name: str, millions: int) -> None:
    told = _describe.describe(f"torchvision:{name}")
    assert told["macs"] == pytest.approx(millions * 1e6, abs=5e5)
