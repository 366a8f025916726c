"""The command compare: which runs it takes, what it comes to, and its exit codes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from paretomark import bench
from paretomark.reports import _compared, _compared_html, _compared_markdown, _verdicts
from paretomark.reports._verdicts import Verdict
from paretomark.suites.records._record import Record
from paretomark.suites.records._sessions import USUAL, Sessions, learnt
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec import _suite
from paretomark.suites.spec._errors import UserError
from paretomark.tests._runs import key, noisy, run, visits, written
from paretomark.tests.conftest import Called
from paretomark.tests.test_commits import git

CELLS = 12
SLOW = 5  # the cell that is another in the second run


def cells(seed: int, slow: float = 1.0, spread: float = 0.002, **of_slow: Any) -> list[Record]:
    """Visits of CELLS nets; one of them is another."""
    records: list[Record] = []
    for i in range(CELLS):
        latency = 1e-3 * (1 + i) * (slow if i == SLOW else 1.0)
        times = noisy(latency, 6, spread, 1000 * seed + i)
        right = "1" * (500 + 10 * i) + "0" * (500 - 10 * i)
        changes = {"outcomes": right, "artifact_bytes": 10_000, **(of_slow if i == SLOW else {})}
        records += visits(times, f"m{i}", **({"sha256": f"{i:064x}"} | changes))
    return records


SLOW_CELL = key(f"m{SLOW}", "dense", "cpu")


def pair(tmp_path: Path, slow: float = 1.0, suite: str = "", **of_slow: Any) -> tuple[Path, Path]:
    request = {"suite": suite}
    a = written(run(cells(1), request=request), tmp_path / "a")
    return a, written(run(cells(2, slow, **of_slow), request=request), tmp_path / "b")


def test_nothing_worse_is_0_and_a_proven_regression_1(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    a, b = pair(tmp_path)
    same = call("compare", a, b)
    assert (same.code, same.out.splitlines()[0]) == (0, "Nothing is worse")
    a, b = pair(tmp_path / "slow", 1.2)
    slower = call("compare", a, b)
    assert slower.code == 1
    assert slower.out.startswith("Worse, proven: 1 cell\n")
    assert f"{SLOW_CELL}: latency: +2" in slower.out
    assert call("compare", b, a).code == 0  # faster is no reason to fail
    assert call("compare", a, tmp_path / "nothing").code == bench.USER_ERROR


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"outcomes": "1" * 450 + "0" * 550}, "accuracy"),
        ({"artifact_bytes": 10_300}, "file size"),
        ({"status": "failed", "stage": "load", "reason": "no", "samples_ns": ()}, "fails"),
    ],
)
def test_what_else_may_be_worse(
    tmp_path: Path, call: Callable[..., Called], changes: dict[str, Any], kind: str
) -> None:
    if kind == "fails":
        changes |= {"outcomes": ""}
    told = call("compare", *pair(tmp_path, **changes), "--json")
    assert told.code == 1
    (found,) = json.loads(told.out)["outcome"]["worse"]
    assert (found["cell"], found["kind"]) == (SLOW_CELL, kind)


def test_conclusive_is_asked_for(tmp_path: Path, call: Callable[..., Called]) -> None:
    a = written(run(cells(1, spread=0.05)), tmp_path / "a")
    b = written(run(cells(2, spread=0.05)), tmp_path / "b")
    assert call("compare", a, b).code == 0
    assert call("compare", a, b, "--require", "conclusive").code == 3
    a, b = pair(tmp_path / "quiet")
    assert call("compare", a, b, "--require", "conclusive").code == 0
    # What is gone could be anything.
    less = [r for r in cells(2) if r.cell != SLOW_CELL]
    gone = call("compare", a, written(run(less), tmp_path / "less"), "--require", "conclusive")
    assert gone.code == 3
    assert "1 gone" in gone.out


@pytest.mark.parametrize(
    ("gate", "code"),
    [
        ("", 1),
        ('latency = "10%"', 0),
        ('latency = "2%"', 1),
        ('latency = "2%"\n[gate.model.m5]\nlatency = "10%"', 0),
        ('latency = "2%"\n[gate.model.m4]\nlatency = "10%"', 1),
        ('[gate.model.m5]\nlatency = "10%"\n[gate.device.cpu]\nlatency = "1%"', 1),
    ],
)
def test_limits_are_those_of_the_suite(
    tmp_path: Path, call: Callable[..., Called], gate: str, code: int
) -> None:
    told = call("compare", *pair(tmp_path, 1.06, f"[gate]\n{gate}"))
    assert told.code == code
    assert "slower" in told.out  # the verdict stays


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('latency = "3"', 'latency = "3": must be written as "3%"'),
        ('latency = "-3%"', 'must be written as "3%"'),
        ('latency = "nan%"', 'must be written as "3%"'),
        ('accuracy = "0.5%"', 'must be written as "0.5 points"'),
        ("latency = 3", "latency must be str"),
        ('latncy = "3%"', "did you mean 'latency'"),
        ('[gate.model.digits_mpl]\nlatency = "3%"', "did you mean 'digits_mlp'"),
        ('[gate.device.fake]\nsize = "3%"', "device"),
    ],
)
def test_limits_that_are_none_are_refused(text: str, message: str) -> None:
    toml = 'devices = ["fake:ok"]\n[model.digits_mlp]\n[recipe.fp32]\n[gate]\n'
    assert _suite.parse(f'{toml}size = "2%"', "s", Path()).gate.limit("size", "x", "y") == 0.02
    with pytest.raises(UserError, match=r"gate") as refused:
        _suite.parse(toml + text, "s", Path())
    assert message in str(refused.value)


def beside(a: Run, b: Run) -> tuple[Run, Run]:
    """The runs, as if they had been timed in the same crews."""
    sides = (
        dataclasses.replace(r, header=dataclasses.replace(r.header, together="x")) for r in (a, b)
    )
    first, second = sides
    return first, second


def verdicts(a: Run, b: Run) -> tuple[Verdict, ...]:
    return _verdicts.compare(summarise(a), summarise(b)).verdicts


def of_all(seed: int, latency: float, sha256: str) -> Run:
    times = [noisy(latency, 6, 0.002, seed + i) for i in range(CELLS)]
    return run([r for i, t in enumerate(times) for r in visits(t, f"m{i}", sha256=sha256)])


def test_a_change_of_all_cells_is_the_machines_day_where_nothing_else_is_another() -> None:
    """Of the same files by the same runtime only the day can be another."""
    before, same = of_all(0, 1e-3, "ab" * 32), of_all(99, 1.1e-3, "ab" * 32)
    told = _compared.of(summarise(before), summarise(same))
    assert told.comparison.of_all == ""
    assert told.outcome.worse == ()
    assert any(
        "the same file by the same runtime: the machine's day" in t for t in _compared.of_runs(told)
    )
    other = of_all(99, 1.1e-3, "cd" * 32)
    assert _compared.of(summarise(before), summarise(other)).comparison.of_all == "slower"
    system = dataclasses.replace(same.header.host, system="Linux 6.2")
    newer = dataclasses.replace(same, header=dataclasses.replace(same.header, host=system))
    assert _compared.of(summarise(before), summarise(newer)).comparison.of_all == "slower"


@pytest.mark.parametrize("count", [1, 4, 5, 7, 8, 12])
def test_a_run_and_itself_are_the_same(count: int) -> None:
    a = summarise(run([r for r in cells(1) if int(r.model[1:]) < count]))
    told = _compared.of(a, a)
    assert {v.answer for v in told.comparison.verdicts} <= {"same", "inconclusive"}
    assert told.comparison.of_all == ""
    assert told.outcome.worse == ()


@pytest.mark.parametrize("changed", [4, 6, 7])
def test_what_is_the_same_tells_what_the_others_differ_by(changed: int) -> None:
    """Though a third, half, or most of the cells became slower by about as much."""
    a, b = run(cells(1)), cells(2)
    slower = [
        dataclasses.replace(
            r,
            sha256="cd" * 32,
            slices_ns=tuple(tuple(round(1.06 * ns) for ns in s) for s in r.slices_ns),
        )
        if int(r.model[1:]) < changed
        else r
        for r in b
    ]
    comparison = _verdicts.compare(summarise(a), summarise(run(slower)))
    found = {v.cell for v in comparison.verdicts if v.answer == "slower"}
    assert found == {key(f"m{i}", "dense", "cpu") for i in range(changed)}
    assert comparison.common.cells == CELLS - changed
    assert comparison.of_all == ""


def test_a_cell_of_which_nothing_changed_is_hardly_ever_called_slower() -> None:
    counts = {"same": 0, "other": 0}
    for seed in range(40):
        for name in counts:
            a = run(cells(2 * seed, spread=0.003))
            slow: dict[str, Any] = {"sha256": "cd" * 32} if name == "other" else {}
            b = run(cells(2 * seed + 1, 1.008, spread=0.003, **slow))
            verdict = next(
                v
                for v in _verdicts.compare(summarise(a), summarise(b), 0.01).verdicts
                if v.cell == SLOW_CELL
            )
            assert verdict.same_thing == (name == "same")
            counts[name] += verdict.answer == "slower"
    assert counts["same"] < counts["other"] / 1.5, counts
    assert counts["other"] >= 15


def test_side_by_side_a_change_of_all_is_one_of_each() -> None:
    """Runs of two days would take it out, as the machine's."""
    slower = [
        r
        for i in range(CELLS)
        for r in visits(noisy(1.1e-3, 6, 0.002, i), f"m{i}", sha256="cd" * 32)
    ]
    before = [r for i in range(CELLS) for r in visits(noisy(1e-3, 6, 0.002, 99 + i), f"m{i}")]
    a, b = run(before), run(slower)
    apart = _compared.of(summarise(a), summarise(b))
    assert {v.answer for v in apart.comparison.verdicts} == {"same"}
    assert apart.comparison.of_all == "slower"
    assert [f.cell for f in apart.outcome.worse] == ["all cells"]
    first, second = beside(a, b)
    together = _compared.of(summarise(first), summarise(second))
    assert {v.answer for v in together.comparison.verdicts} == {"slower"}
    assert "side by side" in _compared_markdown.text(together)


