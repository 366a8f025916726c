"""The Edge TPU as far as files tell: what is mapped, what is refused, and what is missing here.

Nothing in here runs on an Edge TPU.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paretomark.devices.formats import _edgetpu_file, _tflite
from paretomark.devices.formats._tflite import Operator, Subgraph, Tensor
from paretomark.suites.spec._errors import UserError

DEEPLAB = "tflite/deeplabv3_mnv2_dm05_pascal_quant"
DEEPLAB_ON_CPU = {"RESIZE_BILINEAR": 3, "QUANTIZE": 1, "CONCATENATION": 1, "CONV_2D": 2}
# By model: operators before compilation, those left on the CPU, and the parameters in bytes that
# are kept on the chip and sent with each inference.
COMPILED = {
    "tflite/mobilenet_v1_0.25_128_quant": (31, {}, 566_912, 0),
    "tflite/mobilenet_v1_0.5_160_quant": (31, {}, 1_473_280, 0),
    "tflite/mobilenet_v2_1.0_224_quant": (66, {}, 3_900_864, 0),
    DEEPLAB: (72, DEEPLAB_ON_CPU | {"ARG_MAX": 1}, 766_720, 0),
    "portrait/prisma_quant": (158, {}, 1_120_960, 64),
}
INTEGER = (*COMPILED, "tflite/mlperf_tiny_resnet8_cifar10_int8")


def compiled(real_data: Path, model: str) -> Path:
    """The compiled file of a model of COMPILED."""
    return there(real_data / f"{model}_edgetpu.tflite")


def there(file: Path) -> Path:
    if not file.exists():
        pytest.skip(f"no {file.name} in the real data")
    return file


def test_no_compiled_file_is_left_out(real_data: Path) -> None:
    found = {p.relative_to(real_data).as_posix() for p in real_data.glob("*/*_edgetpu.tflite")}
    assert found <= {f"{model}_edgetpu.tflite" for model in COMPILED}


@pytest.mark.parametrize("model", COMPILED)
def test_compiled_file_tells_what_runs_where(real_data: Path, model: str) -> None:
    _, left, cached, streamed = COMPILED[model]
    file = compiled(real_data, model)
    assert _edgetpu_file.placement(file) == _edgetpu_file.Split(1, left)
    memory = _edgetpu_file.parameter_memory(file)
    assert (memory.cached_bytes, memory.streamed_bytes) == (cached, streamed)
    assert cached < _edgetpu_file.ON_CHIP_BYTES
    kinds = [executable.kind for executable in memory.executables]
    assert sorted(kinds) == ["execution-only", "parameter-caching"]
    inside = sum(executable.size_bytes for executable in memory.executables)
    assert inside < memory.payload_bytes < file.stat().st_size


@pytest.mark.parametrize("model", COMPILED)
def test_parameters_in_the_package_are_those_of_the_model(real_data: Path, model: str) -> None:
    before = there(real_data / f"{model}.tflite")
    after = _edgetpu_file.parameter_memory(compiled(real_data, model))
    weights = {t.index: t for o in _tflite.read(before)[0].operators for t in o.inputs}
    sizes = {"INT8": 1, "UINT8": 1, "INT32": 4}
    stored = 0
    for tensor in weights.values():
        if tensor.constant:
            stored += sizes[tensor.type] * _product(tensor.shape)
    assert after.cached_bytes is not None
    assert 0.9 * stored < after.cached_bytes < 1.5 * stored  # the rest is the chip's padding


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def test_a_file_that_was_not_compiled_has_no_memory(real_data: Path) -> None:
    file = there(real_data / f"{DEEPLAB}.tflite")
    assert _edgetpu_file.parameter_memory(file) == _edgetpu_file.ParameterMemory(0, 0, 0, ())
    assert _edgetpu_file.placement(file).custom_ops == 0


def test_a_payload_that_is_no_package_has_unknown_memory(real_data: Path, tmp_path: Path) -> None:
    data = compiled(real_data, DEEPLAB).read_bytes()
    start = data.index(b"DWN1") - 4
    for name, bad in {
        "identifier": data.replace(b"DWN1", b"DWN9"),
        "root": data[:start] + b"\xff\xff\xff\x7f" + data[start + 4 :],
        "executable": data[: start + 4096] + bytes(4096) + data[start + 8192 :],
    }.items():
        file = tmp_path / f"{name}.tflite"
        file.write_bytes(bad)
        memory = _edgetpu_file.parameter_memory(file)
        assert memory.payload_bytes > 900_000
        assert (memory.cached_bytes, memory.streamed_bytes) == (None, None), name


@pytest.mark.parametrize("model", INTEGER)
def test_integer_files_are_accepted(real_data: Path, model: str) -> None:
    file = there(real_data / f"{model}.tflite")
    assert _edgetpu_file.not_integer(_tflite.read(file)) == []


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("tflite/mlperf_tiny_resnet8_cifar10_float", "9 x CONV_2D: FLOAT32 activations and FLOAT"),
        ("tflite/mlperf_tiny_resnet8_cifar10_float", "1 x SOFTMAX: FLOAT32 activations"),
        ("portrait/prisma-net", "46 x DEPTHWISE_CONV_2D: FLOAT32 activations"),
        ("portrait/prisma-net_uint8", "42 x CONV_2D: 8-bit weights, but FLOAT32 activations"),
        ("portrait/prisma-net_fp16", "169 x DEQUANTIZE: FLOAT32 activations and FLOAT16 constants"),
    ],
)
def test_float_files_are_refused_with_their_operators(
    real_data: Path, tmp_path: Path, model: str, named: str
) -> None:
    with pytest.raises(UserError, match="is not fully integer quantized") as caught:
        _edgetpu_file.prepare(there(real_data / f"{model}.tflite"), tmp_path)
    assert named in str(caught.value)


def test_floats_may_come_in_and_go_out_but_no_further() -> None:
    given = Tensor(0, "in", "FLOAT32", (1, 8), False)
    quantized = Tensor(1, "q", "INT8", (1, 8), False)
    inner = Tensor(2, "inner", "FLOAT32", (1, 8), False)
    weights = Tensor(3, "w", "INT8", (8, 8), True)
    convert = Operator("QUANTIZE", False, (given,), (quantized,))
    back = Operator("DEQUANTIZE", False, (quantized,), (inner,))
    hybrid = Operator("FULLY_CONNECTED", False, (given, weights), (inner,))
    assert _edgetpu_file.not_integer((Subgraph((convert, back), (given,), (inner,)),)) == []
    assert _edgetpu_file.not_integer((Subgraph((convert, back), (given,), (quantized,)),)) == [
        "1 x DEQUANTIZE: FLOAT32 activations"
    ]
    assert _edgetpu_file.not_integer((Subgraph((hybrid,), (given,), (inner,)),)) == [
        "1 x FULLY_CONNECTED: 8-bit weights, but FLOAT32 activations"
    ]


def test_wide_activations_are_refused() -> None:
    wide = Tensor(0, "in", "INT16", (1, 8), False)
    graph = Subgraph((Operator("RELU", False, (wide,), (wide,)),), (wide,), (wide,))
    assert _edgetpu_file.not_integer((graph,)) == ["1 x RELU: INT16 activations"]


def test_a_missing_compiler_is_named(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="edgetpu_compiler is not on PATH") as caught:
        _edgetpu_file.prepare(there(real_data / f"{DEEPLAB}.tflite"), tmp_path)
    assert "x86-64 Linux" in str(caught.value)


@pytest.mark.parametrize("model", COMPILED)
def test_what_was_compiled_here_is_counted_by_its_operators(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    total, left, _, _ = COMPILED[model]
    result = compiled(real_data, model)
    script = f'cp "{result}" "$2/$(basename "$3" .tflite)_edgetpu.tflite"'
    fake_compiler(tmp_path, monkeypatch, script)
    out = tmp_path / "out"
    out.mkdir()
    file, operators = _edgetpu_file.prepare(there(real_data / f"{model}.tflite"), out)
    assert file.read_bytes() == result.read_bytes()
    on_cpu = sum(left.values())
    assert operators == {"edgetpu": total - on_cpu, "cpu": on_cpu}


def test_a_compiled_file_is_taken_as_it_is(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    file = compiled(real_data, DEEPLAB)
    assert _edgetpu_file.prepare(file, tmp_path) == (file, {"edgetpu": 1, "cpu": 8})


@pytest.mark.parametrize("status", [0, 1])
def test_a_compiler_that_fails_is_quoted(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    fake_compiler(tmp_path, monkeypatch, f"echo 'ERROR: dynamic-sized tensors'; exit {status}")
    with pytest.raises(UserError, match=r"could not compile .*: ERROR: dynamic-sized tensors"):
        _edgetpu_file.prepare(there(real_data / f"{DEEPLAB}.tflite"), tmp_path)


def fake_compiler(folder: Path, patch: pytest.MonkeyPatch, script: str) -> None:
    """An edgetpu_compiler that is a shell script, first on PATH; called with --out_dir DIR FILE."""
    file = folder / "edgetpu_compiler"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    patch.setenv("PATH", str(folder) + os.pathsep + os.environ["PATH"])


def test_files_that_are_not_tflite_are_named(real_data: Path, tmp_path: Path) -> None:
    file = tmp_path / "photo.tflite"
    with pytest.raises(UserError, match=r"photo\.tflite: No such file"):
        _tflite.read(file)
    file.write_bytes(b"\x89PNG" * 40)
    with pytest.raises(UserError, match=r"photo\.tflite is not a TFLite file"):
        _edgetpu_file.placement(file)
    data = there(real_data / "tflite/mlperf_tiny_resnet8_cifar10_int8.tflite").read_bytes()
    for end in range(8, len(data), len(data) // 40):  # a flatbuffer keeps what it needs at the end
        file.write_bytes(data[:end])
        with pytest.raises(UserError, match="damaged TFLite file"):
            _tflite.read(file)


def test_operators_are_read_with_their_tensors(real_data: Path) -> None:
    (graph,) = _tflite.read(there(real_data / "tflite/mobilenet_v1_0.25_128_quant.tflite"))
    first = graph.operators[0]
    assert (first.name, first.custom) == ("CONV_2D", False)
    assert [(t.type, t.shape, t.constant) for t in first.inputs] == [
        ("UINT8", (1, 128, 128, 3), False),
        ("UINT8", (8, 3, 3, 3), True),
        ("INT32", (8,), True),
    ]
    assert first.outputs[0].shape == (1, 64, 64, 8)
    assert graph.inputs == (first.inputs[0],)
    assert graph.operators[-1].outputs == graph.outputs
