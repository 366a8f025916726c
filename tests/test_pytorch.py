"""PyTorch: files in every precision, int8 kernels, profiles; of CUDA what needs no GPU."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch._dynamo.utils import counters
from torch.fx.experimental.optimization import fuse

from paretomark.devices import _device, _nvidia, _torch_cuda, pytorch
from paretomark.devices._device import Device, Operator, Placement, State, Unavailable
from paretomark.models.data import _data
from paretomark.models.export import pt2
from paretomark.models.nets import _zoo, digits_cnn, digits_mlp
from paretomark.suites.spec._errors import UserError

pytest.importorskip("torchao", reason="torchao is not installed")
# Inductor warns of its own code where it lowers int8 convolutions; importing torchao warns, too.
pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

MACS = 57_728  # of digits_cnn
LAYERS = ["0.0", "2.0.0", "2.2.0", "3.0.0", "3.2.0", "5"]  # its convolutions and its linear layer
no_driver = pytest.mark.skipif(torch.cuda.is_available(), reason="there is an NVIDIA GPU")


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.float32]:
    """Digits as the net takes them: (N, 1, 8, 8)."""
    examples = _data.load("digits", "test", 200, digits_cnn.PREPROCESS)
    values = _data.normalise(digits_cnn.PREPROCESS, examples.images)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    trained = digits_cnn.net().eval()
    trained.load_state_dict(load_file(_zoo.weights("digits_cnn")))
    return fuse(trained)


@pytest.fixture(scope="module")
def files(
    net: torch.nn.Module, pictures: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The net's file in every precision."""
    folder = tmp_path_factory.mktemp("pt2")
    found = {precision: folder / f"{precision}.pt2" for precision in pt2.PRECISIONS}
    pt2.export(net, torch.from_numpy(pictures[:1]), found["fp32"])
    for precision in pt2.PRECISIONS[1:]:
        pt2.quantize(found["fp32"], found[precision], precision, pictures[:64])
    return found


