"""What stands beside time in rows, pages and comparisons; and that nothing does where it is not."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from paretomark.reports import _beside, _cells, _csv, _verdicts, report
from paretomark.suites.records import _record
from paretomark.suites.records._record import Malformed, Record
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.tests._runs import key, record, run, visits, written
from paretomark.tests.test_columns import printed, titles

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

COUNTS = {"instructions": 2e6, "cycles": 1e6, "cache_misses": 300.0, "branch_misses": 20.0}
METERS = (
    {"device": "hardware counters", "available": False, "chip": "", "versions": {},
     "reason": "the kernel refuses <them>", "remedy": "sudo sysctl"},
    {"device": "energy", "available": True, "chip": "RAPL: package-0", "versions": {},
     "reason": "", "remedy": ""},
)  # fmt: skip
RARE = {"instructions", "IPC", "cache misses", "branch misses", "energy"}


def counted(counts: list[float], model: str = "net", **changes: Any) -> list[Record]:
    """A visit for each count of instructions."""
    return [
        record(model, block=i, counters={**COUNTS, "instructions": n, "counted": 1.0}, **changes)
        for i, n in enumerate(counts)
    ]


def compared(a: Run, b: Run) -> list[_beside.Change]:
    one, other = summarise(a), summarise(b)
    return _beside.changes(one, other, _verdicts.compare(one, other))


def test_a_row_has_the_medians_of_its_visits() -> None:
    energy: dict[str, Any] = {"energy_source": "RAPL: package-0", "idle_w": 12.0}
    records = [
        record(
            block=i, counters={**COUNTS, "instructions": n, "counted": share}, energy_j=j, **energy
        )
        for i, (n, share, j) in enumerate([(2e6, 1.0, 0.1), (3e6, 0.5, 0.3), (9e6, 1.0, 0.2)])
    ]
    (row,) = summarise(run(records)).rows
    assert (row.instructions, row.cycles, row.ipc) == (3e6, 1e6, 3.0)
    assert (row.cache_misses, row.branch_misses, row.counted) == (300, 20, 1.0)
    assert (row.energy_source, row.idle_w) == ("RAPL: package-0", 12.0)


def joules(told: list[float], source: str = "RAPL: package-0") -> Run:
    """A visit for each."""
    energy: dict[str, Any] = {"energy_source": source, "idle_w": 12.0}
    return run([record(block=i, energy_j=j, **energy) for i, j in enumerate(told)])


def test_energy_is_the_mean_of_visits_with_its_interval() -> None:
    (row,) = summarise(joules([0.20, 0.22, 0.24])).rows
    assert row.energy_j == pytest.approx(0.22)
    assert row.energy_low_j == pytest.approx(0.22 - 4.303 * 0.02 / 3**0.5, rel=1e-3)
    assert row.energy_high_j == pytest.approx(0.22 + 4.303 * 0.02 / 3**0.5, rel=1e-3)
    assert "220 mJ ±23%" in printed(summarise(joules([0.20, 0.22, 0.24])), 160)


def test_energy_that_is_no_more_than_chance_is_not_told() -> None:
    """What lies below idle counts as well: the mean of those above it alone would be of nothing."""
    (row,) = summarise(joules([0.2, -0.1, 0.3, -0.2])).rows
    assert (row.energy_j, row.energy_low_j) == (None, None)
    assert "too little" in row.energy_why
    assert compared(joules([0.2, -0.1]), joules([0.3, 0.31])) == []


def test_flagged_visits_do_not_count() -> None:
    bad = record(block=1, flags=("foreign load",), counters={"instructions": 9e9}, energy_j=7.0)
    (row,) = summarise(run([*counted([2e6]), bad])).rows
    assert (row.instructions, row.energy_j) == (2e6, None)


def test_tables_have_the_columns_only_where_something_was_told() -> None:
    bare = summarise(run(visits([1e-3, 1e-3])))
    assert not RARE & set(titles(_cells.every(bare.rows))[0])
    assert "instructions" not in printed(bare, 160)
    whole = summarise(run([*counted([2e6], energy_j=3e-3), *visits([1e-3], "other")]))
    assert set(titles(_cells.every(whole.rows))[0]) >= RARE
    text = printed(whole, 160)
    assert "2.00 M" in text
    assert "3.00 mJ" in text
    lines = list(csv.DictReader(io.StringIO(_csv.cells(bare))))
    assert {"instructions", "ipc", "energy_j", "energy_why"} <= lines[0].keys()  # CSV is whole


def test_a_page_says_once_why_there_is_none(tmp_path: Path) -> None:
    source = run(visits([1e-3, 1e-3]), meters=METERS)
    page = report.write(summarise(source), tmp_path)[0].read_text()
    assert page.count(">the kernel refuses &lt;them&gt;; sudo sysctl") == 1
    assert "RAPL: package-0" in page
    older = report.write(summarise(run(visits([1e-3]))), tmp_path / "older")[0].read_text()
    assert "Beside time" not in older


def test_a_page_says_what_was_scaled_what_was_idle_and_what_was_too_short(tmp_path: Path) -> None:
    energy: dict[str, Any] = {"energy_source": "RAPL: package-0", "idle_w": 12.0}
    records = [
        record("a", counters={"instructions": 5.0, "counted": 0.4}, energy_j=0.1, **energy),
        record("b", energy_why="too short: a <slice>", **energy),
    ]
    summary = summarise(run(records, meters=METERS))
    page = report.write(summary, tmp_path)[0].read_text()
    assert "In 1 of 1 counted cells the processor counted by turns, for 40 % of the time" in page
    assert "Energy by RAPL: package-0" in page
    assert "12.0 W" in page
    assert "too short: a &lt;slice&gt;" in page


def test_a_change_of_instructions_is_found_where_that_of_time_is_not() -> None:
    a = counted([2e6, 2.001e6, 1.999e6])
    b = counted([2.1e6, 2.101e6, 2.099e6], latency=1.0001e-3)
    found = {change.kind: change for change in compared(run(a), run(b))}
    more = found["instructions"]
    assert more.answer == "more"
    assert more.ratio == pytest.approx(1.05, rel=1e-3)
    assert more.ratio_low
    assert more.ratio_high
    assert 1.04 < more.ratio_low < 1.05 < more.ratio_high < 1.06
    assert found["cache_misses"].answer == ""
    verdict = _verdicts.compare(summarise(run(a)), summarise(run(b))).verdicts[0]
    assert verdict.answer not in ("faster", "slower")  # they are no part of it


def test_noise_of_counts_is_no_change() -> None:
    found = compared(run(counted([2e6, 2.4e6, 1.7e6])), run(counted([2.2e6, 1.8e6, 2.5e6])))
    (change,) = (c for c in found if c.kind == "instructions")
    assert change.answer == ""
    assert change.ratio_low
    assert change.ratio_high
    assert change.ratio_low < 1 < change.ratio_high


def test_one_visit_has_no_interval_and_makes_no_claim() -> None:
    change, *_ = compared(run(counted([2e6])), run(counted([9e6])))
    assert (change.a, change.b, change.ratio, change.answer) == (2e6, 9e6, None, "")


def test_counts_of_nothing_are_compared_without_a_ratio() -> None:
    none = [record(block=i, counters={"cache_misses": 0.0}) for i in range(3)]
    (change,) = compared(run(none), run(none))
    assert (change.a, change.b, change.ratio) == (0, 0, None)


def test_joules_of_different_meters_are_not_compared() -> None:
    told = [0.1, 0.1, 0.1]
    assert not compared(joules(told), joules(told, "NVML: GPU"))
    more = [0.15, 0.151, 0.149]
    (change,) = compared(joules(told), joules(more))
    assert (change.kind, change.answer) == ("energy_j", "more")
    assert change.ratio == pytest.approx(1.5)


def test_compare_prints_them_below_the_verdicts_or_nothing(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    a = written(run(counted([2e6, 2e6, 2e6])), tmp_path / "a")
    b = written(run(counted([3e6, 3e6, 3e6])), tmp_path / "b")
    bare = written(run(visits([1e-3] * 3)), tmp_path / "bare")
    shown = call("compare", a, b).out
    (line,) = (line for line in shown.splitlines() if line.startswith("instructions"))
    assert "2.00 M → 3.00 M" in line
    assert line.rstrip().endswith("more")
    assert "| `instructions` | `net/dense/cpu/b1/t1` | `2.00 M → 3.00 M` |" in (
        call("compare", a, b, "--markdown").out
    )
    told = json.loads(call("compare", a, b, "--json").out)["beside_time"]
    assert {c["kind"]: c["answer"] for c in told} == {
        "instructions": "more", "cycles": "", "cache_misses": "", "branch_misses": "",
    }  # fmt: skip
    assert {c["cell"] for c in told} == {key("net", "dense", "cpu")}
    for other in (call("compare", bare, bare), call("compare", a, bare)):
        assert other.code == 0
        assert "beside time" not in other.out
    assert json.loads(call("compare", a, bare, "--json").out)["beside_time"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"counters": {"instructions": -1.0}},
        {"counters": {"instructions": "many"}},
        {"counters": [1.0]},
        {"energy_j": -1e9},
        {"idle_w": "12"},
    ],
)
def test_what_cannot_be_is_no_record(changes: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        _record.Record.from_json(record().to_json() | changes)
