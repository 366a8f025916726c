"""Binary weights and inputs: closed forms, what training leaves behind, and bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from paretomark.models.build import _encode
from paretomark.models.compress import _step
from paretomark.models.data import _data
from paretomark.models.export import onnx
from paretomark.models.nets import _zoo, digits_cnn
from paretomark.models.nets._binary import Binarize
from paretomark.models.training import _train
from paretomark.suites.spec._errors import UserError

pytestmark = pytest.mark.build

CTX = _step.Context("digits", digits_cnn.PREPROCESS, seed=0)
BINARY = ("2.2.0", "3.2.0")  # neither first, last nor depthwise
TRAINING = {"epochs": 5, "lr": 0.05, "count": 1000}


def binarized(net: nn.Module, **parameters: object) -> nn.Module:
    return _step.apply(net, {"method": "binary", **parameters}, CTX)


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    net = digits_cnn.net().eval()
    net.load_state_dict(load_file(_zoo.weights("digits_cnn")))
    return net


@pytest.fixture(scope="module")
def tuned(trained: nn.Module) -> nn.Module:
    return binarized(trained, **TRAINING)


@pytest.fixture(scope="module")
def xnor(trained: nn.Module) -> nn.Module:
    return binarized(trained, inputs=True, **TRAINING)


def accuracy(net: nn.Module) -> float:
    test = _data.load("digits", "test", None, digits_cnn.PREPROCESS)
    return _train.accuracy(net, test.images, test.labels, digits_cnn.PREPROCESS)


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach() for n, p in net.named_parameters() if p.ndim > 1}


def test_filters_become_their_signs_times_their_mean_magnitude(trained: nn.Module) -> None:
    before, after = weights(trained), weights(binarized(trained))
    assert list(before) == list(after)
    for name, weight in before.items():
        if name.removesuffix(".weight") not in BINARY:
            assert torch.equal(after[name], weight), name
            continue
        scale = weight.abs().flatten(1).mean(1)[:, None, None, None]
        torch.testing.assert_close(after[name], weight.sign() * scale)


def test_which_layers_are_binary_is_a_choice(trained: nn.Module) -> None:
    step = {"binarize_first": True, "binarize_last": True, "binarize_depthwise": True}
    for name, weight in weights(binarized(trained, **step)).items():
        assert all(row.abs().min() == row.abs().max() for row in weight), name
    after = weights(binarized(trained, exclude=["2.2.0"]))["2.2.0.weight"]
    assert torch.equal(after, weights(trained)["2.2.0.weight"])
    with pytest.raises(UserError, match="no layer is left to binarize but the first and the last"):
        binarized(trained, exclude=list(BINARY))
    with pytest.raises(UserError, match="unknown layer to exclude '9'"):
        binarized(trained, exclude=["9"])


def test_training_leaves_plain_layers_of_two_values(trained: nn.Module, tuned: nn.Module) -> None:
    assert [type(m) for m in tuned.modules()] == [type(m) for m in trained.modules()]
    assert list(tuned.state_dict()) == list(trained.state_dict())
    untrained = weights(binarized(trained))
    for name in BINARY:
        weight = tuned.get_parameter(f"{name}.weight")
        assert all((row.abs() == row.max()).all() and -row.min() == row.max() for row in weight)
        assert (weight.sign() != untrained[f"{name}.weight"].sign()).any()
    assert accuracy(tuned) > max(0.9, accuracy(binarized(trained)))


def test_zeros_of_other_layers_stay_zero(trained: nn.Module) -> None:
    step = {"method": "magnitude", "sparsity": 0.5, "scope": "layer"}
    pruned = _step.apply(trained, step, CTX)
    before = weights(pruned)
    after = weights(binarized(pruned, epochs=1, lr=0.01, count=256))
    assert torch.equal(after["5.weight"] == 0, before["5.weight"] == 0)
    assert after["2.2.0.weight"].all()


def test_encoded_weights_are_a_bit_each_and_a_scale_per_filter(tuned: nn.Module) -> None:
    for name in BINARY:
        weight = tuned.get_parameter(f"{name}.weight").detach().contiguous().numpy()
        size = len(_encode.encode({"w": weight}))
        assert size < weight.size / 8 + 4 * len(weight) + 30


def test_inputs_become_signs_times_a_scale_per_example() -> None:
    x = torch.tensor([[[[1.0, -3.0], [2.0, -2.0]]], [[[0.0, 4.0], [2.0, 0.0]]]])
    binary = Binarize((1, 2, 3)).eval()
    assert binary(x)[0].flatten().tolist() == [2.0, -2.0, 2.0, -2.0]
    assert binary(x)[1].flatten().tolist() == [0.0, 3.0, 3.0, 0.0]  # as behind a ReLU
    assert binary(torch.zeros(1, 1, 2, 2)).tolist() == [[[[0.0, 0.0], [0.0, 0.0]]]]
    best = (binary(x) - x).square().sum()
    for factor in (0.9, 1.1):
        assert (factor * binary(x) - x).square().sum() > best
    assert torch.equal(binary.train()(x), binary.eval()(x))


def test_the_gradient_of_a_sign_is_that_of_its_input_within_one() -> None:
    x = torch.tensor([[0.5, -0.25, 1.5, -2.0]], requires_grad=True)
    (Binarize((1,)).train()(x) * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    scale = 4.25 / 4
    assert x.grad is not None
    assert x.grad.tolist() == [[scale, 2 * scale, 0.0, 0.0]]


def test_a_net_with_binary_inputs_learns(trained: nn.Module, xnor: nn.Module) -> None:
    for name in BINARY:
        norm, sign, layer = xnor.get_submodule(name).children()
        assert isinstance(norm, nn.BatchNorm2d)
        assert isinstance(sign, Binarize)
        assert type(layer) is nn.Conv2d
        seen: list[Tensor] = []
        layer.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        with torch.no_grad():
            xnor(torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
        assert len(set(seen[0].flatten().tolist())) == 2
    assert accuracy(xnor) > max(0.75, accuracy(binarized(trained, inputs=True)) + 0.05)


@pytest.mark.parametrize("kind", ["tuned", "xnor"])
def test_binary_nets_are_exported(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    net: nn.Module = request.getfixturevalue(kind)
    x = torch.from_numpy(
        _data.normalise(digits_cnn.PREPROCESS, _data.load("digits", "test", 1).images)
    ).permute(0, 3, 1, 2)
    onnx.export(fuse(net), x, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    with torch.no_grad():
        expected = net(x).numpy()
    np.testing.assert_allclose(session.run(None, {"input": x.numpy()})[0], expected, atol=1e-4)


def test_bad_training_is_refused() -> None:
    step = {"method": "binary", "epochs": -1}
    with pytest.raises(UserError, match="binary: epochs must be positive"):
        _step.check([step], _zoo.weights("digits_cnn"))
