"""Scenarios: what a suite may say of them, and what records of them become."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from paretomark import bench
from paretomark.devices.measure._request import RunRequest
from paretomark.reports import _scenario_tables, _terminal, leaderboard, report
from paretomark.suites.records import _scenarios
from paretomark.suites.records._record import Malformed, Record
from paretomark.suites.records._summary import Summary, half_widths, summarise
from paretomark.suites.records._trials import Reading, Start, Trial
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._scenario import SCENARIOS, Server
from paretomark.tests._pages import assert_self_contained
from paretomark.tests._runs import noisy, record, run, visits, written

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

MS = 1_000_000
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


def of(scenario: str, block: int = 0, recipe: str = "dense", **changes: Any) -> Record:
    changes.setdefault("samples_ns", ())
    key = f"net/{recipe}/cpu/b1/t1/{scenario}"
    return record(recipe=recipe, cell=key, scenario=scenario, block=block, **changes)


def trial(rate: float, ms: float, queries: int = 700, **more: Any) -> Trial:
    """Latencies that are evenly spread from half of `ms` to one and a half."""
    each = tuple(int(MS * ms * (0.5 + i / (queries - 1))) for i in range(queries))
    return Trial(rate, queries, each, **more)


def server(block: int = 0, slower: float = 1.0, **more: Any) -> Record:
    searched = [(50.0, 3), (200.0, 9), (100.0, 4), (150.0, 6)]
    trials = [trial(100.0, 4 * slower), trial(600.0, 300 * slower)]
    trials += [trial(rate, ms * slower, searched=True) for rate, ms in searched]
    return of("server", block, trials=tuple(trials), p99_bound_s=0.010, **more)


def cold(block: int, slower: float = 1.0) -> Record:
    start = Start(0.05 * slower, 0.2 * slower, 0.03 * slower, 0.01 * slower, 0.01 * slower)
    return of("cold", block, cold=start, outcomes="")


def sustained(block: int, end: float = 2.0) -> Record:
    """Thirty slices, of which the last twelve take `end` times as long."""
    slices = tuple((round(MS * (1 if i < 18 else end)),) * 20 for i in range(30))
    readings = tuple(Reading(3000 if i < 18 else 1500, 50 + i) for i in range(30))
    at = tuple(1e9 + i for i in range(30))
    return of("sustained", block, slices_ns=slices, slices_at_s=at, readings=readings)


def batches(*latencies: float) -> list[Record]:
    """Batches of 1, 2, 4 and so on, each known to a percent or so."""
    return [
        each
        for i, latency in enumerate(latencies)
        for each in visits(
            noisy(latency, 5, 0.003, seed=i), batch=2**i, scenario="batch",
            cell=f"net/dense/cpu/b{2**i}/t1/batch",
        )
    ]  # fmt: skip


def every() -> Summary:
    records = [
        *(server(b, 1 + b / 100) for b in range(3)),
        *(cold(b, 1 + b / 50) for b in range(3)),
    ]
    records += [*(sustained(b) for b in range(3)), *batches(1e-3, 1.2e-3, 2.4e-3, 4.8e-3)]
    return summarise(run([*visits([1e-3, 1.001e-3, 0.999e-3]), *records]))


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


def test_no_highest_rate_is_stated_where_a_visit_has_none() -> None:
    none = of("server", 1, trials=(trial(10.0, 30, searched=True),), p99_bound_s=0.010)
    mixed = summarise(run([server(0), none]))
    assert mixed.rows[0].best_rate is None
    assert "none in 1 of 2 visits" in printed(mixed)
    assert "highest: none" in printed(summarise(run([none])))


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
    starts = [cold(b, 1 + 0.8 * b) for b in range(3)]
    beside = {row.cell: row for row in summarise(run([*calls, *starts])).rows}
    for cell, row in alone.items():
        assert beside[cell].latency_high_s == row.latency_high_s


def test_more_visits_are_for_calls_batches_and_starts() -> None:
    found = {key.rsplit("/", 1)[-1] for key in half_widths(every().run)}
    assert found == {"t1", "batch", "cold"}


# -- reports -------------------------------------------------------------------------------------


def printed(summary: Summary) -> str:
    out = io.StringIO()
    console = Console(file=out, width=200, color_system=None)
    console.print(_terminal.table(summary, 200))
    for part in _scenario_tables.parts(summary):
        console.print(part.title, _scenario_tables._table(part), part.note)
    return out.getvalue()


def test_a_terminal_shows_every_scenario() -> None:
    text = printed(every())
    for shown in ("grows no more beyond", "100/s", "600/s", "highest: 150/s ±", "≤ 10.0 ms",
                  "from the start of a process to its first answer", "interpreter", "2.00×",
                  "3000 → 1500 MHz", "50 → 79 °C"):  # fmt: skip
        assert shown in text, shown
    assert "not measured  " not in text  # a server has no one latency, and is measured
    assert "Throughput over" not in printed(summarise(run(visits([1e-3] * 3))))


@pytest.mark.slow
def test_a_page_of_a_server_alone_does_not_say_that_nothing_was_measured(tmp_path: Path) -> None:
    report.write(summarise(run([server(b) for b in range(3)])), tmp_path)
    text = assert_self_contained(tmp_path / "index.html")
    assert "Nothing was measured" not in text
    assert "a latency for each rate" in text


@pytest.mark.slow
def test_a_page_shows_every_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = every()
    report.present(summary, tmp_path, as_json=True)
    told = {row["scenario"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert told["server"]["server_p99_s"].keys() == {"100", "600"}
    assert told["server"]["best_rate"] == pytest.approx(150)
    text = assert_self_contained(tmp_path / "index.html")
    for shown in ("<h2>Server</h2>", "<h2>Cold start</h2>", "<h2>Sustained</h2>",
                  "Throughput over batch size", "seconds since the visit began", "clock, MHz",
                  "grows no more beyond", "highest: 150/s"):  # fmt: skip
        assert shown in text, shown
    assert (tmp_path / "throughput_over_batch.png").exists()
    assert (tmp_path / "sustained_over_time.svg").exists()
    with (tmp_path / "cells.csv").open() as file:
        lines = {line["scenario"]: line for line in csv.DictReader(file)}
    assert lines["server"]["queries"] == "100: 2100; 600: 2100"
    with (tmp_path / "visits.csv").open() as file:
        kept = {line["scenario"]: line for line in csv.DictReader(file)}
    assert "trials" not in kept["server"]
    assert kept["server"]["latency_s"] == ""
    assert float(kept["cold"]["latency_s"]) == pytest.approx(0.3 * 1.04)


def test_a_server_has_no_verdict_and_no_line_of_a_leaderboard(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    summary = every()
    a = written(summary.run, tmp_path / "a")
    told = call("compare", a, a, "--json")
    verdicts = {v["cell"]: v for v in json.loads(told.out)["verdicts"]}
    of_server = verdicts["net/dense/cpu/b1/t1/server"]
    assert of_server["answer"] == "not compared"
    assert "p99 6.0" in of_server["reason"]
    assert verdicts["net/dense/cpu/b1/t1/cold"]["answer"] != "not compared"
    board = leaderboard.boards([summary])[0]
    shown = {entry.row.scenario for entry in board.entries}
    assert shown == {"single", "batch", "sustained", "cold"}
    assert call("leaderboard", a, "--out", tmp_path / "site").code == bench.ALL_WELL