def test_side_by_side_blocks_are_in_common() -> None:
    """A block that was slow for both sides parts them no more, however few the cells are."""
    slow = [1.0, 1.2, 1.0, 1.3, 1.1, 1.0]

    sides = [
        run(
            [
                r
                for m in range(4)
                for r in visits(
                    [s * t for s, t in zip(slow, noisy(shift, 6, 1e-3, 9 * m + i), strict=True)],
                    f"m{m}",
                )
            ]
        )
        for i, shift in enumerate((1e-3, 1.04e-3))
    ]
    assert {v.answer for v in verdicts(*beside(*sides))} == {"slower"}
    assert {v.answer for v in verdicts(*sides)} == {"inconclusive"}


def test_a_file_that_was_timed_once_is_the_same() -> None:
    at: dict[str, Any] = {"slices_at_s": (1.0, 2.0, 3.0)}
    once = run(visits([1e-3, 1.3e-3], **at))
    (verdict,) = verdicts(*beside(once, once))
    assert (verdict.answer, verdict.same_file, verdict.ratio) == ("same", True, 1.0)
    twice = run(visits([1e-3, 1.3e-3], slices_at_s=(1.0, 2.0, 4.0)))
    (verdict,) = verdicts(*beside(once, twice))
    assert (verdict.answer, verdict.same_file) == ("inconclusive", False)


