"""The zoo: names, the libraries' nets, random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paretomark.models.build import _facts
from paretomark.models.compress import _step, reparameterize
from paretomark.models.data import _data
from paretomark.models.export import _fold
from paretomark.models.nets import _libraries, _load, _random, _zoo
from paretomark.models.nets._blocks import conv_bn
from paretomark.suites.records import _store
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import RANDOM, Model, Preprocess

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build


@pytest.mark.parametrize(
    ("net", "parts"),
    [
        ("scenes_resnet", ("", "scenes_resnet", None)),
        ("scenes_resnet@64", ("", "scenes_resnet", (64, 64))),
        ("timm:mobilenetv2_050@128x256", ("timm", "mobilenetv2_050", (128, 256))),
        ("python:/a@b/net.py:make", ("python", "/a@b/net.py:make", None)),
        ("file:/x@2/net.onnx", ("file", "/x@2/net.onnx", None)),
    ],
)
def test_a_name_has_parts(net: str, parts: tuple[str, str, tuple[int, int] | None]) -> None:
    found = _zoo.split(net)
    assert (found.kind, found.name, found.size) == parts


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("timm:resnet81", "unknown net of timm 'resnet81'; did you mean 'resnet18'? like it: "),
        ("torchvision:alexnett", "unknown net of torchvision 'alexnett'; did you mean 'alexnet'?"),
        ("scenes_resent@64", "unknown model 'scenes_resent'; did you mean 'scenes_resnet'?"),
        ("scenes_resnet@0", "after @ comes the size"),
    ],
)
def test_a_name_that_is_none_is_an_error(net: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        _facts.check(net)
    assert message in str(error.value)


@pytest.mark.parametrize("net", ["timm:resnet18.a2", "torchvision:alexnet.V9"])
def test_weights_that_are_none_are_an_error(net: str) -> None:
    with pytest.raises(UserError, match="unknown weights"):
        _load.load(Model(net=net, weights=RANDOM), 0)


def test_the_library_says_how_a_picture_is_prepared() -> None:
    timm = _libraries.entry("timm", "mobilenetv2_100", None).preprocess
    assert timm.size == (224, 224)
    assert timm.mean == pytest.approx((123.675, 116.28, 103.53))
    assert (timm.crop, timm.interpolation) == (0.875, "bicubic")
    torchvision = _libraries.entry("torchvision", "resnet50", (160, 160)).preprocess
    assert torchvision.size == (160, 160)
    assert (torchvision.crop, torchvision.interpolation) == (224 / 232, "bilinear")


def test_a_size_that_a_net_cannot_have_is_an_error() -> None:
    with pytest.raises(
        UserError, match="timm:efficientformer_l1@64: the net does not take an input of this size"
    ):
        _load.load(Model(net="timm:efficientformer_l1@64", weights=RANDOM), 0)


def test_pretrained_weights_come_from_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its own download cache, which here holds a file of ours."""
    entry = _libraries.entry("torchvision", "squeezenet1_1", None)
    weights = entry.build(False).state_dict()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    file = _libraries.import_torchvision().models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[
        2
    ]
    torch.save(weights, tmp_path / "hub" / "checkpoints" / file)
    loaded = _load.load(Model(net="torchvision:squeezenet1_1"), 0)
    assert all(torch.equal(v, weights[k]) for k, v in loaded.module.state_dict().items())
    assert loaded.weights == "torchvision's SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert loaded.data == ""


def test_without_a_network_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", "/nonexistent")
    with pytest.raises(UserError) as error:
        _load.load(Model(net="timm:mobilenetv2_050"), 0)
    assert "the weights of timm:mobilenetv2_050 (mobilenetv2_050." in str(error.value)
    assert 'weights = "random"' in str(error.value)


def test_weights_of_a_library_can_be_given_as_a_file(tmp_path: Path) -> None:
    """As the library names them, also where normalisation and activation are one module there."""
    from safetensors.torch import save_file

    torch.manual_seed(1)
    net = _libraries.entry("timm", "mobilenetv3_small_050", None).build(False).eval()
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    from_file = Model(net="timm:mobilenetv3_small_050@64", weights=str(tmp_path / "w.safetensors"))
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        loaded = _load.load(from_file, 0).module
        assert torch.allclose(loaded(x), net(x), atol=1e-5)
    assert type(loaded.get_submodule("bn1")) is nn.Sequential
    assert not any("NormAct" in type(m).__name__ for m in loaded.modules())


