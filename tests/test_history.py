"""The history of cells over commits: what it finds, what it leaves out, and how it tells it."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from paretomark import bench
from paretomark.reports import _digest, _learnt
from paretomark.suites.records import _store
from paretomark.suites.records._record import Record
from paretomark.tests import _runs
from paretomark.tests.conftest import Called
from paretomark.tests.test_commits import git

COMMITS, SLOWER, BROKEN, BUMPED, WORSE = 9, 5, 6, 3, 7
DEVICES = ("onnxruntime:cpu", "plain")
SLOW = "net1/recipe0/onnxruntime:cpu/b1/t1"
FAILS = "net1/recipe1/plain/b1/t1"
LOSES = "net2/recipe0/plain/b1/t1"


def visits(commit: int, rng: random.Random) -> list[Record]:
    """Of 24 cells, as they are at a commit."""
    day, records = rng.gauss(0, 0.02), []
    for number in range(24):
        net, recipe, device = f"net{number // 4}", f"recipe{number // 2 % 2}", DEVICES[number % 2]
        cell = _runs.key(net, recipe, device)
        slower = cell == SLOW and commit >= SLOWER
        worse = cell == LOSES and commit >= WORSE
        if cell == FAILS and commit == BROKEN:
            records.append(_runs.failed(net, recipe, device))
            continue
        identity = f"{number:02d}{int(slower)}{int(worse)}" * 4
        base = 1e-3 * (1 + number / 10) * math.exp(day + rng.gauss(0, 0.004) + 0.05 * slower)
        times = [base * math.exp(rng.gauss(0, 0.003)) for _ in range(3)]
        outcomes = "0" * (40 if worse else 10) + "1" * (320 if worse else 350) + "0" * 40
        facts = {"net": {"weights": identity}, "recipe": {"steps": []}}
        records += _runs.visits(
            times,
            net,
            recipe,
            device,
            sha256=identity * 4,
            identity=identity,
            lineage=json.dumps({"identity": facts}),
            outcomes=outcomes,
            artifact_bytes=9000 + 1000 * slower,
        )
    return records


def probes(commit: int) -> list[dict[str, Any]]:
    version = "1.21.0" if commit >= BUMPED else "1.20.0"
    return [{**_runs.PROBES[0], "versions": {"onnxruntime": version}}, *_runs.PROBES[1:]]


def add(folder: Path, name: str, records: Sequence[Record], **header: Any) -> Path:
    """Write a run."""
    run = _runs.run(records, run=name, **header)
    _store.create(folder / name, run.header)
    with (folder / name / _store.RECORDS).open("wb") as file:
        file.writelines(map(_store.line, run.records))
    return folder / name


@pytest.fixture
def commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Commits, each with a run. Dates of commits and of runs go the other way than the graph."""
    monkeypatch.setenv("PARETOMARK_CACHE", str(tmp_path / "cache"))
    top = tmp_path / "repository"
    top.mkdir()
    monkeypatch.chdir(top)
    git(top, "init", "--quiet", "--initial-branch", "main")
    rng, made = random.Random(0), []
    for number in range(COMMITS):
        words = ("commit", "--quiet", "--allow-empty", "-m", f"number {number}")
        git(top, *words, date=f"2026-01-{28 - number}T00:00:00Z")
        made.append(git(top, "rev-parse", "HEAD"))
        started = f"2026-02-{28 - number}T00:00:00+00:00"
        add(
            top / "runs",
            f"run{number}",
            visits(number, rng),
            commit=made[-1],
            started=started,
            probes=probes(number),
        )
    return made


def intervals(told: Called) -> dict[tuple[str, ...], list[tuple[str, str, str]]]:
    """What changed, by the commits that it may be of."""
    return {
        tuple(interval["commits"]): [
            (change["cell"], change["kind"], change["answer"]) for change in interval["changes"]
        ]
        for interval in json.loads(told.out)["intervals"]
    }


def test_every_change_is_found_at_its_commit_and_no_other(
    commits: list[str], call: Callable[..., Called]
) -> None:
    told = call("history", "--json")
    assert told.code == 0
    assert intervals(told) == {
        (commits[WORSE],): [(LOSES, "accuracy", "worse"), (FAILS, "state", "mended")],
        (commits[BROKEN],): [(FAILS, "state", "fails")],
        (commits[SLOWER],): [(SLOW, "file size", "more"), (SLOW, "latency", "slower")],
        (commits[BUMPED],): [],
    }
    table = json.loads(told.out)
    assert [run["commit"] for run in table["runs"]] == commits
    (bumped,) = [i for i in table["intervals"] if i["versions"]]  # nor the system's
    assert bumped["versions"][0]["told"] == "onnxruntime 1.20.0 → 1.21.0"
    assert bumped["versions"][0]["devices"] == ["onnxruntime:cpu"]
    assert len(table["cells"][SLOW]) == COMMITS
    (slower,) = [c for i in table["intervals"] for c in i["changes"] if c["kind"] == "latency"]
    assert slower["low"] < math.expm1(0.05) < slower["high"]
    assert slower["alarm"]


