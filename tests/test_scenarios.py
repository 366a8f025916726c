"""Scenarios: what a suite may say of them, and what records of them become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from paretomark.devices.measure._request import RunRequest
from paretomark.suites.records import _scenarios
from paretomark.suites.records._record import Malformed, Record
from paretomark.suites.records._summary import Summary, half_widths, summarise
from paretomark.suites.records._trials import Start, Trial
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._scenario import SCENARIOS, Server
from paretomark.tests._runs import noisy, run, visits
from paretomark.tests._scenarios import batches, cold, every, of, server, sustained, trial

SUITE = 'devices = ["fake:ok"]\n{more}[model.digits_mlp]\n[recipe.fp32]\n'
ALL = """scenario = ["single", "batch", "server", "cold", "sustained"]
batch = [1, 8]
[server]
rates = [100]
"""


def planned(more: str, **asked: Any) -> list[str]:
    request = RunRequest(SUITE.format(more=more), "s", "/", **asked)
    return [cell.key.removeprefix("digits_mlp/fp32/fake:ok/") for cell in request.plan()[1]]


def test_every_scenario_has_cells_of_its_own_and_batches_are_those_of_batch() -> None:
    assert planned("") == ["b1/t1"]
    assert planned("batch = [1, 8]\n") == ["b1/t1", "b8/t1"]
    assert planned(ALL) == [
        *("b1/t1", "b1/t1/batch", "b8/t1/batch"),
        *("b1/t1/server", "b1/t1/cold", "b1/t1/sustained"),
    ]


def test_the_command_line_has_other_scenarios_than_the_suite() -> None:
    assert planned(ALL, scenario=("cold",)) == ["b1/t1/cold", "b8/t1/cold"]
    request = RunRequest(SUITE.format(more=""), "s", "/", sustained_s=30.0)
    suite, [cell] = request.plan()
    assert (cell.scenario, suite.sustained.seconds) == ("sustained", 30.0)
    with pytest.raises(UserError, match=r"the scenario server needs a table \[server\]"):
        planned("", scenario=("server",))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('scenario = ["servr"]\n', "did you mean 'server'.*valid: batch, cold, server, single"),
        ("scenario = []\n", "scenario names none"),
        ('scenario = ["cold", "cold"]\n', "named twice"),
        ('scenario = ["server"]\n', r"needs a table \[server\] with rates"),
        ('scenario = ["server"]\n[server]\nseconds = 3\n', r"needs a table \[server\] with rates"),
        ('scenario = ["server"]\n[server]\np99 = "soon"\n', "p99 must be a time.*'soon'"),
        ('scenario = ["server"]\n[server]\np99 = "0ms"\n', "p99 must be a time"),
        ('scenario = ["server"]\n[server]\np99 = 10\n', "p99 must be str"),
        ('scenario = ["server"]\n[server]\nrates = [0]\n', "rates must be above 0"),
        ('scenario = ["server"]\n[server]\nrates = [5, 5]\n', "each named once"),
        ('scenario = ["server"]\n[server]\nrate = [5]\n', "did you mean 'rates'"),
        ('scenario = ["server"]\n[server]\nrates = [5]\nseconds = 0\n', "seconds must be positive"),
        ("[server]\nrates = [5]\n", r'add scenario = \["single", "server"\]'),
        ("[sustained]\nseconds = 5\n", "but not that scenario"),
        ('scenario = ["sustained"]\n[sustained]\nseconds = -1\n', "seconds must be positive"),
    ],
)
def test_what_cannot_be_is_refused(more: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        planned(more)


def test_a_bound_is_a_time() -> None:
    told = {text: Server(p99=text).bound_s for text in ("10ms", "2.5 ms", "800us", "1s", "")}
    assert list(told.values()) == [pytest.approx(0.01), 0.0025, pytest.approx(8e-4), 1.0, None]


def test_a_cell_that_was_not_run_has_its_scenario() -> None:
    cells = [f"a/fp32/d/b2/t4/l8/{name}" for name in SCENARIOS[1:]] + ["a/fp32/d/b2/t4"]
    rows = summarise(run([], cells)).rows
    assert [row.scenario for row in rows] == [*SCENARIOS[1:], "single"]
    assert {(row.model, row.batch, row.threads) for row in rows} == {("a", 2, 4)}


# -- records -------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [server(), cold(0), sustained(0), batches(1e-3)[0]])
def test_records_are_read_back(made: Record) -> None:
    assert Record.from_json(json.loads(json.dumps(made.to_json()))) == made


@pytest.mark.parametrize(
    ("made", "path", "value"),
    [
        (server(), ("trials", 0, "latencies_ns", 3), 0),
        (server(), ("trials", 0, "latencies_ns"), [5]),
        (server(), ("trials", 0, "latencies_ns"), []),
        (server(), ("trials", 0, "rate"), -1.0),
        (server(), ("trials", 0, "rate"), "fast"),
        (server(), ("trials",), []),
        (server(), ("trials",), {"a": 1}),
        (server(), ("p99_bound_s",), -1.0),
        (server(), ("scenario",), "serving"),
        (server(), ("scenario",), "single"),
        (cold(0), ("cold",), None),
        (cold(0), ("cold", "import_s"), -0.1),
        (cold(0), ("cold", "import_s"), None),
        (cold(0), ("scenario",), "sustained"),
        (sustained(0), ("readings",), [{"clock_mhz": 1, "temperature_c": 1}]),
        (sustained(0), ("readings", 0, "clock_mhz"), 0.5),
        (sustained(0), ("scenario",), "batch"),
    ],
)
def test_hostile_records_are_malformed(made: Record, path: tuple[Any, ...], value: Any) -> None:
    table: Any = json.loads(json.dumps(made.to_json()))
    place = table
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(Malformed):
        Record.from_json(table)


def row_of(summary: Summary, scenario: str) -> Any:
    return next(row for row in summary.rows if row.scenario == scenario)


def test_a_server_has_percentiles_at_each_rate_and_a_highest_rate() -> None:
    row = row_of(every(), "server")
    assert row.valid
    assert (row.latency_s, row.speedup, row.on_front) == (None, None, False)
    assert row.queries == {"100": 2100, "600": 2100}
    assert row.server_median_s == pytest.approx({"100": 0.00404, "600": 0.303}, rel=0.002)
    assert row.server_p99_s == pytest.approx({"100": 0.00404 * 1.49, "600": 0.303 * 1.49}, rel=2e-3)
    assert row.best_rate == pytest.approx(150)  # of 200 the p99 is above 10 ms
    assert row.best_rate_low == pytest.approx(150)
    assert row.best_rate_high == pytest.approx(200)
    [at, _] = _scenarios.served([server(b, 1 + b / 100) for b in range(3)])
    p99 = at.percentiles[99]
    assert p99
    assert p99.low
    assert p99.high
    assert p99.low < p99.value < p99.high < 1.1 * p99.low


def test_no_percentile_is_stated_of_too_few_queries() -> None:
    few = of("server", trials=(trial(100.0, 4, queries=500),))
    row = summarise(run([few])).rows[0]
    assert row.server_p90_s
    assert row.server_p99_s == {}
    ended = trial(100.0, 4, searched=True)
    ended = Trial(100.0, 700, ended.latencies_ns[:690], searched=True)
    assert not ended.passes(1.0)


def test_a_cold_start_is_the_sum_of_its_parts() -> None:
    row = row_of(every(), "cold")
    assert row.latency_s == pytest.approx(0.3 * 1.02, rel=0.01)
    assert row.latency_low_s < row.latency_s < row.latency_high_s
    parts = (row.interpreter_s, row.import_s, row.load_s, row.compile_s, row.first_s)
    assert sum(parts) == pytest.approx(0.3 * 1.02)
    assert row.examples == 0
    assert row.throughput is None


def test_a_sustained_visit_tells_burst_and_end_apart() -> None:
    row = row_of(every(), "sustained")
    assert row.burst_s == pytest.approx(1e-3)
    assert row.latency_s == pytest.approx(2e-3)
    assert row.slowdown == pytest.approx(2.0)
    steady = summarise(run([sustained(b, end=1.0) for b in range(2)])).rows[0]
    assert steady.slowdown == pytest.approx(1.0)
    assert not steady.sequential


def test_throughput_is_batch_over_latency_and_grows_up_to_a_size() -> None:
    summary = every()
    rows = [row for row in summary.rows if row.scenario == "batch"]
    for row in rows:
        assert row.latency_s
        assert row.latency_high_s
        assert row.throughput == pytest.approx(row.batch / row.latency_s)
        assert row.throughput_low == pytest.approx(row.batch / row.latency_high_s)
    found = _scenarios.knee(rows)
    assert found
    assert found.batch == 2
    growing = summarise(run(batches(1e-3, 1.2e-3, 1.4e-3))).rows
    assert _scenarios.knee(growing) is None
    assert _scenarios.knee(rows[:1]) is None
    assert row_of(summary, "single").throughput is None
    assert summarise(run(visits([1e-3] * 3, batch=8))).rows[0].throughput


def test_scenarios_share_no_front_and_no_dense_net() -> None:
    """Nor does a cold start make others look fast."""
    pruned = [of("cold", b, "0.5", cold=Start(0.01, 0.01, 0.01, 0.01), outcomes="")
              for b in range(3)]  # fmt: skip
    summary = summarise(run([*visits([1e-3] * 3), *pruned, *(cold(b) for b in range(3))]))
    rows = {row.cell: row for row in summary.rows}
    assert len({row.group for row in rows.values()}) == 2
    assert rows["net/0.5/cpu/b1/t1/cold"].speedup == pytest.approx(0.306 / 0.04, rel=0.05)
    assert rows["net/dense/cpu/b1/t1"].on_front
    assert not rows["net/0.5/cpu/b1/t1/cold"].on_front


def test_a_noisy_start_does_not_widen_the_intervals_of_calls() -> None:
    calls = [r for i in range(9) for r in visits(noisy(1e-3, 3, 0.004, i), recipe=f"0.{i + 1}")]
    alone = {row.cell: row for row in summarise(run(calls)).rows}
    starts = [
        cold(block, slower, recipe=f"0.{i + 1}")
        for i in range(9)
        for block, slower in enumerate(noisy(1.0, 3, 0.1, i))
    ]
    beside = {row.cell: row for row in summarise(run([*calls, *starts])).rows}
    for cell, row in alone.items():
        assert beside[cell].latency_high_s == row.latency_high_s


def test_more_visits_are_for_calls_batches_and_starts() -> None:
    found = {key.rsplit("/", 1)[-1] for key in half_widths(every().run)}
    assert found == {"t1", "batch", "cold"}
