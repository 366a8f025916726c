"""A net of one's own that takes no pictures: words, sound, several inputs, several answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from paretomark import bench
from paretomark.models import _cache
from paretomark.suites.records import _store
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import summarise

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

NETS = """
import torch
from torch import nn

class Text(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(50, 16)
        self.body = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, tokens, weight=None):
        x = self.body(self.words(tokens))
        return self.head((x if weight is None else x * weight.unsqueeze(-1)).mean(1))

class Sound(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.front, self.norm = nn.Conv1d(1, 4, 9, 4), nn.BatchNorm1d(4)
        self.level, self.kind = nn.Linear(4, 1), nn.Linear(4, 3)

    def forward(self, wave):
        x = torch.relu(self.norm(self.front(wave))).mean(2)
        return {"level": self.level(x), "kind": self.kind(x), "best": self.kind(x).argmax(1)}

class Grey(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.front = nn.Conv2d(1, 3, 3, 2)

    def forward(self, x):
        return self.front(x).mean((2, 3))

text, sound, grey = Text, Sound, Grey
"""
WORDS = 'tokens = { shape = [-1, "length"], range = [0, 49] }'
WEIGHT = 'weight = { shape = [-1, "length"], range = [0.0, 1.0] }'
DEVICES = (
    "onnxruntime:cpu",
    "openvino:cpu",
    "litert:xnnpack",
    "executorch:xnnpack",
    "pytorch:eager",
)
SUITE = f"""
devices = {list(DEVICES)}
blocks = 1
seconds = 0.01
foreign_load_cores = 99.0
length = [4, 12]
data = "digits"

[model.text]
net = "python:nets.py:text"
inputs = {{ {WORDS} }}
recipes = ["fp32"]
devices = ["onnxruntime:cpu", "litert:xnnpack"]

[model.both]
net = "python:nets.py:text"
inputs = {{ {WEIGHT}, {WORDS} }}
recipes = ["fp32"]

[model.sound]
net = "python:nets.py:sound"
inputs = {{ wave = {{ shape = [-1, 1, 400], range = [-1.0, 1.0] }} }}

[recipe.fp32]
[recipe.fp16]
precision = "fp16"
devices = ["executorch:xnnpack", "litert:xnnpack", "pytorch:eager"]
[device."executorch:xnnpack"]
batch = [2]
length = [12]
[device."openvino:cpu"]
length = [12]
[device."pytorch:eager"]
length = [12]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("inputs")
    (place / "nets.py").write_text(NETS)
    return place


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[str, Row]:
    (folder / "s.toml").write_text(SUITE)
    bench.main(["run", str(folder / "s.toml"), "--out", str(folder / "out"), "--json"])
    return {row.cell: row for row in summarise(_store.read(folder / "out")).rows}


def test_every_cell_is_timed_and_compared_with_the_float_net(rows: dict[str, Row]) -> None:
    assert len(rows) == 2 * 2 + (2 * 2 + 3) + (5 + 3)
    for cell, row in rows.items():
        if "/fp16/executorch" in cell:
            assert row.status == "unsupported"
            continue
        assert row.status == "ok", f"{cell}: {row.reason}"
        assert (row.data, row.accuracy, row.examples) == ("", None, 0)
        assert row.parity_max_abs is not None
        assert row.parity_max_abs < (1e-2 if row.recipe == "fp16" else 1e-4)
    assert rows["both/fp32/executorch:xnnpack/b2/t1/l12"].batch == 2


def test_work_grows_with_the_length_and_identity_tells_them_apart(rows: dict[str, Row]) -> None:
    short, long = (rows[f"text/fp32/litert:xnnpack/b1/t1/l{n}"] for n in (4, 12))
    assert short.macs
    assert long.macs
    assert long.macs > 2.9 * short.macs
    assert short.identity != long.identity
    assert short.identity == rows["text/fp32/onnxruntime:cpu/b1/t1/l4"].identity


def test_an_answer_that_is_not_the_float_nets_is_found(rows: dict[str, Row], folder: Path) -> None:
    """As after a wrong export: here what the float net said is made another."""
    files = list((_cache.folder() / "artifacts").glob("*/reference.npz"))
    kept = {file: file.read_bytes() for file in files}
    assert kept
    try:
        for file in files:
            with np.load(file) as arrays:
                other = {name: arrays[name][..., ::-1] + 1 for name in arrays.files}
            np.savez(file, **other)
        arguments = ["--model", "both", "--device", "onnxruntime:cpu", "--json"]
        out = folder / "wrong"
        assert bench.main(["run", str(folder / "s.toml"), "--out", str(out), *arguments]) == 1
        for record in _store.read(out).records:
            assert "wrong answers: they differ from the float net's" in record.reason
    finally:
        for file, content in kept.items():
            file.write_bytes(content)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('recipes = ["fp32"]', 'recipes = ["int8"]', "int8, whose ranges are those of real data"),
        (
            'recipes = ["fp32"]',
            'recipes = ["pruned"]',
            "the step magnitude, and steps are for nets",
        ),
        ('recipes = ["fp32"]', 'data = "digits"', "is timed, and not scored: leave out data"),
        ("python:nets.py:text", "digits_mlp", "for files and functions only"),
        ("length = [4, 12]", "", "the suite says none for onnxruntime:cpu"),
        (f"inputs = {{ {WORDS} }}", "", "or, of text or sound, what it takes: inputs"),
    ],
)
def test_mistakes_are_named_when_planned(
    folder: Path, call: Callable[..., Called], before: str, after: str, message: str
) -> None:
    pruned = 'steps = [{ method = "magnitude", sparsity = 0.5 }]'
    more = f'[recipe.int8]\nprecision = "int8"\n[recipe.pruned]\n{pruned}\n'
    text = SUITE.replace('data = "digits"\n', "").replace(before, after, 1) + more
    (folder / "bad.toml").write_text(text)
    arguments = ["--model", "text", "--out", folder / "none"]
    result = call("run", folder / "bad.toml", *arguments)
    assert result.code == bench.USER_ERROR
    assert message in result.err


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (WORDS.replace("49", "49.0"), "whole numbers as ends of a range make integers"),
        (WORDS.replace("tokens", "token"), "unknown input 'token'; did you mean 'tokens'"),
        (WEIGHT, "declare 'tokens' too"),
    ],
)
def test_inputs_that_the_net_does_not_take_are_a_row(
    folder: Path, inputs: str, message: str
) -> None:
    (folder / "bad.toml").write_text(SUITE.replace(WORDS, inputs, 1))
    shutil.rmtree(folder / "bad", ignore_errors=True)
    arguments = ["--model", "text", "--device", "onnxruntime:cpu", "--out", str(folder / "bad")]
    assert bench.main(["run", str(folder / "bad.toml"), *arguments, "--json"]) == bench.SOME_FAILED
    assert all(message in record.reason for record in _store.read(folder / "bad").records)


def test_a_grey_net_gets_grey_pictures(folder: Path) -> None:
    head = 'devices = ["onnxruntime:cpu"]\nblocks = 1\nseconds = 0.01\n[recipe.fp32]\n'
    grey = '[model.grey]\nnet = "python:nets.py:grey"\npreprocess = { size = [16, 16] }\n'
    (folder / "grey.toml").write_text(head + grey)
    out = folder / "grey"
    assert bench.main(["run", str(folder / "grey.toml"), "--out", str(out), "--json"]) == 0
    (record,) = _store.read(out).records
    assert record.parity_max_abs is not None
    assert record.parity_max_abs < 1e-4
