"""What a run would do, told before it is started, and without starting it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from paretomark import bench
from paretomark.devices import _host
from paretomark.devices.measure import _foresee
from paretomark.tests import _runs

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

SUITE = """
title = "Small"
devices = ["fake:ok", "fake:absent", "edgetpu:model"]
blocks = 3
seconds = 0.5
examples = 50
foreign_load_cores = 99.0
[model.digits_mlp]
[recipe.fp32]
[recipe.pruned]
steps = [{ method = "magnitude", sparsity = 0.9 }, { method = "finetune" }]
"""
SERVER = 'scenario = ["server"]\n[server]\nrates = [10]\n'


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(SUITE)
    return path


def planned(call: Callable[..., Called], *words: str | Path) -> Any:
    """What `run --plan --json` says, which must measure nothing."""
    result = call("run", *words, "--plan", "--json")
    assert result.code == 0, result.err
    return json.loads(result.out, parse_constant=lambda name: pytest.fail(name))


def test_a_plan_counts_cells_artifacts_and_visits_and_makes_nothing(
    suite: Path, tmp_path: Path, private_cache: Path, call: Callable[..., Called]
) -> None:
    out = tmp_path / "runs" / "x"
    table = planned(call, suite, "--out", out)
    assert table["schema"] == "paretomark/plan/1"
    cells = {cell["cell"]: cell["status"] for cell in table["cells"]}
    assert len(cells) == 6
    assert [status for key, status in cells.items() if "fake:ok" in key] == ["", ""]
    assert [status for key, status in cells.items() if "absent" in key] == ["unavailable"] * 2
    assert [status for key, status in cells.items() if "edgetpu" in key] == ["unsupported"] * 2
    devices = {device["device"]: device for device in table["devices"]}
    assert devices["fake:absent"]["remedy"]
    assert [device["cells"] for device in table["devices"]] == [2, 2, 2]
    assert table["models"] == [{"model": "digits_mlp", "cells": 6, "recipes": ["fp32", "pruned"]}]
    assert (table["artifacts"]["needed"], table["artifacts"]["in_cache"]) == (2, 0)
    plain, pruned = table["artifacts"]["to_build"]
    assert (plain["trains"], pruned["trains"]) == (False, True)
    assert plain["bytes"] > 1000
    assert table["visits"] == {"planned": 6, "more_at_most": 2, "more_s": None}
    assert table["time"]["visits_s"] == pytest.approx(6 * (0.5 + _foresee.START_S))
    assert table["time"]["build_s"] is None
    assert table["disk"]["bytes"] > plain["bytes"]
    assert not out.exists()
    assert not (private_cache / "artifacts").exists()


def test_a_plan_in_words(suite: Path, private_cache: Path, call: Callable[..., Called]) -> None:
    result = call("run", suite, "--plan", "--time", "10m")
    out = " ".join(result.out.split())
    for part in (
        "Small: 6 cells, 2 of them here",
        "fake:absent no 2 it is never there",
        "digits_mlp 6 2: fp32, pruned",
        "2 needed, 0 of them in the cache, 2 to be built: digits_mlp/fp32.npz, digits_mlp/pruned",
        "6, 3 of each cell; then cells that are not known to ±2.0 % again, for up to 10 min",
        "about 8 s for visits. It rests on the suite's seconds of sampling",
        "How long building takes is not estimated: 2 artifacts, 1 of which may train",
        "are free for the cache. It rests on",
        "digits_mlp/fp32/fake:absent/b1/t1: unavailable: it is never there",
    ):
        assert part in out


def test_an_estimate_rests_on_the_newest_run_of_the_suite_on_this_machine(
    suite: Path, tmp_path: Path, call: Callable[..., Called]
) -> None:
    here = {**_runs.HOST, "fingerprint": _host.machine().fingerprint}
    records = [_runs.record(block=i, started=f"2026-01-02T03:0{5 + i}:05+00:00") for i in range(3)]
    changes: dict[str, Any] = {"suite": "s", "started": "2026-01-02T03:04:05+00:00"}
    _runs.written(_runs.run(records, host=here, **changes), tmp_path / "runs" / "mine")
    late = {**changes, "started": "2026-01-03T03:04:05+00:00"}
    _runs.written(_runs.run(records, **late), tmp_path / "runs" / "of-another-machine")
    time = planned(call, suite, "--out", tmp_path / "runs" / "x")["time"]
    assert time["visits_s"] == pytest.approx(6 * 180 / 3)
    assert "mine: 3 visits in 180 s" in time["rests_on"]
    other = planned(call, suite, "--out", tmp_path / "runs" / "x", "--effort", "gate")["time"]
    assert "the suite's seconds of sampling" in other["rests_on"]


def test_what_cannot_be_estimated_is_said(
    suite: Path, private_cache: Path, call: Callable[..., Called]
) -> None:
    suite.write_text(SUITE.replace("[model.digits_mlp]", SERVER + "[model.digits_mlp]"))
    time = planned(call, suite)["time"]
    assert time["visits_s"] is None
    assert "a server is tried at as many rates as" in time["rests_on"]
    suite.write_text(SUITE.replace("[model.digits_mlp]", '[model.digits_mlp]\nweights = "random"'))
    table = planned(call, suite, "--recipe", "fp32")
    assert [each["bytes"] for each in table["artifacts"]["to_build"]] == [None]
    assert "of 1 to build nothing is known" in table["disk"]["rests_on"]


def test_a_plan_of_devices_that_are_all_elsewhere_is_told(
    suite: Path, call: Callable[..., Called]
) -> None:
    table = planned(call, suite, "--device", "fake:absent")
    assert table["visits"]["planned"] == 0
    assert table["artifacts"] == {"needed": 0, "in_cache": 0, "to_build": []}


def test_a_plan_is_of_a_new_run(suite: Path, call: Callable[..., Called]) -> None:
    result = call("run", "--resume", "runs/x", "--plan")
    assert (result.code, "without plan" in result.err) == (bench.USER_ERROR, True)


@pytest.mark.build
def test_what_was_built_is_in_the_cache(
    suite: Path, tmp_path: Path, private_cache: Path, call: Callable[..., Called]
) -> None:
    chosen = ("--device", "fake:*", "--recipe", "fp32")
    assert call("run", suite, *chosen, "--out", tmp_path / "runs" / "x").code == 0
    table = planned(call, suite, "--device", "fake:*", "--out", tmp_path / "runs" / "y")
    assert (table["artifacts"]["needed"], table["artifacts"]["in_cache"]) == (2, 1)
    assert [each["name"] for each in table["artifacts"]["to_build"]] == ["digits_mlp/pruned.npz"]
    assert table["time"]["rests_on"].startswith("the newest run of this suite here")
    (kept,) = (private_cache / "artifacts").glob("*/model.npz")
    kept.write_bytes(b"damaged")
    assert planned(call, suite, "--device", "fake:*")["artifacts"]["in_cache"] == 0
    assert kept.exists()
