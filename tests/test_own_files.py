"""Files that users bring: what is right is measured right, and what cannot be is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from paretomark import bench
from paretomark.suites.records import _store, _summary
from paretomark.suites.records._row import Row
from paretomark.tests._files import PLAIN, colours, measured, save, suite

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

WORDS = "ids = Cast<to=1>(k) s = ReduceSum<keepdims=1>(ids) z = Mul(s, nought) n = Reshape(z, one)"
NOUGHT = "<float nought = {0.0}, int64[1] one = {1}>"
TOP = "m = ReduceMean<axes=[2,3], keepdims=0>(x) y = ArgMax<axis=1, keepdims=0>(m)"
SCALE = "<float c = {-0.5}> m = ReduceMean<axes=[1,2,3], keepdims=0>(x) y = Add(m, c)"
# Each a file: name, what comes in and goes out, what is between, what the suite says of it, and the
# accuracy, or words of the refusal.
FILES: list[tuple[str, str, str, str, str, float | str]] = [
    ("plain", "float[1,3,8,8] x", "float[1,3] y", PLAIN, "", 1.0),
    ("fixed_axes", "float[1,3,8,8] x", "float[1,3,1,1] y",
     "y = ReduceMean<axes=[2,3], keepdims=1>(x)", "", 1.0),
    ("last", "float[1,8,8,3] x", "float[1,3] y",
     "y = ReduceMean<axes=[1,2], keepdims=0>(x)", "", 1.0),
    ("half", "float16[1,3,8,8] x", "float16[1,3] y", PLAIN, "", 1.0),
    ("double", "double[1,3,8,8] x", "double[1,3] y", PLAIN, "", 1.0),
    ("bytes", "uint8[1,3,8,8] x", "float[1,3] y",
     "f = Cast<to=1>(x) y = ReduceMean<axes=[2,3], keepdims=0>(f)", "", 1.0),
    ("words", "int32[1,3,8,8] x", "float[1,3] y",
     "f = Cast<to=1>(x) y = ReduceMean<axes=[2,3], keepdims=0>(f)", "", 1.0),
    ("small_bytes", "uint8[1,3,8,8] x", "float[1,3] y",
     "f = Cast<to=1>(x) y = ReduceMean<axes=[2,3], keepdims=0>(f)",
     "std = [50.0, 50.0, 50.0]", "go from 0 to 5.1"),
    ("signed", "int8[1,3,8,8] x", "float[1,3] y",
     "f = Cast<to=1>(x) y = ReduceMean<axes=[2,3], keepdims=0>(f)", "", "without a scale"),
    ("signed_well", "int8[1,3,8,8] x", "float[1,3] y",
     "f = Cast<to=1>(x) y = ReduceMean<axes=[2,3], keepdims=0>(f)",
     "mean = [128.0, 128.0, 128.0], std = [1.0, 1.0, 1.0]", 1.0),
    ("any_size", "float[N,3,H,W] x", "float[N,3] y", PLAIN, "", 1.0),
    ("top", "float[1,3,8,8] x", "int64[1] y", TOP, "", 1.0),
    ("top_float", "float[1,3,8,8] x", "float[1] y",
     TOP.replace("y =", "t =") + " y = Cast<to=1>(t)", "", 1.0),
    ("two", "float[1,3,8,8] x", "int64[1] t, float[1,3] m",
     TOP.replace("y =", "t ="), "", "'t' int64 (1,), 'm' float32 (1, 3)"),
    ("two_named", "float[1,3,8,8] x", "int64[1] t, float[1,3] m",
     TOP.replace("y =", "t ="), 'output = "m"', 1.0),
    ("two_numbered", "float[1,3,8,8] x", "int64[1] t, float[1,3] m",
     TOP.replace("y =", "t ="), 'output = "0"', 1.0),
    ("two_unknown", "float[1,3,8,8] x", "int64[1] t, float[1,3] m",
     TOP.replace("y =", "t ="), 'output = "logits"', "no output 'logits'"),
    ("grid", "float[1,3,8,8] x", "float[1,3,8,8] y", "y = Identity(x)", "", "more than one axis"),
    ("best_two", "float[1,3,8,8] x", "int64[1,2] y",
     "<int64[1] k = {2}> m = ReduceMean<axes=[2,3], keepdims=0>(x) v, y = TopK<axis=1>(m, k)",
     "", "integers without a scale"),
    ("single", "float[1,3,8,8] x", "float[1] y", SCALE, "", "one output tells two classes"),
    ("background", "float[1,3,8,8] x", "float[1,4] y",
     "<float[1,1] z = {0.0}> m = ReduceMean<axes=[2,3], keepdims=0>(x) y = Concat<axis=1>(z, m)",
     "", "label_offset = 1"),
    ("background_well", "float[1,3,8,8] x", "float[1,4] y",
     "<float[1,1] z = {0.0}> m = ReduceMean<axes=[2,3], keepdims=0>(x) y = Concat<axis=1>(z, m)",
     "label_offset = 1", 1.0),
    ("mirrored", "float[1,3,8,8] x", "float[1,3] y",
     "<int64[3] i = {2,1,0}> m = ReduceMean<axes=[2,3], keepdims=0>(x) y = Gather<axis=1>(m, i)",
     "", "another order of classes"),
    ("by_chance", "float[1,3,8,8] x", "float[1,3] y",
     PLAIN.replace("y =", "m =") + " r = RandomNormalLike(m) y = Add(m, r)", "", "random"),
    ("more", "float[1,3,8,8] x, int64[1,4] k", "float[1,3] y",
     f"{NOUGHT} {WORDS} m = ReduceMean<axes=[2,3], keepdims=0>(x) y = Add(m, n)", "",
     "inputs = { NAME"),
    ("more_declared", "float[1,3,8,8] x, int64[1,4] k", "float[1,3] y",
     f"{NOUGHT} {WORDS} m = ReduceMean<axes=[2,3], keepdims=0>(x) y = Add(m, n)",
     "inputs = { k = { shape = [-1, 4], range = [0, 9] } }", 1.0),
]  # fmt: skip
BROKEN = ("by_chance",)  # measured, but on no front
SUSPECT = ("background", "mirrored")  # measured, and marked


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    folder = tmp_path_factory.mktemp("files")
    colours(folder / "colours")
    for name, inputs, outputs, body, _, _ in FILES:
        save(folder / f"{name}.onnx", inputs, outputs, body)
    path = suite(folder, [(name, says) for name, *_, says, _ in FILES])
    return measured(folder, path, bench.SOME_FAILED)


@pytest.mark.parametrize(("name", "outcome"), [(f[0], f[-1]) for f in FILES])
def test_a_file_is_measured_right_or_refused(
    rows: dict[str, Row], name: str, outcome: float | str
) -> None:
    row = rows[name]
    if isinstance(outcome, float):
        assert (row.status, row.accuracy, row.broken) == ("ok", outcome, ""), row.reason
    elif name in SUSPECT:
        assert any(outcome in warning for warning in row.warnings)
    elif name in BROKEN:
        assert row.status == "ok"
        assert outcome in row.broken
        assert not row.on_front
    else:
        assert row.status == "failed"
        assert outcome in row.reason


def test_a_row_says_what_its_answers_were_taken_for(rows: dict[str, Row]) -> None:
    assert rows["plain"].answers == "scores of 3 classes"
    assert rows["top"].answers == rows["top_float"].answers
    assert "numbers of classes, told by the values" in rows["top"].answers
    assert rows["bytes"].warnings == ("the input takes uint8: it was given pixels from 0 to 255",)


def test_two_classes_by_one_number(tmp_path: Path) -> None:
    """A probability is cut at a half, a logit at 0, and either where the suite says."""
    folder = tmp_path / "grey"
    for name, level in (("dark", 40), ("light", 200)):
        (folder / "val" / name).mkdir(parents=True)
        for i in range(6):
            pixels = np.full((8, 8, 3), level + i, np.uint8)
            Image.fromarray(pixels).save(folder / "val" / name / f"{i}.png")
    mean = "m = ReduceMean<axes=[1,2,3], keepdims=0>(x)"
    save(tmp_path / "share.onnx", "float[1,3,8,8] x", "float[1] y", mean.replace("m =", "y ="))
    save(tmp_path / "logit.onnx", "float[1,3,8,8] x", "float[1] y",
         f"<float c = {{-0.5}}> {mean} y = Add(m, c)")  # fmt: skip
    save(tmp_path / "high.onnx", "float[1,3,8,8] x", "float[1] y",
         f"<float c = {{9.0}}> {mean} y = Add(m, c)")  # fmt: skip
    models = [("share", ""), ("logit", ""), ("high", "threshold = 9.5")]
    rows = measured(tmp_path, suite(tmp_path, models, "imagefolder:grey"), 0)
    assert [rows[name].accuracy for name, _ in models] == [1.0] * 3
    assert "probabilities of one class, told by the values, cut at 0.5" in rows["share"].answers
    assert "logits of one class, told by the values, cut at 0" in rows["logit"].answers
    assert "cut at 9.5" in rows["high"].answers


def test_words_are_timed_with_declared_inputs(tmp_path: Path) -> None:
    save(tmp_path / "text.onnx", "int64[N, L] ids", "float[N, L] y", "y = Cast<to=1>(ids)")
    head = 'devices = ["onnxruntime:cpu"]\nblocks = 1\nseconds = 0.01\nbatch = [1, 2]\n'
    says = '[model.{}]\nnet = "file:text.onnx"\n{}\n'
    declared = "inputs = { ids = { shape = [-1, 16], range = [0, 49] } }"
    path = tmp_path / "s.toml"
    path.write_text(head + says.format("open", "") + says.format("text", declared))
    assert bench.main(["run", str(path), "--out", str(tmp_path / "out"), "--json"]) == 1
    rows = {(r.model, r.batch): r for r in _summary.summarise(_store.read(tmp_path / "out")).rows}
    for batch in (1, 2):
        assert rows["text", batch].latency_s
        assert rows["text", batch].accuracy is None
        assert "ids = { shape = [...] }" in rows["open", batch].reason


def test_noise_has_no_accuracy(tmp_path: Path) -> None:
    save(tmp_path / "plain.onnx", "float[1,3,8,8] x", "float[1,3] y", PLAIN)
    row = measured(tmp_path, suite(tmp_path, [("plain", "")], "noise"), 0)["plain"]
    assert row.latency_s
    assert (row.accuracy, row.examples) == (None, 0)


def test_a_damaged_file_costs_its_cell_only(tmp_path: Path, call: Callable[..., Called]) -> None:
    colours(tmp_path / "colours")
    save(tmp_path / "plain.onnx", "float[1,3,8,8] x", "float[1,3] y", PLAIN)
    (tmp_path / "torn.onnx").write_bytes((tmp_path / "plain.onnx").read_bytes()[:-9])
    path = suite(tmp_path, [("plain", ""), ("torn", "")])
    result = call("run", path, "--out", tmp_path / "out", "--json")
    assert result.code == bench.SOME_FAILED
    rows: dict[str, Any] = {r["model"]: r for r in json.loads(result.out)["rows"]}
    assert rows["plain"]["accuracy"] == 1.0
    assert "torn.onnx is no ONNX file, or damaged" in rows["torn"]["reason"]
