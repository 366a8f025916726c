"""What a function of the user's reads by itself is part of what is built: nothing stale is used."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from paretomark.models.build import _artifact, _build, _returned
from paretomark.models.build._artifact import Artifact, BuildSpec, Refused
from paretomark.suites.spec._model import Model, Preprocess, Recipe
from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

NET = """
import json
import os
from pathlib import Path
import random

import numpy
import torch
from torch import nn

HERE = Path(__file__).parent


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        told = json.loads((HERE / "settings.json").read_text())
        self.factor = told["factor"]
        self.linear = nn.Linear(64, told["classes"])
        with torch.no_grad():
            self.linear.weight.fill_(told["weight"])
        self.register_buffer("offset", torch.full((1,), told["offset"]), persistent=False)

    def forward(self, x):
        return self.linear(x.flatten(1)) * self.factor + self.offset


def scaled():
    return Scaled()


def drawn():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        net[1].weight[0] = random.random() + numpy.random.rand()
    return net


def unsteady():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        net[1].weight[0] = os.urandom(1)[0] + os.urandom(1)[0] / 256
    return net


def broken():
    raise ValueError("no weights today")
"""
SETTINGS = {"factor": 1.0, "classes": 10, "weight": 0.5, "offset": 0.0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARETOMARK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    return tmp_path


def built(folder: Path, function: str = "scaled") -> Artifact | Refused:
    preprocess = Preprocess((8, 8), mean=(0.0,), std=(255.0,))
    model = Model(
        "mine", f"python:{folder}/net.py:{function}", data="digits", preprocess=preprocess
    )
    order = BuildSpec(model, Recipe(), "npz", 1, 16, 0)
    return _build.build([order], 300.0, lambda _, result: None)[_build.key(order)]


@pytest.mark.parametrize(
    "changed", [{"weight": 0.25}, {"factor": 2.0}, {"offset": 1.0}, {"classes": 12}]
)
def test_what_a_function_reads_is_part_of_the_key(folder: Path, changed: dict[str, float]) -> None:
    """The code and the suite stay the same: only a file that the function reads is another."""
    first = _returned_of(folder)
    assert _returned_of(folder) == first
    (folder / "settings.json").write_text(json.dumps(SETTINGS | changed))
    assert _returned_of(folder) != first
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    assert _returned_of(folder) == first


def _returned_of(folder: Path) -> str:
    net = f"{folder}/net.py:scaled"
    _returned.learn([net])
    return _returned.digest(net)


def test_weights_of_elsewhere_are_read_anew_also_with_their_old_date(
    folder: Path, call: Callable[..., Called]
) -> None:
    """Of a retrained net the accuracy is the new one, though no line of code or suite changed."""
    import torch

    code = (
        "from pathlib import Path\nimport torch\nfrom torch import nn\n\n\ndef mine():\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        f"    net.load_state_dict(torch.load({str(folder / 'weights.pt')!r}))\n    return net\n"
    )
    (folder / "net.py").write_text(code)
    (folder / "s.toml").write_text(
        'devices = ["pytorch:eager"]\nblocks = 1\nseconds = 0.02\nexamples = 100\n'
        'foreign_load_cores = 99.0\n[model.mine]\nnet = "python:net.py:mine"\ndata = "digits"\n'
        "preprocess = { size = [8, 8], mean = [0.0], std = [255.0] }\n[recipe.fp32]\n"
    )
    torch.manual_seed(1)
    weights, seen = {"1.weight": torch.randn(10, 64), "1.bias": torch.zeros(10)}, []
    for sign in (1, -1):
        torch.save({name: sign * values for name, values in weights.items()}, folder / "weights.pt")
        os.utime(folder / "weights.pt", (1e9, 1e9))
        told = call("run", str(folder / "s.toml"), "--out", str(folder / f"out{sign}"), "--json")
        assert told.code == 0, told.err
        (row,) = json.loads(told.out)["rows"]
        seen.append((row["sha256"], row["accuracy"], row["identity"]))
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]
    assert seen[0][2] != seen[1][2]


def test_weights_that_are_drawn_are_the_same_each_time(folder: Path) -> None:
    first, second = (built(folder, "drawn") for _ in range(2))
    assert isinstance(first, Artifact), first
    assert first == second


def test_a_net_that_is_another_each_time_is_refused(folder: Path) -> None:
    told = built(folder, "unsteady")
    assert isinstance(told, Refused)
    assert "returns another net than before" in told.reason


def test_a_function_that_fails_is_told_by_the_build(folder: Path) -> None:
    told = built(folder, "broken")
    assert isinstance(told, Refused)
    assert "no weights today" in told.reason


def test_a_place_in_a_work_tree_plays_no_part(folder: Path) -> None:
    """So a commit that changes nothing of a net builds nothing."""
    keys = []
    for side in ("a-0", "a-1"):
        tree = folder / "cache" / "trees" / side
        tree.mkdir(parents=True)
        for name in ("net.py", "settings.json"):
            (tree / name).write_bytes((folder / name).read_bytes())
        (tree / "README").write_text(side)
        model = Model("mine", f"python:{tree}/net.py:scaled", preprocess=Preprocess((8, 8)))
        order = BuildSpec(model, Recipe(), "npz", 1, 16, 0)
        _returned.learn(_artifact.functions(model, []))
        keys.append(_artifact.folder(order).name)
    assert keys[0] == keys[1]
