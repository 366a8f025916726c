"""What equal cells tell of a machine: of synthetic runs, and measured on the fake device."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from paretomark.devices.measure import _equal_cells
from paretomark.devices.measure._equal_cells import CELLS, Pair
from paretomark.reports import _noise, _verdicts, doctor
from paretomark.suites.records._record import Probe
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec._errors import UserError
from paretomark.tests import _runs

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called


def equal(visits: int, spread: float, seed: int, slower: float = 1.0) -> Run:
    """A run of equal cells whose visits differ by chance; the last one may truly be slower."""
    rng = np.random.default_rng(seed)
    records = []
    for cell in range(CELLS):
        factor = slower if cell == CELLS - 1 else 1.0
        for block, off in enumerate(np.exp(spread * rng.standard_normal(visits))):
            latency = 1e-3 * factor * float(off)
            records.append(_runs.record(recipe=f"equal{cell}", block=block, latency=latency))
    return _runs.run(records)


def pair(first: Run, second: Run) -> Pair:
    return Pair("cpu", "net", first, second, first.header.blocks + second.header.blocks, 60.0)


def found(spread: float, visits: int = 6) -> _noise.Noise:
    return _noise.noise(pair(equal(visits, spread, 1), equal(visits, spread, 2)))


@pytest.mark.slow
def test_more_visits_find_less_and_more_noise_hides_more() -> None:
    efforts = found(0.01).efforts
    assert [(e.name, e.visits) for e in efforts] == [("quick", 3), ("gate", 8), ("publish", 20)]
    quick, gate, publish = (e.detectable or 0 for e in efforts)
    assert quick > gate > publish > 0.0025  # half of what --effort publish calls the same
    loud = [e.detectable or 0 for e in found(0.04).efforts]
    assert all(a > 2 * b for a, b in zip(loud[:2], (quick, gate), strict=True))


def test_the_time_that_a_run_takes_is_that_of_its_blocks() -> None:
    assert [e.wall_s for e in found(0.01).efforts] == [15.0, 80.0, 200.0]  # 12 blocks took 60 s


@pytest.mark.slow
@pytest.mark.parametrize("visits", [3, 8])
def test_what_is_told_to_be_found_is_found_in_four_of_five_cases(visits: int) -> None:
    """By comparisons of further runs of that noise, in which one cell became so much slower."""
    spread, times = 0.01, 40
    effort = next(e for e in found(spread, 12).efforts if e.visits == visits)
    delta = {3: 0.02, 8: 0.01}[visits]
    hits = 0
    for seed in range(times):
        a = equal(visits, spread, 1000 + seed)
        b = equal(visits, spread, 2000 + seed, 1 + (effort.detectable or 0))
        verdicts = _verdicts.compare(summarise(a), summarise(b), delta, facts=False).verdicts
        hits += verdicts[-1].answer == "slower"
    assert 0.6 <= hits / times <= 0.97


@pytest.mark.slow
def test_a_false_verdict_is_told() -> None:
    quiet = _noise.noise(pair(equal(5, 0.002, 1), equal(5, 0.002, 2)))
    assert quiet.false == []
    wrong = _noise.noise(pair(equal(5, 0.002, 1), equal(5, 0.002, 2, slower=1.2)))
    assert wrong.false == [f"net/equal{CELLS - 1}/cpu/b1/t1: slower"]
    assert max(wrong.compared) == pytest.approx(0.2, abs=0.02)
    assert "FALSE VERDICTS" in "\n".join(doctor.lines(pair(*[equal(2, 0.1, 1)] * 2), wrong))


@pytest.mark.slow
def test_what_all_cells_have_in_common_is_told_as_that() -> None:
    later = equal(5, 0.002, 2)
    slow = tuple(
        dataclasses.replace(
            r, slices_ns=tuple(tuple(round(1.2 * ns) for ns in part) for part in r.slices_ns)
        )
        for r in later.records
    )
    noise = _noise.noise(pair(equal(5, 0.002, 1), dataclasses.replace(later, records=slow)))
    assert noise.false == ["all cells: slower"]


def test_where_no_visit_counts_nothing_is_told_of_runs() -> None:
    def busy(run: Run) -> Run:
        records = tuple(dataclasses.replace(r, flags=("foreign load",)) for r in run.records)
        return dataclasses.replace(run, records=records)

    runs = pair(busy(equal(3, 0.01, 1)), busy(equal(3, 0.01, 2)))
    noise = _noise.noise(runs)
    assert [e.detectable for e in noise.efforts] == [None] * 3
    assert (noise.valid_visits, noise.flags) == (0, {"foreign load": 6 * CELLS})
    told = "\n".join(doctor.lines(runs, noise))
    assert "48 visits do not count: foreign load 48" in told
    assert "is not known" in told
    assert "minutes tells" not in told


@pytest.fixture(scope="module")
def measured() -> Pair:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_equal_cells, "SUITE", "seconds = 0.02\nforeign_load_cores = 99.0\n")
        return _equal_cells.measure(_equal_cells.present("fake:ok"), 1.0)


@pytest.mark.build
def test_cells_hold_one_file_and_are_measured_in_two_runs(measured: Pair) -> None:
    assert measured.blocks >= _equal_cells.LEAST_BLOCKS
    assert measured.wall_s > 0
    for run in (measured.first, measured.second):
        assert len({r.cell for r in run.records}) == CELLS
        assert len({(r.sha256, r.identity) for r in run.records}) == 1
        assert {len(v.records) for v in summarise(run).visits.values()} == {2}
    ends = [r.slices_at_s[-1] for r in measured.first.records]
    assert max(ends) < min(r.slices_at_s[0] for r in measured.second.records)


@pytest.mark.build
def test_the_command_tells_what_runs_find_here(
    measured: Pair, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Called]
) -> None:
    asked = []

    def instead(probe: Probe, time_s: float, model: str, told: Callable[[str], None]) -> Pair:
        asked.append((probe.device, time_s, model))
        return measured

    monkeypatch.setattr(_equal_cells, "measure", instead)
    result = call("doctor", "--device", "fake:ok", "--time", "2m", "--json")
    assert (result.code, asked) == (0, [("fake:ok", 120.0, "")])
    told = json.loads(result.out)["equal_cells"]
    assert [e["name"] for e in told["efforts"]] == ["quick", "gate", "publish"]
    assert all(e["detectable"] > 0 for e in told["efforts"])
    assert told["visits"] == 4 * CELLS
    assert 0 <= told["disturbed"] <= 1
    assert len(told["apart"]) == CELLS
    result = call("doctor", "--device", "fake:ok")
    assert result.code == 0
    assert result.out.count("minutes tells") == 3
    assert "of slices were disturbed" in result.out
    assert "false verdict" in result.out.lower()


@pytest.mark.build
def test_progress_says_that_building_takes_a_while(measured: Pair) -> None:
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_equal_cells, "SUITE", "seconds = 0.01\nforeign_load_cores = 99.0\n")
        patch.setattr(_equal_cells, "CELLS", 1)
        _equal_cells.measure(_equal_cells.present("fake:ok"), 0.1, told=told.append)
    assert "minutes the first time" in told[0]
    assert len(told) == 1 + _equal_cells.LEAST_BLOCKS


@pytest.mark.build
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "fake:absent"), "no device is available: fake:absent: it is never there"),
        (("--device", "fake:okay"), "did you mean 'fake:ok'?"),
        (("--device", "fake:ok", "--model", "digits_mpl"), "did you mean 'digits_mlp'?"),
        (("--device", "fake:load-crash"), "this device fails to load; choose another --device"),
        (("--device", "fake:ok", "--model", "digits_cnn"), "runs only chains of linear layers"),
        (("--device", "edgetpu:model"), "runs int8 only, not fp32; choose another --device"),
    ],
)
def test_where_nothing_can_be_measured_it_says_why(
    arguments: tuple[str, ...], message: str, call: Callable[..., Called]
) -> None:
    result = call("doctor", *arguments)
    assert result.code == 2
    assert message in result.err


def test_without_any_device_it_says_how_to_look_only(
    monkeypatch: pytest.MonkeyPatch, call: Callable[..., Called]
) -> None:
    monkeypatch.setattr(_equal_cells, "USUAL", ("fake:absent",))
    result = call("doctor")
    assert result.code == 2
    assert "--look looks at the machine only" in result.err
    with pytest.raises(UserError):
        _equal_cells.present()


def test_the_default_is_the_first_of_the_usual_devices_that_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_equal_cells, "USUAL", ("fake:absent", "fake:slow", "fake:ok"))
    assert _equal_cells.present().device == "fake:slow"
