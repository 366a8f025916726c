"""Why a cell failed names the file and the cause, whatever tool chain it failed in."""

from __future__ import annotations

import numpy as np
import pytest

from paretomark import bench
from paretomark.suites.records import _store
from paretomark.suites.records._record import Record
from paretomark.suites.spec._errors import LONGEST

pytestmark = pytest.mark.build

NET = '''
from torch import nn

class Branching(nn.Module):
    """Does not export: what it computes depends on its input."""
    def forward(self, x):
        return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))

def branching():
    return Branching()

def angry():
    raise RuntimeError("\\x1b[31mno such table\\x1b[0m\\n  of colours")

def looked_up():
    try:
        return {}["colours"]
    except KeyError as error:
        raise ValueError("there is no net") from error

def silent():
    assert False
'''
NAMES = ("branching", "angry", "looked_up", "silent")
SHAPE = "data = 'npz:p.npz'\npreprocess = { size = [8, 8] }\n"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """By model, from one run."""
    folder = tmp_path_factory.mktemp("reasons")
    (folder / "net.py").write_text(NET)
    (folder / "damaged.onnx").write_bytes(b"\x08\x07nonsense")
    np.savez(folder / "p.npz", x_test=np.zeros((8, 8, 8, 3), np.uint8), y_test=np.zeros(8))
    nets = {name: f"python:net.py:{name}" for name in NAMES} | {"file": "file:damaged.onnx"}
    text = 'devices = ["onnxruntime:cpu"]\nblocks = 1\nseconds = 0.02\n[recipe.fp32]\n'
    for name, net in nets.items():
        text += f"[model.{name}]\nnet = '{net}'\n{SHAPE}"
    (folder / "s.toml").write_text(text)
    code = bench.main(["run", str(folder / "s.toml"), "--out", str(folder / "out"), "--json"])
    assert code == bench.SOME_FAILED
    return {r.model: r for r in _store.read(folder / "out").records}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model", "file", "cause"),
    [
        ("branching", "net.py", "data-dependent"),
        ("angry", "net.py", "RuntimeError: no such table of colours"),
        ("looked_up", "net.py", "KeyError: 'colours'; ValueError: there is no net"),
        ("silent", "net.py", "AssertionError"),
        ("file", "damaged.onnx", ""),
    ],
)
def test_a_failure_names_its_file_and_its_cause(
    records: dict[str, Record], model: str, file: str, cause: str
) -> None:
    record = records[model]
    assert record.status == "failed"
    assert file in record.reason
    assert cause in record.reason
    assert record.reason.isprintable()
    assert len(record.reason) < LONGEST + 100
