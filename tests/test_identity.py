"""What is measured goes by what it is: not by its name, its place, or the tools that wrote it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from paretomark.reports import _verdicts, leaderboard
from paretomark.reports._verdicts import Verdict
from paretomark.suites.records import _store
from paretomark.suites.records._record import Record
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.tests._runs import record, run, visits

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

NET = """
import torch
from torch import nn
from parts import head

def small():
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), head())
"""
PARTS = """
from torch import nn

class Head(nn.Linear):
    def forward(self, x):
        return 1 * super().forward(x)

def head():
    return Head(16, 10)
"""
HEAD = """
devices = ["fake:ok"]
blocks = 1
seconds = 0.01
max_samples = 12
examples = 20
seed = {seed}
"""
MODEL = """
[model.{name}]
net = "python:{file}:small"
data = "npz:{data}"
preprocess = {{ size = [8, 8], mean = [0.0], std = [{std}] }}
"""
RECIPES = """
[recipe.plain]
[recipe.half]
precision = "fp16"
[recipe.p5]
steps = [{ method = "magnitude", sparsity = 0.5 }]
[recipe.p5-said-in-full]
steps = [{ method = "magnitude", sparsity = 0.5, scope = "global", exclude = [] }]
[recipe.p9]
steps = [{ method = "magnitude", sparsity = 0.9 }]
"""


def net(folder: Path, code: str = NET, parts: str = PARTS) -> Path:
    folder.mkdir()
    (folder / "net.py").write_text(code)
    (folder / "parts.py").write_text(parts)
    return folder / "net.py"


def pictures(file: Path, value: int = 0) -> Path:
    """A set of 40 pictures; `value` changes one pixel, and neither name nor size of the file."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 8, 8, 1)).astype(np.uint8)
    images[0, 0, 0, 0] = value
    np.savez(file, x_test=images, y_test=np.arange(40) % 10)
    return file


def model(name: str, file: Path, data: Path, std: float = 255.0) -> str:
    return MODEL.format(name=name, file=file, data=data, std=std)


@pytest.fixture
def measured(tmp_path: Path, call: Callable[..., Called]) -> Callable[..., dict[str, Record]]:
    """Measure models in recipes; the records by `model/recipe`."""

    def _measured(*models: str, recipes: str = RECIPES, seed: int = 0) -> dict[str, Record]:
        out = tmp_path / f"run{len(list(tmp_path.glob('run*')))}"
        (tmp_path / "s.toml").write_text(HEAD.format(seed=seed) + "".join(models) + recipes)
        result = call("run", tmp_path / "s.toml", "--out", out)
        assert result.code == 0, result.out + result.err
        return {f"{r.model}/{r.recipe}": r for r in _store.read(out).records}

    return _measured


def test_names_places_comments_and_defaults_play_no_part(
    tmp_path: Path, measured: Callable[..., dict[str, Record]]
) -> None:
    data, moved = pictures(tmp_path / "a.npz"), tmp_path / "elsewhere"
    moved.mkdir()
    shutil.copy(data, moved / "b.npz")
    commented = NET.replace("def small", "# a comment\ndef small")
    documented = PARTS.replace("def forward", '"""Says the class."""\n    def forward')
    identities = measured(
        model("a", net(tmp_path / "one"), data),
        model("b", net(tmp_path / "two", commented, documented), moved / "b.npz"),
    )
    for recipe in ("plain", "half", "p5", "p9"):
        assert identities[f"a/{recipe}"].identity == identities[f"b/{recipe}"].identity
    assert identities["a/p5"].identity == identities["a/p5-said-in-full"].identity
    assert len({r.identity for r in identities.values()}) == 4
    assert all(r.identity for r in identities.values())


def test_whatever_changes_the_thing_changes_its_identity(
    tmp_path: Path, measured: Callable[..., dict[str, Record]]
) -> None:
    data = pictures(tmp_path / "a.npz")
    same = net(tmp_path / "same")
    larger = NET.replace("16)", "24)"), PARTS.replace("16,", "24,")
    models = {
        "same": model("same", same, data),
        "code": model("code", net(tmp_path / "code", NET, PARTS.replace("1 *", "0 +")), data),
        "layers": model("layers", net(tmp_path / "layers", *larger), data),
        "weights": model(
            "weights", net(tmp_path / "weights", NET.replace("seed(1)", "seed(2)")), data
        ),
        "pixels": model("pixels", same, data, std=128.0),
        "data": model("data", same, pictures(tmp_path / "b.npz", value=7)),
    }
    assert (tmp_path / "a.npz").stat().st_size == (tmp_path / "b.npz").stat().st_size
    plain = "[recipe.plain]\n"
    identities = measured(*models.values(), recipes=plain)
    assert len({r.identity for r in identities.values()}) == len(models)
    other = measured(models["same"], recipes=plain, seed=1)
    assert other["same/plain"].identity not in {r.identity for r in identities.values()}


