"""Preparing weights for int8: fake quantization, bias correction, rounding, and training."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from paretomark.models.compress import _fake_quant, _step
from paretomark.models.data import _data
from paretomark.models.export import onnx as exporter
from paretomark.models.nets import _zoo, digits_cnn
from paretomark.models.training import _train
from paretomark.suites.spec._errors import UserError

pytestmark = pytest.mark.build

CTX = _step.Context("digits", digits_cnn.PREPROCESS, seed=0)
TEST = _data.load("digits", "test", None, digits_cnn.PREPROCESS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Layers this small are waited for more than computed, if threads must agree on a busy core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def trained() -> nn.Module:
    net = digits_cnn.net().eval()
    net.load_state_dict(load_file(_zoo.weights("digits_cnn")))
    return net


def apply(net: nn.Module, method: str, **parameters: object) -> nn.Module:
    return _step.apply(net, {"method": method, **parameters}, CTX).requires_grad_(False)


def rounded(net: nn.Module, bits: int = 8) -> nn.Module:
    net = copy.deepcopy(net)
    for weight in net.parameters():
        if weight.ndim > 1:
            weight.data = nearest(weight.data, bits)
    return net


def nearest(weight: Tensor, bits: int) -> Tensor:
    """As PyTorch rounds, per channel."""
    largest = 2 ** (bits - 1) - 1
    scale = weight.detach().abs().flatten(1).amax(1) / largest
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -largest, largest)


def int8(net: nn.Module, folder: Path) -> Path:
    """The ONNX file that a build would make of the net."""
    x = _fake_quant.pictures(CTX, "calibration", 100)
    exporter.export(fuse(net.eval()), x[:1], folder / "fp32.onnx")
    exporter.quantize(folder / "fp32.onnx", folder / "int8.onnx", "int8", x.numpy())
    return folder / "int8.onnx"


def accuracy(net: nn.Module) -> float:
    return _train.accuracy(net, TEST.images, TEST.labels, digits_cnn.PREPROCESS)


def outputs(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What every layer gives, by its name."""
    values: dict[str, Tensor] = {}
    net = copy.deepcopy(net)
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, a, y, name=name: values.update({name: y}))
    with torch.no_grad():
        net(x)
    return values


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (6, 1, 3, 3), (5, 7)])
def test_weights_are_rounded_as_pytorch_does(bits: int, shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    got = _fake_quant.FakeWeight(bits)(weight)
    assert torch.allclose(got, nearest(weight, bits), atol=1e-6)
    got.sum().backward()
    assert weight.grad is not None
    assert weight.grad.eq(1).all()


def test_a_range_follows_the_batches_until_it_is_frozen() -> None:
    fake = _fake_quant.FakeActivation()
    x = torch.tensor([-1.0, 0.0, 0.3, 1.55], requires_grad=True)
    got = fake(x)  # 0.01 apart, for 2.55 are 255 steps
    assert got.tolist() == pytest.approx([-1, 0, 0.3, 1.55], abs=1e-6)
    fake(torch.tensor([-2.0, 3.0]))
    assert fake.range is not None
    assert fake.range.tolist() == pytest.approx([-1.1, 1.695])
    fake.frozen = True
    wide = torch.tensor([-9.0, 0.5, 9.0], requires_grad=True)
    fake(wide).sum().backward()
    assert fake.range.tolist() == pytest.approx([-1.1, 1.695])
    assert wide.grad is not None
    assert wide.grad.tolist() == [0, 1, 0]


@pytest.mark.parametrize("per_channel", [True, False])
def test_biases_take_back_the_mean_error_of_every_layer(
    trained: nn.Module, per_channel: bool
) -> None:
    def ready(net: nn.Module) -> nn.Module:
        net = copy.deepcopy(net)
        for weight in (p for p in net.parameters() if p.ndim > 1):
            if per_channel:
                weight.data = nearest(weight.data, 3)
            else:
                scale = weight.abs().max() / 3
                weight.data = (weight.data / scale).round() * scale
        return net

    x = _fake_quant.pictures(CTX, "calibration", 64)
    plain = fuse(trained).requires_grad_(False)
    corrected = apply(
        trained, "bias_correction", bits=3, per_channel=per_channel, split="calibration", count=64
    )
    targets = outputs(plain, x)
    off = {True: outputs(ready(corrected), x), False: outputs(ready(plain), x)}
    assert len(targets) == 6
    for name, exact in targets.items():
        axes = [0, 2, 3] if exact.ndim == 4 else [0]
        before, after = ((off[c][name] - exact).mean(axes).abs().max() for c in (False, True))
        assert after < 1e-4 * exact.abs().max(), name
        assert before > 0.01 * exact.abs().max(), name
    weights = dict(plain.named_parameters())
    assert all(p.equal(weights[n]) for n, p in corrected.named_parameters() if p.ndim > 1)


def test_learnt_rounding_is_on_the_grid_and_closer_than_the_nearest(trained: nn.Module) -> None:
    plain = fuse(trained).requires_grad_(False)
    got = apply(trained, "rounding", bits=4, iterations=100)
    moved = 0
    for name, before in plain.named_parameters():
        if before.ndim > 1:
            scale = before.abs().flatten(1).amax(1).view(-1, *[1] * (before.ndim - 1)) / 7
            exact, learnt = before / scale, got.get_parameter(name) / scale
            assert (learnt - learnt.round()).abs().max() < 1e-4
            assert (learnt - exact).abs().max() < 1
            assert torch.allclose(learnt.abs().flatten(1).amax(1), torch.tensor(7.0))
            moved += int((learnt.round() != exact.round()).sum())
    assert moved > 50
    x = _fake_quant.pictures(CTX, "test", 256)
    with torch.no_grad():
        target = plain(x)
        errors = [(net(x) - target).square().mean() for net in (got, rounded(plain, 4))]
    assert errors[0] < 0.5 * errors[1]


def test_a_single_layer_is_rounded_better_than_to_the_nearest() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 8, 3, padding=1).requires_grad_(False)
    x = _fake_quant.pictures(CTX, "train", 128)
    got = apply(nn.Sequential(conv), "rounding", bits=3, split="train", iterations=100)
    errors = []
    for weight in (got.get_parameter("0.weight"), nearest(conv.weight, 3)):
        change = nn.functional.conv2d(x, weight - conv.weight, padding=1)
        errors.append(float(change.square().mean()))
    assert errors[0] < 0.8 * errors[1]


