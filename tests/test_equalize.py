"""Cross-layer equalization: by hand where that is possible, and exact on every net."""

from __future__ import annotations

import importlib
import io

import pytest
import torch
from torch import Tensor, nn

from paretomark.models.compress import _step
from paretomark.models.nets import _zoo, mobilenet_v1_0_25
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

pytestmark = pytest.mark.build


def equalized(
    net: nn.Module, preprocess: Preprocess | None = None, **parameters: object
) -> nn.Module:
    if preprocess is None:
        channels = next(m.in_channels for m in net.modules() if isinstance(m, nn.Conv2d))
        preprocess = Preprocess((12, 12), (0.0,) * channels, (255.0,) * channels)
    ctx = _step.Context("digits", preprocess, seed=0)
    return _step.apply(net.eval(), {"method": "equalize", **parameters}, ctx).requires_grad_(False)


def pair(between: nn.Module) -> nn.Sequential:
    """Two channels of ranges 8 and 1/2 on the way in, and 2 on the way out."""
    first, second = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 1)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([8.0, -0.5]).view(2, 1, 1, 1))
        first.bias = nn.Parameter(torch.tensor([4.0, 1.0]))
        second.weight.copy_(torch.tensor([2.0, -2.0]).view(1, 2, 1, 1))
    return nn.Sequential(first, between, second)