def facts(**changes: Any) -> str:
    """A lineage with the facts of an identity."""
    table: dict[str, Any] = {
        "net": {"structure": "s", "weights": "w"},
        "recipe": {"steps": [{"method": "magnitude", "sparsity": 0.2}], "precision": "fp32"},
        "seed": 0,
        "calibration": "",
        "data": "digits",
    }
    return json.dumps({"identity": table | changes})


def compare(a: Run, b: Run, by_name: bool = False) -> tuple[Verdict, ...]:
    return _verdicts.compare(summarise(a), summarise(b), by_name=by_name).verdicts


SPARSER = facts(recipe={"steps": [{"method": "magnitude", "sparsity": 0.9}], "precision": "fp32"})


@pytest.mark.parametrize(
    ("lineage", "message"),
    [
        (SPARSER, "the recipe is another: sparsity 0.2 → 0.9"),
        (facts(net={"structure": "s", "weights": "v"}), "the net is another: its weights"),
        (facts(net={"structure": "t", "weights": "w"}), "the net is another: its layers or code"),
        (facts(seed=1), "the seed is another: seed 0 → 1"),
        (facts(data="scenes"), "the data are others: data digits → scenes"),
        ("no JSON", "it is another artifact"),
        ('{"identity": [1, {"net": 2}]}', "it is another artifact"),
        ('{"identity": {"net": 2}}', "the net is another: net"),
    ],
)
def test_a_comparison_says_what_is_another_in_place_of_a_verdict(
    lineage: str, message: str
) -> None:
    a = run(visits([1e-3] * 5, identity="a", lineage=facts()))
    b = run(visits([2e-3] * 5, identity="b", lineage=lineage))
    (verdict,) = compare(a, b)
    assert verdict.answer == "not compared"
    assert message in verdict.reason
    assert "--by-name" in verdict.reason
    (by_name,) = compare(a, b, by_name=True)
    assert by_name.answer == "slower"
    assert message in by_name.changed


def test_by_name_says_on_top_what_is_another(tmp_path: Path, call: Callable[..., Called]) -> None:
    for name, lineage, seconds in (("a", facts(), 1e-3), ("b", SPARSER, 2e-3)):
        _store.create(tmp_path / name, run([]).header)
        with _store.Writer(tmp_path / name) as writer:
            for each in visits([seconds] * 3, identity=name, lineage=lineage):
                writer.append(each)
    pair = tmp_path / "a", tmp_path / "b"
    refused = call("compare", *pair)
    assert "not compared: the recipe is another: sparsity 0.2 → 0.9" in " ".join(
        refused.out.split()
    )
    for form in ((), ("--markdown",)):
        lines = call("compare", *pair, "--by-name", *form).out.splitlines()
        said = next(i for i, line in enumerate(lines) if "sparsity 0.2 → 0.9" in line)
        assert said < next(
            i for i, line in enumerate(lines) if "| **slower" in line or line.startswith("slower")
        )


def test_what_is_the_same_is_compared_whatever_it_is_called() -> None:
    a = run(visits([1e-3] * 5, recipe="p90", identity="x", lineage=facts()))
    b = run(
        visits([2e-3] * 5, recipe="pruned90", identity="x", lineage=facts())
        + visits([1e-3] * 5, recipe="p90", identity="y", lineage=SPARSER)
    )
    first, second = compare(a, b)
    assert (first.answer, first.cell, first.cell_b) == (
        "slower", "net/p90/cpu/b1/t1", "net/pruned90/cpu/b1/t1",
    )  # fmt: skip
    assert (second.cell, second.answer) == ("net/p90/cpu/b1/t1", "not compared")


def test_a_leaderboard_has_a_line_for_each_thing_not_for_each_name() -> None:
    better = run([record(identity="x", outcomes="1" * 100)], started="2026-01-01", run="1")
    worse = run([record(identity="y", outcomes="0" * 100)], started="2026-02-01", run="2")
    again = run([record(recipe="called otherwise", identity="x")], started="2026-03-01", run="3")
    (board,) = leaderboard.boards([summarise(it) for it in (better, worse, again)])
    assert {(e.row.identity, e.run.header.run) for e in board.entries} == {("x", "3"), ("y", "2")}
