"""Runs are exported as other tools read them: what was not measured is absent, or says why."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pandas as pd
import pytest

import paretomark
from paretomark.reports import export
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.tests._runs import failed, only, realistic, record, run, visits, written

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

Call = Callable[..., "Called"]
TOOL = "google-benchmark 1.8.3"


def some() -> Run:
    """A net that is known well, and one of each kind that is not."""
    imported: dict[str, Any] = {"imported": TOOL, "device": "other", "outcomes": ""}
    return run(
        [
            *visits([1e-3, 1.01e-3, 1.02e-3], artifact_bytes=5000),
            *visits([2e-3, 2.02e-3], "guess", simulated="emulated"),
            *visits([3e-3, 3.02e-3], "theirs", **imported),
            *visits([4e-3, 4.02e-3], "shaky", flags=("drift",)),
            failed("bad", reason="it <b>broke</b>\x1b[2J & fell"),
            failed("far", status="unavailable", stage="probe", reason="no driver"),
        ],
        ["lost/dense/cpu/b1/t1", *dict.fromkeys(f"{m}/dense/{d}/b1/t1" for m, d in CELLS)],
    )


CELLS = (
    *(("net", "cpu"), ("guess", "cpu"), ("theirs", "other"), ("shaky", "cpu")),
    *(("bad", "cpu"), ("far", "cpu")),
)
MARKED = {
    "net/dense/cpu/b1/t1",
    "guess/dense/cpu/b1/t1 (emulated)",
    f"theirs/dense/other/b1/t1 (imported from {TOOL})",
}


def exported(form: str, *runs: Run) -> str:
    """What is written, which must be plain JSON where it is JSON."""
    content = export.text(form, [summarise(r) for r in runs])
    assert isinstance(content, str)
    return content


def strict(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_bencher_gets_measures_with_intervals_in_its_units() -> None:
    """As its schema has it, https://bencher.dev/bmf.json: objects of objects with `value`, and at
    most `lower_value` and `upper_value`, all numbers."""
    table = strict(exported("bencher", some()))
    assert table.keys() == MARKED
    for measures in table.values():
        for metric in measures.values():
            assert {"value"} <= metric.keys() <= {"value", "lower_value", "upper_value"}
            assert all(type(number) in (int, float) for number in metric.values())
    net = table["net/dense/cpu/b1/t1"]
    assert net.keys() == {"latency", "accuracy", "file-size"}
    assert net["latency"]["value"] == pytest.approx(1.01e6, rel=0.02)
    assert net["latency"]["lower_value"] < net["latency"]["value"] < net["latency"]["upper_value"]
    assert net["file-size"] == {"value": 5000}
    assert net["accuracy"]["value"] == 0.8
    assert "accuracy" not in table[f"theirs/dense/other/b1/t1 (imported from {TOOL})"]


def test_github_action_benchmark_gets_one_file_for_each_direction() -> None:
    """Entries as `customSmallerIsBetter` and `customBiggerIsBetter` take them: name, unit and
    value, and range and extra as text."""
    entries = {}
    for form in ("github-action-benchmark", "github-action-benchmark-bigger"):
        for entry in strict(exported(form, some())):
            assert entry.keys() - {"range"} == {"name", "unit", "value", "extra"}
            entries[entry["name"]] = entry
    latency = entries["net/dense/cpu/b1/t1 latency"]
    assert (latency["unit"], latency["value"]) == ("ms", pytest.approx(1.01, rel=0.02))
    assert latency["range"].startswith("± 0.0")
    assert "machine: Example Core i5-1234 (f0e1d2c3)\nvisits: 3 of 3" in latency["extra"]
    assert entries["net/dense/cpu/b1/t1 accuracy"]["value"] == pytest.approx(80)
    assert entries["net/dense/cpu/b1/t1 file"] == {
        "name": "net/dense/cpu/b1/t1 file",
        "unit": "bytes",
        "value": 5000.0,
        "extra": latency["extra"],
    }
    assert "simulated: emulated" in entries["guess/dense/cpu/b1/t1 (emulated) latency"]["extra"]
    assert not any("shaky" in name or "lost" in name for name in entries)


def test_google_benchmark_gets_a_repetition_per_visit() -> None:
    """With the fields that its tools/gbench/report.py takes: name, both times and their unit."""
    table = strict(exported("google-benchmark", some()))
    named: dict[str, list[dict[str, Any]]] = {}
    for entry in table["benchmarks"]:
        assert {"name", "run_name", "real_time", "cpu_time", "time_unit"} <= entry.keys()
        named.setdefault(entry["name"], []).append(entry)
    net = named["net/dense/cpu/b1/t1"]
    assert [entry["repetition_index"] for entry in net] == [0, 1, 2]
    floors = [1e6, 1.01e6, 1.02e6]
    assert [entry["real_time"] for entry in net] == pytest.approx(floors, rel=0.02)
    assert named.keys() > MARKED
    (bad,) = named["bad/dense/cpu/b1/t1"]
    assert (bad["error_occurred"], "broke" in bad["error_message"]) == (True, True)
    assert named["shaky/dense/cpu/b1/t1"][0]["error_message"] == "drift"
    assert "not measured" in table["context"]["cpu_time"]
    assert table["context"]["num_cpus"] == 4


def test_junit_tells_failures_and_skips_with_their_reason() -> None:
    (suite,) = ElementTree.fromstring(exported("junit", some()))
    assert (
        suite.attrib.items()
        >= {"name": "demo", "tests": "7", "failures": "3", "skipped": "1"}.items()
    )
    cases = {case.attrib["name"]: case for case in suite.iter("testcase")}
    assert cases.keys() > MARKED
    net = cases["net/dense/cpu/b1/t1"]
    assert float(net.attrib["time"]) == pytest.approx(1.01e-3, rel=0.02)
    assert "accuracy: 0.8" in (net.findtext("system-out") or "")
    told = {}
    for name in ("bad", "far", "shaky", "lost"):
        (child,) = cases[f"{name}/dense/cpu/b1/t1"]
        assert "time" not in cases[f"{name}/dense/cpu/b1/t1"].attrib
        told[name] = child.tag, child.attrib["message"]
    assert told["bad"][0] == told["shaky"][0] == told["lost"][0] == "failure"
    assert told["bad"][1].startswith("it <b>broke</b>\N{REPLACEMENT CHARACTER}[2J & fell")
    assert told["far"] == ("skipped", "no driver")
    assert told["shaky"][1] == "drift"


def test_parquet_has_what_load_gives(tmp_path: Path, call: Call) -> None:
    pytest.importorskip("pyarrow", reason="pip install 'paretomark[parquet]'")
    source = realistic()
    content = export.text("parquet", [summarise(source)])
    assert isinstance(content, bytes)
    frame, loaded = pd.read_parquet(io.BytesIO(content)), paretomark.load(source)
    assert list(frame.columns) == list(loaded.columns)
    pd.testing.assert_series_equal(frame.latency_s, loaded.latency_s)
    pd.testing.assert_series_equal(frame.started, loaded.started, check_dtype=False)
    assert frame.attrs["columns"]["latency_s"].endswith(", s")
    assert json.loads(frame.placement[frame.valid].iloc[0]) == {"cpu": 41}
    folder = written(source, tmp_path / "run")
    printed = call("export", folder, "--format", "parquet")
    assert printed.code == 2
    assert "name a file with --out" in printed.err
    assert call("export", folder, "--format", "parquet", "--out", tmp_path / "f").code == 0
    assert (tmp_path / "f").read_bytes()[:4] == b"PAR1"


def test_csv_has_every_column_of_several_runs(tmp_path: Path, call: Call) -> None:
    folders = [written(only(some(), run=name), tmp_path / name) for name in ("a", "b")]
    result = call("export", *folders, "--format", "csv")
    frame = pd.read_csv(io.StringIO(result.out))
    assert list(frame.run) == ["a"] * 7 + ["b"] * 7
    assert list(frame.columns) == list(paretomark.load([]).columns)
    assert set(frame.imported.dropna()) == {TOOL}
    assert math.isnan(frame.latency_s[frame.model == "bad"].iloc[0])
    assert "8 cells have no time that counts" in result.err


@pytest.mark.parametrize(
    "form",
    ["bencher", "github-action-benchmark", "google-benchmark", "github-action-benchmark-bigger"],
)
def test_a_cell_of_two_runs_is_refused_where_names_are_all_there_is(form: str) -> None:
    other = run(visits([1e-3], "another"))
    assert "another" in exported(form, some(), other)
    with pytest.raises(Exception, match=r"net/dense/cpu/b1/t1 is in two runs"):
        exported(form, run([record()]), run([record()], run="second"))


def test_runs_of_two_machines_have_no_common_context() -> None:
    host = {**some().header.host.to_json(), "fingerprint": "other"}
    with pytest.raises(Exception, match="several machines"):
        exported("google-benchmark", some(), only(run([record("b")]), host=host))


def test_a_format_that_there_is_not_names_the_nearest(tmp_path: Path, call: Call) -> None:
    result = call("export", written(some(), tmp_path / "run"), "--format", "junitt")
    assert result.code == 2
    assert "did you mean 'junit'" in result.err


@pytest.mark.usefixtures("plugins_kept")
def test_readers_and_writers_of_ones_own(tmp_path: Path, call: Call) -> None:
    own = ("--plugins", Path(__file__).parents[1] / "examples" / "my_plugins")
    (tmp_path / "times.txt").write_text("stopwatch: net 1.5\nstopwatch: net 1.6\n")
    assert call(*own, "import", tmp_path / "times.txt", "--out", tmp_path / "run").code == 0
    told = call(*own, "export", tmp_path / "run", "--format", "lines")
    assert told.out.startswith("net/as given/hand/b1/t0 15")
