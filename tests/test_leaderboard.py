"""Several runs on one set of pages: newest first, and machines apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark.reports import leaderboard
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec._errors import UserError
from paretomark.tests._pages import EVIL, assert_self_contained, read
from paretomark.tests._runs import (
    HOST,
    PROBES,
    failed,
    noisy,
    only,
    record,
    run,
    visits,
    written,
)

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

OTHER = HOST | {"fingerprint": "99", "chip": "Cortex-A72"}


def boards(runs: Sequence[Run]) -> list[leaderboard.Board]:
    return leaderboard.boards([summarise(run) for run in runs])


def write(runs: Sequence[Run], out: Path) -> list[Path]:
    return leaderboard.write([summarise(run) for run in runs], out)


def test_the_newest_valid_result_counts() -> None:
    old = run([record(latency=1e-3)], started="2026-01-01", run="1")
    new = run([record(latency=2e-3)], started="2026-02-01", run="2")
    flagged = run([record(latency=3e-3, flags=("drift",))], started="2026-03-01", run="3")
    for order in ([old, new, flagged], [flagged, new, old]):
        (board,) = boards(order)
        (entry,) = board.entries
        assert entry.row.latency_s == pytest.approx(2e-3)
        assert entry.run.header.run == "2"


def test_the_best_known_of_the_newest_versions_counts() -> None:
    """A wide interval does not replace a narrow one; results of older versions are replaced."""

    def of(number: int, spread: float, version: str) -> Run:
        probes = ({**PROBES[0], "device": "cpu", "versions": {"it": version}},)
        records = visits(noisy(number * 1e-3, 5, spread, number))
        return run(records, run=str(number), started=f"2026-0{number}-01", probes=probes)

    old, narrow, wide = of(1, 0.001, "1.0"), of(2, 0.002, "2.0"), of(3, 0.1, "2.0")
    for order in ([old, narrow, wide], [wide, narrow, old]):
        (board,) = boards(order)
        assert [e.run.header.run for e in board.entries] == ["2"]
    (board,) = boards([old, of(4, 0.1, "3.0")])
    assert [e.run.header.run for e in board.entries] == ["4"]


def test_a_folder_of_runs_is_all_of_them(call: Callable[..., Called], tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(run(visits([1e-3] * 2, name), run=name), tmp_path / "runs" / name)
    told = call("leaderboard", tmp_path / "runs", "--out", tmp_path / "site")
    assert told.code == 0
    assert "2 runs" in (tmp_path / "site" / "index.html").read_text()
    told = call("leaderboard", tmp_path / "nothing", "--out", tmp_path / "site")
    assert "not a run" in told.err


def test_machines_and_data_sets_share_no_front() -> None:
    here = run([record(model="a", latency=9e-3)])
    there = only(run([record(model="b", latency=1e-3, outcomes="1" * 100)]), host=OTHER)
    scenes = run([record(model="c", latency=1e-6, data="scenes", outcomes="1" * 100)], run="3")
    ranked = boards([here, there, scenes])
    assert [(b.data, b.host.chip, len(b.entries)) for b in ranked] == [
        ("digits", "Cortex-A72", 1),
        ("digits", "Example Core i5-1234", 1),
        ("scenes", "Example Core i5-1234", 1),
    ]
    assert all(e.row.on_front for b in ranked for e in b.entries)


def test_runs_of_one_machine_share_a_front() -> None:
    """What was on the front of its own run can be beaten by another run."""
    first = run(visits([2e-3, 2.01e-3], model="a"), run="1")
    second = run(visits([1e-3, 1.01e-3], model="b", outcomes="1" * 95 + "0" * 5), run="2")
    (board,) = boards([first, second])
    assert {e.row.model: e.row.on_front for e in board.entries} == {"a": False, "b": True}
    chances = {e.row.model: e.row.front_probability for e in board.entries}
    assert chances["b"] == 1
    assert chances["a"] is not None
    assert chances["a"] < 0.05


def test_a_name_does_not_make_a_recipe_the_same() -> None:
    """Two suites may call different steps alike; neither result replaces the other."""
    first = run([record(recipe="pruned", steps="magnitude(sparsity=0.5)")], run="1")
    second = run([record(recipe="pruned", steps="magnitude(sparsity=0.9)")], run="2")
    (board,) = boards([first, second])
    assert len(board.entries) == 2


def test_pages(tmp_path: Path) -> None:
    here = run([*visits([1e-3, 1.1e-3]), record(model="c", data="scenes"), failed(model="d")])
    there = only(run(visits([4e-3, 4.1e-3])), host=OTHER, commit="", run="2")
    written = write([here, there], tmp_path / "site")
    assert written[0].name == "index.html"
    assert len([p for p in written if p.suffix == ".svg"]) == 3
    text = assert_self_contained(written[0])
    for shown in ("Cortex-A72", "Example Core i5-1234", "0123456789ab", "2026-01-02", "2 of 3",
                  "not from git"):  # fmt: skip
        assert shown in text, shown


def test_hostile_text(tmp_path: Path) -> None:
    host = HOST | dict.fromkeys(("fingerprint", "chip", "system"), EVIL)
    names = dict.fromkeys(("title", "suite", "run", "commit", "started", "version"), EVIL)
    source = run([record(model=EVIL, data=EVIL)], **names, host=host)
    text, loads = read(write([source], tmp_path)[0])
    assert loads.scripts == 1
    assert loads.handlers == []
    assert "img" not in loads.tags
    assert "&lt;script&gt;" in text


def test_nothing_valid(tmp_path: Path) -> None:
    text = assert_self_contained(write([run([failed()])], tmp_path)[0])
    assert "No valid result" in text


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name at least one"):
        write([], tmp_path)