def test_onnx_runtime_takes_the_very_integers(trained: nn.Module, tmp_path: Path) -> None:
    net = apply(trained, "rounding", iterations=50)
    model = onnx.load(int8(net, tmp_path))
    files = {numpy_helper.to_array(t).tobytes() for t in model.graph.initializer}
    plain = fuse(trained)
    differ = 0
    for name, weight in net.named_parameters():
        if weight.ndim > 1:
            scale = weight.abs().flatten(1).amax(1).view(-1, *[1] * (weight.ndim - 1)) / 127
            whole = (weight / scale).round().to(torch.int8).numpy()
            assert {whole.tobytes(), whole.T.tobytes()} & files, name
            before = (plain.get_parameter(name).detach() / scale).round().to(torch.int8).numpy()
            differ += int((before != whole).sum())
    assert differ > 100  # or nothing would be shown


def test_trained_for_three_bits_is_better_than_rounded_to_them(trained: nn.Module) -> None:
    got = apply(trained, "qat", bits=3, epochs=8, lr=0.02)
    again = dict(rounded(got, 3).named_parameters())
    assert all(torch.allclose(p, again[name], atol=1e-6) for name, p in got.named_parameters())
    assert accuracy(rounded(fuse(trained), 3)) < 0.9
    assert accuracy(got) > 0.96


