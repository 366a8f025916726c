"""Times of single operators: each runtime that tells them, and what is counted of an operator."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from paretomark.devices._device import Arrays, Operator, Placement, Profiler, open_device
from paretomark.devices.formats import _xnnpack_steps
from paretomark.devices.formats._counts import Node, macs, stored_bytes
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.models.export import _export
from paretomark.suites.spec._model import Model, Recipe
from paretomark.tests import _needs

# Tool chains warn when they are imported: of what is experimental, and of files for CUDA.
pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

FORMATS = {
    "onnxruntime:cpu": "onnx",
    "openvino:cpu": "xml",
    "litert:xnnpack": "tflite",
    "litert:reference": "tflite",
    "executorch:xnnpack": "pte",
}
PRECISIONS = ("fp32", "int8")
LAYERS_WITH_WEIGHTS = 14  # of scenes_mobilenet: 13 convolutions and a linear one


@dataclass(frozen=True)
class Profile:
    placement: Placement
    operators: list[Operator]

    @property
    def weighted(self) -> list[Operator]:
        return [operator for operator in self.operators if operator.macs]


def order(format: str, precision: str) -> BuildSpec:
    model = Model(name="scenes_mobilenet", net="scenes_mobilenet")
    return BuildSpec(model, Recipe(precision=precision), format, 1, 64, 0)


@pytest.fixture(scope="module")
def artifacts() -> dict[tuple[str, str], Artifact]:
    orders = {(f, p): order(f, p) for f in sorted(set(FORMATS.values())) for p in PRECISIONS}
    done = _build.build(list(orders.values()), 600.0, lambda order, result: None)
    made = {}
    for name, one in orders.items():
        result = done[_build.key(one)]
        assert isinstance(result, Artifact), result
        made[name] = result
    return made


def profile(target: str, file: Path, runs: int = 30) -> Profile:
    device = _needs.probed(open_device(target))
    placement = device.load(file, 1)
    rng = np.random.default_rng(0)
    inputs: list[Arrays] = [
        [
            port.encode(rng.standard_normal(np.maximum(port.shape, 1), np.float32))
            for port in placement.inputs
        ]
        for _ in range(3)
    ]
    assert isinstance(device, Profiler)
    return Profile(placement, device.profile(file, 1, inputs, runs))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("target", FORMATS)
def test_every_layer_is_told_once_with_the_work_that_torch_counts(
    artifacts: dict[tuple[str, str], Artifact], target: str, precision: str
) -> None:
    artifact = artifacts[FORMATS[target], precision]
    found = profile(target, Path(artifact.file))
    assert len(found.weighted) == LAYERS_WITH_WEIGHTS
    assert len({operator.name for operator in found.weighted}) == LAYERS_WITH_WEIGHTS
    assert sum(operator.macs or 0 for operator in found.operators) == artifact.macs
    assert all(operator.macs is not None for operator in found.operators)
    assert all(math.isfinite(operator.ns) and operator.ns >= 0 for operator in found.operators)
    # One alone may take less than the microsecond in which some runtimes count.
    assert max(operator.ns for operator in found.weighted) > 1000
    units = {unit for unit, count in found.placement.operators.items() if count}
    assert {operator.unit for operator in found.operators} == units


@pytest.mark.parametrize("target", FORMATS)
def test_an_int8_layer_moves_about_a_quarter_of_the_bytes(
    artifacts: dict[tuple[str, str], Artifact], target: str
) -> None:
    sizes = {}
    for precision in PRECISIONS:
        found = profile(target, Path(artifacts[FORMATS[target], precision].file), runs=1)
        # Not the last layer: it may give its answer in float32.
        sizes[precision] = [operator.bytes or 0 for operator in found.weighted[:-1]]
    for dense, small in zip(sizes["fp32"], sizes["int8"], strict=True):
        assert 0 < small < 0.4 * dense


@pytest.mark.parametrize("target", FORMATS)
def test_the_first_layer_has_the_bytes_that_are_worked_out_by_hand(
    artifacts: dict[tuple[str, str], Artifact], target: str
) -> None:
    first = profile(target, Path(artifacts[FORMATS[target], "fp32"].file), runs=1).weighted[0]
    given = 3 * 96 * 96 if not target.startswith("litert") else 3 * 98 * 98  # padded before

    def worked_out(channels: int) -> int:
        return 4 * (given + channels * (3 * 3 * 3 + 1) + channels * 48 * 48)

    # The blocked layout of ONNX Runtime, where the processor has it, pads channels to 16.
    assert first.bytes == worked_out(8) or (
        target == "onnxruntime:cpu" and first.bytes == worked_out(16)
    )


@pytest.mark.timing
@pytest.mark.parametrize("target", sorted(FORMATS))
def test_a_heavy_layer_takes_most_of_the_time(
    target: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A 5x5 convolution between two of 1x1, with more than 50 times the work of either."""
    file = tmp_path_factory.getbasetemp() / f"heavy.{FORMATS[target]}"
    if not file.exists():
        net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.Conv2d(16, 64, 5), nn.Conv2d(64, 4, 1)).eval()
        _export.module(FORMATS[target]).export(net, torch.zeros(1, 3, 48, 48), file)
    found = profile(target, file)
    small, heavy, last = found.weighted
    assert heavy.macs == 44 * 44 * 64 * 16 * 25 > 50 * max(small.macs or 0, last.macs or 0)
    assert heavy.ns > 0.5 * sum(operator.ns for operator in found.operators)


