"""The modelled Edge TPU: its physics, what it refuses, and that its rows are marked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from paretomark.devices import _device, _edgetpu_model, _edgetpu_time, edgetpu, litert
from paretomark.devices._device import Profiler, open_device
from paretomark.devices._edgetpu_time import FITTED, demand, predict
from paretomark.devices.formats import _edgetpu_file, _tflite
from paretomark.devices.formats._edgetpu_mapping import mapped
from paretomark.devices.formats._tflite import Operator, Subgraph, Tensor
from paretomark.devices.measure import _run
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._outcome import Visit
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Model, Recipe

# Files that edgetpu_compiler has mapped whole.
WHOLE = (
    "tflite/mobilenet_v1_0.25_128_quant",
    "tflite/mobilenet_v1_0.5_160_quant",
    "tflite/mobilenet_v2_1.0_224_quant",
    "portrait/prisma_quant",
)


@pytest.fixture(scope="module")
def artifacts() -> dict[str, Artifact]:
    """scenes_mobilenet by precision."""
    net = Model(name="scenes_mobilenet", net="scenes_mobilenet")
    orders = {p: BuildSpec(net, Recipe(precision=p), "tflite", 1, 64, 0) for p in ("fp32", "int8")}
    done = _build.build(list(orders.values()), 600.0, lambda order, result: None)
    found = {}
    for precision, order in orders.items():
        result = done[_build.key(order)]
        assert isinstance(result, Artifact), result
        found[precision] = result
    return found


@pytest.fixture
def file(artifacts: dict[str, Artifact]) -> Path:
    return Path(artifacts["int8"].file)


def visit(artifact: Artifact) -> Visit:
    spec = VisitSpec.of(artifact, "edgetpu:model", seconds=0.02, max_samples=1000, score=True)
    return _run.visit(spec, 300.0, 99.0)


@pytest.mark.build
def test_a_visit_is_predicted_and_scored_but_never_timed(artifacts: dict[str, Artifact]) -> None:
    done = visit(artifacts["int8"])
    assert done.status == "ok", done.reason
    assert done.measured["simulated"] == "predicted"
    assert "slices_ns" not in done.measured
    assert 0.1e-3 < done.measured["predicted_s"] < 2e-3
    assert done.measured["placement"]["cpu"] == 0
    assert done.measured["placement"]["edgetpu"] > 10
    assert done.measured["examples"] == 64
    assert done.measured["parity_top1"] > 0.9
    (warning,) = done.measured["warnings"]
    assert warning.startswith("the latency is predicted, not measured")


@pytest.mark.build
def test_a_float_file_is_refused_with_its_operators(artifacts: dict[str, Artifact]) -> None:
    done = visit(artifacts["fp32"])
    assert (done.status, done.stage) == ("failed", "load")
    assert "not fully integer quantized" in done.reason
    assert "CONV_2D: FLOAT32 activations" in done.reason
    assert "simulated" not in done.measured


@pytest.mark.build
def test_answers_are_those_of_the_int8_file(file: Path) -> None:
    model, cpu = open_device("edgetpu:model"), litert.device("xnnpack")
    here, there = model.load(file, 1), cpu.load(file, 1)
    assert (here.inputs, here.outputs) == (there.inputs, there.outputs)
    image = np.random.default_rng(0).integers(-128, 128, here.inputs[0].shape, np.int8)
    assert (model.run([image])[0] == cpu.run([image])[0]).all()


@pytest.mark.build
def test_profile_adds_up_to_the_prediction(artifacts: dict[str, Artifact], file: Path) -> None:
    device = open_device("edgetpu:model")
    assert isinstance(device, Profiler)
    rows = device.profile(file, 1, [], 1)
    assert sum(row.ns for row in rows) / 1e9 == pytest.approx(device.load(file, 1).predicted_s)
    assert {row.unit for row in rows} == {"usb", "edgetpu"}
    sent = next(row for row in rows if row.name == "inputs and outputs")
    assert sent.bytes == 96 * 96 * 3 + 12
    assert sum(row.macs or 0 for row in rows) == artifacts["int8"].macs


def test_only_the_model_tells_of_operators() -> None:
    """Nothing is known of single operators on the chip; those of LiteRT run on the CPU."""
    assert not isinstance(open_device("edgetpu"), Profiler)


def test_the_probe_says_that_no_chip_is_there() -> None:
    assert _device.formats()["edgetpu:model"] == "tflite"
    assert _device.precisions("edgetpu:model") == _device.precisions("edgetpu") == ("int8",)
    chip = open_device("edgetpu:model").probe()
    assert chip.name == "Edge TPU (USB 3), modelled"
    assert "ai-edge-litert" in chip.versions


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_more_channels_are_never_faster(kind: str) -> None:
    times = [seconds(kind, channels) for channels in range(8, 400, 8)]
    assert all(a <= b for a, b in pairwise(times))
    assert times[-1] > times[0]


def test_channels_are_padded_to_the_width_of_the_array() -> None:
    """65 output channels take as long in the array as 128, and twice as long as 64."""
    one, padded, two = (busy(conv(64, out, side=56, window=3)) for out in (64, 65, 128))
    assert padded == pytest.approx(two)
    assert two == pytest.approx(2 * one)


def test_a_full_array_reaches_its_fitted_share_of_the_peak() -> None:
    operator = conv(256, 256, side=56, window=3)
    rate = _edgetpu_time.macs(operator) / busy(operator)
    assert rate == pytest.approx(64 * 64 * 480e6 * FITTED.efficiency)


def test_a_depthwise_convolution_leaves_most_of_the_array_idle() -> None:
    deep = depthwise(256, side=56)
    full = conv(64, 36, side=56, window=1)
    assert _edgetpu_time.macs(deep) == _edgetpu_time.macs(full)
    cycles = [demand(chain([operator])).chip[0].cycles for operator in (deep, full)]
    assert cycles[0] > 20 * cycles[1]
    assert busy(deep) > 5 * busy(full)  # the full one waits for the memory


@pytest.mark.parametrize("more", [1, 5])
def test_parameters_without_room_take_their_bytes_over_the_bandwidth(more: int) -> None:
    """A full connection computes next to nothing, so each byte beyond the chip's memory is paid."""
    base = [dense(4096, 2048), dense(2048, 4096)]  # 16 MiB
    extra = [dense(4096, 4096) for _ in range(more)]
    a, b = (sum(r.ns for r in predict(chain(ops))) / 1e9 for ops in (base, [*base, *extra]))
    sent = sum(_edgetpu_time.parameter_bytes(o) for o in extra) / FITTED.usb_bytes_s
    assert b - a == pytest.approx(sent + more * FITTED.operator_s, rel=0.01)


