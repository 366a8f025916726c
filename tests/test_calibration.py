"""The pictures that int8 is calibrated on: what was passed over of them stands in the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from paretomark.tests._pictures import picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

SUITE = """
devices = ["onnxruntime:cpu"]
blocks = 1
seconds = 0.01
examples = 6
[model.m]
net = "digits_mlp"
data = "imagefolder:val"
calibration = "{calibration}"
[recipe.fp32]
[recipe.int8]
precision = "int8"
"""


@pytest.mark.parametrize("calibration", ["imagefolder:more", "test"])
def test_what_was_passed_over_stands_in_the_rows_that_calibrate(
    tmp_path: Path, call: Callable[..., Called], calibration: str
) -> None:
    for split in ("val", "more/train", "more/val"):
        for shade, name in enumerate("ab"):
            for i in range(12):
                picture(tmp_path / split / name / f"{i}.png", 90 * shade + i)
    (tmp_path / "val" / "a" / "notes.txt").write_text("")
    (tmp_path / "more" / "train" / "a" / "draft.xcf").write_text("")
    path = tmp_path / "s.toml"
    path.write_text(SUITE.format(calibration=calibration))
    result = call("run", path, "--out", tmp_path / "out", "--json")
    told: dict[str, Any] = {r["recipe"]: r["warnings"] for r in json.loads(result.out)["rows"]}
    tested = "1 file without a suffix of pictures passed over: notes.txt"
    calibrated = "of calibration: 1 file without a suffix of pictures passed over: draft.xcf"
    assert all(tested in warnings for warnings in told.values())
    assert calibrated not in told["fp32"]
    assert (calibrated in told["int8"]) == (calibration != "test")
    assert sum("passed over" in warning for warning in told["int8"]) == 1 + (calibration != "test")
