"""Files exported in training mode: the operators that act so are named."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from paretomark.models.build import _onnx_training
from paretomark.suites.records import _store
from paretomark.tests._files import colours, measured, suite

if TYPE_CHECKING:
    from paretomark.suites.records._row import Row

pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

ACTS = "of the file acts as in training: export the net after eval()"
HEAD = '<ir_version: 8, opset_import: ["": {opset}]> g (float[1,3,8,8] x) => (float[1,3,8,8] y) '
NORM = "y{more} = BatchNormalization{mode}(x, one, one, one, one)"
ONES = "float[3] one = {1.0, 1.0, 1.0}"
ON, OFF = "bool t = {1}", "bool t = {0}"


def said(folder: Path, body: str, constants: str, opset: int) -> list[str]:
    text = HEAD.replace("{opset}", str(opset)) + f"<{constants}> {{ {body} }}"
    onnx.save(onnx.parser.parse_model(text), folder / "m.onnx")
    return _onnx_training.warnings(folder / "m.onnx")


@pytest.mark.parametrize(
    ("body", "constants", "opset", "acting"),
    [
        ("y = Dropout(x, r, t)", f"float r = {{0.5}}, {ON}", 17, "Dropout"),
        ("y = Dropout(x, , t)", ON, 17, "Dropout"),
        ("y, m = Dropout(x, r, t)", f"float r = {{0.5}}, {OFF}", 17, ""),
        ("y = Dropout(x, r, t)", f"float r = {{0.0}}, {ON}", 17, ""),
        ("y = Dropout(x)", ON, 17, ""),
        ("t = Constant<value = bool {1}>() y = Dropout(x, , t)", ONES, 17, "Dropout"),
        ("y = Dropout<ratio = 0.5>(x)", ON, 10, ""),
        (NORM.format(more=", m, v", mode="<training_mode = 1>"), ONES, 17, "BatchNormalization"),
        (NORM.format(more="", mode="<training_mode = 0>"), ONES, 17, ""),
        (NORM.format(more="", mode=""), ONES, 13, ""),
        (NORM.format(more=", m, v, a, b", mode=""), ONES, 13, "BatchNormalization"),
        (
            "c = Constant<value = bool {1}>() y = If<then_branch = g1 () => (float[1,3,8,8] p) "
            "{ p = Dropout(x, , t) }, else_branch = g2 () => (float[1,3,8,8] q) "
            "{ q = Identity(x) }>(c)",
            ON, 17, "Dropout",
        ),
    ],
)  # fmt: skip
def test_operators_that_act_as_in_training_are_named(
    tmp_path: Path, body: str, constants: str, opset: int, acting: str
) -> None:
    assert said(tmp_path, body, constants, opset) == ([f"{acting} {ACTS}"] if acting else [])


@pytest.mark.parametrize("field", ["raw_data", "int32_data"])
def test_a_constant_is_read_however_it_is_stored(tmp_path: Path, field: str) -> None:
    said(tmp_path, "y = Dropout(x, , t)", OFF, 17)
    proto = onnx.load(tmp_path / "m.onnx")
    flag = numpy_helper.from_array(np.array(True), "t")
    if field == "int32_data":
        flag.ClearField("raw_data")
        flag.int32_data.append(1)
    proto.graph.initializer[0].CopyFrom(flag)
    onnx.save(proto, tmp_path / "m.onnx")
    assert _onnx_training.warnings(tmp_path / "m.onnx") == [f"Dropout {ACTS}"]
    (tmp_path / "m.onnx").write_bytes((tmp_path / "m.onnx").read_bytes()[:-9])
    assert _onnx_training.warnings(tmp_path / "m.onnx") == []


def test_a_net_exported_in_training_mode_says_so_in_its_row(tmp_path: Path) -> None:
    colours(tmp_path / "colours")
    net = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5))
    modes = {"training": torch.onnx.TrainingMode.TRAINING, "eval": torch.onnx.TrainingMode.EVAL}
    for name, mode in modes.items():
        torch.onnx.export(
            net.train(name == "training"), (torch.rand(1, 3, 8, 8),), tmp_path / f"{name}.onnx",
            dynamo=False, training=mode, do_constant_folding=False, opset_version=17,
        )  # fmt: skip
    rows: dict[str, Row] = measured(tmp_path, suite(tmp_path, [(name, "") for name in modes]))
    warnings = {r.model: r.warnings for r in _store.read(tmp_path / "out").records}
    assert f"BatchNormalization, Dropout {ACTS}" in warnings["training"]
    assert rows["eval"].status == "ok"
    assert not any(ACTS in warning for warning in warnings["eval"])
    assert rows["training"].broken or rows["training"].status == "failed"


def test_a_file_that_is_cut_or_changed_anywhere_is_none_of_its_business(tmp_path: Path) -> None:
    """Its runtime says what is wrong with it."""
    said(tmp_path, "y = Dropout(x, r, t)", f"float r = {{0.5}}, {ON}", 17)
    whole, file = (tmp_path / "m.onnx").read_bytes(), tmp_path / "cut.onnx"
    for at in range(len(whole)):
        for content in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]):
            file.write_bytes(content)
            assert isinstance(_onnx_training.warnings(file), list)