@pytest.fixture(scope="module")
def exact(net: torch.nn.Module, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the float net says of every picture."""
    with torch.no_grad():
        answers: NDArray[np.float32] = net(torch.from_numpy(pictures)).numpy()
    return answers


@pytest.fixture(scope="module")
def int8(files: dict[str, Path]) -> tuple[Device, Placement]:
    return load("int8", files["int8"])


@pytest.fixture
def _tf32_as_it_was() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True


def load(variant: str, file: Path) -> tuple[Device, Placement]:
    device = _device.open_device(f"pytorch:{variant}")
    device.probe()
    return device, device.load(file, 1)


def answers(device: Device, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([device.run([pictures[i : i + 1]])[0] for i in range(len(pictures))])


@pytest.mark.parametrize("precision", pt2.PRECISIONS)
def test_a_file_says_its_precision_and_nothing_of_where_it_was_made(
    files: dict[str, Path], precision: str
) -> None:
    with zipfile.ZipFile(files[precision]) as archive:
        content = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert content["extra/precision"].decode() == precision
    assert content["data/sample_inputs/model.pt"] == b""
    assert b"stack_trace" not in content["models/model.json"]
    assert b"site-packages" not in content["models/model.json"]


def test_an_int8_file_holds_every_weight_once_in_int8(
    net: torch.nn.Module, files: dict[str, Path]
) -> None:
    held = torch.export.load(files["int8"]).state_dict.values()
    wanted = [p for p in net.parameters() if p.dim() > 1]
    assert sorted(w.numel() for w in held if w.dim() > 1) == sorted(p.numel() for p in wanted)
    assert {w.dtype for w in held if w.dim() > 1} == {torch.int8}
    weights = sum(w.nbytes for w in held if w.dim() > 1)
    assert 4 * weights == sum(p.nbytes for p in wanted)


def test_ranges_do_not_depend_on_the_order_of_the_pictures(tmp_path: Path) -> None:
    """The quantizer's own histograms do, and cut off what is rare."""
    pictures = np.random.default_rng(0).random((8, 1, 8, 8)).astype(np.float32)
    pictures[0] *= 20
    pt2.export(digits_mlp.net().eval(), torch.zeros(1, 1, 8, 8), tmp_path / "model.pt2")
    graphs = []
    for name, order in (("a", pictures), ("b", pictures[::-1].copy())):
        pt2.quantize(tmp_path / "model.pt2", tmp_path / name, "int8", order)
        with zipfile.ZipFile(tmp_path / name) as archive:
            graphs.append(archive.read(f"{name}/models/model.json"))
    assert graphs[0] == graphs[1]


def test_int8_runs_on_int8_kernels_and_agrees_with_the_float_net(
    int8: tuple[Device, Placement],
    files: dict[str, Path],
    pictures: NDArray[np.float32],
    exact: NDArray[np.float32],
) -> None:
    device, placement = int8
    assert pictures.strides != np.empty(pictures.shape, np.float32).strides  # of one channel
    assert placement.operators == {"int8": len(LAYERS), "float": 0}
    assert not placement.fell_back
    assert placement.compile_s
    graphs = counters["stats"]["unique_graphs"]
    found = answers(device, pictures)
    assert counters["stats"]["unique_graphs"] == graphs  # compiled once, for any strides
    assert (found.argmax(1) == exact.argmax(1)).mean() > 0.98
    assert 1e-3 < np.abs(found - exact).mean() / exact.std() < 0.1
    simulated = torch.export.load(files["int8"]).module()
    with torch.no_grad():
        one = simulated(torch.from_numpy(pictures[:1])).numpy()
    assert np.allclose(found[:1], one, atol=0.05 * exact.std())


def test_int8_in_name_only_is_a_fallback(tmp_path: Path) -> None:
    with torch.no_grad():
        program = torch.export.export(digits_mlp.net().eval(), (torch.zeros(1, 1, 8, 8),))
    torch.export.save(program, tmp_path / "silent.pt2")
    with pytest.raises(UserError, match="is a fp32 file"):
        load("int8", tmp_path / "silent.pt2")
    torch.export.save(program, tmp_path / "model.pt2", extra_files={"precision": "int8"})
    _, placement = load("int8", tmp_path / "model.pt2")
    assert placement.operators == {"int8": 0, "float": 3}
    assert placement.fell_back


@pytest.mark.parametrize(
    ("variant", "precision"),
    [("eager", "int8"), ("compile", "int8"), ("channels_last", "tf32"), ("int8", "fp32")],
)
def test_a_target_refuses_a_precision_that_it_would_not_compute_in(
    files: dict[str, Path], variant: str, precision: str
) -> None:
    with pytest.raises(UserError, match=rf"{precision} file, and pytorch:{variant} runs"):
        load(variant, files[precision])
    assert precision not in pytorch.PRECISIONS[variant]


def test_a_file_that_does_not_say_its_precision_is_float32(tmp_path: Path) -> None:
    net = digits_mlp.net().eval()
    with torch.no_grad():
        program = torch.export.export(net, (torch.zeros(1, 1, 8, 8),))
        torch.export.save(program, tmp_path / "model.pt2")
        _, placement = load("eager", tmp_path / "model.pt2")
    assert placement.inputs[0].dtype == "float32"


@pytest.mark.parametrize(
    ("precision", "least", "most"), [("fp16", 1e-7, 3e-3), ("bf16", 3e-3, 0.05)]
)
def test_narrow_floats_come_and_go_as_float32(
    files: dict[str, Path],
    pictures: NDArray[np.float32],
    exact: NDArray[np.float32],
    precision: str,
    least: float,
    most: float,
) -> None:
    device, placement = load("eager", files[precision])
    assert {port.dtype for port in (*placement.inputs, *placement.outputs)} == {"float32"}
    found = answers(device, pictures)
    assert found.dtype == np.float32
    assert least < np.abs(found - exact).mean() / exact.std() < most


def test_bf16_is_computed_as_bf16(files: dict[str, Path]) -> None:
    """Not widened: what passes between its operators takes half the bytes."""
    for precision, size in (("fp32", 4), ("bf16", 2)):
        first = profiled("eager", files[precision])[0]
        assert first.bytes == size * (64 + 16 * 9 + 16 + 16 * 64)


def profiled(variant: str, file: Path) -> list[Operator]:
    device = _device.open_device(f"pytorch:{variant}")
    assert isinstance(device, _device.Profiler)
    inputs = np.random.default_rng(0).random((3, 1, 1, 8, 8)).astype(np.float32)
    return device.profile(file, 1, [[picture] for picture in inputs], 5)


def test_the_profile_of_eager_has_the_operators_of_the_net(files: dict[str, Path]) -> None:
    operators = profiled("eager", files["fp32"])
    kinds = [kind for _ in range(5) for kind in ("aten.conv2d", "aten.relu")]
    assert [o.kind for o in operators] == [*kinds, "aten.mean", "aten.flatten", "aten.linear"]
    assert [o.name for o in operators if o.macs] == LAYERS
    assert sum(o.macs or 0 for o in operators) == MACS
    assert operators[-1].bytes == 4 * (64 + 640 + 10 + 10)
    assert all(o.ns > 0 for o in operators)


@pytest.mark.parametrize(
    ("variant", "precision", "kernel", "unit"),
    [("compile", "bf16", "aten.convolution", "cpu"), ("int8", "int8", "onednn.qconv", "int8")],
)
def test_the_profile_of_compiled_nets_has_the_kernels_that_run(
    files: dict[str, Path], variant: str, precision: str, kernel: str, unit: str
) -> None:
    operators = profiled(variant, files[precision])
    layers = [o for o in operators if o.macs]
    assert [o.name for o in layers] == LAYERS
    assert sum(o.macs or 0 for o in layers) == MACS
    assert all(o.kind.startswith(kernel) for o in layers[:-1])
    assert {o.unit for o in layers} == {unit}
    assert [o.kind for o in operators if not o.macs].count("fused") >= 2
    assert all(o.ns > 0 for o in operators)


@no_driver
@pytest.mark.parametrize("variant", ["cuda", "cuda-compile"])
def test_without_a_gpu_the_targets_say_why_and_what_to_do(variant: str) -> None:
    with pytest.raises(Unavailable, match="no NVIDIA driver") as caught:
        _device.open_device(f"pytorch:{variant}").probe()
    assert "nvidia.com/drivers" in caught.value.remedy
    assert _nvidia.state(7) == State(peak_memory_bytes=7)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (0x0, ()),
        (0x3, ()),  # idle, and clocks that the user has set
        (0x5, ("power cap",)),
        (0x68, ("hardware slowdown", "software thermal slowdown", "hardware thermal slowdown")),
    ],
)
def test_throttling_is_told_in_words(mask: int, words: tuple[str, ...]) -> None:
    assert _nvidia.throttles(mask) == words


