"""What a latency is of: the call as a program waits for it, or the inference alone."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from paretomark.devices import _device
from paretomark.devices.measure import _process, _timing
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.records import _store
from paretomark.suites.records._record import Malformed, Record
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec._model import Model, Recipe
from paretomark.tests._runs import record, run
from paretomark.tests.conftest import Called

SUITE = """
devices = ["fake:ok", "fake:slow"]
blocks = 2
seconds = 0.02
examples = 64
foreign_load_cores = 99.0
boundary = "{boundary}"
[model.digits_mlp]
[recipe.fp32]
"""
TELLING = ("onnxruntime:cpu", "openvino:cpu", "litert:xnnpack", "pytorch:eager")


def measured(folder: Path, call: Callable[..., Called], boundary: str) -> tuple[Called, list[Row]]:
    (folder / "s.toml").write_text(SUITE.format(boundary=boundary))
    result = call("run", folder / "s.toml", "--out", folder / boundary)
    return result, list(summarise(_store.read(folder / boundary)).rows)


@pytest.mark.build
def test_both_are_kept_and_the_suite_chooses(tmp_path: Path, call: Callable[..., Called]) -> None:
    result, rows = measured(tmp_path, call, "call")
    assert result.code == 0
    assert "latency: of the call, from handing over" in " ".join(result.out.split())
    told, slow = rows
    assert told.call_s
    assert told.inference_s
    assert told.inference_s < told.call_s == told.latency_s
    assert slow.call_s == slow.latency_s  # it does not tell what it does inside
    assert slow.inference_s is None

    result, rows = measured(tmp_path, call, "inference")
    assert result.code == 0
    assert "latency: of the inference alone" in " ".join(result.out.split())
    told, slow = rows
    assert told.call_s
    assert told.inference_s
    assert told.latency_s == told.inference_s < told.call_s
    assert told.on_front
    assert (slow.status, slow.latency_s, slow.on_front) == ("unsupported", None, False)
    assert 'boundary = "call"' in slow.reason
    line = next(csv.DictReader((tmp_path / "inference/report/cells.csv").read_text().splitlines()))
    assert line["boundary"] == "inference"
    assert float(line["latency_s"]) == float(line["inference_s"]) < float(line["call_s"])
    page = (tmp_path / "inference/report/index.html").read_text()
    assert "inference alone, without handing over inputs and fetching answers" in page

    refused = call("compare", tmp_path / "call", tmp_path / "inference")
    assert refused.code == 2
    assert 'with boundary = "call" in both suites' in refused.err


def test_an_unknown_boundary_is_refused(tmp_path: Path, call: Callable[..., Called]) -> None:
    (tmp_path / "s.toml").write_text(SUITE.format(boundary="kernel"))
    result = call("run", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert result.code == 2
    assert "kernel" in result.err
    assert "call, inference" in result.err


def test_a_server_answers_whole_calls(tmp_path: Path, call: Callable[..., Called]) -> None:
    text = SUITE.format(boundary="inference").replace("[model", 'scenario = ["cold"]\n[model')
    (tmp_path / "s.toml").write_text(text)
    result = call("run", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert result.code == 2
    assert "the scenario cold tells is of whole calls" in result.err


def test_boundaries_never_share_a_front() -> None:
    records = [
        dataclasses.replace(record(recipe=recipe, block=block), inference_ns=((900,) * 12,))
        for recipe, block in itertools.product(("dense", "0.5"), (0, 1))
    ]
    groups = set()
    for boundary in ("call", "inference"):
        whole = run(records)
        header = dataclasses.replace(whole.header, boundary=boundary)
        rows = summarise(dataclasses.replace(whole, header=header)).rows
        groups |= {row.group for row in rows}
        assert {row.boundary for row in rows} == {boundary}
    assert len(groups) == 2


@pytest.mark.parametrize("slices", [((0,),), ((5, -1),), ((),)])
def test_an_impossible_inference_is_refused(slices: Sequence[Sequence[int]]) -> None:
    table = record().to_json() | {"inference_ns": slices}
    with pytest.raises(Malformed, match="not positive, or a slice has none"):
        Record.from_json(table)


def test_every_fourth_call_is_asked_beside_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asking takes, such as one more inference, is in no sample."""
    now_ns, asked = 0, 0
    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns)

    def run(duration_ns: int) -> None:
        nonlocal now_ns
        now_ns += duration_ns

    def inside() -> int:
        nonlocal now_ns, asked
        asked += 1
        now_ns += 700_000
        return 300_000 + asked

    watch = _timing.Stopwatch(run, [1_000_000], inside)
    watch.warm_up(0.01)
    assert asked == 0
    assert watch.slice(1.0, 9) == [1_000_000] * 9
    assert watch.inference_ns == [300_001, 300_002, 300_003]
    assert watch.slice(0.0, 9) == [1_000_000]  # of a slow net, each slice has one
    assert watch.inference_ns == [300_004]


@pytest.mark.build
@pytest.mark.parametrize("target", TELLING)
def test_the_inference_is_most_of_a_call(target: str) -> None:
    """On each runtime that tells: less than the call, and more than half of it."""
    form = _device.formats()[target]
    order = BuildSpec(Model("scenes_resnet", "scenes_resnet"), Recipe(), form, 1, 16, 0)
    built = _build.build([order], 900.0, lambda _, result: None)[_build.key(order)]
    assert isinstance(built, Artifact)
    spec = VisitSpec.of(built, target, seconds=0.5, max_samples=1000, score=False)
    with _process.Child("_visit", spec, 120.0) as child:
        assert child.answer().table
        assert child.ask("load", 60.0).table
        told = child.ask("slice 0.4 200", 60.0).table
    assert told
    assert len(told["inside_ns"]) == -(-len(told["ns"]) // _timing.EVERY)
    # The quietest of each: a neighbour who is busy now and then hits one of them more often.
    call_ns, inside_ns = min(told["ns"]), min(told["inside_ns"])
    assert 0.5 * call_ns < inside_ns < 1.1 * call_ns
