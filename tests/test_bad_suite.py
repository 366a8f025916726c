"""Every name and value of a suite, wrong: refused when it is planned, with what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from paretomark import bench
from paretomark.devices.measure import _run
from paretomark.devices.measure._request import RunRequest
from paretomark.models.build import _build

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

MODEL = 'net = "digits_cnn"'
OWN = 'net = "python:net.py:make"'
PIXELS = "preprocess = { size = [8, 8] }"


def suite(top: str = "", model: str = MODEL, recipe: str = "") -> str:
    return f'devices = ["onnxruntime:cpu"]\n{top}\n[model.m]\n{model}\n[recipe.r]\n{recipe}\n'


def steps(text: str) -> str:
    return f"steps = [{{ {text} }}]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the suite is, with files that it may name."""
    folder = tmp_path_factory.mktemp("suite")
    for name in ("pictures/val", "untested/train", "labelled"):
        (folder / name).mkdir(parents=True)
    (folder / "net.py").write_text("def make():\n    return None\n")
    (folder / "broken.py").write_text("def make(:\n")
    (folder / "notes.txt").write_text("these are no weights")
    (folder / "net.onnx").write_text("nor is this a model")
    np.savez(folder / "tested.npz", x_test=np.zeros((9, 8, 8, 1), np.uint8), y_test=np.zeros(9))
    return folder


@pytest.fixture(autouse=True)
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("probed or built")

    monkeypatch.setattr(_run, "probe", never)
    monkeypatch.setattr(_build, "build", never)


DATA = {
    'data = "digts"': "data: unknown data set 'digts'; did you mean 'digits'?",
    'data = "digits:here"': "data set 'digits' takes no path",
    'data = "noise:"': "data set 'noise' takes no path",
    'data = "imagefolder"': "data set 'imagefolder' needs a folder: write imagefolder:PATH",
    'data = "npz"': "data set 'npz' needs a file: write npz:PATH",
    'data = "imagefolder:picturse"': "data folder missing",
    'data = "imagefolder:./picturse"': "did you mean 'pictures'?",
    'data = "npz:pictures"': "data file missing",
    'data = "masks:pictures"': "is labelled for segmentation, not for classification",
    'data = "imagefolder:untested"': "has no test split to score on",
    'calibration = "digts"': "calibration: unknown data set 'digts'; did you mean 'digits'?",
    'calibration = "tset"': "did you mean 'test'?",
    'calibration = "scenes:foo"': "data set 'scenes' takes no path",
    'calibration = "labels_csv:label"': "did you mean 'labelled'?",
}


@pytest.mark.parametrize("line", DATA)
def test_data(folder: Path, call: Callable[..., Called], line: str) -> None:
    refused(folder, call, suite(model=f"{MODEL}\n{line}"), "[model.m]", DATA[line])


NETS = {
    f'{MODEL}\nweights = "randm"': "did you mean 'random'?",
    f'{MODEL}\nweights = "notes.text"': "did you mean 'notes.txt'?",
    f'{MODEL}\nweights = "notes.txt"': "notes.txt is not a readable safetensors file",
    f"{MODEL}\nlabel_offset = -1": "label_offset must be at least 0, got -1",
    'net = "digits_cnn@16"': "pictures of data set 'digits' are 8x8; the net wants 16x16",
    'net = "scenes_resnet"\ndata = "digits"': "are 8x8; the net wants 96x96",
    'net = "scenes_resnet"\ncalibration = "digits"': "are 8x8; the net wants 96x96",
    'net = "alexnet_bwn"': "train it by `bench.py train alexnet_bwn`",
    'net = "torchvision:resnet18.IMAGENET1K"': "did you mean 'IMAGENET1K_V1'?",
    'net = "timm:resnetrs18"': "unknown net of timm 'resnetrs18'; did you mean",
    'net = "timm:mobilenetv2_075"': "there are no trained weights of timm:mobilenetv2_075",
    'net = "python:nt.py:make"': "did you mean 'net.py'?",
    'net = "python:net.py:maek"': "unknown function 'maek'; did you mean 'make'?",
    'net = "python:broken.py:make"': "broken.py is not valid Python: ",
    OWN: "declare how pictures are prepared: preprocess = { size = [224, 224] }",
    f'{OWN}\n{PIXELS}\ntask = "keypoint"': "unknown task 'keypoint'; did you mean 'keypoints'?",
    f'{OWN}\n{PIXELS}\ntask = "keypoints"\ndata = "digits"': "not for keypoints",
    'net = "file:nett.onnx"': "did you mean 'net.onnx'?",
    'net = "file:net.onnx"\ndata = "digits"': "declare how pictures are prepared",
    f'net = "file:net.onnx"\n{PIXELS}\ndata = "digts"': "did you mean 'digits'?",
}


@pytest.mark.parametrize("model", NETS)
def test_nets(folder: Path, call: Callable[..., Called], model: str) -> None:
    refused(folder, call, suite(model=model), "[model.m]", NETS[model])


PREPROCESS = {
    'size = [8, 8], order = "rbg"': "unknown order of preprocess 'rbg'; did you mean 'rgb'?",
    'size = [8, 8], interpolation = "bicubc"': "did you mean 'bicubic'?",
    'size = [8, 8], ordr = "rgb"': "preprocess: unknown key 'ordr'; did you mean 'order'?",
    'order = "rgb"': "preprocess lacks 'size'",
    "size = [8]": "preprocess: size must be a list of 2, got [8]",
    "size = [0, 8]": "preprocess needs size = [height, width], got [0, 8]",
    "size = [8, 8], mean = [0.0]": "one number per channel each",
    "size = [8, 8], mean = [0.0], std = [0.0]": "in std none of them 0",
    "size = [8, 8], mean = [nan], std = [1.0]": "preprocess: mean must be finite, got nan",
    "size = [8, 8], crop = 0.0": "crop of preprocess is above 0 and at most 1, got 0.0",
}


