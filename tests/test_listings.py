"""Commands that list: suites, recipes, methods and runs, for people and for programs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from paretomark import bench
from paretomark.devices.measure._request import RunRequest
from paretomark.models.compress import _step, _tuning
from paretomark.reports import _listing, methods
from paretomark.suites.records import _store
from paretomark.suites.spec import _suite
from paretomark.suites.spec._errors import UserError
from paretomark.tests import _runs

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

HALVES = '''"""Halves every weight.

And what else there is to say."""

def apply(net, ctx, *, times: int, hard: bool = False):
    return net
'''
SUITE = """
devices = ["fake:ok"]
[model.digits_mlp]
data = "npz:${NOT_SET}/d.npz"
[recipe.thin]
steps = [{ method = "magnitude", sparsity = 0.5 }]
precision = "int8"
[recipe.fp32]
"""


@pytest.fixture
def listed(call: Callable[..., Called]) -> Callable[..., Any]:
    """`listed("suites")`: what the command says with --json, as an object."""

    def _listed(*words: str | Path) -> Any:
        result = call(*words, "--json")
        assert result.code == 0
        table = json.loads(result.out, parse_constant=lambda name: pytest.fail(name))
        assert table["schema"] == f"paretomark/{words[0]}/1"
        return table

    return _listed


def test_suites_are_listed_with_their_cells(
    listed: Callable[..., Any], call: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PARETOMARK_DATA", raising=False)
    suites = {suite["name"]: suite for suite in listed("suites")["suites"]}
    assert list(suites) == _suite.names()
    quick = suites["quick"]
    assert quick["cells"] == len(RunRequest.of("quick", [], [], []).plan()[1])
    assert quick["devices"] == ["litert:xnnpack", "onnxruntime:cpu", "pytorch:eager"]
    assert quick["shows"].startswith("The suite of `make bench`: three nets of different kinds")
    assert (quick["needs"], suites["real"]["needs"]) == ([], ["PARETOMARK_DATA"])
    assert suites["architectures"]["needs"] == []  # only what it says of itself names another
    out = call("suites").out
    assert f"{quick['cells']}" in out
    assert quick["title"] in out
    assert "(needs $PARETOMARK_DATA)" in " ".join(out.split())


def test_recipes_are_those_of_one_suite_or_of_all(
    tmp_path: Path, listed: Callable[..., Any], call: Callable[..., Called]
) -> None:
    every = listed("recipes")["recipes"]
    assert {recipe["suite"] for recipe in every} == {*_suite.names()}
    (tmp_path / "mine.toml").write_text(SUITE)
    thin, plain = listed("recipes", tmp_path / "mine.toml")["recipes"]
    assert thin["steps"] == [{"method": "magnitude", "sparsity": 0.5}]
    assert (thin["suite"], thin["recipe"], thin["precision"]) == ("mine", "thin", "int8")
    assert (plain["label"], plain["storage"]) == ("", "dense")
    out = call("recipes", "quick").out
    assert "magnitude(sparsity=0.8) > finetune(epochs=2, lr=0.02, count=4000)" in out
    result = call("recipes", "quik")
    assert (result.code, "did you mean 'quick'?" in result.err) == (bench.USER_ERROR, True)


def test_methods_are_listed_with_types_and_defaults_and_those_of_the_user_too(
    plugin: Callable[[str, str], Path], listed: Callable[..., Any], call: Callable[..., Called]
) -> None:
    plugin("methods/halves.py", HALVES)
    methods = {method["name"]: method for method in listed("methods")["methods"]}
    assert set(methods) == set(_step.names())
    halves = methods["halves"]
    assert (halves["does"], halves["own"]) == ("Halves every weight.", True)
    assert halves["parameters"] == [
        {"name": "times", "type": "integer", "required": True, "default": None, "trains": False},
        {"name": "hard", "type": "boolean", "required": False, "default": False, "trains": False},
    ]
    trained = {p["name"]: p["default"] for p in methods["finetune"]["parameters"] if p["trains"]}
    assert trained == {name: json.loads(json.dumps(v)) for name, v in _tuning.DEFAULTS.items()}
    out = call("methods").out
    assert (
        "halves: Halves every weight. (your own)\n    times (integer), hard (boolean = false)"
        in out
    )
    assert out.count("teacher_weights") == 1


def test_types_hold_whether_or_not_a_plug_in_evaluates_them(
    plugin: Callable[[str, str], Path],
) -> None:
    plugin("methods/halves.py", HALVES)
    with pytest.raises(UserError, match="times must be int, got 'x'"):
        _step.check([{"method": "halves", "times": "x"}], None)


@pytest.mark.parametrize("width", [40, 80, 100])
def test_no_word_is_broken_and_no_line_is_too_long(width: int) -> None:
    every = methods.listed()
    lines = methods.lines(every, width)
    assert max(map(len, lines)) <= width
    assert {p.name for m in every for p in m.parameters} <= {*" ".join(lines).split()}
    rows = [("a" * 12, "3", "of words-with-dashes and more " * 5), ("b", "40", "c")]
    lines = _listing.lines(("name", "cells", "what"), rows, width)
    assert max(map(len, lines)) <= width
    assert {*" ".join(lines).split()} == {
        *" ".join(map(" ".join, rows)).split(),
        "name",
        "cells",
        "what",
    }


def test_runs_are_listed_in_their_order_and_damaged_ones_are_named(
    tmp_path: Path, listed: Callable[..., Any], call: Callable[..., Called]
) -> None:
    records = [*_runs.visits([1e-3]), _runs.failed(recipe="int8")]
    late = _runs.only(_runs.run(records), started="2026-03-01T00:00:00+00:00", dirty=True)
    _runs.written(late, tmp_path / "a")
    cells = [_runs.key("net", recipe, "cpu") for recipe in ("dense", "int8", "pruned")]
    _runs.written(_runs.run(records, cells), tmp_path / "deep" / "b")
    bad = _runs.written(_runs.run(records), tmp_path / "bad")
    (bad / _store.RECORDS).write_bytes(b"00000000 {}\n" + (bad / _store.RECORDS).read_bytes())
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / _store.HEADER).write_text("{")
    table = listed("runs", "--runs", tmp_path)
    first, second = table["runs"]
    assert first["folder"] == str(tmp_path / "deep" / "b")
    assert (first["cells"], first["failed"]) == (3, 2)  # one failed, one was never run
    assert (second["cells"], second["failed"], second["dirty"]) == (2, 1, True)
    assert (first["suite"], first["chip"]) == ("demo", "Example Core i5-1234")
    damaged = {Path(each["folder"]).name: each["reason"] for each in table["damaged"]}
    assert damaged.keys() == {"bad", "torn"}
    assert "records.jsonl, line 1: the checksum does not fit" in damaged["bad"]
    out = call("runs", "--runs", tmp_path).out
    assert "2026-03-01 00:00  demo   0123456789+" in out
    assert out.count("damaged: ") == 2


def test_a_folder_without_runs_says_so(tmp_path: Path, call: Callable[..., Called]) -> None:
    assert "no run lies below" in call("runs", "--runs", tmp_path).out
    result = call("runs", "--runs", tmp_path / "no")
    assert (result.code, "name the one with the runs" in result.err) == (bench.USER_ERROR, True)


@pytest.mark.parametrize("command", ["suites", "recipes", "methods", "runs"])
def test_listing_imports_nothing_heavy(command: str, tmp_path: Path) -> None:
    words = [command] + (["--runs", str(tmp_path)] if command == "runs" else [])
    code = (
        "import sys\nfrom paretomark import bench\nbench.main(sys.argv[1:])\n"
        "heavy = ('torch', 'onnx', 'onnxruntime', 'openvino', 'matplotlib', 'ai_edge_litert')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-P", "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[-1] == "[]"
