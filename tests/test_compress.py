"""Compression methods, against closed forms."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from paretomark.models.compress import _step
from paretomark.models.nets import _zoo, digits_cnn, scenes_repvgg
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

pytestmark = pytest.mark.build

CTX = _step.Context("digits", Preprocess((8, 8), (0.0,), (255.0,)), seed=0)


class Net(nn.Module):
    """First convolution, depthwise, two more layers with weights of known order."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.pointwise = nn.Conv2d(4, 5, 1)
        self.head = nn.Linear(5, 2)
        with torch.no_grad():
            self.pointwise.weight.copy_(torch.arange(1.0, 21.0).view(5, 4, 1, 1))
            self.head.weight.copy_(-torch.arange(21.0, 31.0).view(2, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pointwise(self.depthwise(self.first(x)))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def pruned(net: nn.Module, **parameters: object) -> nn.Module:
    return _step.apply(net, {"method": "magnitude", **parameters}, CTX)


def zeros(net: nn.Module) -> dict[str, int]:
    return {
        name.removesuffix(".weight"): int((weight == 0).sum())
        for name, weight in net.named_parameters()
        if name.endswith("weight")
    }


def test_global_pruning_ranks_all_layers_together() -> None:
    net = pruned(Net(), sparsity=0.7)
    # 30 weights may go, of which the 21 smallest in magnitude are all of `pointwise` and one more
    assert zeros(net) == {"first": 0, "depthwise": 0, "pointwise": 20, "head": 1}
    assert net.get_parameter("head.weight")[0, 0] == 0
    assert net.get_parameter("head.weight")[0, 1] == -22


def test_pruning_by_layer_takes_the_same_share_of_each() -> None:
    net = pruned(Net(), sparsity=0.5, scope="layer")
    assert zeros(net) == {"first": 0, "depthwise": 0, "pointwise": 10, "head": 5}
    kept = net.get_parameter("pointwise.weight").flatten()
    assert kept[10:].tolist() == list(range(11, 21))


def test_ties_do_not_overshoot() -> None:
    net = Net()
    with torch.no_grad():
        net.pointwise.weight.fill_(1.0)
        net.head.weight.fill_(1.0)
    assert sum(zeros(pruned(net, sparsity=0.5)).values()) == 15


def test_what_is_left_dense_is_a_choice() -> None:
    assert zeros(pruned(Net(), sparsity=0.5, scope="layer", exclude=["head"]))["head"] == 0
    net = pruned(Net(), sparsity=0.5, scope="layer", prune_first=True, prune_depthwise=True)
    assert zeros(net) == {"first": 54, "depthwise": 18, "pointwise": 10, "head": 5}


def test_the_net_that_was_given_is_left_alone() -> None:
    net = Net()
    pruned(net, sparsity=0.9)
    assert sum(zeros(net).values()) == 0


def test_finetuning_keeps_zeros_and_improves_the_fit() -> None:
    net = pruned(digits_cnn.net(), sparsity=0.8, scope="layer")
    tuned = _step.apply(net, {"method": "finetune", "epochs": 1, "lr": 0.1, "count": 640}, CTX)
    before, after = dict(net.named_parameters()), dict(tuned.named_parameters())
    for name in zeros(net):
        weight = before[f"{name}.weight"]
        if weight.ndim > 1:
            assert (after[f"{name}.weight"][weight == 0] == 0).all(), name
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_reparameterization_is_exact_and_smaller() -> None:
    torch.manual_seed(0)
    net = scenes_repvgg.net()
    for module in net.modules():  # statistics as after training, lest the fusion be trivial
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -1.0), (module.running_var, 0.5)):
                assert tensor is not None
                nn.init.uniform_(tensor, low, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
    net.eval()
    ctx = dataclasses.replace(CTX, preprocess=scenes_repvgg.PREPROCESS)
    fused = _step.apply(net, {"method": "reparameterize"}, ctx)
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        exact, got = net(x), fused(x)
    assert (got - exact).abs().max() < 1e-5 * max(1.0, float(exact.abs().max()))
    assert sum(p.numel() for p in fused.parameters()) < sum(p.numel() for p in net.parameters())
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in n.modules()) for n in (net, fused)]
    assert norms[0] > 10
    assert norms[1] == 1  # the stem is a plain convolution, and keeps its own


def test_a_net_without_branches_cannot_be_reparameterized() -> None:
    with pytest.raises(UserError, match="no block that can be fused"):
        _step.apply(Net(), {"method": "reparameterize"}, CTX)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"method": "magnitude"}, "magnitude: needs 'sparsity'"),
        ({"method": "magnitude", "sparsity": math.nan}, "sparsity must be float, got nan"),
        ({"method": "finetune", "lr": math.inf}, "lr must be float, got inf"),
        ({"method": "magnitude", "sparsity": 1.2}, "sparsity must be at least 0 and below 1"),
        ({"method": "magnitude", "sparsity": "0.5"}, "sparsity must be float, got '0.5'"),
        (
            {"method": "magnitude", "sparsity": 0.5, "scope": "globl"},
            "unknown scope 'globl'; did you mean 'global'?",
        ),
        ({"method": "finetune", "epochs": 0}, "must be positive"),
        ({"method": "finetune", "epochs": 1.5}, "epochs must be int, got 1.5"),
        ({"method": "finetune", "augment": ["flop"]}, "unknown augmentation 'flop'; did you mean"),
        ({"method": "finetune", "temperature": 0}, "temperature must be above 0"),
        (
            {"method": "magnitude", "sparsity": 0.5, "exclude": ["hed"]},
            "unknown layer to exclude 'hed'; valid: 0.0, 2.0.0, 2.2.0",
        ),
    ],
)
def test_bad_steps_are_refused_before_anything_is_built(
    step: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError) as error:
        _step.check([step], _zoo.weights("digits_cnn"))
    assert message in str(error.value)
    assert str(error.value).startswith(f"{step['method']}: ")


def test_a_layer_that_does_not_exist_cannot_be_excluded() -> None:
    with pytest.raises(UserError, match="unknown layer to exclude 'haed'; did you mean 'head'"):
        pruned(Net(), sparsity=0.5, exclude=["haed"])
