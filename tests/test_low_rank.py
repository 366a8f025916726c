"""Low-rank layers, against NumPy's SVD and closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.utils.flop_counter import FlopCounterMode

from paretomark.models.compress import _step
from paretomark.models.export import onnx
from paretomark.models.nets import _zoo, digits_cnn
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

pytestmark = pytest.mark.build

CTX = _step.Context("digits", Preprocess((8, 8), (0.0,), (255.0,)), seed=0)


def low_rank(net: nn.Module, **parameters: object) -> nn.Module:
    return _step.apply(net, {"method": "low_rank", **parameters}, CTX)


def product(pair: nn.Module) -> Tensor:
    """The matrix that two layers are together."""
    first, second = (pair.get_parameter(f"{i}.weight").flatten(1) for i in range(2))
    return second @ first


def macs(net: nn.Module, x: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    return int(counter.get_total_flops()) // 2


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("energy", [0.3, 0.6, 0.8])
@pytest.mark.parametrize("layer", [nn.Linear(40, 30), nn.Conv2d(40, 30, 1)])
def test_the_error_is_the_least_that_a_rank_can_have(layer: nn.Module, energy: float) -> None:
    torch.manual_seed(0)
    weight = torch.randn(30, 40) * torch.linspace(0.05, 3, 40)
    with torch.no_grad():
        layer.get_parameter("weight").copy_(weight.view(layer.get_parameter("weight").shape))
    got = product(low_rank(nn.Sequential(layer), energy=energy)[0])  # type: ignore[index]
    s = np.linalg.svd(weight.numpy(), compute_uv=False)
    shares = np.cumsum(s**2) / (s**2).sum()
    rank = int((shares < energy).sum()) + 1
    assert np.linalg.matrix_rank(got.detach().numpy()) == rank
    error = (got - weight).norm().item()
    assert error == pytest.approx(np.sqrt((s[rank:] ** 2).sum()), rel=1e-5)


def test_all_of_the_energy_of_weights_of_low_rank_is_exact() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(24, 32, 1, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 20, 1, bias=False),
        nn.Flatten(),
        nn.Linear(500, 16),
    ).eval()
    with torch.no_grad():
        for i, rank in ((0, 5), (2, 3), (4, 7)):
            weight = net[i].get_parameter("weight")
            m, n = weight.shape[:2]
            weight.copy_((torch.randn(m, rank) @ torch.randn(rank, n)).view_as(weight))
    split = low_rank(net, energy=1.0)
    assert [split.get_parameter(f"{i}.0.weight").shape[0] for i in (0, 2, 4)] == [5, 3, 7]
    x = torch.randn(2, 24, 7, 7)
    with torch.no_grad():
        torch.testing.assert_close(split(x), net(x), rtol=1e-4, atol=1e-3)
    names = {f"{i}.{j}" for i in (0, 2, 4) for j in range(2)}
    assert {n for n, m in split.named_modules() if hasattr(m, "weight")} == names


@pytest.mark.parametrize(("share", "rank"), [(0.5, 12), (0.25, 6), (0.01, 1)])
def test_a_share_of_the_macs_is_met(share: float, rank: int) -> None:
    net = nn.Sequential(nn.Conv2d(60, 40, 1, bias=False))
    split = low_rank(net, macs=share)
    x = torch.zeros(1, 60, 9, 7)
    assert (macs(net, x), macs(split, x)) == (63 * 60 * 40, 63 * rank * (60 + 40))
    assert (parameters(net), parameters(split)) == (60 * 40, rank * (60 + 40))


def test_only_layers_that_get_smaller_are_split() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(16, 16, 3, padding=1),
        nn.Conv2d(16, 16, 1, groups=16),
        nn.Conv2d(16, 32, 1),
        nn.Conv2d(32, 32, 1),
    )
    kept, thin = net[2].get_parameter("weight"), net[3].get_parameter("weight")
    with torch.no_grad():
        kept.copy_(torch.eye(32, 16).view_as(kept))  # all singular values alike
        thin.copy_(torch.ones_like(thin))
    split = low_rank(net, energy=0.9)
    assert [type(m) for m in split.children()] == [*[nn.Conv2d] * 3, nn.Sequential]
    assert torch.equal(split.get_parameter("2.weight"), kept)
    assert isinstance(net[3], nn.Conv2d)  # the net that was given is left alone
    with pytest.raises(UserError, match="no layer would get smaller; lower energy or macs"):
        low_rank(net, energy=0.9, exclude=["3"])
    with pytest.raises(UserError, match="unknown layer to exclude '0'; valid: 2, 3"):
        low_rank(net, energy=0.9, exclude=["0"])


def test_a_split_net_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = low_rank(digits_cnn.net().eval(), macs=0.5)
    x = torch.rand(1, 1, 8, 8)
    onnx.export(fuse(net), x, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    with torch.no_grad():
        expected = net(x).numpy()
    np.testing.assert_allclose(session.run(None, {"input": x.numpy()})[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{}, {"energy": 0.9, "macs": 0.5}, {"energy": 1.1}, {"macs": -0.5}]
)
def test_energy_or_macs_must_be_given(wrong: dict[str, float]) -> None:
    step = {"method": "low_rank", **wrong}
    with pytest.raises(UserError, match=r"low_rank: give energy or macs, one of them, above 0"):
        _step.check([step], _zoo.weights("digits_cnn"))