def test_parameters_with_room_are_not_sent() -> None:
    rows = predict(chain([dense(1024, 1024)] * 4))  # 4 MiB
    assert [(r.ns, r.bytes) for r in rows if r.name == "parameters without room"] == [(0, 0)]


def test_large_activations_leave_less_room_for_parameters() -> None:
    layers = [dense(1024, 1024)] * 6
    small, large = (conv(8, 8, side=side, window=1) for side in (8, 512))
    sent = [predict(chain([first, *layers]))[2].bytes for first in (small, large)]
    assert sent[0] == 0
    assert sent[1] == pytest.approx(
        sum(map(_edgetpu_time.parameter_bytes, [large, *layers]))
        - (_edgetpu_file.ON_CHIP_BYTES - 2 * 512 * 512 * 8)
    )


def test_after_an_unsupported_operator_all_run_on_the_processor() -> None:
    supported = [conv(32, 32, side=28, window=3) for _ in range(6)]
    graph = chain([*supported[:2], elementwise("HARD_SWISH", (1, 28, 28, 32)), *supported[2:]])
    assert mapped(graph).chip == {0, 1}
    rows = predict(graph)
    assert [r.unit for r in rows] == ["usb"] * 3 + ["edgetpu"] * 2 + ["cpu"] * 5
    assert rows[1].bytes == 2 * 28 * 28 * 32  # in, and out to the processor in the middle
    whole = predict(chain(supported))
    assert sum(r.ns for r in rows) > 2 * sum(r.ns for r in whole)


def test_a_graph_of_which_nothing_is_supported_sends_nothing() -> None:
    rows = predict(chain([elementwise("HARD_SWISH", (1, 8, 8, 8)), conv(8, 8, 8, 1)]))
    assert [r.unit for r in rows] == ["cpu", "cpu"]


