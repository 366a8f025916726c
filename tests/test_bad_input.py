"""What people get wrong: each mistake has a clear message and a nonzero exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from paretomark import bench
from paretomark.devices.measure._request import RunRequest
from paretomark.models.data._data import load
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

GOOD = """
devices = ["fake:ok"]
blocks = 1
seconds = 0.02
examples = 50
[model.digits_mlp]
[recipe.fp32]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "s.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("blocks", "blokcs", "unknown key 'blokcs'; did you mean 'blocks'?"),
        ("digits_mlp", "digits_mpl", "unknown model 'digits_mpl'; did you mean 'digits_mlp'?"),
        ("fake:ok", "litert:xnpack", "unknown device 'litert:xnpack'; did you mean 'litert:x"),
        ("fake:ok", "fake:absent", "no device is available: fake:absent: it is never there"),
        ("[model.digits_mlp]", '[model.m]\nnet = "file:no.onnx"', "no device of the suite loads"),
        (
            "[model.digits_mlp]",
            '[model.digits_mlp]\nweights = "no.safetensors"',
            "the trained weights are missing: there is no file ",
        ),
        (
            "[model.digits_mlp]",
            '[model.digits_mlp]\ndata = "npz:no.npz"',
            "data file missing: ",
        ),
        ("[recipe.fp32]", "[recipe.fp32]\nsteps = [{ sparsity = 0.5 }]", "a step needs a method"),
        (
            "[recipe.fp32]",
            '[recipe.fp32]\nsteps = [{ method = "magnitude", sparsity = 1.2 }]',
            "sparsity must be at least 0 and below 1, got 1.2",
        ),
    ],
)
def test_mistakes_in_a_suite(
    tmp_path: Path, call: Callable[..., Called], before: str, after: str, message: str
) -> None:
    assert before in GOOD
    out = tmp_path / "out"
    result = call("run", written(tmp_path, GOOD.replace(before, after)), "--out", out)
    assert result.code == bench.USER_ERROR
    assert message in result.err
    assert result.err.startswith("error: ")
    assert not out.exists()  # nothing was started


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ('{ method = "qat" }', "qat needs the train split"),
        ('{ method = "finetune" }', "finetune needs the train split"),
        ('{ method = "cluster", bits = 4, epochs = 1 }', "cluster needs the train split"),
        ('{ method = "cluster", bits = 4 }', ""),
        ('{ method = "channels", ratio = 0.5, by = "reconstruction" }', "channels needs the train"),
        ('{ method = "channels", ratio = 0.5 }', ""),
        ('{ method = "rounding" }', "rounding needs the calibration split"),
        ('{ method = "rounding", split = "test" }', ""),
    ],
)
def test_a_step_that_wants_pictures_which_are_not_there_is_refused_before_anything_is_built(
    tmp_path: Path, recipe: str, message: str
) -> None:
    np.savez(tmp_path / "d.npz", x_test=np.zeros((9, 8, 8, 1), np.uint8), y_test=np.zeros(9))
    text = GOOD.replace("[model.digits_mlp]", '[model.digits_mlp]\ndata = "npz:d.npz"')
    request = RunRequest(f"{text}steps = [{recipe}]\n", "s", str(tmp_path))
    if message:
        with pytest.raises(UserError, match=message):
            request.plan()
    else:
        assert len(request.plan()[1]) == 1


def test_int8_without_pictures_to_calibrate_on_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x_test=np.zeros((9, 8, 8, 1), np.uint8), y_test=np.zeros(9))
    text = GOOD.replace("[model.digits_mlp]", '[model.digits_mlp]\ndata = "npz:d.npz"')
    text = text.replace("fake:ok", "onnxruntime:cpu") + 'precision = "int8"\n'
    with pytest.raises(UserError, match="int8 needs the calibration split"):
        RunRequest(text, "s", str(tmp_path)).plan()
    text = text.replace("d.npz", 'd.npz"\ncalibration = "test')
    assert len(RunRequest(text, "s", str(tmp_path)).plan()[1]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "quik"], "unknown suite 'quik'; did you mean 'quick'?"),
        (["run", "no/such.toml"], "cannot read the suite"),
        (["run"], "run wants either a suite or --resume RUN"),
        (["run", "quick", "--resume", "x"], "--resume goes on with the run as it was planned"),
        (["run", "--resume", "x", "--device", "fake:ok"], "without device"),
        (["run", "quick", "--model", "scenes_resnett"], "did you mean 'scenes_resnet'?"),
        (["run", "quick", "--recipe", "int9"], "did you mean 'int8'?"),
        (["run", "quick", "--device", "litert"], "did you mean 'litert:xnnpack'?"),
        (["report", "nowhere"], "not a run"),
        (["compare", "nowhere", "nowhere"], "neither a run nor a revision"),
        (["leaderboard", "nowhere", "--out", "site"], "not a run"),
        (["train", "scenes_resnt"], "did you mean 'scenes_resnet'?"),
    ],
)
def test_mistakes_on_the_command_line(
    call: Callable[..., Called], arguments: list[str], message: str
) -> None:
    result = call(*arguments)
    assert result.code == bench.USER_ERROR
    assert message in result.err


