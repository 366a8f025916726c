"""Weights that layers share: a step keeps them one, or refuses and names the layers."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn
from torch.nn import functional

from paretomark.models.compress import _step
from paretomark.models.nets import _load
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Model, Preprocess
from paretomark.tests import _drawn

pytestmark = pytest.mark.build

PREPROCESS = Preprocess((8, 8), (0.0,), (255.0,))
CTX = _step.Context("digits", PREPROCESS, seed=0)
TRAINED = {"epochs": 1, "count": 64, "batch": 32}


class Tied(nn.Module):
    """b and c have one weight; the others are free."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.d = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 1)
        self.b, self.c = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.e, self.head = nn.Conv2d(8, 16, 1), nn.Linear(16, 10)
        self.c.weight = self.b.weight

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.a, self.b, self.c, self.d, self.e):
            x = torch.relu(layer(x))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


class Chain(Tied):
    """No two layers that are joined have weights of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.d, self.e, self.head = nn.Identity(), nn.Identity(), nn.Linear(8, 10)  # type: ignore[assignment]


class Biases(Tied):
    """The biases are shared too."""

    def __init__(self) -> None:
        super().__init__()
        self.c.bias = self.b.bias


class Read(Tied):
    """The weight of a layer is used by the code besides."""

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(torch.relu(self.a(x)), self.d.weight)
        x = torch.relu(self.e(torch.relu(self.d(x))))
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def apply(net: nn.Module, method: str, **parameters: Any) -> nn.Module:
    return _step.apply(net, {"method": method, **parameters}, CTX).eval()


def x() -> Tensor:
    return torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def one(net: nn.Module) -> bool:
    return net.get_parameter("b.weight") is net.get_parameter("c.weight")


@pytest.mark.parametrize("relu6", ["skip", "clip"])
def test_equalization_scales_other_pairs_only(relu6: str) -> None:
    net = Tied().eval()
    got = apply(net, "equalize", relu6=relu6)
    assert one(got)
    assert _drawn.off(net, got, x()) < 1e-5
    kept = {n: p.equal(net.get_parameter(n)) for n, p in got.named_parameters()}
    assert kept["a.weight"]
    assert kept["b.weight"]
    assert not kept["e.weight"]


@pytest.mark.parametrize(
    ("net", "method", "parameters", "message"),
    [
        (Chain, "equalize", {}, "b and c share one weight"),
        (Tied, "rounding", {"split": "test", "count": 8}, "b and c share one weight"),
        (Biases, "bias_correction", {"split": "test", "count": 8}, "b and c share one bias"),
        (Read, "rounding", {"split": "test", "count": 8}, "d and the net's own code share one"),
        (Chain, "channels", {"ratio": 0.5, "round_to": 1}, "share no weights .*b.weight"),
    ],
)
def test_what_cannot_be_for_one_of_two_is_refused(
    net: type[Tied], method: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        apply(net().eval(), method, **parameters)


def test_what_the_code_reads_is_not_scaled() -> None:
    net = Read().eval()
    got = apply(net, "equalize")
    assert _drawn.off(net, got, x()) < 1e-5
    assert got.get_parameter("d.weight").equal(net.d.weight)


@pytest.mark.parametrize("parameters", [{}, {"init": "kmeans++"}, TRAINED, {"exclude": ["c"]}])
def test_clusters_are_those_of_both(parameters: dict[str, Any]) -> None:
    net = Tied().eval()
    got = apply(net, "cluster", bits=2, **parameters)
    assert one(got)
    assert len(list(got.parameters())) == len(list(net.parameters()))
    values = torch.unique(got.get_parameter("b.weight")).numel()
    assert values == (net.b.weight.numel() if "exclude" in parameters else 4)


def test_an_embedding_that_is_also_the_last_layer_is_clustered_with_it() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.last = nn.Embedding(12, 8), nn.Linear(8, 12)
            self.last.weight = self.words.weight

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.last(self.words(x.flatten(1).long()).mean(1))
            return out

    got = apply(Words().eval(), "cluster", bits=2)
    assert got.get_parameter("words.weight") is got.get_parameter("last.weight")
    assert torch.unique(got.get_parameter("words.weight")).numel() == 4


def test_quantization_aware_training_keeps_them_one() -> None:
    got = apply(Tied().eval(), "qat", bits=4, **TRAINED)
    assert one(got)
    assert all(len(set(row.flatten().tolist())) <= 15 for row in got.get_parameter("c.weight"))


def test_channels_between_them_stay() -> None:
    net = Tied().eval()
    got = apply(net, "channels", ratio=0.3, round_to=1)
    assert one(got)
    assert got.get_parameter("b.weight").equal(net.b.weight)
    assert len(got.get_parameter("e.weight")) < 16
    assert got(x()).shape == (2, 10)


def test_a_bias_of_its_own_is_corrected() -> None:
    net = Tied().eval()
    got = apply(net, "bias_correction", split="test", count=8, bits=3)
    assert one(got)
    moved = [n for n, p in got.named_parameters() if not p.equal(net.get_parameter(n))]
    assert moved
    assert all(name.endswith("bias") for name in moved)


def test_copies_and_what_is_kept_stay_one() -> None:
    file = io.BytesIO()
    torch.save(Tied(), file)
    file.seek(0)
    assert one(torch.load(file, weights_only=False))
    assert one(copy.deepcopy(Tied()))


NET = """
from paretomark.tests.test_ties import Tied

def tied():
    return Tied()
"""


def loaded(folder: Path, state: dict[str, Tensor] | None) -> nn.Module:
    (folder / "net.py").write_text(NET)
    if state is not None:
        save_file(state, folder / "w.safetensors")
    model = Model(
        net=f"python:{folder}/net.py:tied",
        weights=str(folder / "w.safetensors"),
        preprocess=PREPROCESS,
    )
    return _load.load(model, 0).module


def trained() -> Tied:
    net = Tied()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    return net


@pytest.mark.parametrize("missing", ["as saved", "b.weight", "c.weight", "none"])
def test_a_file_may_hold_a_shared_tensor_once(tmp_path: Path, missing: str) -> None:
    net = trained()
    if missing == "as saved":
        save_model(net, str(tmp_path / "w.safetensors"))
        assert len(load_file(tmp_path / "w.safetensors")) == len(net.state_dict()) - 1
        got = loaded(tmp_path, None)
    else:
        state = {n: t.clone() for n, t in net.state_dict().items() if n != missing}
        got = loaded(tmp_path, state)
    assert one(got)
    assert _drawn.off(net, got, x()) == 0


def test_a_file_with_two_for_one_or_without_any_is_refused(tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in trained().state_dict().items()}
    with pytest.raises(UserError, match=r"b.weight and c.weight are one tensor"):
        loaded(tmp_path, {**state, "c.weight": -state["c.weight"]})
    with pytest.raises(UserError, match="does not fit the net"):
        loaded(tmp_path, {n: t for n, t in state.items() if n not in ("b.weight", "c.weight")})
