"""A net of one's own in every form that a suite takes, on pictures of one's own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from paretomark import bench
from paretomark.models.export import onnx, pt2, tflite
from paretomark.suites.records import _store
from paretomark.suites.records._record import Record

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

SIZE = 16
PARTS = """
import torch
from torch import nn

def head(classes):
    layer = nn.Linear(3, classes)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0, -1], [-1, 0, 1]]))
        layer.bias.zero_()
    return layer
"""
NET = """
from torch import nn
from parts import head  # a file beside this one

class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3), keepdim=True).flatten(1)

def redness():
    return nn.Sequential(nn.ReLU(), Mean(), head(2))

def nothing():
    return "no net"
"""
PIXELS = f"preprocess = {{ size = [{SIZE}, {SIZE}] }}"
SUITE = f"""
devices = ["litert:xnnpack", "onnxruntime:cpu", "pytorch:eager"]
blocks = 1
seconds = 0.02
foreign_load_cores = 99.0

[model.function]
net = "python:net.py:redness"
data = "imagefolder:pictures"
{PIXELS}

[model.other]
net = "python:net.py:redness"
weights = "blueness.safetensors"
data = "imagefolder:pictures"
{PIXELS}
devices = ["onnxruntime:cpu"]

[model.untrained]
net = "python:net.py:redness@8"
weights = "random"
data = "imagefolder:pictures"
{PIXELS}
devices = ["onnxruntime:cpu"]

[model.onnx]
net = "file:net.onnx"
data = "imagefolder:pictures"
{PIXELS}

[model.tflite]
net = "file:net.tflite"
data = "imagefolder:pictures"
{PIXELS}

[model.pt2]
net = "file:net.pt2"
data = "imagefolder:pictures"
{PIXELS}

[recipe.fp32]
"""


class Redness(nn.Module):
    """The net of NET, for the files."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.head.weight.data = torch.tensor([[1.0, 0, -1], [-1, 0, 1]])
        self.head.bias.data.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.relu(x).mean((2, 3), keepdim=True).flatten(1))
        return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten reddish and ten bluish pictures in two classes, and the files of the suite."""
    place = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for name, colour in (("a_red", (200, 90, 60)), ("b_blue", (60, 90, 200))):
        (place / "pictures" / "val" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.normal(colour, 30, (20, 24, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / "pictures" / "val" / name / f"{i}.png")
    (place / "net.py").write_text(NET)
    (place / "parts.py").write_text(PARTS)
    weight = torch.tensor([[-1.0, 0, 1], [1, 0, -1]])
    save_file({"2.weight": weight, "2.bias": torch.zeros(2)}, place / "blueness.safetensors")
    return place


@pytest.fixture(scope="module")
def records(folder: Path) -> dict[tuple[str, str], Record]:
    """By model and runtime, from one run of SUITE."""
    net, sample = Redness().eval(), torch.rand(1, 3, SIZE, SIZE)
    for exporter in (onnx, tflite, pt2):
        exporter.export(net, sample, folder / f"net.{exporter.__name__.rpartition('.')[2]}")
    (folder / "s.toml").write_text(SUITE)
    code = bench.main(["run", str(folder / "s.toml"), "--out", str(folder / "out"), "--json"])
    run = _store.read(folder / "out")
    assert code == 0, [r.reason for r in run.records]
    return {(r.model, r.device.partition(":")[0]): r for r in run.records}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("model", "runtime"),
    [
        ("function", "litert"),
        ("function", "onnxruntime"),
        ("function", "pytorch"),
        ("onnx", "onnxruntime"),
        ("tflite", "litert"),
        ("pt2", "pytorch"),
    ],
)
def test_it_runs_and_is_scored(
    records: dict[tuple[str, str], Record], model: str, runtime: str
) -> None:
    record = records[model, runtime]
    assert record.status == "ok", record.reason
    assert record.data == "imagefolder:pictures"
    assert record.outcomes == "1" * 20
    if model == "function":
        assert record.parity_max_abs is not None
        assert record.parity_max_abs < 1e-3
        assert record.parameters == 8


def test_weights_of_a_file_are_used(records: dict[tuple[str, str], Record]) -> None:
    """The other way round, all answers are wrong."""
    record = records["other", "onnxruntime"]
    assert record.outcomes == "0" * 20
    assert json.loads(record.lineage)["parent"]["weights"] == "blueness.safetensors"


def test_a_record_tells_no_path_of_this_machine(records: dict[tuple[str, str], Record]) -> None:
    record = records["function", "onnxruntime"]
    assert json.loads(record.lineage)["parent"]["net"] == "python:net.py:redness"
    assert str(Path.home()) not in record.lineage


def test_random_weights_have_no_accuracy_and_say_so(
    records: dict[tuple[str, str], Record],
) -> None:
    record = records["untrained", "onnxruntime"]
    assert record.status == "ok", record.reason
    assert record.data == "random weights"
    assert (record.examples, record.outcomes) == (0, "")
    assert record.parity_max_abs is not None  # compared with the float net all the same
    assert record.parity_max_abs < 1e-3
    assert json.loads(record.lineage)["parent"]["weights"] == "random, seed 0"


@pytest.mark.usefixtures("records")
def test_a_change_of_the_code_is_another_artifact(
    folder: Path, tmp_path: Path, call: Callable[..., Called]
) -> None:
    """Also of a file that the function's file imports."""
    other = tmp_path / "own"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("out"))
    parts = other / "parts.py"
    parts.write_text(parts.read_text().replace("[[1.0, 0, -1]", "[[1.0, 0, 1]"))
    arguments = ["--model", "function", "--device", "onnxruntime:cpu", "--out", other / "out"]
    assert call("run", other / "s.toml", *arguments, "--json").code == 0
    assert "0" in _store.read(other / "out").records[0].outcomes


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("net.py:redness", "gone.py:redness", "there is no file"),
        ("net.py:redness", "net.py", "write python:PATH.py:FUNCTION"),
        ("net.py:redness", "net.py:redness@big", "after @ comes the size of the input"),
        ("[recipe.fp32]", "[recipe.fp32]\nsteps = [{ method = 'finetune' }]", "the train split"),
        ("python:net.py:redness", "pythn:net.py:redness", "unknown kind of net 'pythn'; did you"),
    ],
)
def test_mistakes_are_named_before_anything_is_built(
    folder: Path, call: Callable[..., Called], before: str, after: str, message: str
) -> None:
    text = SUITE.replace(before, after, 1)
    (folder / "bad.toml").write_text(text)
    result = call("run", folder / "bad.toml", "--model", "function", "--out", folder / "none")
    assert result.code == bench.USER_ERROR
    assert message in result.err
    assert not (folder / "none").exists()


def test_a_function_that_returns_no_net_is_a_record(
    folder: Path, call: Callable[..., Called]
) -> None:
    (folder / "bad.toml").write_text(SUITE.replace("net.py:redness", "net.py:nothing", 1))
    arguments = ["--model", "function", "--device", "onnxruntime:cpu", "--out", folder / "bad"]
    assert call("run", folder / "bad.toml", *arguments).code == bench.SOME_FAILED
    (record,) = _store.read(folder / "bad").records
    assert (record.status, record.stage) == ("failed", "build")
    assert "must return an nn.Module, not str" in record.reason