def test_what_a_delegate_leaves_is_told_apart(real_data: Path) -> None:
    """Of a net of 569 M to 14 M multiply-adds (Howard et al., "MobileNets", 2017), the smallest."""
    file = real_data / "tflite" / "mobilenet_v1_0.25_128_quant.tflite"
    found = profile("litert:xnnpack", file, runs=2)
    units = Counter(operator.unit for operator in found.operators)
    assert units["builtin"] == found.placement.operators["builtin"] > 0
    assert units["xnnpack"] == found.placement.operators["xnnpack"]
    kinds = [operator.kind for operator in found.operators if operator.unit == "builtin"]
    assert kinds[-1] == found.operators[-1].kind == "SOFTMAX"
    assert sum(operator.macs or 0 for operator in found.operators) == pytest.approx(13.6e6, 0.01)


def test_a_batch_that_is_not_fixed_counts_as_one(real_data: Path) -> None:
    """12.5 M multiply-adds: Banbury et al., "MLPerf Tiny Benchmark", 2021."""
    file = real_data / "tflite" / "mlperf_tiny_resnet8_cifar10_float.tflite"
    found = profile("litert:xnnpack", file, runs=2)
    assert sum(operator.macs or 0 for operator in found.operators) == pytest.approx(12.5e6, 0.01)
    assert all(operator.bytes for operator in found.weighted)