def lively(net: nn.Module) -> nn.Module:
    """With statistics and weights as after training, lest all be trivial."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.2, 2.0)
            nn.init.uniform_(module.weight, 0.2, 2.0)
            nn.init.uniform_(module.bias, -0.5, 1.0)
    return net.eval().requires_grad_(False)


def off(a: nn.Module, b: nn.Module, x: Tensor) -> float:
    """The largest difference, relative to the largest answer."""
    with torch.no_grad():
        expected = a(x)
        return float((expected - b(x)).abs().max() / expected.abs().max())


def test_two_layers_get_the_ranges_that_the_formula_says() -> None:
    net = equalized(pair(nn.ReLU()))
    assert net.get_parameter("0.weight").flatten().tolist() == pytest.approx([4, -1])
    assert net.get_parameter("0.bias").tolist() == pytest.approx([2, 2])
    assert net.get_parameter("2.weight").flatten().tolist() == pytest.approx([4, -1])


def test_in_a_chain_through_a_depthwise_layer_all_ranges_meet() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1)]
    with torch.no_grad():
        layers[0].weight *= torch.logspace(-2, 2, 8).view(8, 1, 1, 1)
    net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    got = equalized(net)
    first, depthwise, last = (got.get_parameter(f"{i}.weight").abs() for i in (0, 2, 4))
    ranges = first.amax((1, 2, 3)), depthwise.amax((1, 2, 3)), last.amax((0, 2, 3))
    assert torch.allclose(ranges[0], ranges[1], rtol=0.05)
    assert torch.allclose(ranges[1], ranges[2], rtol=0.05)
    assert off(net, got, torch.randn(4, 3, 9, 9)) < 1e-5


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("digits_cnn", {}),
        ("scenes_mobilenet", {}),
        ("scenes_resnet", {}),
        ("scenes_repvgg", {}),
        ("resnet20_cifar", {}),
        ("mobilenet_v1_0_25", {"relu6": "clip"}),
    ],
)
def test_what_nets_compute_stays(name: str, parameters: dict[str, object]) -> None:
    plugin = importlib.import_module(f"paretomark.models.nets.{name}")
    net = lively(plugin.net())
    if name == "scenes_repvgg":  # its branches are no pairs
        ctx = _step.Context("", plugin.PREPROCESS, seed=0)
        net = _step.apply(net, {"method": "reparameterize"}, ctx)
    preprocess = plugin.PREPROCESS
    got = equalized(net, preprocess, **parameters)
    x = torch.randn(2, len(preprocess.mean), *preprocess.size)
    assert off(net, got, x) < 1e-4
    before = dict(net.named_parameters())
    moved = [n for n, p in got.named_parameters() if n in before and not p.equal(before[n])]
    assert len(moved) > 3


def test_groups_and_a_mean_before_a_linear_layer_are_exact_too() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 3)
            self.grouped = nn.Conv2d(8, 6, 3, groups=2)
            self.head = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.grouped(torch.relu(self.first(x))))
            out: Tensor = self.head(x.mean((2, 3), keepdim=True).flatten(1))
            return out

    torch.manual_seed(0)
    net = Net()
    got = equalized(net)
    assert off(net, got, torch.randn(4, 3, 9, 9)) < 1e-5
    into = got.get_parameter("head.weight").abs().amax(0)
    assert torch.allclose(got.get_parameter("grouped.weight").abs().amax((1, 2, 3)), into, rtol=0.1)


def test_relu6_is_left_alone_unless_it_is_said_what_becomes_of_it() -> None:
    net = pair(nn.ReLU6())
    with pytest.raises(UserError, match="for ReLU6 name a way by 'relu6'"):
        equalized(net)
    low = torch.linspace(-0.25, 0.25, 16).view(1, 1, 4, 4)
    high = 10 * low  # 24 in the first channel
    clip, relu = equalized(net, relu6="clip"), equalized(net, relu6="relu")
    assert off(net, clip, high) < 1e-6
    assert off(net, relu, low) < 1e-6
    assert off(net, relu, high) > 1
    assert clip.get_parameter("0.weight").flatten().tolist() == pytest.approx([4, -1])


def test_an_output_that_two_use_is_not_scaled() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.left, self.right = (nn.Conv2d(2, 2, 1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.first(x))
            out: Tensor = self.left(x) + self.right(x)
            return out

    with pytest.raises(UserError, match="no two layers are joined"):
        equalized(Net())


def test_a_channel_of_zeros_stays_one() -> None:
    net = pair(nn.ReLU())
    with torch.no_grad():
        net[0].weight[1] = 0  # type: ignore[operator]
    got = equalized(net)
    assert got.get_parameter("0.weight").flatten().tolist() == pytest.approx([4, 0])
    assert all(p.isfinite().all() for p in got.parameters())


@pytest.mark.parametrize("padding", [0, 1])
def test_a_high_bias_goes_into_the_next_layer_unless_that_pads(padding: int) -> None:
    def net(relu: type[nn.Module] = nn.ReLU) -> nn.Sequential:
        torch.manual_seed(0)
        first, norm = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)
        nn.init.constant_(norm.bias, 10.0)
        return nn.Sequential(first, norm, relu(), nn.Conv2d(4, 2, 3, padding=padding)).eval()

    plain, absorbed = equalized(net()), equalized(net(), absorb=True)
    factor = plain.get_parameter("0.bias") / 10
    fallen = plain.get_parameter("0.bias") - absorbed.get_parameter("0.bias")
    expected = torch.zeros(4) if padding else 7 * factor  # beta - 3 gamma
    assert torch.allclose(fallen, expected, rtol=1e-4)
    x = torch.randn(4, 3, 8, 8)
    assert off(net(), absorbed, x) < 1e-5
    assert off(net(nn.ReLU6), equalized(net(nn.ReLU6), relu6="clip", absorb=True), x) < 1e-5


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"relu6": "cilp"}, "unknown relu6 'cilp'; did you mean 'clip'?"),
        ({"absorb": 1}, "absorb must be bool, got 1"),
    ],
)
def test_bad_parameters_are_refused(parameters: dict[str, object], message: str) -> None:
    step = {"method": "equalize", **parameters}
    with pytest.raises(UserError) as error:
        _step.check([step], _zoo.weights("digits_cnn"))
    assert message in str(error.value)


def test_without_normalisation_nothing_can_be_absorbed() -> None:
    with pytest.raises(UserError, match="no normalisation to absorb by"):
        equalized(pair(nn.ReLU()), absorb=True)


def test_the_given_net_is_left_alone_and_the_new_one_can_be_kept() -> None:
    net = lively(mobilenet_v1_0_25.net())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    got = equalized(net, mobilenet_v1_0_25.PREPROCESS, relu6="clip")
    assert all(value.equal(before[name]) for name, value in net.state_dict().items())
    file = io.BytesIO()
    torch.save(got, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert off(got, again, torch.randn(1, 3, 224, 224)) == 0