@pytest.mark.usefixtures("_tf32_as_it_was")
@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_on_or_off_in_matrix_products_and_convolutions_alike(allowed: bool) -> None:
    _torch_cuda.allow_tf32(allowed)
    assert torch.backends.cuda.matmul.allow_tf32 is allowed
    assert torch.backends.cudnn.allow_tf32 is allowed


def test_two_of_four_are_counted_along_the_inputs() -> None:
    row = torch.tensor([[0, 0, 1, 2, 3, 0, 0, 4]])
    assert _torch_cuda.is_two_of_four(row)
    assert not _torch_cuda.is_two_of_four(row.roll(2))  # as many zeros: 0 4 0 0, 1 2 3 0
    assert not _torch_cuda.is_two_of_four(row.T)
    assert not _torch_cuda.is_two_of_four(row[:, :6])


def test_only_sparse_weights_of_linear_layers_are_converted() -> None:
    convolution, linear = torch.nn.Conv2d(4, 4, 1), torch.nn.Linear(4, 8)
    net = torch.nn.Sequential(convolution, torch.nn.Flatten(), linear, torch.nn.Linear(8, 8)).eval()
    with torch.no_grad():
        for weight in (convolution.weight, linear.weight):
            weight[:, :2] = 0
        graph = torch.export.export(net, (torch.zeros(1, 4, 1, 1),)).module()
    seen: list[torch.Size] = []

    def convert(weight: torch.Tensor) -> torch.Tensor:
        seen.append(weight.shape)
        return weight * 2

    assert _torch_cuda.sparsify(graph, convert) == 1
    assert seen == [(8, 4)]
    assert torch.equal(graph.get_parameter("2.weight"), 2 * linear.weight)

    def fail(weight: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("not a size that there is a kernel for")

    assert _torch_cuda.sparsify(graph, fail) == 0
