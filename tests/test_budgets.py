"""Which weights methods reach, wherever they lie, and what is said of those that they do not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from paretomark.models.compress import _budgets, _step
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

pytestmark = pytest.mark.build

CTX = _step.Context("digits", Preprocess((8, 8), (0.0,), (255.0,)), seed=0)


class Mixed(nn.Module):
    """All kinds of weights: what cannot be pruned is `words`, `own`, `token` and `normed`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(30, 8)
        self.token = nn.Parameter(torch.randn(1, 8, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.gru = nn.GRU(8, 16, batch_first=True)
        self.own = nn.Parameter(torch.randn(16, 12))
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(12, 12))
        self.last = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = x[:, 0] + self.token + self.words(torch.arange(8, device=x.device))
        y = self.gru(self.attention(y, y, y)[0])[0][:, -1]
        out: Tensor = self.last(self.normed(y @ self.own))
        return out


PRUNABLE = {
    "attention.in_proj_weight": 24 * 8,
    "attention.out_proj": 64,
    "gru.weight_ih_l0": 48 * 8,
    "gru.weight_hh_l0": 48 * 16,
    "last": 120,
}
ALL = sum(PRUNABLE.values()) + 30 * 8 + 16 * 12 + 12 * 12


def compressed(net: nn.Module, *steps: dict[str, Any]) -> _step.Compressed:
    made = _step.compress(net.eval(), steps, CTX)
    with torch.no_grad():
        made.net(torch.zeros(1, 1, 8, 8))
    return made


def shares(net: nn.Module) -> dict[str, float]:
    """Of each parameter with two dimensions or more, the share of zeros."""
    return {n: float((p == 0).float().mean()) for n, p in net.named_parameters() if p.ndim > 1}


def test_weights_of_all_layers_may_be_pruned_by_their_names() -> None:
    layers = _budgets.prunable(Mixed())
    assert {name: layer.weight.numel() for name, layer in layers.items()} == PRUNABLE
    for name in PRUNABLE:
        assert name not in _budgets.prunable(Mixed(), exclude=[name])
    with pytest.raises(UserError, match="unknown layer to exclude 'words'"):
        _budgets.prunable(Mixed(), exclude=["words"])


def test_weights_of_a_file_may_be_excluded_by_their_names(tmp_path: Path) -> None:
    save_file({n: p.detach() for n, p in Mixed().named_parameters()}, tmp_path / "w.safetensors")
    step = {"method": "magnitude", "sparsity": 0.5}
    _step.check([step | {"exclude": [*PRUNABLE]}], tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="unknown layer to exclude 'attention'"):
        _step.check([step | {"exclude": ["attention"]}], tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (nn.MultiheadAttention(8, 2, kdim=4, vdim=2), {"q_proj_weight", "k_proj_weight"}),
        (nn.LSTM(4, 4, 2, bidirectional=True, proj_size=2), {"weight_hr_l1_reverse"}),
        (nn.RNN(4, 4), {"weight_ih_l0", "weight_hh_l0"}),
        (nn.GRUCell(4, 4), {"weight_ih", "weight_hh"}),
        (nn.Bilinear(4, 4, 4), {"weight"}),
        (nn.ConvTranspose1d(4, 4, 3), {"weight"}),
        (nn.ConvTranspose2d(4, 6, 3, groups=2), {"weight"}),
        (nn.ConvTranspose3d(4, 4, 1), {"weight"}),
        (nn.Sequential(nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 1)), {"1"}),
        (nn.Sequential(nn.Conv3d(4, 4, 1), nn.Conv3d(4, 4, 1)), {"1"}),
    ],
)
def test_every_kind_of_layer_is_pruned_to_what_is_asked(module: nn.Module, names: set[str]) -> None:
    net = _step.apply(module, {"method": "magnitude", "sparsity": 0.5}, CTX)
    layers = _budgets.prunable(net)
    assert names <= layers.keys()
    weights = torch.cat([layer.weight.flatten() for layer in layers.values()])
    assert int((weights == 0).sum()) == round(0.5 * len(weights))