def test_it_is_told_in_words_with_the_commit_and_the_reason(
    commits: list[str], call: Callable[..., Called]
) -> None:
    told = call("history")
    assert "Worse than before: 2 cells" in told.out
    assert f"in {commits[SLOWER][:10]} (number 5)" in told.out
    words = " ".join(told.out.split())
    assert "the net is another: its weights" in words
    assert f"{SLOW}: latency +" in words
    assert f"failed: no such operator: NonMaxSuppression {FAILS}: fails" in words
    assert f"{FAILS}: works again" in words
    assert "onnxruntime 1.20.0 → 1.21.0 (onnxruntime:cpu)" in words
    assert "bisect" not in told.out  # there is one commit each


def test_where_commits_were_not_measured_all_between_are_named(
    commits: list[str], call: Callable[..., Called], tmp_path: Path
) -> None:
    for number in (3, 4, 5):
        (tmp_path / "repository" / "runs" / f"run{number}" / "run.json").unlink()
    told = call("history", SLOW)
    words = " ".join(told.out.split())
    before, after = commits[2][:10], commits[6][:10]
    assert f"in one of 4 commits, after {before} and up to {after}" in words
    assert f"{commits[4][:10]} number 4" in words
    assert f"bench.py bisect {SLOW} {before} {after}" in words


def test_it_fails_only_if_asked_and_while_something_is_worse(
    commits: list[str], call: Callable[..., Called]
) -> None:
    assert call("history", "--fail").code == 1
    assert call("history", "--fail", "net3/*").code == 0
    assert call("history", FAILS, "--fail").code == 0  # it was mended
    assert call("history", SLOW, "--fail").code == 1
    assert call("history", SLOW, "--fail", "--since", commits[SLOWER]).code == 0


def test_cells_are_named_in_full_or_by_patterns(
    commits: list[str], call: Callable[..., Called]
) -> None:
    table = json.loads(call("history", "net1/*", LOSES, "--json").out)
    assert len(table["cells"]) == 5
    told = call("history", "net1/recipe0/onnxruntime:cpu/b1/t2")
    assert told.code == bench.USER_ERROR
    assert f"did you mean '{SLOW}'" in told.err


def test_what_is_left_out_is_told(
    commits: list[str], call: Callable[..., Called], tmp_path: Path
) -> None:
    top = tmp_path / "repository"
    rng, runs = random.Random(1), top / "runs"
    add(runs, "changed", visits(0, rng), commit=commits[2], dirty=True)
    add(runs, "nowhere", visits(0, rng), commit="")
    git(top, "checkout", "--quiet", "-b", "side", commits[1])
    git(top, "commit", "--quiet", "--allow-empty", "-m", "aside")
    add(runs, "aside", visits(0, rng), commit=git(top, "rev-parse", "HEAD"))
    git(top, "checkout", "--quiet", "main")
    other = {**_runs.HOST, "fingerprint": "beef"}
    add(runs, "elsewhere", visits(0, rng), commit=commits[1], host=other)
    add(runs, "of-another", visits(0, rng), commit=commits[1], suite="another")
    told = " ".join(call("history", "--suite", "demo").out.split())
    for line in (
        "1 run of uncommitted changes",
        "1 run of no commit",
        "1 run of commits that do not lead to HEAD",
        "1 run of other suites than demo",
        "1 run of other machines",
    ):
        assert f"left out: {line}" in told
    assert f"in {COMMITS} runs of {COMMITS} commits" in told
    told = " ".join(call("history", "--machine", "bee").out.split())
    assert "in 1 run of 1 commit" in told


def test_a_run_that_is_damaged_is_left_out_and_named(
    commits: list[str], call: Callable[..., Called]
) -> None:
    records = Path("runs/run3/records.jsonl")
    records.write_bytes(records.read_bytes().replace(b"dense", b"tense").replace(b"ok", b"no", 3))
    told = " ".join(call("history").out.split())
    assert "left out: a run that cannot be read: runs/run3/records.jsonl, line 1" in told
    assert f"in {COMMITS - 1} runs of {COMMITS - 1} commits" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "nowhere"], "no run below nowhere"),
        (["--since", "mian"], "neither a run nor a revision"),
        (["--suite", "other"], "no run below runs is of this history"),
        (["--machine", "0000"], "of other machines"),
    ],
)
def test_mistakes(
    commits: list[str], call: Callable[..., Called], arguments: list[str], message: str
) -> None:
    told = call("history", *arguments)
    assert told.code == bench.USER_ERROR
    assert message in told.err