class Idle(nn.Module):
    """What libraries have at first: a branch that is multiplied by nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 8, 3, 2)
        self.branch = conv_bn(8, 8, 3)
        nn.init.zeros_(self.branch.get_parameter("1.weight"))
        self.scale = nn.Parameter(torch.full((8, 1, 1), 1e-5))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = x + self.scale * self.branch(x)
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def drawn(seed: int) -> tuple[Idle, Tensor]:
    torch.manual_seed(0)
    net = Idle().eval()
    pictures = _data.load("noise", "test", 8, Preprocess((16, 16))).images
    x = _load.inputs(Preprocess((16, 16)), pictures)
    _random.initialise(net, x, seed)
    return net, x


def test_random_weights_leave_no_part_idle_and_tell_pictures_apart() -> None:
    net, x = drawn(0)
    assert not net.training
    assert all(not p.eq(p.flatten()[0]).all() for p in net.parameters())
    assert float(net.scale.detach().abs().min()) > 0.1
    with torch.no_grad():
        answers = net(x)
        before = answers.clone()
        net.branch.get_parameter("0.weight").zero_()
        assert float((net(x) - before).abs().max()) > 0.1  # the branch matters
    assert 0.3 < float(answers.std()) < 3
    assert float(answers.std(0).min()) > 0.05  # and so does the picture
    assert float(net.stem.get_buffer("1.running_var").std()) > 0


def test_random_weights_are_those_of_the_seed() -> None:
    one, again, other = (drawn(seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


class Branching(nn.Module):
    """Code that cannot be traced around a part that can."""

    def __init__(self) -> None:
        super().__init__()
        self.part = conv_bn(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.part(x)
        return y if x.shape[2] > 4 else y * 2


def test_normalisation_is_folded_also_inside_of_what_cannot_be_traced() -> None:
    net = nn.Sequential(Branching(), conv_bn(4, 4, 1)).eval()
    x = torch.rand(2, 3, 8, 8)
    _random.initialise(net, x, 0)
    small = _fold.folded(net, x)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in small.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    with torch.no_grad():
        assert torch.allclose(small(x), net(x), atol=1e-5)


@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0", "fastvit_t8"])
def test_branches_of_the_library_are_fused_exactly(name: str) -> None:
    loaded = _load.load(Model(net=f"timm:{name}@64", weights=RANDOM), 0)
    small = reparameterize.apply(loaded.module, _step.Context("", loaded.preprocess, 0))
    x = _load.inputs(loaded.preprocess, _data.load("noise", "test", 2, loaded.preprocess).images)
    with torch.no_grad():
        before, after = loaded.module(x), small(x)
    assert float((after - before).abs().max() / before.std()) < 1e-3
    assert sum(1 for _ in small.modules()) < sum(1 for _ in loaded.module.modules())


def test_noise_has_no_two_pictures_alike_and_nothing_to_learn() -> None:
    preprocess = Preprocess((20, 30))
    first = _data.load("noise", "test", 4, preprocess).images
    assert first.shape == (4, 20, 30, 3)
    assert np.array_equal(first, _data.load("noise", "test", 9, preprocess).images[:4])
    means = first.reshape(4, -1).mean(1)
    assert len(set(means.round())) == 4
    with pytest.raises(UserError, match="nothing can be learnt from noise"):
        _data.load("noise", "train", 4, preprocess)


def test_a_suite_may_have_weights_and_data_for_all(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    text = (
        'devices = ["fake:ok"]\nblocks = 1\nseconds = 0.02\nweights = "random"\n'
        '[model.digits_mlp]\n[model.trained]\nnet = "digits_mlp"\n'
        f'weights = "{_zoo.weights("digits_mlp")}"\n[recipe.fp32]\n[recipe.pruned]\n'
        'steps = [{ method = "magnitude", sparsity = 0.9 }]\n'
    )
    (tmp_path / "s.toml").write_text(text)
    result = call("run", tmp_path / "s.toml", "--out", tmp_path / "out")
    assert "random weights" in result.out
    records = {(r.model, r.recipe): r for r in _store.read(tmp_path / "out").records}
    assert records["digits_mlp", "fp32"].data == "random weights"
    trained = records["trained", "fp32"]
    assert trained.data == "digits"
    assert trained.outcomes.count("1") > 0.9 * trained.examples
    # random weights have nothing that could be encoded shorter, unless something is done to them
    assert records["digits_mlp", "fp32"].encoded_bytes is None
    assert trained.parameters is not None
    for model in ("digits_mlp", "trained"):
        encoded = records[model, "pruned"].encoded_bytes
        assert encoded is not None
        assert encoded < trained.parameters