def test_few_cells_of_two_days_have_the_noise_of_days() -> None:
    """Visits that agree to a thousandth tell nothing of what the machine was on another day."""
    a, b = (summarise(run(visits(noisy(t, 8, 0.001, i)))) for i, t in enumerate((1e-3, 1.02e-3)))
    quiet = Sessions(together=1e-4, own=1e-4, pairs=20)
    answers = [_verdicts.compare(a, b, 0.01, sessions=s).verdicts[0].answer for s in (USUAL, quiet)]
    assert answers == ["inconclusive", "slower"]


def test_the_noise_of_days_is_learnt_from_equal_files(tmp_path: Path) -> None:
    def day(shift: float, seed: int, sha: str = "") -> dict[str, Any]:
        found = summarise(run(cells(seed)))
        return {
            f"{r.cell}{sha or r.sha256}": dataclasses.replace(level, log=level.log + shift)
            for r in found.rows
            if (level := found.visits[r.cell].level)
        }

    calm = learnt([day(0.0, i) for i in range(12)])
    wild = learnt([day(0.05 * (i % 2), i) for i in range(12)])
    assert calm.pairs == wild.pairs == 11
    assert calm.together < USUAL.together < wild.together
    assert wild.together == pytest.approx(0.05 / 2**0.5, rel=0.5)
    assert wild.own < USUAL.own
    assert learnt([day(0.1 * i, i, sha=str(i)) for i in range(12)]) == USUAL  # of other files


