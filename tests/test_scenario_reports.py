"""Scenarios as reports show them: terminal, page, comparison and leaderboard."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from paretomark import bench
from paretomark.reports import _scenario_tables, _terminal, leaderboard, report
from paretomark.suites.records._summary import Summary, summarise
from paretomark.tests._pages import assert_self_contained
from paretomark.tests._runs import run, visits, written
from paretomark.tests._scenarios import every, of, server, trial

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called


def printed(summary: Summary) -> str:
    out = io.StringIO()
    console = Console(file=out, width=200, color_system=None)
    console.print(_terminal.table(summary, 200))
    for part in _scenario_tables.parts(summary):
        console.print(part.title, *_scenario_tables._table(part, 200), part.note)
    return out.getvalue()


def test_a_terminal_shows_every_scenario() -> None:
    text = printed(every())
    for shown in ("grows no more beyond", "100/s", "600/s", "highest: 150/s ±", "≤ 10.0 ms",
                  "from the start of a process to its first answer", "interpreter", "2.00×",
                  "3000 → 1500 MHz", "50 → 79 °C"):  # fmt: skip
        assert shown in text, shown
    assert "not measured  " not in text  # a server has no one latency, and is measured
    narrow = _scenario_tables._table(list(_scenario_tables.parts(every()))[1], 70)
    assert str(narrow[1]) == "Hidden: p90, p99: in a wider terminal, the page and cells.csv."
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


def test_no_highest_rate_is_stated_where_a_visit_has_none() -> None:
    none = of("server", 1, trials=(trial(10.0, 30, searched=True),), p99_bound_s=0.010)
    mixed = summarise(run([server(0), none]))
    assert mixed.rows[0].best_rate is None
    assert "none in 1 of 2 visits" in printed(mixed)
    assert "highest: none" in printed(summarise(run([none])))