@pytest.mark.parametrize(
    "step",
    [
        {"method": "magnitude", "sparsity": 0.9},
        {"method": "magnitude", "sparsity": 0.9, "scope": "erk"},
        {"method": "block", "sparsity": 0.9, "shape": "2x1"},
        {"method": "gradual", "sparsity": 0.9, "epochs": 1, "count": 128},
        {"method": "rigl", "sparsity": 0.9, "epochs": 1, "count": 128, "every": 1},
    ],
)
def test_what_is_reached_is_of_all_weights_and_the_rest_is_named(step: dict[str, Any]) -> None:
    made = compressed(Mixed(), step)
    key = f"{step['method']} sparsity"
    pruned = shares(made.net)
    zeros = sum(pruned[n] * p.numel() for n, p in made.net.named_parameters() if n in pruned)
    assert made.asked == {key: 0.9}
    assert made.reached[key] == pytest.approx(zeros / ALL)
    assert zeros / sum(PRUNABLE.values()) == pytest.approx(0.9, abs=0.01)
    (warning,) = made.warnings
    assert warning.startswith(f"{step['method']}: 90 % asked of what may be pruned, which is 73 %")
    assert "(not: words, own, normed.parametrizations.weight.original1)" in warning
    assert pruned["words.weight"] == pruned["own"] == pruned["token"] == 0


def test_a_net_that_is_pruned_as_asked_has_no_warning() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 10))
    made = compressed(net, {"method": "magnitude", "sparsity": 0.5})
    assert made.warnings == ()
    assert made.reached == pytest.approx({"magnitude sparsity": 0.5})


def test_a_method_that_occurs_twice_is_told_twice_and_lost_zeros_are_told() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 10))
    steps = [{"method": "magnitude", "sparsity": s} for s in (0.5, 0.8)]
    made = compressed(net, *steps, {"method": "binary", "binarize_first": True})
    assert made.reached["magnitude sparsity"] == pytest.approx(0.5, abs=1e-3)
    assert made.reached["2 magnitude sparsity"] == pytest.approx(0.8, abs=1e-3)
    assert made.asked.keys() == made.reached.keys()
    assert any("binary: zeros of earlier steps are lost: 80 %" in w for w in made.warnings)


def test_tied_weights_are_one_weight_by_the_name_of_any() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 8))
    net[2].weight = net[1].weight
    made = compressed(net, {"method": "magnitude", "sparsity": 0.5, "scope": "layer"})
    assert made.net.get_parameter("1.weight") is made.net.get_parameter("2.weight")
    assert shares(made.net) == pytest.approx({"1.weight": 0.5, "3.weight": 0.5})
    assert made.warnings == ()
    assert _budgets.prunable(net, exclude=["2"]).keys() == {"3"}

    words = nn.Sequential(nn.Embedding(30, 8), nn.Linear(8, 30, bias=False))
    words[1].weight = words[0].weight
    assert _budgets.prunable(words).keys() == {"1"}
    after = _step.apply(words, {"method": "magnitude", "sparsity": 0.5}, CTX)
    target = _step.targets(words, after, {"method": "magnitude", "sparsity": 0.5}, CTX)
    assert target["sparsity"] == (0.5, 0.5, "")