def test_what_takes_in_floats_is_left_to_the_processor_and_the_rest_is_mapped() -> None:
    inner = chain([conv(8, 8, 8, 1), conv(8, 8, 8, 1)])
    given = Tensor(90, "in", "FLOAT32", (1, 8, 8, 8), False)
    taken = Tensor(91, "out", "FLOAT32", (1, 8, 8, 8), False)
    enter = Operator("QUANTIZE", False, (given,), inner.inputs)
    leave = Operator("DEQUANTIZE", False, inner.outputs, (taken,))
    graph = Subgraph((enter, *inner.operators, leave), (given,), (taken,))
    assert mapped(graph).chip == {1, 2}
    assert predict(graph)[1].bytes == 2 * 8 * 8 * 8  # int8 both ways


@pytest.mark.parametrize("model", WHOLE)
def test_the_model_agrees_with_what_the_compiler_wrote(real_data: Path, model: str) -> None:
    before, after = real_data / f"{model}.tflite", real_data / f"{model}_edgetpu.tflite"
    if not after.exists():
        pytest.skip(f"no {after.name} in the real data")
    graph = _edgetpu_model.read(before)
    assert not mapped(graph).left
    cached = _edgetpu_file.parameter_memory(after).cached_bytes
    stored = sum(_edgetpu_time.parameter_bytes(o) for o in graph.operators)
    assert stored == pytest.approx(cached, rel=0.03)
    with pytest.raises(UserError, match="is compiled for the Edge TPU"):
        edgetpu.device("model").load(after, 1)


def test_a_file_without_fixed_sizes_is_refused(real_data: Path) -> None:
    file = real_data / "tflite/mlperf_tiny_resnet8_cifar10_int8.tflite"
    if not file.exists():
        pytest.skip(f"no {file.name} in the real data")
    assert any(-1 in t.shape for t in _tflite.read(file)[0].inputs)
    with pytest.raises(UserError, match="has no fixed shape"):
        edgetpu.device("model").load(file, 1)


def seconds(kind: str, channels: int) -> float:
    """Of a graph of one operator."""
    made = {
        "CONV_2D": conv(channels, channels, side=28, window=3),
        "DEPTHWISE_CONV_2D": depthwise(channels, side=28),
        "FULLY_CONNECTED": dense(channels * 16, channels * 16),
    }
    return sum(row.ns for row in predict(chain([made[kind]]))) / 1e9


def busy(operator: Operator) -> float:
    """The seconds of an operator on the chip, without its fixed share."""
    rows = predict(chain([operator]))
    return next(r.ns for r in rows if r.unit == "edgetpu") / 1e9 - FITTED.operator_s


def conv(into: int, out: int, side: int, window: int) -> Operator:
    weights = (out, window, window, into)
    return weighted("CONV_2D", weights, (1, side, side, into), (1, side, side, out))


def depthwise(channels: int, side: int) -> Operator:
    shape = (1, side, side, channels)
    return weighted("DEPTHWISE_CONV_2D", (1, 3, 3, channels), shape, shape)


def dense(into: int, out: int) -> Operator:
    return weighted("FULLY_CONNECTED", (out, into), (1, into), (1, out))


def weighted(
    kind: str, weights: Sequence[int], into: Sequence[int], out: Sequence[int]
) -> Operator:
    constant = Tensor(1, "weights", "INT8", tuple(weights), True)
    data, result = (Tensor(i, "t", "INT8", tuple(s), False) for i, s in ((0, into), (2, out)))
    return Operator(kind, False, (data, constant), (result,))


def elementwise(kind: str, shape: tuple[int, ...]) -> Operator:
    data, result = (Tensor(i, "t", "INT8", shape, False) for i in (0, 2))
    return Operator(kind, False, (data,), (result,))


def chain(operators: Sequence[Operator]) -> Subgraph:
    """Operators one after the other: each takes what the last has made."""
    made = []
    for i, operator in enumerate(operators):
        data = dataclasses.replace(operator.inputs[0], index=i)
        constants = [dataclasses.replace(t, index=1000 + i) for t in operator.inputs[1:]]
        result = dataclasses.replace(operator.outputs[0], index=i + 1)
        made.append(Operator(operator.name, False, (data, *constants), (result,)))
    return Subgraph(tuple(made), made[0].inputs[:1], made[-1].outputs)