def test_outside_of_a_checkout_there_is_no_history(
    commits: list[str],
    call: Callable[..., Called],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    told = call("history", "--runs", "repository/runs")
    assert told.code == bench.USER_ERROR
    assert "no git checkout" in told.err


def test_a_machine_that_became_slower_is_no_ones_commit(
    commits: list[str], call: Callable[..., Called], tmp_path: Path
) -> None:
    """All cells of all runs from one on are a tenth slower, and no file is another."""
    runs = tmp_path / "repository" / "runs"
    for number, commit in enumerate(commits):
        factor, at = (1.1 if number >= 4 else 1.0), runs / f"run{number}"
        records = [
            dataclasses.replace(
                r, slices_ns=tuple(tuple(round(ns * factor) for ns in s) for s in r.slices_ns)
            )
            for r in visits(0, random.Random(number))
        ]
        for file in at.iterdir():
            file.unlink()
        at.rmdir()
        add(runs, at.name, records, commit=commit, probes=probes(0))
    told = json.loads(call("history", "--json").out)
    changes = [c for i in told["intervals"] for c in i["changes"]]
    assert [(c["cell"], c["answer"], c["after"]) for c in changes] == [("all cells", "slower", 4)]
    assert "the machine" in changes[0]["why"]
    assert not changes[0]["alarm"]
    assert call("history", "--fail").code == 0


@pytest.mark.slow
def test_the_page_draws_every_net_and_runs_nothing_foreign(
    commits: list[str], call: Callable[..., Called], tmp_path: Path
) -> None:
    top = tmp_path / "repository"
    hostile = "<script>alert(1)</script>"
    git(top, "commit", "--quiet", "--allow-empty", "-m", hostile)
    commit = git(top, "rev-parse", "HEAD")
    records = [
        *visits(8, random.Random(2)),
        _runs.failed(hostile, hostile, "plain", reason=hostile),
    ]
    add(top / "runs", "last", records, commit=commit, probes=probes(8))
    page = tmp_path / "page.html"
    assert call("history", "--html", str(page)).code == 0
    text = page.read_text()
    assert text.count("<svg") == 13
    assert hostile not in text
    assert "number 5" in text


def test_digests_are_kept_and_made_again_when_records_change(
    commits: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "repository" / "runs" / "run0"
    first = _digest.of(folder)
    monkeypatch.setattr(_digest, "summarise", None)
    assert _digest.of(folder) == first
    monkeypatch.undo()
    monkeypatch.setenv("PARETOMARK_CACHE", str(tmp_path / "cache"))
    for kept in (tmp_path / "cache" / "digests").glob("*.json"):
        kept.write_text(kept.read_text().replace("ok", "no", 1))  # damaged: its checksum tells
    assert _digest.of(folder) == first
    for kept in (tmp_path / "cache" / "digests" / "scores").glob("*.json"):
        kept.unlink()
    assert _digest.of(folder) == first  # read again, and kept whole
    assert _digest.scores(first[0].scores)
    with monkeypatch.context() as patched:
        patched.setattr(_digest, "summarise", None)
        assert _digest.of(folder) == first
    lines = (folder / _store.RECORDS).read_bytes().splitlines(keepends=True)
    (folder / _store.RECORDS).write_bytes(b"".join(lines[:-3]))
    assert _digest.of(folder) != first
    scores = _digest.scores(first[0].scores)
    assert scores == "0" * 10 + "1" * 350 + "0" * 40
    assert _digest.scores("none") is None


def test_a_run_that_is_done_is_digested(
    tmp_path: Path, call: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a history need not read what was measured on the same machine."""
    from paretomark.tests._files import net_of_fake

    monkeypatch.setenv("PARETOMARK_CACHE", str(tmp_path / "cache"))
    net_of_fake(tmp_path)
    suite = tmp_path / "s.toml"
    suite.write_text(
        'devices = ["fake:ok"]\nblocks = 2\nseconds = 0.02\nforeign_load_cores = 99.0\n'
        '[model.net]\nnet = "file:model.npz"\n'
    )
    assert call("run", str(suite), "--out", str(tmp_path / "out")).code == 0
    monkeypatch.setattr(_digest, "summarise", None)
    (seen,) = _digest.of(tmp_path / "out")
    assert seen.status == "ok"
    assert _learnt._levels(tmp_path / "out")