@pytest.mark.parametrize("groups", [1, 2])
def test_patterns_run_along_the_inputs_of_transposed_convolutions(groups: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.ConvTranspose2d(8, 6, 3, groups=groups))
    thin = _step.apply(net, {"method": "n_m", "pattern": "1:4"}, CTX).get_parameter("0.weight")
    inputs = 8 // groups
    for group in range(groups):
        rows = thin[group * inputs : (group + 1) * inputs]  # (in, out, 3, 3)
        kept = (rows.reshape(-1, 4, *rows.shape[1:]) != 0).sum(1)
        assert bool((kept == 1).all())
    step = {"method": "block", "sparsity": 0.5, "shape": "3x2"}
    blocks = _step.apply(net, step, CTX).get_parameter("0.weight")
    for group in range(groups):
        rows = blocks[group * inputs : (group + 1) * inputs] != 0
        whole = rows.reshape(inputs // 2, 2, -1, 3, 3, 3).float().mean((1, 3))
        assert bool(((whole == 0) | (whole == 1)).all())
    assert float((blocks == 0).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_clusters_and_binary_weights_say_how_much_of_the_net_they_are() -> None:
    made = compressed(Mixed(), {"method": "cluster", "bits": 2})
    assert made.reached["cluster values"] == made.asked["cluster values"] == 4
    assert made.reached["cluster share"] == pytest.approx((192 + 64 + 120) / ALL)
    assert len(torch.unique(made.net.get_parameter("attention.in_proj_weight"))) == 4
    assert "not: gru.weight_hh_l0, gru.weight_ih_l0, words and 2 more" in made.warnings[0]

    made = compressed(Mixed(), {"method": "binary", "binarize_first": True})
    assert made.reached["binary share"] == pytest.approx((192 + 64) / ALL)
    rows = made.net.get_parameter("attention.in_proj_weight").abs()
    assert torch.equal(rows, rows[:, :1].expand_as(rows))


def encoder() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.Sequential(nn.Flatten(0, 1), nn.TransformerEncoder(layer, 2), nn.Linear(8, 10))


@pytest.mark.parametrize("net", [Mixed(), encoder()])
def test_low_rank_leaves_attention_whole_and_says_so(net: nn.Module) -> None:
    made = compressed(net, {"method": "low_rank", "macs": 0.5})
    attention = [n for n, _ in net.named_parameters() if "in_proj_weight" in n or "out_proj" in n]
    assert attention
    for name in attention:
        assert torch.equal(made.net.get_parameter(name), net.get_parameter(name))
    weights = {n: p for n, p in net.named_parameters() if p.ndim > 1 and 1 < len(p) < p.numel()}
    split = [n for n in weights if n not in dict(made.net.named_parameters())]
    share = sum(weights[n].numel() for n in split) / sum(p.numel() for p in weights.values())
    assert 0 < share < 1
    assert made.reached["low_rank share"] == pytest.approx(share)
    assert made.asked["low_rank macs"] == 0.5 < made.reached["low_rank macs"] < 1
    assert "in_proj_weight" in made.warnings[0] or "gru" in made.warnings[0]
    assert "are split, to ranks of" in made.warnings[0]
    assert made.warnings[1].startswith("low_rank: 50 % of the MACs asked")


def test_low_rank_of_the_whole_energy_keeps_the_answers_of_a_transformer() -> None:
    net = encoder().eval()
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if "linear" in name and weight.ndim > 1:
                weight.copy_(torch.randn(len(weight), 2) @ torch.randn(2, weight.shape[1]))
        made = compressed(net, {"method": "low_rank", "energy": 1.0})
        x = torch.randn(3, 1, 8, 8)
        torch.testing.assert_close(made.net(x), net(x), rtol=1e-3, atol=1e-4)


def test_low_rank_leaves_layers_whole_that_two_others_would_not_be() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.inner.weight)

    net = nn.Sequential(nn.Flatten(), Doubled(64, 64), nn.Linear(64, 64), nn.Linear(64, 64))
    net.append(nn.Linear(64, 10))
    net[3].weight = net[2].weight
    made = compressed(net, {"method": "low_rank", "macs": 0.5})
    kinds = [type(m) for m in made.net.children()]
    assert kinds == [nn.Flatten, Doubled, nn.Linear, nn.Linear, nn.Sequential]
    with pytest.raises(UserError, match="no attribute 'weight'"):
        compressed(nn.Sequential(nn.Flatten(), Reads()), {"method": "low_rank", "macs": 0.5})


def test_shares_of_channels_and_macs_are_held_to_the_whole_net() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(2048, 10),
    )  # fmt: skip
    made = compressed(net, {"method": "channels", "ratio": 0.5, "prune_first": True})
    assert made.reached["channels ratio"] == pytest.approx(24 / 58)
    assert made.warnings == (
        "channels: 50 % asked of the channels that may go; 41 % of all are gone",
    )
    dense = 64 * (16 * 9 + 32 * 16 * 9) + 20480
    made = compressed(net, {"method": "channels", "macs": 0.6, "prune_first": True})
    sizes = {n: p for n, p in made.net.named_parameters() if p.ndim > 1}
    left = sum(p.numel() * (64 if p.ndim > 2 else 1) for p in sizes.values())
    assert made.reached["channels macs"] == pytest.approx(left / dense)
    assert made.warnings == ()
    assert all(math.isfinite(value) for value in made.reached.values())