@pytest.mark.parametrize("text", PREPROCESS)
def test_preprocess(folder: Path, call: Callable[..., Called], text: str) -> None:
    model = f"{OWN}\npreprocess = {{ {text} }}"
    refused(folder, call, suite(model=model), "[model.m]", PREPROCESS[text])


RECIPES = {
    'storage = "sparce"': "unknown storage 'sparce'; did you mean 'sparse'?",
    'precision = "int-8"': "did you mean 'int8'?",
    'precision = "int8"\nquantization = { range = "mse" }': "did you mean 'ranges'?",
    'precision = "int8"\nquantization = { ranges = "mes" }': "did you mean 'mse'?",
    'precision = "int8"\nquantization = { ranges = 3 }': "quantization: ranges must be str, got 3",
    'quantization = { ranges = "mse" }': "quantization has options at precision int8, not at fp32",
    'devices = ["onnxruntime:cup"]': "did you mean 'onnxruntime:cpu'?",
    'devices = ["litert:xnnpack"]': "unknown device 'litert:xnnpack'; valid: onnxruntime:cpu",
    steps('method = "magnitude", sparsity = 0.5, scope = "globl"'): "did you mean 'global'?",
    steps('method = "magnitude", sparsity = nan'): "sparsity must be float, got nan",
    steps('method = "channels", ratio = 0.5, by = "l11"'): "unknown importance 'l11'; did you mean",
    steps('method = "rounding", split = "tset"'): "unknown split 'tset'; did you mean 'test'?",
    steps('method = "block", sparsity = 0.5, norm = "l0"'): "unknown norm 'l0'",
    steps('method = "finetune", augment = ["flop"]'): "did you mean 'flip'?",
    steps('method = "finetune", teacher = "digits_mpl"'): "did you mean 'digits_mlp'?",
    steps('method = "finetune", teacher = "python:net.py:maek"'): "did you mean 'make'?",
    steps('method = "finetune", teacher = "file:net.onnx"'): "is a file, which cannot teach",
    steps(
        'method = "finetune", teacher = "scenes_resnet"'
    ): "it was trained on scenes, and digits_cnn on digits",
    steps(
        'method = "finetune", teacher = "digits_mlp", teacher_weights = "gone.safetensors"'
    ): "suite0/gone.safetensors",
    steps('method = "finetune", teacher = "digits_mlp@16"'): "trained at (16, 16), and",
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes(folder: Path, call: Callable[..., Called], recipe: str) -> None:
    refused(folder, call, suite(recipe=recipe), "[recipe.r]", RECIPES[recipe])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (suite('data = "scnes"'), "data: unknown data set 'scnes'; did you mean 'scenes'?"),
        (suite("seed = -1"), "seed must be at least 0, got -1"),
        (suite("seed = 9223372036854775808"), "seed is out of range"),
        (suite("seed = 1" + "0" * 5000), "not valid TOML"),
        (suite('name = "s"'), "unknown key 'name'; "),
        (suite("seconds = inf"), "seconds must be finite, got inf"),
        (suite("foreign_load_cores = nan"), "foreign_load_cores must be finite, got nan"),
        (
            suite(
                model='net = "scenes_segmenter"',
                recipe=steps('method = "finetune", augment = ["cutmix"]'),
            ),
            "cutmix mixes the classes of pictures; segmentation has none",
        ),
        (
            suite(
                model='net = "scenes_resnet"',
                recipe=steps('method = "finetune", teacher = "scenes_segmenter"'),
            ),
            "trained for segmentation, and scenes_resnet for classification",
        ),
        (
            suite(
                model=f'{MODEL}\ncalibration = "npz:tested.npz"',
                recipe='precision = "int8"',
            ),
            "int8 needs the calibration split",
        ),
    ],
)
def test_what_does_not_go_together(
    folder: Path, call: Callable[..., Called], text: str, message: str
) -> None:
    refused(folder, call, text, "suite 's'", message)


def refused(folder: Path, call: Callable[..., Called], text: str, where: str, message: str) -> None:
    (folder / "s.toml").write_text(text)
    out = folder / "out"
    result = call("run", folder / "s.toml", "--out", out)
    assert (result.code, result.err.startswith("error: suite 's'")) == (bench.USER_ERROR, True)
    assert where in result.err
    assert message in result.err
    assert not out.exists()


@pytest.mark.parametrize(
    "text",
    [
        suite(),
        suite(model=f'{MODEL}\ncalibration = "test"', recipe='precision = "int8"'),
        suite(model=f'{MODEL}\ndata = "noise"\nweights = "random"'),
        suite(model=f"{OWN}\n{PIXELS}"),
        suite(model='net = "python:net.py:make@8"'),
        suite(model='net = "alexnet_bwn"\nweights = "random"'),
        suite(
            model='net = "scenes_resnet@64"', recipe=steps('method = "magnitude", sparsity = 0.5')
        ),
        suite(recipe=steps('method = "finetune", teacher = "digits_mlp", augment = ["mixup"]')),
        suite(model=f'net = "file:net.onnx"\n{PIXELS}\ndata = "digits"'),
    ],
)
def test_what_is_right_is_planned(folder: Path, text: str) -> None:
    assert len(RunRequest(text, "s", str(folder)).plan()[1]) == 1
