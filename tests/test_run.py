"""Whole runs on the fake device: what it does wrong must cost its own cell only, with a reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark.devices.measure._request import RunRequest
from paretomark.suites.records import _store

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

SUITE = """
devices = {devices}
blocks = {blocks}
seconds = 0.05
examples = 200
deadline_s = {deadline}
foreign_load_cores = 99.0
precision = 0.9
[model.digits_mlp]
[recipe.fp32]
[recipe.fp16]
precision = "fp16"
[recipe.pruned]
steps = [{{ method = "magnitude", sparsity = 0.9 }}]
"""


def suite(folder: Path, *devices: str, blocks: int = 2, deadline: float = 20.0) -> Path:
    path = folder / "s.toml"
    targets = json.dumps([f"fake:{d}" for d in devices])
    path.write_text(SUITE.format(devices=targets, blocks=blocks, deadline=deadline))
    return path


@pytest.fixture(scope="module")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> _store.Run:
    """One run over every variant of the fake device."""
    from paretomark import bench

    folder = tmp_path_factory.mktemp("run")
    variants = ["ok", "absent", "load-crash", "crash", "abort", "hang", "nan", "batch", "wrong"]
    path = suite(folder, *variants, "fallback", "drift", deadline=5.0)
    out = folder / "out"
    code = bench.main(["run", str(path), "--recipe", "fp32", "--out", str(out), "--json"])
    assert code == bench.SOME_FAILED
    return _store.read(out)


@pytest.mark.timing
@pytest.mark.parametrize(
    ("variant", "status", "stage", "reason"),
    [
        ("absent", "unavailable", "probe", "it is never there"),
        ("load-crash", "failed", "load", "RuntimeError: this device fails to load"),
        ("crash", "failed", "timing", "RuntimeError: this device fails in the middle"),
        ("abort", "failed", "timing", "killed by SIGABRT"),
        ("hang", "failed", "timing", "did not finish within 5 s and was killed"),
        ("nan", "failed", "first inference", "output output is not finite"),
        ("batch", "failed", "first inference", "output output has shape (2, 10)"),
        ("wrong", "failed", "scoring", "wrong answers: they differ from the float net's by"),
        ("fallback", "fallback", "load", "runs on elsewhere (3), not on numpy"),
    ],
)
def test_a_misbehaving_device_gets_the_right_reason(
    misbehaving: _store.Run, variant: str, status: str, stage: str, reason: str
) -> None:
    records = [r for r in misbehaving.records if r.device == f"fake:{variant}"]
    assert {(r.status, r.stage) for r in records} == {(status, stage)}
    assert all(r.reason.startswith(reason) for r in records)
    # what failed once is not visited again; what merely ran elsewhere is measured in each block
    assert len(records) == (2 if status == "fallback" else 1)


def test_what_is_not_here_is_said_once_and_its_visits_are_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from paretomark import bench

    path = suite(tmp_path, "ok", "absent", deadline=60.0)
    assert bench.main(["run", str(path), "--recipe", "fp32", "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "fake:absent is not here: it is never there"
    assert [line.split()[1] for line in lines if line.startswith("visit")] == ["1/2", "2/2"]


def test_threads_that_are_asked_for_are_those_of_every_device(tmp_path: Path) -> None:
    text = suite(tmp_path, "ok", "slow").read_text() + '[device."fake:slow"]\nthreads = [2, 4]\n'
    planned = RunRequest(text, "s", str(tmp_path)).plan()[1]
    assert {(c.device, c.threads) for c in planned} == {
        ("fake:ok", 1), ("fake:slow", 2), ("fake:slow", 4),
    }  # fmt: skip
    planned = RunRequest(text, "s", str(tmp_path), threads=(3,)).plan()[1]
    assert {(c.device, c.threads) for c in planned} == {("fake:ok", 3), ("fake:slow", 3)}


@pytest.mark.timing
def test_the_others_go_on(misbehaving: _store.Run) -> None:
    records = [r for r in misbehaving.records if r.device == "fake:ok"]
    assert [r.status for r in records] == ["ok", "ok"]


@pytest.mark.timing
def test_a_device_that_becomes_slower_is_flagged(misbehaving: _store.Run) -> None:
    records = [r for r in misbehaving.records if r.device == "fake:drift"]
    assert all("drift" in r.flags for r in records)


@pytest.mark.timing
def test_a_good_visit_is_recorded_whole(misbehaving: _store.Run) -> None:
    first, second = sorted(
        (r for r in misbehaving.records if r.device == "fake:ok"), key=lambda r: r.block
    )
    assert first.examples == 200
    assert first.outcomes.count("1") / 200 > 0.9
    assert second.outcomes == ""  # only the first block scores
    assert first.parity_top1 == 1.0
    assert first.parity_max_abs is not None
    assert first.parity_max_abs < 1e-4
    assert first.placement == {"numpy": 3}
    assert first.parameters == first.nonzeros
    assert first.parameters is not None
    assert first.artifact_bytes is not None
    assert first.artifact_bytes > 4 * first.parameters
    assert json.loads(first.lineage)["parent"]["net"] == "digits_mlp"
    assert first.load_s is not None
    assert first.first_s is not None
    # a Python process with NumPy, and no torch: tens of megabytes
    assert first.peak_memory_bytes is not None
    assert first.before_load_bytes is not None
    assert 20e6 < first.before_load_bytes <= first.peak_memory_bytes


def test_the_memory_of_this_process_is_not_counted_as_that_of_the_worker(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    ballast = b"x" * 400_000_000
    path = suite(tmp_path, "ok", blocks=1)
    assert call("run", path, "--recipe", "fp32", "--out", tmp_path / "out").code == 0
    peak = _store.read(tmp_path / "out").records[0].peak_memory_bytes
    assert peak is not None
    assert peak < 200e6 < len(ballast)


@pytest.mark.timing
def test_the_header_tells_what_a_comparison_needs(misbehaving: _store.Run) -> None:
    header = misbehaving.header
    assert header.host.fingerprint
    assert header.host.cores == os.cpu_count()
    probes = {p.device: p for p in header.probes}
    assert probes["fake:ok"].versions["numpy"]
    assert probes["fake:absent"].remedy == "use fake:ok"
    assert len(header.cells) == 11


def test_pruning_and_precision_are_seen_in_the_records(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    out = tmp_path / "out"
    assert call("run", suite(tmp_path, "ok", "slow", blocks=1), "--out", out).code == 0
    records = {(r.recipe, r.device): r for r in _store.read(out).records}
    dense, half = records["fp32", "fake:ok"], records["fp16", "fake:ok"]
    pruned = records["pruned", "fake:ok"]
    assert dense.parameters == pruned.parameters
    assert pruned.nonzeros is not None
    assert dense.nonzeros is not None
    assert 0.1 < pruned.nonzeros / dense.nonzeros < 0.15  # biases are not pruned
    assert pruned.file_weights == dense.file_weights
    assert pruned.file_zeros is not None
    assert pruned.file_weights is not None
    assert 0.85 < pruned.file_zeros / pruned.file_weights < 0.95
    assert dense.steps_s == 0
    assert pruned.steps_s is not None
    assert pruned.steps_s > 0
    assert pruned.outcomes.count("1") < dense.outcomes.count("1")
    assert half.artifact_bytes is not None
    assert dense.artifact_bytes is not None
    assert half.artifact_bytes < 0.6 * dense.artifact_bytes
    slow = records["fp32", "fake:slow"]
    assert min(slow.samples_ns) > 2_000_000 > min(dense.samples_ns)


def test_building_twice_builds_once(
    tmp_path: Path, private_cache: Path, call: Callable[..., Called]
) -> None:
    path = suite(tmp_path, "ok", blocks=1)
    first = call("run", path, "--out", tmp_path / "a")
    assert first.code == 0
    made = {r.sha256: r for r in _store.read(tmp_path / "a").records}
    before = {p: p.stat().st_mtime_ns for p in private_cache.rglob("model.npz")}
    assert before
    assert call("run", path, "--out", tmp_path / "b").code == 0
    assert {p: p.stat().st_mtime_ns for p in private_cache.rglob("model.npz")} == before
    assert {r.sha256 for r in _store.read(tmp_path / "b").records} == set(made)


def test_the_same_recipe_gives_the_same_file(
    tmp_path: Path, call: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = suite(tmp_path, "ok", blocks=1)
    digests = []
    for name in ("a", "b"):
        monkeypatch.setenv("PARETOMARK_CACHE", str(tmp_path / f"cache-{name}"))
        assert call("run", path, "--out", tmp_path / name).code == 0
        digests.append(sorted(r.sha256 for r in _store.read(tmp_path / name).records))
    assert digests[0] == digests[1]


def test_a_killed_run_is_resumed_without_losing_or_repeating_a_visit(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    path, out = suite(tmp_path, "ok", "slow", blocks=4), tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "paretomark.bench", "run", str(path), "--out", str(out)],
        stdout=subprocess.DEVNULL,
    )
    lines = 0
    deadline = time.monotonic() + 120
    while lines < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
        if (out / _store.RECORDS).exists():
            lines = (out / _store.RECORDS).read_bytes().count(b"\n")
    process.send_signal(signal.SIGKILL)
    process.wait()
    with (out / _store.RECORDS).open("ab") as file:
        file.write(b'deadbeef {"cell": "torn')
    before = _store.read(out).records
    assert 3 <= len(before) < 24
    result = call("run", "--resume", out)
    assert result.code == 0, result.err
    after = _store.read(out).records
    assert after[: len(before)] == before
    assert Counter((r.cell, r.block) for r in after).most_common(1)[0][1] == 1
    assert len(after) == 24


def test_resume_refuses_what_is_not_a_run(tmp_path: Path, call: Callable[..., Called]) -> None:
    result = call("run", "--resume", tmp_path)
    assert (result.code, "not a run" in result.err) == (2, True)


def test_json_is_all_that_is_on_stdout(tmp_path: Path, call: Callable[..., Called]) -> None:
    path = suite(tmp_path, "ok", blocks=1)
    result = call("run", path, "--recipe", "fp32", "--out", tmp_path / "out", "--json")
    assert result.code == 0
    assert json.loads(result.out)
    shown = call("run", path, "--recipe", "fp32", "--out", tmp_path / "out2")
    assert "report: " in shown.out
    assert (tmp_path / "out2" / "report" / "index.html").is_file()


def test_threads_and_selection_narrow_a_run(tmp_path: Path, call: Callable[..., Called]) -> None:
    path = suite(tmp_path, "ok", "slow", blocks=1)
    selection = ["--device", "fake:ok", "--recipe", "fp32", "--model", "digits_mlp"]
    assert call("run", path, *selection, "--threads", "2", "--out", tmp_path / "out").code == 0
    records = _store.read(tmp_path / "out").records
    assert [r.cell for r in records] == ["digits_mlp/fp32/fake:ok/b1/t2"]
