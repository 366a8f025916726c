"""Results of other tools become runs: what they say, marked, without what tells whose they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from paretomark.suites.records import _store
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import summarise
from paretomark.tests import _runs

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

Call = Callable[..., "Called"]
CONTEXT = {
    "date": "2026-01-02T04:04:05+01:00",
    "host_name": "alices-laptop",
    "executable": "/home/alice/bench",
    "num_cpus": 4,
    "mhz_per_cpu": 2400,
    "caches": [{"type": "Data", "level": 1, "size": 32768, "num_sharing": 1}],
    "load_avg": [0.1],
    "library_version": "v1.8.3",
}
SUMMARY = """\
================================================
MLPerf Results Summary
================================================
SUT name : PySUT
Scenario : {scenario}
Mode     : PerformanceOnly
90.0th percentile latency (ns) : 1092750
Result is : {result}
  Min duration satisfied : Yes

================================================
Additional Stats
================================================
Completed samples per second    : 184.90
50.00 percentile latency (ns)   : 598322
99.00 percentile latency (ns)   : 1564063

================================================
Test Parameters Used
================================================
samples_per_query : {samples}
"""
APP = """\
Command line parameters
-m;/home/alice/nets/small.onnx
-d;CPU
-nthreads;2

Configuration setup
topology;Model1
target device;CPU
API;sync
inference_only;True
precision;UNSPECIFIED
batch size;1
number of parallel infer requests;{requests}

Execution results
read model time (ms);34.74
compile model time (ms);61.87
first inference time (ms);1.75
total number of iterations;19278
latency (ms);{latency}
avg latency;9.99
throughput;192.56

