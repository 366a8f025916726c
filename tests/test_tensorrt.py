"""TensorRT: all that needs no GPU, with the fakes of _tensorrt_fake.py where NVIDIA's libraries are
needed, and the names that are used against the official bindings where these are installed."""

from __future__ import annotations

import ast
import gc
import importlib
import importlib.util
import json
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from paretomark.devices import _cuda_stream, _device, _tensorrt_engine
from paretomark.devices._device import (
    Accelerator,
    Operator,
    Profiler,
    State,
    Unavailable,
    open_device,
)
from paretomark.models import _cache
from paretomark.models.export import onnx as exporter
from paretomark.suites.spec._errors import UserError
from paretomark.tests import _tensorrt_fake
from paretomark.tests._tensorrt_fake import (
    COMPUTE_MS,
    COPY_MS,
    LAYERS,
    SHAPE,
    Flag,
    TensorRT,
    answer,
    pictures,
)

pytestmark = pytest.mark.build


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A net in every precision, as the exporter writes it."""
    folder = tmp_path_factory.mktemp("files")
    found = {p: folder / f"{p}.onnx" for p in exporter.PRECISIONS}
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    exporter.export(net.eval(), torch.zeros(SHAPE), found["fp32"])
    for precision in exporter.PRECISIONS[1:]:
        exporter.quantize(found["fp32"], found[precision], precision, pictures(32))
    return found


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, private_cache: Path) -> TensorRT:
    """The fake, and an empty cache of engines."""
    return _tensorrt_fake.install(monkeypatch)


def engines() -> list[Path]:
    return sorted((_cache.folder() / "engines").iterdir())


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unavailable, match="package tensorrt is not installed") as caught:
        open_device("tensorrt").probe()
    assert "paretomark[tensorrt]" in caught.value.remedy


def test_bindings_without_libraries_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.11: cannot open')")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unavailable, match="without its libraries: libnvinfer"):
        open_device("tensorrt").probe()


def test_a_driver_that_is_too_old_is_told(trt: TensorRT) -> None:
    pytest.importorskip("cuda.bindings")
    assert open_device("tensorrt").probe().versions["tensorrt"] == "11.4.0"
    trt.cuda.fail = "cudaFree"
    with pytest.raises(Unavailable, match="out of memory") as caught:
        open_device("tensorrt").probe()
    assert "driver" in caught.value.remedy


@pytest.mark.parametrize("precision", exporter.PRECISIONS)
def test_float32_is_multiplied_as_such_unless_the_file_says_tf32(
    trt: TensorRT, files: dict[str, Path], precision: str
) -> None:
    _tensorrt_engine.plan(trt, files[precision], {})
    tf32 = {Flag.TF32} if precision == "tf32" else set()
    assert trt.flags == {Flag.SPARSE_WEIGHTS} | tf32
    assert trt.network_flags == 1 << trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert trt.config.profiling_verbosity == "detailed"


def test_it_answers_times_its_phases_and_tells_its_state(
    trt: TensorRT, files: dict[str, Path]
) -> None:
    device, images = open_device("tensorrt"), pictures(3)
    placement = device.load(files["fp32"], 1)
    assert placement.operators == {"tensorrt": len(LAYERS)}
    assert not placement.fell_back
    assert trt.context.nvtx_verbosity == "none"  # naming layers would slow every run
    outs = [device.run([image[None]])[0] for image in images]
    assert np.allclose(np.concatenate(outs), answer(files["fp32"], images), atol=1e-6)
    assert isinstance(device, Accelerator)
    expected = {"h2d": COPY_MS, "compute": COMPUTE_MS, "d2h": COPY_MS}
    assert device.phases_ns() == {name: [ms * 1e6] * 3 for name, ms in expected.items()}
    assert device.state() == State(clock_mhz=1, peak_memory_bytes=4 * (64 + 10))
    for wrong in (images[:2], images[:1].astype(np.float64)):
        with pytest.raises(ValueError, match="input takes float32"):
            device.run([wrong])
    trt.cuda.fail = "cudaMemcpyAsync"
    with pytest.raises(RuntimeError, match="CUDA error 2: out of memory"):
        device.run([images[:1]])


def test_memory_is_given_back_when_a_model_is_loaded_again(
    trt: TensorRT, files: dict[str, Path]
) -> None:
    device = open_device("tensorrt")
    device.load(files["fp32"], 1)
    device.load(files["fp32"], 1)
    assert len(trt.cuda.memory) == 2
    assert isinstance(device, Accelerator)
    assert device.phases_ns() == {"h2d": [], "compute": [], "d2h": []}
    del device
    gc.collect()
    assert not trt.cuda.memory


@pytest.mark.usefixtures("trt")
def test_layers_are_profiled_without_the_first_inference(files: dict[str, Path]) -> None:
    device = open_device("tensorrt")
    assert isinstance(device, Profiler)
    inputs = [[image[None]] for image in pictures(2)]
    found = device.profile(files["fp32"], 1, inputs, 5)
    times_ns = 1e6 * COMPUTE_MS / 4, 1e6 * COMPUTE_MS / 2
    assert found == [
        Operator(name, kind, "tensorrt", ns)
        for (name, kind), ns in zip(LAYERS, times_ns, strict=True)
    ]


@pytest.mark.parametrize(
    ("stage", "said"), [("parse", "unknown operator Foo"), ("build", "no kernel")]
)
def test_what_tensorrt_says_is_in_the_error(
    trt: TensorRT, files: dict[str, Path], stage: str, said: str
) -> None:
    trt.refuses = stage
    with pytest.raises(RuntimeError, match=said):
        open_device("tensorrt").load(files["fp32"], 1)
    assert engines() == []


def test_an_engine_is_built_once_and_kept_in_private(trt: TensorRT, files: dict[str, Path]) -> None:
    device = open_device("tensorrt")
    first, second = device.load(files["fp32"], 1), device.load(files["fp32"], 1)
    assert first.compile_s is not None
    assert second.compile_s is None
    assert trt.builds == 1
    (file,) = engines()
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_another_gpu_driver_version_or_file_is_another_engine(
    trt: TensorRT, files: dict[str, Path]
) -> None:
    gpu = {"name": "A", "uuid": "1", "compute": "9.0", "driver": "600"}
    _tensorrt_engine.plan(trt, files["fp32"], gpu)
    for i, part in enumerate(gpu, start=2):
        _tensorrt_engine.plan(trt, files["fp32"], {**gpu, part: "other"})
        assert trt.builds == i
    _tensorrt_engine.plan(trt, files["tf32"], gpu)
    trt.__version__ = "10.9.0"
    _tensorrt_engine.plan(trt, files["fp32"], gpu)
    assert (trt.builds, len(engines())) == (7, 7)


def test_a_damaged_or_renamed_engine_is_not_loaded(trt: TensorRT, files: dict[str, Path]) -> None:
    built = {g: _tensorrt_engine.plan(trt, files["fp32"], {"name": g})[0] for g in ("A", "B")}
    one, other = engines()
    content = one.read_bytes()
    for wrong in (content[:-1], content[:-1] + b"x", other.read_bytes()[:40] + b"program", b""):
        one.write_bytes(wrong)
        before = trt.builds
        assert {
            g: _tensorrt_engine.plan(trt, files["fp32"], {"name": g})[0] for g in built
        } == built
        assert trt.builds == before + 1
        assert one.read_bytes() == content
    one.write_bytes(other.read_bytes())  # of another GPU
    _tensorrt_engine.plan(trt, files["fp32"], {"name": "A"})
    _tensorrt_engine.plan(trt, files["fp32"], {"name": "B"})
    assert trt.builds == before + 2
    assert one.read_bytes() == content


def test_a_folder_that_others_may_enter_is_refused(trt: TensorRT, files: dict[str, Path]) -> None:
    _tensorrt_engine.plan(trt, files["fp32"], {})
    engines()[0].parent.chmod(0o770)
    with pytest.raises(UserError, match="open to others"):
        _tensorrt_engine.plan(trt, files["fp32"], {})


# After NVIDIA's guides Engine Inspector (10.x), and Migrating IEngineInspector Usage to 11.x.
CONVOLUTION = {
    "Name": "node_conv2d + node_relu",
    "LayerType": "CaskConvolution",
    "Inputs": [
        {"Name": "input", "Dimensions": [1, 3, 32, 32], "Format/Datatype": "Row major FP32"}
    ],
    "Outputs": [
        {"Name": "relu", "Dimensions": [1, 8, 32, 32], "Format/Datatype": "Row major FP32"}
    ],
    "ParameterType": "Convolution",
    "Weights": {"Type": "Float", "Count": 216},
    "TacticName": "sm80_xmma_fprop_implicit_gemm",
    "Metadata": "[ONNX Layer: node_conv2d]",
}
COPY = {"Name": "Reformatting CopyNode for Input Tensor 0 to relu", "LayerType": "Reformat"}
TOLD = {
    "10": {"Layers": [COPY, CONVOLUTION], "Bindings": ["input", "output"]},
    "11": {"Layers": [COPY, CONVOLUTION], "I/O Tensors": [{"Name": "input", "IOMode": "Input"}]},
    "names only": {"Layers": [COPY["Name"], CONVOLUTION["Name"]], "Bindings": []},
}


@pytest.mark.parametrize("version", TOLD)
def test_layers_are_read_as_each_version_tells_them(version: str, trt: TensorRT) -> None:
    class Inspected:
        def create_engine_inspector(self) -> Any:
            return self

        def get_engine_information(self, form: str) -> str:
            assert form == "json"
            return json.dumps(TOLD[version])

    kinds = ("", "") if version == "names only" else ("Reformat", "CaskConvolution")
    names = COPY["Name"], CONVOLUTION["Name"]
    assert _tensorrt_engine.layers(trt, Inspected()) == list(zip(names, kinds, strict=True))


def used_names(roots: set[str]) -> set[str]:
    """Every attribute that the adapter takes of these variables, and of what they have."""
    found = set()
    for module in ("tensorrt", "_tensorrt_engine", "_cuda_stream"):
        source = Path(_device.__file__).with_name(f"{module}.py").read_text()
        for node in ast.walk(ast.parse(source)):
            base = node
            while isinstance(base, ast.Attribute):
                base = base.value
            if isinstance(node, ast.Attribute) and isinstance(base, ast.Name) and base.id in roots:
                found.add(node.attr)
    return found


def test_the_official_bindings_know_every_name() -> None:
    """They bring no type information, so their compiled module is searched for the names."""
    spec = importlib.util.find_spec("tensorrt_bindings")
    if spec is None or spec.origin is None:
        pytest.skip("tensorrt_cu13_bindings is not installed")
    compiled = next(Path(spec.origin).parent.glob("tensorrt.*")).read_bytes()
    written = Path(spec.origin).read_text()
    used = used_names({"trt", "engine", "context", "builder", "parser", "config", "inspector"})
    used |= {"execute_async_v3", "profiler", "report_layer_time", "log", "desc"}
    assert len(used) > 35
    unknown = {n for n in used if f"{n}\0".encode() not in compiled and n not in written}
    assert unknown == set()


def test_cudas_bindings_know_every_name_and_say_what_is_wrong() -> None:
    cuda = pytest.importorskip("cuda.bindings.runtime")
    used = used_names({"cuda"}) - {"bindings", "runtime"}
    assert len(used) > 12
    for name in used:
        assert hasattr(cuda, name) or hasattr(cuda.cudaMemcpyKind, name), name
    status = cuda.cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(RuntimeError, match="CUDA error 2: out of memory"):
        _cuda_stream.ok((status, None))
    assert _cuda_stream.ok((cuda.cudaError_t.cudaSuccess, 7)) == (7,)