def test_compare_learns_from_the_runs_that_are_kept(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    for i in range(4):
        written(run(cells(i), started=f"2026-01-0{i + 1}T00:00:00Z"), tmp_path / "runs" / f"r{i}")
    pair = tmp_path / "runs" / "r2", tmp_path / "runs" / "r3"
    assert "as is usual" in call("compare", *pair, "--runs", tmp_path / "none").out
    told = call("compare", *pair, "--runs", tmp_path / "runs").out
    assert "learnt from 1 pair" in " ".join(told.split())


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two commits, each with runs below `runs`: of a dirty checkout, without a valid visit, of
    another suite, old, and good ones."""
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    commits = []
    for i in range(2):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", f"change {i}")
        commit = git(tmp_path, "rev-parse", "HEAD")
        commits.append(commit)
        of = {"commit": commit, "suite": "s"}
        days = [f"2026-01-0{d}T00:00:00Z" for d in range(1, 7)]
        good = cells(i, 1.0 + i / 4)
        written(run(good, started=days[2], **of), tmp_path / "runs" / f"good{i}")
        written(run(cells(7), started=days[0], **of), tmp_path / "runs" / f"old{i}")
        dirty = run(cells(8), started=days[4], dirty=True, **of)
        written(dirty, tmp_path / "runs" / f"dirty{i}")
        flagged = [dataclasses.replace(r, flags=("foreign load",)) for r in good]
        written(run(flagged, started=days[5], **of), tmp_path / "runs" / f"flagged{i}")
        other = run(cells(9), started=days[3], **(of | {"suite": "other"}))
        written(other, tmp_path / "runs" / f"other{i}")
    monkeypatch.chdir(tmp_path)
    return commits


def test_revisions_stand_for_their_newest_valid_run(
    history: list[str], call: Callable[..., Called]
) -> None:
    told = call("compare", "main~1", "main", "--suite", "s")
    assert told.code == 1
    words = " ".join(told.out.split())
    assert f"main~1 is {history[0][:10]} (change 0): runs/good0, of 2026-01-03" in words
    assert f"main is {history[1][:10]} (change 1): runs/good1" in words
    # The suite of one is that of the other.
    assert "runs/good0" in call("compare", "main~1", "runs/good1").out
    assert "runs/other0" in call("compare", "main~1", "runs/other1/records.jsonl").out


def test_a_revision_without_a_run_names_those_that_have_one(
    tmp_path: Path, history: list[str], call: Callable[..., Called]
) -> None:
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "no run")
    told = call("compare", "main~1", "main", "--suite", "s")
    assert told.code == bench.USER_ERROR
    assert f"there are runs of {history[0][:10]}, {history[1][:10]}" in told.err
    assert "--run" in told.err
    told = call("compare", "main~2", "main~1", "--suite", "nothing")
    assert "runs/good1 is of the suite s" in told.err
    assert call("compare", "mian", "main~1").code == bench.USER_ERROR


def test_revisions_are_compared_by_name(
    tmp_path: Path, history: list[str], call: Callable[..., Called]
) -> None:
    """What a commit changed on purpose is what one wants to know of."""
    git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", "other weights")
    commit = git(tmp_path, "rev-parse", "HEAD")
    lineage = json.dumps({"identity": {"net": {"weights": "new"}}})
    records = cells(3, identity="new", lineage=lineage)
    written(run(records, commit=commit, suite="s"), tmp_path / "runs" / "new")
    told = call("compare", "main~1", "main", "--suite", "s", "--json")
    (verdict,) = [v for v in json.loads(told.out)["verdicts"] if v["cell"] == SLOW_CELL]
    assert verdict["answer"] == "faster"
    assert verdict["changed"]
    told = call("compare", "runs/good1", "runs/new", "--json")
    (verdict,) = [v for v in json.loads(told.out)["verdicts"] if v["cell"] == SLOW_CELL]
    assert verdict["answer"] == "not compared"


def test_memory_and_loading_are_claims_beside_time() -> None:
    def told(load_s: Sequence[float], peak: Sequence[int], last: str = "ab") -> Run:
        records = []
        for i, (load, bytes_) in enumerate(zip(load_s, peak, strict=True)):
            file = {"sha256": 32 * (last if i == CELLS - 1 else "ab")}
            more: dict[str, Any] = {"load_s": load, "peak_memory_bytes": bytes_, **file}
            records += visits([1e-3] * 3, f"m{i}", **more)
        return run(records)

    loads = noisy(0.1, CELLS, 0.05, 1)
    slower = [*noisy(0.1, CELLS - 1, 0.05, 2), 0.5]
    a = told(loads, [50_000_000] * CELLS)
    heavier = [50_000_000] * (CELLS - 1) + [60_000_000]
    last = key(f"m{CELLS - 1}", "dense", "cpu")

    def claims(b: Run) -> set[tuple[str, str, str]]:
        found = _compared.of(summarise(a), summarise(b))
        assert all(c.detectable for c in found.beside if c.kind != "file size")
        assert found.outcome.code() == 0  # nobody has set a limit
        return {(c.kind, c.cell, c.answer) for c in found.beside if c.answer}

    memory, load = ("peak memory", last, "more"), ("load time", last, "more")
    assert claims(told(slower, heavier, "cd")) == {memory, load}
    assert claims(told(slower, heavier)) == {memory}  # of the same file, a start says little
    rough = [*loads[: CELLS - 6], *(5 * load for load in loads[CELLS - 6 :])]
    assert claims(told(rough, heavier, "cd")) == {memory}  # one of many that are slow to load


def test_a_comment_is_no_longer_than_allowed_and_has_whole_rows() -> None:
    a = run([r for i in range(400) for r in visits([1e-3] * 2, f"model{i}" * 8)])
    slow = [r for i in range(400) for r in visits([2e-3 if i < 5 else 1e-3] * 2, f"model{i}" * 8)]
    found = _compared.of(summarise(a), summarise(run(slow)))
    whole = _compared_markdown.text(found, 10**9)
    text = _compared_markdown.text(found)
    assert len(text.encode()) <= 60_000 < len(whole.encode())
    assert set(text.splitlines()[:-1]) <= set(whole.splitlines())
    assert text.count("**slower**") == 5
    assert "lines more did not fit" in text
    assert text.count("<details>") == text.count("</details>") == 1


def test_the_page_shows_both_fronts_and_hides_what_is_unchanged(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    a, b = pair(tmp_path, 1.3, artifact_bytes=12_000)
    told = call("compare", a, b, "--html", tmp_path / "x" / "page.html", "--out", tmp_path / "out")
    page = (tmp_path / "x" / "page.html").read_text()
    assert told.code == 1
    first, _, rest = page.partition("<details>")
    assert first.count(">slower<") == 1
    assert first.index("<svg") < first.index("Proven changes")
    assert "11 cells without a proven change" in rest
    assert (tmp_path / "out" / "compare.html").read_text() == page
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["fronts"]
    assert (tmp_path / "out" / "compare.md").read_text().startswith("### ❌ Worse")


def test_nothing_of_a_record_is_markup_on_the_page() -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    a = run(visits([1e-3] * 3, evil, data=evil), suite=evil, run=evil)
    b = run(visits([2e-3] * 3, evil, data=evil), suite=evil, run=evil, version=evil)
    page = _compared_html.page(_compared.of(summarise(a), summarise(b)))
    assert "<img" not in page
    assert "<script>alert" not in page
