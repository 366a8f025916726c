"""Nets that cannot teach say why, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark import bench
from paretomark.suites.records import _store

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

NETS = """
import torch
from torch import nn

class Answers(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(64, size) for size in sizes)

    def forward(self, x):
        said = [head(x.flatten(1)) for head in self.heads]
        return said[0] if len(said) == 1 else {"scores": said[0], "features": said[1]}

def several():
    return Answers(10, 4)

def fewer():
    return Answers(4)
"""
SUITE = """
devices = ["fake:ok"]
[model.digits_mlp]
[recipe.taught]
steps = [{ method = "finetune", epochs = 1, count = 64, teacher = "python:nets.py:NET" }]
"""


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            "several",
            "teacher: python:{place}:several: the net has several outputs; a teacher says one "
            "thing: let a function, python:PATH.py:FUNCTION, return a net of one of them: "
            "'scores' (2, 10), 'features' (2, 4)",
        ),
        ("fewer", "the teacher answers with (4,) for a picture, and its pupil with (10,)"),
    ],
)
def test_a_net_that_cannot_teach_says_why(
    tmp_path: Path, call: Callable[..., Called], net: str, message: str
) -> None:
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "s.toml").write_text(SUITE.replace("NET", net))
    result = call("run", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert result.code == bench.SOME_FAILED
    [record] = _store.read(tmp_path / "out").records
    assert message.format(place=tmp_path / "nets.py") in record.reason