def test_an_out_folder_that_cannot_be_written(tmp_path: Path, call: Callable[..., Called]) -> None:
    (tmp_path / "file").write_text("")
    suite = written(tmp_path, GOOD)
    result = call("run", suite, "--out", tmp_path / "file" / "run")
    assert result.code == bench.USER_ERROR
    assert "cannot write here" in result.err
    (tmp_path / "taken").mkdir()
    result = call("run", suite, "--out", tmp_path / "taken")
    assert result.code == bench.USER_ERROR
    assert "there is a run here already; continue it with --resume" in result.err


def small_onnx(path: Path, size: int) -> None:
    """A net with one linear layer on pictures (1, 1, size, size)."""
    shape = [1, 1, size, size]
    weight = np.ones((size * size, 10), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, path)


FILE = """
devices = ["onnxruntime:cpu", "litert:xnnpack"]
blocks = 1
seconds = 0.02
examples = 50
[model.mine]
net = "file:{file}"
data = "digits"
preprocess = {{ size = [8, 8], mean = [0.0], std = [255.0] }}
"""


@pytest.mark.build
def test_a_file_of_ones_own_runs(tmp_path: Path, call: Callable[..., Called]) -> None:
    small_onnx(tmp_path / "net.onnx", 8)
    suite = written(tmp_path, FILE.format(file="net.onnx"))
    result = call("run", suite, "--out", tmp_path / "out")
    assert result.code == 0, result.out + result.err
    assert "mine" in result.out


@pytest.mark.build
def test_a_wrong_input_shape_is_named(tmp_path: Path, call: Callable[..., Called]) -> None:
    small_onnx(tmp_path / "net.onnx", 16)
    suite = written(tmp_path, FILE.format(file="net.onnx"))
    result = call("run", suite, "--out", tmp_path / "out")
    assert result.code == bench.SOME_FAILED
    assert "the model wants an input of shape (1, 1, 16, 16)" in " ".join(result.out.split())


@pytest.mark.build
def test_a_corrupt_onnx_file_fails_its_cell(tmp_path: Path, call: Callable[..., Called]) -> None:
    (tmp_path / "net.onnx").write_bytes(b"this is no model, whatever its name says")
    suite = written(tmp_path, FILE.format(file="net.onnx"))
    result = call("run", suite, "--out", tmp_path / "out")
    assert result.code == bench.SOME_FAILED
    assert "net.onnx is no ONNX file" in result.out


@pytest.mark.build
def test_corrupt_and_missing_tflite_files(tmp_path: Path, call: Callable[..., Called]) -> None:
    suite = written(tmp_path, FILE.format(file="net.tflite"))
    result = call("run", suite, "--out", tmp_path / "out")
    assert (result.code, "there is no model file" in result.err) == (2, True)
    (tmp_path / "net.tflite").write_bytes(b"\x00" * 100)
    result = call("run", suite, "--out", tmp_path / "out")
    assert (result.code, "is not a TFLite file" in result.err) == (2, True)
    (tmp_path / "net.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 100)
    result = call("run", suite, "--out", tmp_path / "out")
    assert (result.code, "failed (load)" in result.out) == (1, True)


def test_data_that_is_not_there_or_not_right(tmp_path: Path) -> None:
    size = Preprocess((8, 8))
    for spec, message in [
        ("photos:x", "unknown data set 'photos'"),
        ("labels_csv", "needs a folder"),
        (f"labels_csv:{tmp_path}/no", "data folder missing"),
        (f"labels_csv:{tmp_path}", r"labels\.csv is missing"),
        (f"imagefolder:{tmp_path}", "no class folders"),
        (f"npz:{tmp_path}/no.npz", "data file missing"),
    ]:
        with pytest.raises(UserError, match=message):
            load(spec, "test", 10, size)
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "labels.csv").write_text("file,label\na.png,cat\n")
    with pytest.raises(UserError, match=r"labels\.csv, line 2: expected file, class index"):
        load(f"labels_csv:{tmp_path}", "test", 10, size)
    (tmp_path / "labels.csv").write_text("file,label\na.png,3\n")
    with pytest.raises(UserError, match=r"cannot read picture .*a\.png"):
        load(f"labels_csv:{tmp_path}", "test", 10, size)
    np.savez(tmp_path / "odd.npz", x_test=np.zeros((3, 8)), y_test=np.zeros(3))
    with pytest.raises(UserError, match="must be uint8"):
        load(f"npz:{tmp_path}/odd.npz", "test", 10, size)


def test_help_imports_nothing_heavy() -> None:
    """`bench.py --help` must answer at once, and the parent must stay small."""
    code = (
        "import sys\nfrom paretomark import bench\n"
        "try:\n    bench.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'matplotlib', 'rich') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert result.stdout.strip().endswith("[]")