def test_a_portable_kernel_is_told_between_calls_of_xnnpack(tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.two(self.one(x).cumsum(1))
            return made

    _export.module("pte").export(Mixed().eval(), torch.zeros(1, 3, 16, 16), tmp_path / "m.pte")
    found = profile("executorch:xnnpack", tmp_path / "m.pte")
    kernel = next(operator for operator in found.operators if operator.unit == "portable")
    assert kernel.kind == "cumsum"
    assert kernel.ns > 0
    assert kernel.bytes == 2 * 4 * 8 * 14 * 14
    one, two = found.weighted
    places = [found.operators.index(operator) for operator in (one, kernel, two)]
    assert places == sorted(places)
    assert [one.macs, two.macs] == [14 * 14 * 8 * 27, 12 * 12 * 4 * 72]


def test_nodes_in_a_loop_count_as_often_as_they_run(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    weight = "float[8, 8] w = {" + ", ".join(["0.1"] * 64) + "}"
    body = "body (int64 i, bool c, float[4, 8] a) => (bool d, float[4, 8] b)"
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    net (float[4, 8] x) => (float[4, 8] y) <int64 n = {{5}}, bool go = {{1}}, {weight}> {{
        y = Loop(n, go, x) <body = {body} {{ d = Identity(c) b = MatMul(a, w) }}>
    }}"""
    onnx.save(onnx.parser.parse_model(text), tmp_path / "loop.onnx")
    found = profile("onnxruntime:cpu", tmp_path / "loop.onnx", runs=3)
    (product,) = found.weighted
    assert product.kind == "MatMul"
    assert product.macs == 5 * 4 * 8 * 8
    assert "Loop" not in {operator.kind for operator in found.operators}


@pytest.mark.parametrize(
    ("layer", "shape", "sweeps_input"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 9, 7), False),
        (nn.Conv2d(4, 4, 3, groups=4), (1, 4, 8, 8), False),
        (nn.Conv1d(4, 6, 5), (1, 4, 20), False),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (1, 4, 5, 5), True),
    ],
)
def test_macs_of_convolutions_are_half_the_flops_that_torch_counts(
    layer: nn.Conv2d, shape: tuple[int, ...], sweeps_input: bool
) -> None:
    given = torch.zeros(shape)
    with FlopCounterMode(display=False) as counter:
        made = layer(given)
    swept = given if sweeps_input else made
    assert 2 * macs(swept.shape, layer.weight.shape, swept.shape[1]) == counter.get_total_flops()


def test_macs_of_a_product_of_matrices_are_rows_times_columns_times_depth() -> None:
    assert macs((7, 5), (5, 3), 5) == 7 * 5 * 3  # weights of a linear layer: (out, in)
    assert macs((2, 4, 7, 5), (3, 5), 5) == 2 * 4 * 7 * 5 * 3


def test_bytes_are_rounded_up_per_tensor_and_unknown_if_one_is() -> None:
    assert stored_bytes([((3,), 4), ((2, 3), 32), ((), 8)]) == 2 + 24 + 1
    assert stored_bytes([((3,), None), ((2, 3), 32)]) is None


GRAPH = [
    Node("pad", "PAD", 0, 1),
    Node("conv", "CONV_2D", 10, 2),
    Node("depthwise", "DEPTHWISE_CONV_2D", 5, 3),
    Node("mean", "MEAN", 0, 4),
    Node("linear", "FULLY_CONNECTED", 7, 5),
]
CONV, DEPTHWISE = "Convolution (NHWC, F32) IGEMM", "Convolution (NHWC, F32) DWConv"
LINEAR, MEAN = "Fully Connected (NC, F32) GEMM", "Mean (ND)"


def test_steps_of_xnnpack_are_counted_off_against_the_graph() -> None:
    found = _xnnpack_steps.match([CONV, DEPTHWISE, MEAN, LINEAR], GRAPH)
    assert [node.name for node in found] == ["conv", "depthwise", "mean", "linear"]
    assert [node.macs for node in found] == [10, 5, 0, 7]
    assert found[0].kind == CONV


def test_what_lies_between_layers_is_found_by_its_word_where_xnnpack_splits_it() -> None:
    graph = [GRAPH[1], Node("sum", "ADD", 0, 6), GRAPH[3], GRAPH[4]]
    found = _xnnpack_steps.match([CONV, "Add (ND)", "Clamp (NC)", MEAN, LINEAR], graph)
    assert [node.name for node in found] == ["conv", "sum", "Clamp (NC) #1", "mean", "linear"]
    assert [node.bytes for node in found] == [2, 6, None, 4, 5]


@pytest.mark.parametrize("steps", [[CONV, MEAN, LINEAR], [DEPTHWISE, CONV, MEAN, LINEAR]])
def test_steps_that_do_not_fit_the_graph_keep_their_own_names(steps: list[str]) -> None:
    found = _xnnpack_steps.match([*steps, MEAN], GRAPH)
    assert [node.kind for node in found] == [*steps, MEAN]
    assert [node.name for node in found][-3:] == [f"{MEAN} #1", f"{LINEAR} #1", f"{MEAN} #2"]
    assert {node.macs for node in found if node.kind != MEAN} == {None}
    assert {node.macs for node in found if node.kind == MEAN} == {0}