def test_training_reaches_biases_keeps_zeros_and_leaves_a_plain_net(trained: nn.Module) -> None:
    pruned = apply(trained, "magnitude", sparsity=0.6)
    got = apply(pruned, "qat", epochs=1, count=320, teacher="digits_mlp", augment=["crop"])
    before = dict(fuse(pruned).named_parameters())
    after = dict(got.named_parameters())
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert not value.equal(after[name]), name
        if value.ndim > 1:
            assert (after[name][value == 0] == 0).all(), name
            assert torch.allclose(nearest(after[name], 8), after[name], atol=1e-6)
    kinds = {type(module).__name__ for module in got.modules()}
    assert not {kind for kind in kinds if "Fake" in kind or "Norm" in kind or "Param" in kind}


def test_what_was_trained_can_be_kept_and_exported(trained: nn.Module, tmp_path: Path) -> None:
    file = io.BytesIO()
    torch.save(apply(trained, "qat", epochs=2), file)
    file.seek(0)
    net = torch.load(file, weights_only=False).to(memory_format=torch.contiguous_format)
    session = onnxruntime.InferenceSession(
        int8(net, tmp_path).read_bytes(), providers=["CPUExecutionProvider"]
    )
    pictures = _fake_quant.pictures(CTX, "test", 500).numpy()
    answers = [session.run(None, {"input": np.ascontiguousarray(x[None])})[0] for x in pictures]
    right = np.concatenate(answers).argmax(1) == TEST.labels
    assert right.mean() > accuracy(trained) - 0.015


@pytest.mark.parametrize("method", ["equalize", "bias_correction", "rounding", "qat"])
def test_layers_keep_their_names_and_the_given_net_its_values(
    method: str, trained: nn.Module
) -> None:
    values = {name: value.clone() for name, value in trained.state_dict().items()}
    quick = {"rounding": {"iterations": 1}, "qat": {"epochs": 1, "count": 64}}.get(method, {})
    got = apply(trained, method, **quick)
    assert all(value.equal(values[name]) for name, value in trained.state_dict().items())
    assert {n for n, p in got.named_parameters() if p.ndim > 1} == {
        n for n, p in trained.named_parameters() if p.ndim > 1
    }


@pytest.mark.parametrize("method", ["rounding", "qat", "bias_correction"])
def test_without_pictures_it_is_said_which_are_missing(method: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n")
    ctx = _step.Context(f"labels_csv:{tmp_path}", digits_cnn.PREPROCESS, 0)
    split = "train" if method == "qat" else "calibration"
    with pytest.raises(UserError, match=f"has no {split} split"):
        _step.apply(digits_cnn.net().eval(), {"method": method}, ctx)


def test_a_layer_that_is_called_twice_is_refused() -> None:
    layer = nn.Linear(64, 64)
    net = nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer)
    with pytest.raises(UserError, match="layer 1 is called more than once"):
        apply(net, "bias_correction")


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"method": "qat", "bits": 1}, "bits must be 2 to 8, got 1"),
        ({"method": "qat", "bits": 9}, "bits must be 2 to 8, got 9"),
        ({"method": "qat", "freeze": 0}, "freeze must be above 0"),
        ({"method": "qat", "epochs": 0}, "must be positive"),
        ({"method": "bias_correction", "split": "tset"}, "unknown split 'tset'; did you mean"),
        ({"method": "bias_correction", "bits": 9}, "bits must be 2 to 8"),
        ({"method": "bias_correction", "per_channel": 1}, "per_channel must be bool"),
        ({"method": "rounding", "count": 0}, "count positive"),
        ({"method": "rounding", "iterations": 0}, "iterations must be positive"),
    ],
)
def test_bad_steps_are_refused_before_anything_is_built(
    step: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError) as error:
        _step.check([step], _zoo.weights("digits_cnn"))
    assert message in str(error.value)
