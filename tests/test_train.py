"""Training, fine-tuning under masks, and the nets and weights that the project ships."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from paretomark.devices.measure._request import RunRequest
from paretomark.models.data import _data
from paretomark.models.data._data import Examples
from paretomark.models.nets import _load, _zoo
from paretomark.models.training import _train
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Model

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

# A training that was stopped before would be gone on with.
pytestmark = [pytest.mark.build, pytest.mark.usefixtures("private_cache")]

# The least that the shipped weights must reach, on the first 1,000 test pictures, by the measure of
# their task.
SHIPPED = {
    "scenes_mobilenet": 0.80,
    "scenes_resnet": 0.90,
    "scenes_repvgg": 0.90,
    "digits_cnn": 0.95,
    "digits_mlp": 0.93,
    "scenes_segmenter": 0.87,
    "scenes_segmenter_wide": 0.87,
    "scenes_landmarks": 0.74,
    "scenes_landmarks_slim": 0.62,
}


def shipped(name: str) -> nn.Module:
    net: nn.Module = importlib.import_module(f"paretomark.models.nets.{name}").net()
    net.load_state_dict(load_file(_zoo.weights(name)))
    return net.eval()


def example(name: str) -> Tensor:
    shape = (1, 3, 96, 96) if name.startswith("scenes") else (1, 1, 8, 8)
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pictures() -> dict[tuple[str, str], Examples]:
    kinds = {(_zoo.data(name), _zoo.task(name)) for name in SHIPPED}
    return {(data, task): _data.load(data, "test", 1000, None, task) for data, task in kinds}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_reach_their_accuracy(
    name: str, pictures: dict[tuple[str, str], Examples]
) -> None:
    file = importlib.import_module(f"paretomark.models.nets.{name}")
    task = _zoo.task(name)
    test = pictures[file.DATA, task]
    reached = _train.accuracy(shipped(name), test.images, test.labels, file.PREPROCESS, task)
    assert reached >= SHIPPED[name]
    with safe_open(_zoo.weights(name), "pt") as weights:
        stated = float(weights.metadata()["test_accuracy"])
    assert abs(reached - stated) < 0.03


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_were_made_by_the_recipe_in_the_file(name: str) -> None:
    file = importlib.import_module(f"paretomark.models.nets.{name}")
    with safe_open(_zoo.weights(name), "pt") as weights:
        assert _zoo.Training(**json.loads(weights.metadata()["recipe"])) == file.TRAIN


def test_shipped_weights_are_small() -> None:
    shipped = _zoo.weights("digits_mlp").parent.iterdir()
    assert sum(file.stat().st_size for file in shipped) < 10_000_000


@pytest.mark.parametrize("name", SHIPPED)
def test_nets_can_be_traced_and_exported(name: str) -> None:
    net, x = shipped(name), example(name)
    with torch.no_grad():
        expected = net(x)
        graph: nn.Module = torch.fx.symbolic_trace(net)
        traced = graph(x)
        program: nn.Module = torch.export.export(net, (x,)).module()
        exported = program(x)
    torch.testing.assert_close(traced, expected)
    torch.testing.assert_close(exported, expected)


def test_mobilenet_is_a_chain_that_xnnpack_runs_sparse() -> None:
    convolutions = [m for m in shipped("scenes_mobilenet").modules() if isinstance(m, nn.Conv2d)]
    first, *rest = convolutions
    assert (first.in_channels, first.kernel_size, first.stride) == (3, (3, 3), (2, 2))
    assert first.padding == (1, 1)
    for conv in rest:
        pointwise = conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.groups == 1
        depthwise = (
            conv.kernel_size == (3, 3)
            and conv.padding == (1, 1)
            and conv.groups == conv.in_channels == conv.out_channels
        )
        assert pointwise or depthwise


def test_repvgg_fuses_to_plain_convolutions_that_compute_the_same() -> None:
    net = shipped("scenes_repvgg")
    assert isinstance(net, nn.Sequential)
    x = torch.from_numpy(_data.load("scenes", "test", 4).images).permute(0, 3, 1, 2)
    x = (x.float() - 127.5) / 64
    modules = len(list(net.modules()))
    with torch.no_grad():
        before = net(x)
        for module in net.modules():
            fuse = getattr(module, "fuse", None)
            if callable(fuse):
                fuse()
        after = net(x)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert len(list(net.modules())) < modules
    assert not [m for m in net[2:].modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(isinstance(m, nn.Conv2d) for m in net[2:].modules()) == 7


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not(tmp_path: Path) -> None:
    def trained(seed: int, file: str) -> dict[str, Tensor]:
        _train.train("digits_mlp", tmp_path / file, epochs=3, seed=seed)
        return load_file(tmp_path / file)

    torch.manual_seed(1)
    first = trained(5, "a")
    torch.manual_seed(2)  # the caller's own random state must not matter
    again, other = trained(5, "b"), trained(6, "c")
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_train_learns_reports_and_says_how_the_weights_were_made(tmp_path: Path) -> None:
    out = tmp_path / "new" / "weights.safetensors"
    reports: list[tuple[int, int, float, float]] = []
    state = torch.get_rng_state()
    reached = _train.train(
        "digits_mlp", out, epochs=8, seed=3, report=lambda *line: reports.append(line)
    )
    assert torch.equal(state, torch.get_rng_state())
    assert reached > 0.8
    assert [line[:2] for line in reports] == [(i, 8) for i in range(1, 9)]
    assert reports[-1][2] < reports[0][2]
    assert reports[-1][3] > reports[0][3]
    with safe_open(out, "pt") as weights:
        metadata = weights.metadata()
    assert json.loads(metadata["recipe"])["epochs"] == 8
    assert (metadata["seed"], float(metadata["test_accuracy"])) == ("3", round(reached, 4))
    assert metadata["torch"] == torch.__version__
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_failed_write_leaves_the_old_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "weights.safetensors"
    out.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        _train.train("digits_mlp", out, epochs=1)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_weights_go_to_the_cache_and_never_into_the_package(
    tmp_path: Path, private_cache: Path, call: Callable[..., Called]
) -> None:
    def package() -> dict[Path, int]:
        root = Path(__file__).parent.parent / "models"
        files = [p for p in root.rglob("*") if "__pycache__" not in p.parts]
        return {path: path.stat().st_mtime_ns for path in files}

    before, file = package(), private_cache / "weights" / "digits_mlp.safetensors"
    result = call("train", "digits_mlp", "--epochs", "1")
    assert result.code == 0
    assert f'weights = "{file}"' in result.out
    assert load_file(file).keys() == load_file(_zoo.weights("digits_mlp")).keys()
    assert call("train", "digits_mlp", "--epochs", "1", "--out", tmp_path / "other").code == 0
    assert load_file(tmp_path / "other").keys() == load_file(file).keys()
    assert package() == before
    assert _zoo.weights("digits_mlp") != file  # those that are shipped come first


def test_a_net_that_ships_without_weights_has_those_that_were_trained_here(
    tmp_path: Path,
    private_cache: Path,
    call: Callable[..., Called],
    plugin: Callable[[str, str], Path],
) -> None:
    plugin(
        "nets/bare.py",
        "from paretomark.models.nets.digits_mlp import DATA, PREPROCESS, TRAIN, net\n",
    )
    request = RunRequest('devices = ["fake:ok"]\n[model.bare]\n[recipe.fp32]\n', "s", str(tmp_path))
    with pytest.raises(UserError, match=r"train it by `bench\.py train bare`"):
        request.plan()
    call("train", "bare", "--epochs", "1")
    assert len(request.plan()[1]) == 1
    net = _load.load(Model(net="bare"), 0).module
    trained = load_file(private_cache / "weights" / "bare.safetensors")
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in trained.items())


def test_an_unknown_net_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'digits_mlp'"):
        _train.train("digits_mpl", Path("unused"))


def test_fine_tuning_keeps_pruned_weights_at_zero_and_trains_the_others() -> None:
    file = importlib.import_module("paretomark.models.nets.digits_cnn")
    train, test = _data.load("digits", "train"), _data.load("digits", "test")
    net = shipped("digits_cnn")
    masks = {}
    for name, parameter in net.named_parameters():
        if parameter.dim() > 1:
            size = parameter.detach().abs()
            masks[name] = (size > size.flatten().quantile(0.6)).float()
            parameter.data.mul_(masks[name])
    before = _train.accuracy(net, test.images, test.labels, file.PREPROCESS)
    start = {name: p.detach().clone() for name, p in net.named_parameters()}
    recipe = replace(file.TRAIN, epochs=4, lr=0.05)
    _train.fit(net, train.images, train.labels, file.PREPROCESS, recipe, masks=masks)
    after = _train.accuracy(net, test.images, test.labels, file.PREPROCESS)
    parameters = dict(net.named_parameters())
    for name, mask in masks.items():
        assert not parameters[name][mask == 0].any()
        assert (parameters[name] != start[name])[mask == 1].float().mean() > 0.9
    assert after > max(before, 0.9)


def test_fit_leaves_the_pictures_alone_and_refuses_a_mask_that_fits_nothing() -> None:
    file = importlib.import_module("paretomark.models.nets.digits_mlp")
    train = _data.load("digits", "train", 64)
    kept = train.images.copy()
    recipe = replace(file.TRAIN, epochs=1, shift=1, flip=True)
    _train.fit(file.net(), train.images, train.labels, file.PREPROCESS, recipe)
    np.testing.assert_array_equal(train.images, kept)
    with pytest.raises(ValueError, match="fits no parameter"):
        _train.fit(
            file.net(),
            train.images,
            train.labels,
            file.PREPROCESS,
            recipe,
            masks={"1.weight": torch.ones(3, 3)},
        )