"""


def repetition(name: str, time: float, **changes: Any) -> dict[str, Any]:
    entry = {"name": name, "run_name": name, "run_type": "iteration", "threads": 1}
    return entry | {"iterations": 24, "real_time": time, "cpu_time": 1, "time_unit": "us"} | changes


def google(folder: Path, *benchmarks: Any, name: str = "gb.json", **context: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps({"context": CONTEXT | context, "benchmarks": list(benchmarks)}))
    return path


def imported(call: Call, folder: Path, *arguments: str | Path) -> list[Row]:
    result = call("import", *arguments, "--out", folder / "run")
    assert (result.code, result.err) == (0, "")
    return list(summarise(_store.read(folder / "run")).rows)


def test_repetitions_of_google_benchmark_are_visits(tmp_path: Path, call: Call) -> None:
    path = google(
        tmp_path,
        *(repetition("BM_Net/64/threads:2", t, threads=2) for t in (500.0, 510.0, 490.0)),
        repetition("BM_Net/64/threads:2_mean", 9.0, run_type="aggregate", aggregate_name="mean",
                   run_name="BM_Net/64/threads:2"),
        repetition("broken", 0.0, error_occurred=True,
                   error_message="no file /home/alice/secret/net.bin on alices-laptop"),
    )  # fmt: skip
    net, broken = imported(call, tmp_path, path)
    assert (net.model, net.recipe, net.device) == ("BM_Net", "64", "google-benchmark")
    assert (net.threads, net.visits, net.valid_visits) == (2, 3, 3)
    assert net.latency_s == pytest.approx(500e-6, rel=0.01)
    assert (net.latency_low_s or 0) < 500e-6 < (net.latency_high_s or 0)
    assert net.imported == "google-benchmark v1.8.3"
    assert (net.identity, net.lineage, net.sha256, net.accuracy) == ("", "", "", None)
    assert (broken.status, broken.reason) == ("failed", "no file net.bin on …")
    everything = (tmp_path / "run" / "run.json").read_text()
    everything += (tmp_path / "run" / "records.jsonl").read_text()
    assert "alice" not in everything
    header = _store.read(tmp_path / "run").header
    assert header.started == "2026-01-02T03:04:05Z"
    assert header.host.cores == 4


def test_a_mean_alone_is_one_visit_and_no_sample(tmp_path: Path, call: Call) -> None:
    """Twelve repetitions are twelve figures of many calls each: no percentile is made of them."""
    aggregate = {"run_type": "aggregate", "aggregate_name": "mean", "run_name": "net"}
    other = aggregate | {"aggregate_name": "stddev"}
    several = [repetition("other", 100.0) for _ in range(12)]
    path = google(tmp_path, repetition("net_mean", 600.0, **aggregate),
                  repetition("net_stddev", 3.0, **other), *several)  # fmt: skip
    net, twelve = imported(call, tmp_path, path)
    assert net.latency_s == pytest.approx(600e-6)
    assert (net.visits, net.valid) == (1, True)
    assert (twelve.visits, twelve.typical_s, twelve.disturbed) == (12, None, None)
    assert "repetitions, which are not there" in net.warnings[0]


def test_several_files_are_further_visits_if_of_one_machine(tmp_path: Path, call: Call) -> None:
    paths = [google(tmp_path, repetition("net", t), name=f"{t}.json") for t in (500.0, 510.0)]
    (net,) = imported(call, tmp_path, *paths)
    assert net.visits == 2
    other = google(tmp_path, repetition("net", 1.0), name="other.json", num_cpus=8)
    result = call("import", paths[0], other, "--out", tmp_path / "no")
    assert result.code == 2
    assert "of another machine or version" in result.err
    assert not (tmp_path / "no").exists()


def test_keys_that_were_exported_are_read_back(tmp_path: Path, call: Call) -> None:
    run = _runs.written(_runs.run(_runs.visits([1e-3, 1.01e-3, 1.02e-3])), tmp_path / "own")
    call("export", run, "--format", "google-benchmark", "--out", tmp_path / "gb.json")
    (own,) = summarise(_store.read(run)).rows
    (net,) = imported(call, tmp_path, tmp_path / "gb.json")
    assert (net.cell, net.visits) == (own.cell, own.visits)
    assert net.latency_s == pytest.approx(own.latency_s, rel=1e-3)
    assert net.group != own.group  # so that they never share a front


def test_a_report_of_benchmark_app_is_a_visit_with_its_median(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "benchmark_report.csv"
    path.write_text(APP.format(requests=1, latency="12.34"))
    (net,) = imported(call, tmp_path, path)
    assert (net.model, net.device, net.threads) == ("small", "openvino:cpu", 2)
    assert net.latency_s == pytest.approx(12.34e-3)
    assert net.load_s == pytest.approx(34.74e-3)
    assert net.compile_s == pytest.approx(61.87e-3)
    assert net.first_s == pytest.approx(1.75e-3)
    assert "its time is the median of its calls" in net.warnings
    assert net.typical_s is None
    assert "alice" not in (tmp_path / "run" / "records.jsonl").read_text()


@pytest.mark.parametrize(
    ("latency", "status", "told"),
    [("0.02", "unsupported", "its time is told to ±25 % only"), ("0.50", "ok", "to ±1.0 % only")],
)
def test_too_few_digits_are_no_time(
    tmp_path: Path, call: Call, latency: str, status: str, told: str
) -> None:
    path = tmp_path / "benchmark_report.csv"
    path.write_text(APP.format(requests=4, latency=latency))
    (net,) = imported(call, tmp_path, path)
    assert (net.status, net.recipe) == (status, "4 requests at once")
    assert told in net.reason + " ".join(net.warnings)


def test_json_of_benchmark_app_is_read_of_both_tools(tmp_path: Path, call: Call) -> None:
    """Of Python, where all is text, and of C++, with keys of its own."""
    setup: dict[str, Any] = {"target device": "GPU", "batch size": "8", "topology": "net"}
    results: dict[str, Any] = {"latency (ms)": "5.25", "throughput": "1"}
    of_cpp = (
        {"target_device": "GPU", "batch_size": 8, "topology": "net"},
        {
            "latency_median": 5.25,
            "percentile_boundary": 50,
        },
    )
    for i, (a, b) in enumerate(((setup, results), of_cpp)):
        path = tmp_path / f"{i}.json"
        path.write_text(json.dumps({"configuration_setup": a, "execution_results": b}))
        (folder := tmp_path / str(i)).mkdir()
        (net,) = imported(call, folder, path)
        assert (net.device, net.batch) == ("openvino:gpu", 8)
        assert net.latency_s == pytest.approx(5.25e-3)


@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream"])
def test_a_summary_of_loadgen_is_a_visit(tmp_path: Path, call: Call, scenario: str) -> None:
    path = tmp_path / "mlperf_log_summary.txt"
    samples = 8 if scenario == "MultiStream" else 1
    path.write_text(SUMMARY.format(scenario=scenario, result="VALID", samples=samples))
    (net,) = imported(call, tmp_path, path)
    assert (net.model, net.recipe, net.batch, net.valid) == ("PySUT", scenario, samples, True)
    assert net.latency_s == pytest.approx(598322e-9)
    assert (net.p90_s, net.p99_s) == (None, None)  # they would be of no samples


def test_what_loadgen_calls_invalid_is_not_valid(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "mlperf_log_summary.txt"
    path.write_text(SUMMARY.format(scenario="Single Stream", result="INVALID", samples=1))
    (net,) = imported(call, tmp_path, path)
    assert (net.valid, net.flags) == (False, ("invalid by LoadGen",))


def test_a_server_of_loadgen_has_no_time_of_a_call(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "mlperf_log_summary.txt"
    path.write_text(SUMMARY.format(scenario="Server", result="VALID", samples=1))
    (net,) = imported(call, tmp_path, path)
    assert (net.status, net.latency_s) == ("unsupported", None)
    assert "184.90 completed samples per second" in net.reason


def test_the_detailed_log_of_loadgen_tells_its_version(tmp_path: Path, call: Call) -> None:
    told = {"loadgen_version": "6.0.17 @ abc", "test_datetime": "2026-01-02T03:04:05Z",
            "effective_scenario": "SingleStream", "effective_samples_per_query": 1,
            "result_50.00_percentile_latency_ns": 700000, "result_validity": "VALID"}  # fmt: skip
    lines = [f":::MLLOG {json.dumps({'key': k, 'value': v})}" for k, v in told.items()]
    path = tmp_path / "mlperf_log_detail.txt"
    path.write_text("\n".join(lines))
    (net,) = imported(call, tmp_path, path)
    assert net.imported == "LoadGen 6.0.17"
    assert net.latency_s == pytest.approx(7e-4)
    assert _store.read(tmp_path / "run").header.started == "2026-01-02T03:04:05Z"


def test_optimum_benchmark_gives_every_call(tmp_path: Path, call: Call) -> None:
    def latency(*values: float) -> dict[str, Any]:
        return {"unit": "s", "values": values, "count": len(values), "mean": 1.0}

    memory = {"unit": "MB", "max_ram": 900.5, "max_reserved": None}
    nothing = {"memory": None, "latency": None, "throughput": None}
    report = {
        "load": nothing | {"memory": memory, "latency": latency(1.25)},
        "prefill": nothing | {"memory": memory, "latency": latency(*[0.02] * 20)},
        "per_token": nothing,
    }
    backend = {"name": "pytorch", "version": "2.5", "model": "/home/alice/tiny", "device": "cpu"}
    shapes = {"input_shapes": {"batch_size": 2, "sequence_length": 16, "num_choices": 2}}
    environment = {"cpu": "Example CPU", "cpu_count": 4, "optimum_benchmark_version": "0.6.0"}
    config = {"backend": backend, "scenario": shapes, "environment": environment}
    path = tmp_path / "benchmark_report.json"
    path.write_text(json.dumps(report))
    result = call("import", path, "--out", tmp_path / "run")
    assert result.code == 2
    assert "put benchmark_config.json beside it" in result.err
    (tmp_path / "benchmark_config.json").write_text(json.dumps(config))
    (net,) = imported(call, tmp_path, path)
    assert (net.model, net.device, net.batch, net.length) == ("tiny:prefill", "pytorch:cpu", 2, 16)
    assert net.latency_s == net.typical_s == pytest.approx(0.02)
    assert (net.load_s, net.peak_memory_bytes) == (1.25, 900_500_000)
    assert net.imported == "optimum-benchmark 0.6.0"
    both = tmp_path / "benchmark.json"
    both.write_text(json.dumps({"config": config, "report": report}))
    again = summarise(_store.read(tmp_path / "run")).rows
    (tmp_path / "two").mkdir()
    assert imported(call, tmp_path / "two", both) == list(again)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"real_time": -1.0}, "benchmarks: 0: real_time must be a time above 0"),
        ({"real_time": float("nan")}, "benchmarks: 0: real_time must be finite"),
        ({"real_time": float("inf")}, "benchmarks: 0: real_time must be finite"),
        ({"real_time": 1e300}, "benchmarks: 0: real_time must be a time above 0"),
        ({"real_time": "fast"}, 'real_time must be float, got "fast"'),
        ({"real_time": 10**400}, "benchmarks: 0: real_time is out of range"),
        ({"threads": -2}, "benchmarks: 0: threads must not be negative"),
        ({"time_unit": "h"}, "benchmarks: 0: time_unit must be one of ns, us, ms, s"),
        ({"name": None, "run_name": None}, "benchmarks: 0: name must be str"),
    ],
)
def test_hostile_values_are_told_by_file_and_field(
    tmp_path: Path, call: Call, changes: dict[str, Any], message: str
) -> None:
    path = google(tmp_path, repetition("net", 1.0) | changes)
    result = call("import", path, "--out", tmp_path / "run")
    assert result.code == 2
    assert str(path) in result.err
    assert message in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "of no format that is known here; name it with --format: benchmark-app"),
        (b"\xff\xfe\x00", "not a text, so no file of results"),
        (b"[" * 100_000, "of no format that is known here"),
        (SUMMARY.encode(), "tells no scenario or result"),
        (APP.format(requests=0, latency=1).encode(), "infer requests must be a whole number"),
        (APP.format(requests=1, latency="-1").encode(), "latency (ms) must be a time, got '-1'"),
        (APP.format(requests=1, latency="nan").encode(), "latency (ms) must be a time, got 'nan'"),
        (b":::MLLOG {", "line 1: not valid JSON"),
    ],
)
def test_what_is_no_file_of_results_is_refused(
    tmp_path: Path, call: Call, content: bytes, message: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    result = call("import", path, "--out", tmp_path / "run")
    assert result.code == 2
    assert str(path) in result.err
    assert message in result.err


def test_names_cannot_escape_a_key_or_a_terminal(tmp_path: Path, call: Call) -> None:
    path = google(tmp_path, repetition("a\x1b[2Jb\nc" + "x" * 500, 1.0))
    (net,) = imported(call, tmp_path, path)
    assert net.model.startswith("ab c")
    assert len(net.model) == 200


def test_machines_are_told_apart_and_named(tmp_path: Path, call: Call) -> None:
    def fingerprint(name: str, path: Path, *more: str) -> str:
        assert call("import", path, "--out", tmp_path / name, *more).code == 0
        return _store.read(tmp_path / name).header.host.fingerprint

    a, b = (google(tmp_path, repetition("net", t), name=f"{t}.json") for t in (1.0, 2.0))
    big = google(tmp_path, repetition("net", 1.0), name="big.json", num_cpus=64)
    assert fingerprint("a", a) == fingerprint("b", b) != fingerprint("c", big)
    logs = [tmp_path / f"{i}.txt" for i in range(2)]
    for i, log in enumerate(logs):  # they say nothing of the machine, so they are of no one
        log.write_text(SUMMARY.format(scenario="SingleStream", result="VALID", samples=1) + f"{i}")
    assert fingerprint("d", logs[0]) != fingerprint("e", logs[1])
    assert "name it with --machine" in call("import", logs[0], "--out", tmp_path / "h").out
    named = [fingerprint(n, log, "--machine", "rig") for n, log in zip("fg", logs, strict=True)]
    assert named[0] == named[1]
    assert named[0].startswith("imported-")


def test_a_commit_is_kept_and_must_be_one(tmp_path: Path, call: Call) -> None:
    path = google(tmp_path, repetition("net", 1.0))
    imported(call, tmp_path, path, "--commit", "0" * 40, "--suite", "kernels")
    header = _store.read(tmp_path / "run").header
    assert (header.commit, header.dirty, header.suite) == ("0" * 40, False, "kernels")
    result = call("import", path, "--out", tmp_path / "no", "--commit", "no-such-revision")
    assert result.code == 2
    assert "no-such-revision" in result.err


def test_a_run_that_is_there_is_not_overwritten(tmp_path: Path, call: Call) -> None:
    path = google(tmp_path, repetition("net", 1.0))
    imported(call, tmp_path, path)
    result = call("import", path, "--out", tmp_path / "run")
    assert result.code == 2
    assert "there is something here already" in result.err
    assert {p.name for p in tmp_path.iterdir()} == {"gb.json", "run"}


def test_a_format_can_be_named(tmp_path: Path, call: Call) -> None:
    path = google(tmp_path, repetition("net", 1.0))
    imported(call, tmp_path, path, "--format", "google-benchmark")
    for form, message in (
        ("loadgen", "not a file of loadgen"),
        ("google-benhmark", "did you mean"),
    ):
        result = call("import", path, "--format", form, "--out", tmp_path / "no")
        assert result.code == 2
        assert message in result.err


@pytest.mark.slow
def test_every_report_marks_what_is_imported(tmp_path: Path, call: Call) -> None:
    path = google(tmp_path, *(repetition("net", t) for t in (1000.0, 1010.0)))
    imported(call, tmp_path, path)
    tool = "imported from google-benchmark v1.8.3"
    shown = call("report", tmp_path / "run")
    assert tool in shown.out
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert tool in page
    assert "1 of them imported from another tool" in page
    assert "and imported: what a call is" in page
    assert "memory</dt><dd>–" in page.replace("\n", "")
    table = (tmp_path / "run" / "report" / "cells.csv").read_text()
    assert "google-benchmark v1.8.3" in table
    assert json.loads(call("report", tmp_path / "run", "--json").out)["rows"][0]["imported"]
    assert call("leaderboard", tmp_path / "run", "--out", tmp_path / "site").code == 0
    pages = [p.read_text() for p in (tmp_path / "site").glob("*.html")]
    assert any(tool in text for text in pages)


def test_an_imported_run_cannot_be_resumed(tmp_path: Path, call: Call) -> None:
    imported(call, tmp_path, google(tmp_path, repetition("net", 1.0)))
    result = call("run", "--resume", tmp_path / "run")
    assert (result.code, "was imported" in result.err) == (2, True)


def test_compare_marks_what_is_imported(tmp_path: Path, call: Call) -> None:
    path = google(tmp_path, *(repetition("net", t) for t in (1000.0, 1010.0)))
    for name in ("a", "b"):
        assert call("import", path, "--out", tmp_path / name).code == 0
    told = call("compare", tmp_path / "a", tmp_path / "b", "--markdown", "--runs", tmp_path / "no")
    assert told.code == 0
    assert "net/as given/google-benchmark/b1/t1 (imported from google-benchmark v1.8.3)" in told.out
    verdicts = json.loads(call("compare", tmp_path / "a", tmp_path / "b", "--json").out)["verdicts"]
    assert [v["imported"] for v in verdicts] == ["google-benchmark v1.8.3"]
