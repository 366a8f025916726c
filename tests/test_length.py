"""The length of declared inputs as an axis of a suite: planned, measured, recorded, and shown."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark import bench
from paretomark.suites.records import _store
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec import _plan, _suite
from paretomark.suites.spec._errors import UserError
from paretomark.tests._files import save
from paretomark.tests._runs import record

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

HEAD = 'devices = ["onnxruntime:cpu", "openvino:cpu"]\nblocks = 1\nseconds = 0.01\n'
TOKENS = 'inputs = { ids = { shape = [-1, "length"], range = [0, 49] } }\n'


def model(name: str, says: str = TOKENS) -> str:
    return f'[model.{name}]\nnet = "file:{name}.onnx"\n{says}'


def planned(text: str) -> list[_plan.Cell]:
    suite = _suite.parse(text, "s", Path())
    loads = {device: ("onnx",) for device in ("onnxruntime:cpu", "openvino:cpu")}
    return _plan.plan(suite, [], {}, loads, [])


def test_only_what_has_a_length_gets_a_cell_for_each() -> None:
    more = 'length = [8, 32]\n[device."openvino:cpu"]\nlength = [64]\n'
    cells = planned(HEAD + more + model("text") + model("plain", ""))
    assert [cell.key for cell in cells] == [
        "text/as-is/onnxruntime:cpu/b1/t1/l8",
        "text/as-is/onnxruntime:cpu/b1/t1/l32",
        "text/as-is/openvino:cpu/b1/t1/l64",
        "plain/as-is/onnxruntime:cpu/b1/t1",
        "plain/as-is/openvino:cpu/b1/t1",
    ]
    assert [cell.length for cell in cells] == [8, 32, 64, 0, 0]
    assert [c.model.inputs["ids"].sizes(4) for c in cells[:3]] == [(4, 8), (4, 32), (4, 64)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("length = [8]\n" + model("plain", ""), "no model that takes one"),
        (model("text"), "the suite says none for onnxruntime:cpu"),
        ('[device."openvino:cpu"]\nlength = [8]\n' + model("text"), "none for onnxruntime:cpu"),
        ("length = [8, 0]\n" + model("text"), "length must be a list of numbers of at least 1"),
        ("length = [8, 8]\n" + model("text"), "named twice"),
        ("length = [8]\n" + model("text", TOKENS.replace("length", "lenght")), "'length'"),
        ("length = [8]\n" + model("text", TOKENS.replace("-1", "0")), "at least 1, or -1"),
        ("length = [8]\n" + model("text", TOKENS.replace("-1", "1.5")), "must be int, got 1.5"),
        ("length = [8]\n" + model("text", TOKENS.replace("49", '"a"')), "must be float"),
    ],
)
def test_lengths_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        planned(HEAD + text)


@pytest.mark.build
def test_lengths_are_measured_and_shown(tmp_path: Path, call: Callable[..., Called]) -> None:
    """A file with an open length is run at each; one with its own fails at others."""
    body = "f = Cast<to=1>(ids) y = ReduceSum<keepdims=0>(f)"
    save(tmp_path / "open.onnx", "int64[N, L] ids", "float y", body)
    save(tmp_path / "fixed.onnx", "int64[1, 8] ids", "float y", body)
    save(tmp_path / "typo.onnx", "int64[N, L] id", "float y", body.replace("ids", "id"))
    save(tmp_path / "other.onnx", "float[1, 4] x", "float[1, 4] y", "y = Identity(x)")
    names = ("open", "fixed", "typo")
    text = HEAD + "length = [8, 24]\n" + "".join(map(model, names)) + model("other", "")
    (tmp_path / "s.toml").write_text(text)
    assert call("run", tmp_path / "s.toml", "--out", tmp_path / "out").code == bench.SOME_FAILED
    run = _store.read(tmp_path / "out")
    rows = {(r.model, r.device.partition(":")[0], r.length): r for r in summarise(run).rows}
    for device in ("onnxruntime", "openvino"):
        for length in (8, 24):
            assert rows["open", device, length].latency_s
            assert "no input 'ids' that is declared" in rows["typo", device, length].reason
        assert rows["fixed", device, 8].latency_s
        assert "is (1, 8); declared for it is (1, 24)" in rows["fixed", device, 24].reason
        assert rows["other", device, 0].latency_s
    assert rows["open", "openvino", 8].identity != rows["open", "openvino", 24].identity
    assert rows["open", "openvino", 8].group != rows["open", "openvino", 24].group
    page = tmp_path / "out" / "report"
    assert call("report", tmp_path / "out", "--out", page).code in (0, bench.SOME_FAILED)
    with (page / "cells.csv").open() as file:
        lines = {line["cell"]: line["length"] for line in csv.DictReader(file)}
    assert lines["open/as-is/onnxruntime:cpu/b1/t1/l24"] == "24"
    assert "length 24" in (page / "index.html").read_text()
    assert "only in" not in call("compare", tmp_path / "out", tmp_path / "out").out


def test_a_cell_that_was_not_run_has_its_length(tmp_path: Path) -> None:
    header = _store.read(Path(__file__).with_name("schemas") / "3").header
    cells = ("a/fp32/onnxruntime:cpu/b2/t4/l128", "a/fp32/onnxruntime:cpu/b2/t4")
    _store.create(tmp_path / "run", dataclasses.replace(header, schema=4, cells=cells))
    with _store.Writer(tmp_path / "run"):
        pass
    long, none = summarise(_store.read(tmp_path / "run")).rows
    assert (long.model, long.device, long.batch, long.threads, long.length) == (
        *("a", "onnxruntime:cpu"),
        *(2, 4, 128),
    )
    assert (none.threads, none.length) == (4, 0)


def test_lengths_share_no_front(tmp_path: Path) -> None:
    """Faster at a shorter length is no better net."""
    header = _store.read(Path(__file__).with_name("schemas") / "3").header
    records = [
        record("a", device="d", cell="a/dense/d/b1/t1/l8", length=8, latency=1e-3),
        record("b", device="d", cell="b/dense/d/b1/t1/l32", length=32, latency=4e-3),
    ]
    cells = tuple(r.cell for r in records)
    _store.create(tmp_path / "run", dataclasses.replace(header, schema=4, cells=cells))
    with _store.Writer(tmp_path / "run") as writer:
        for each in records:
            writer.append(each)
    assert [row.on_front for row in summarise(_store.read(tmp_path / "run")).rows] == [True, True]
