"""Core ML: packages as the build writes them."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from paretomark.models import _cache
from paretomark.models.build import _artifact, _build
from paretomark.models.data import _data
from paretomark.models.export import mlpackage
from paretomark.models.nets import _zoo, digits_cnn
from paretomark.suites.spec._model import Model, Recipe

if TYPE_CHECKING:
    pass

torch = pytest.importorskip("torch")
# The converter warns of a torch that is newer than the one it was tested with.
pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]
with_tools = pytest.mark.skipif(
    importlib.util.find_spec("coremltools") is None, reason="coremltools is not installed"
)

WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


@pytest.fixture(scope="module")
def built() -> dict[str, _artifact.Artifact]:
    """The packages of digits_cnn by precision, written by a building child."""
    model = Model(name="digits_cnn", net="digits_cnn")
    orders = {
        precision: _artifact.BuildSpec(model, Recipe(precision=precision), "mlpackage", 1, 200, 0)
        for precision in mlpackage.PRECISIONS
    }
    results = _build.build(list(orders.values()), 300, lambda _, __: None)
    found = {}
    for precision, order in orders.items():
        result = results[_build.key(order)]
        assert isinstance(result, _artifact.Artifact), result
        found[precision] = result
    return found


def operations(package: Path) -> list[Any]:
    """The operations of a package, read back from its files."""
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto import load

    model = ct.models.MLModel(str(package), skip_model_load=True)
    spec = model.get_spec()
    return list(
        load.load(spec, spec.specificationVersion, model.weights_dir).functions["main"].operations
    )


def weights(package: Path) -> list[Any]:
    """What the convolutions and linear layers multiply with: a constant, or an unpacking of one."""
    return [op.weight for op in operations(package) if op.op_type in ("conv", "linear")]


def widened(op: Any) -> Any:
    """What constexpr_affine_dequantize stands for, in float16."""
    shape = [-1 if i == op.axis.val else 1 for i in range(op.quantized_data.val.ndim)]
    scale, zero = op.scale.val.reshape(shape), op.zero_point.val.reshape(shape)
    return (op.quantized_data.val.astype(np.float16) - zero) * scale


def evaluate(package: Path, images: Any) -> Any:
    """Answers of a package by the definition of its operations, computed by torch on the CPU."""
    functional, known = torch.nn.functional, {"input": torch.from_numpy(images)}
    for op in operations(package):

        def value(name: str, op: Any = op) -> Any:
            var = op.inputs[name]
            return known[var.name] if var.name in known else torch.from_numpy(np.array(var.val))

        if op.op_type == "const":
            continue
        if op.op_type == "constexpr_affine_dequantize":
            result = torch.from_numpy(widened(op))
        elif op.op_type == "cast":
            result = value("x").to({"fp16": torch.float16, "fp32": torch.float32}[op.dtype.val])
        elif op.op_type == "conv":
            pads = [0] * 4 if op.pad_type.val == "valid" else op.pad.val.tolist()
            padded = functional.pad(value("x"), (*pads[2:], *pads[:2]))
            stride, groups = op.strides.val.tolist(), int(op.groups.val)
            result = functional.conv2d(
                padded, value("weight"), value("bias"), stride, groups=groups
            )
        elif op.op_type == "relu":
            result = value("x").relu()
        elif op.op_type == "reduce_mean":
            result = value("x").mean(op.axes.val.tolist(), keepdim=bool(op.keep_dims.val))
        elif op.op_type == "reshape":  # the package has a batch of one, here all go at once
            result = value("x").reshape(-1, *op.shape.val.tolist()[1:])
        elif op.op_type == "linear":
            result = functional.linear(value("x"), value("weight"), value("bias"))
        else:
            raise AssertionError(f"digits_cnn has no {op.op_type}")
        known[op.outputs[0].name] = result
    return known["output"].numpy()


@with_tools
@pytest.mark.parametrize(
    ("precision", "limit"), [("fp32", 1e-4), ("fp16", 0.1), ("int8-weights", 2.0)]
)
def test_a_package_says_what_the_net_says(
    built: dict[str, _artifact.Artifact], precision: str, limit: float
) -> None:
    artifact = built[precision]
    pictures = _data.normalise(digits_cnn.PREPROCESS, np.load(artifact.images))
    answers = evaluate(Path(artifact.file), np.ascontiguousarray(np.moveaxis(pictures, -1, 1)))
    reference = np.load(artifact.reference)
    assert answers.dtype == np.float32
    assert np.abs(answers - reference).max() < limit
    assert (answers.argmax(1) == reference.argmax(1)).mean() > 0.97
    if precision != "fp32":
        assert np.abs(answers - reference).max() > 1e-5


@with_tools
def test_weights_are_those_of_the_net_within_the_precision(
    built: dict[str, _artifact.Artifact],
) -> None:
    from safetensors.torch import load_file
    from torch.fx.experimental.optimization import fuse

    net = digits_cnn.net().eval()
    net.load_state_dict(load_file(_zoo.weights("digits_cnn")))
    exact = [p.detach().numpy() for p in fuse(net).parameters() if p.ndim > 1]
    single, half, byte = (weights(Path(built[p].file)) for p in mlpackage.PRECISIONS[:3])
    assert len(exact) == len(single) == len(half) == len(byte) == 6
    for true, var in zip(exact, single, strict=True):
        assert var.val.dtype == np.float32
        assert np.array_equal(var.val, true)
    for true, var in zip(exact, half, strict=True):
        assert var.val.dtype == np.float16
        assert np.array_equal(var.val, true.astype(np.float16))
    for true, var in zip(exact, byte, strict=True):
        packed = var.op
        assert packed.quantized_data.val.dtype == np.int8
        assert packed.scale.val.shape == true.shape[:1]  # per output channel
        assert not packed.zero_point.val.any()  # symmetric
        off = np.abs(widened(packed) - true).reshape(len(true), -1).max(1)
        # half a step, and what float16 makes of the scale and of the product
        assert (off <= packed.scale.val.astype(np.float32) * (0.5 + 127 * 2**-10)).all()


@with_tools
def test_pruned_weights_stay_zero_even_a_whole_channel_of_them(tmp_path: Path) -> None:
    net = torch.nn.Conv2d(4, 8, 3).eval()
    with torch.no_grad():
        net.weight[0] = 0
        net.weight[1:, :2] = 0
    model, out = tmp_path / "model.mlpackage", tmp_path / "int8.mlpackage"
    mlpackage.export(net, torch.zeros(1, 4, 8, 8), model)
    mlpackage.quantize(model, out, "int8-weights", np.empty(0, np.float32))
    (weight,) = weights(out)
    back = widened(weight.op)
    assert np.isfinite(back).all()
    assert not back[net.weight.detach().numpy() == 0].any()


@with_tools
def test_weight_files_shrink_with_the_precision(
    built: dict[str, _artifact.Artifact], tmp_path: Path
) -> None:
    sizes = {p: (Path(a.file) / WEIGHTS).stat().st_size for p, a in built.items()}
    parameters = built["fp32"].parameters
    assert parameters is not None
    assert sizes["fp32"] > 4 * 0.9 * parameters  # very small ones lie in the program
    assert sizes["fp16"] / sizes["fp32"] < 0.55
    # Each int8 weight comes with scales, a zero per channel, and headers: it shows in a small net.
    assert sizes["int8-weights"] / sizes["fp32"] < 0.45
    wide = torch.nn.Sequential(torch.nn.Conv2d(8, 256, 3), torch.nn.Conv2d(256, 64, 3)).eval()
    (tmp_path / "int8").mkdir()
    mlpackage.export(wide, torch.zeros(1, 8, 8, 8), tmp_path / "model.mlpackage")
    mlpackage.quantize(
        tmp_path / "model.mlpackage",
        tmp_path / "int8" / "model.mlpackage",
        "int8-weights",
        np.empty(0, np.float32),
    )
    large, small = ((p / "model.mlpackage" / WEIGHTS) for p in (tmp_path, tmp_path / "int8"))
    assert small.stat().st_size / large.stat().st_size < 0.27


@with_tools
@pytest.mark.parametrize("precision", mlpackage.PRECISIONS)
def test_the_same_net_gives_the_same_bytes_in_another_process(
    built: dict[str, _artifact.Artifact], precision: str, tmp_path: Path
) -> None:
    """coremltools writes the date, random identifiers, and maps in no set order."""
    first, again = Path(built[precision].file), tmp_path / "model.mlpackage"
    if precision == "fp32":
        graph = torch.export.load(first.with_name("graph.pt2"))
        mlpackage.export(graph.module(), graph.example_inputs[0][0], again)
    else:
        mlpackage.quantize(
            Path(built["fp32"].file), again, precision, np.zeros((1, 1, 8, 8), np.float32)
        )
    files = [path.relative_to(first) for path in sorted(first.rglob("*")) if path.is_file()]
    assert [str(f) for f in files] == [
        "Data/com.apple.CoreML/model.mlmodel",
        WEIGHTS,
        "Manifest.json",
    ]
    assert [(again / f).read_bytes() for f in files] == [(first / f).read_bytes() for f in files]
    assert built[precision].bytes == sum((first / f).stat().st_size for f in files)
    import coremltools as ct

    metadata = ct.utils.load_spec(str(again)).description.metadata.userDefined
    assert not [key for key in metadata if "date" in key]  # else equal on one day only


@with_tools
def test_reading_a_package_leaves_it_as_it_was(
    built: dict[str, _artifact.Artifact], tmp_path: Path
) -> None:
    """coremltools writes the manifest anew when it opens a package, even only to read it."""
    package = Path(shutil.copytree(built["int8-weights"].file, tmp_path / "model.mlpackage"))
    before, stamp = (package / "Manifest.json").read_bytes(), 1
    os.utime(package / "Manifest.json", ns=(stamp, stamp))
    operations(package)
    assert (package / "Manifest.json").stat().st_mtime_ns != stamp  # the trap is still there
    assert (package / "Manifest.json").read_bytes() == before
    files = [f for f in sorted(package.rglob("*")) if f.is_file()]
    assert _cache.sha256(*files) == built["int8-weights"].sha256


@with_tools
def test_one_channel_with_strides_of_channels_last_is_written(tmp_path: Path) -> None:
    """Pictures of one channel come so out of the build; the converter refuses such strides."""
    sample = torch.zeros(1, 8, 8, 1).permute(0, 3, 1, 2)
    assert sample.is_contiguous()
    assert sample.stride() != torch.zeros(1, 1, 8, 8).stride()
    mlpackage.export(torch.nn.Conv2d(1, 2, 3).eval(), sample, tmp_path / "model.mlpackage")
    assert (tmp_path / "model.mlpackage" / WEIGHTS).exists()


@with_tools
def test_a_manifest_names_what_is_there(built: dict[str, _artifact.Artifact]) -> None:
    package = Path(built["int8-weights"].file)
    manifest = json.loads((package / "Manifest.json").read_text())
    entries = manifest["itemInfoEntries"]
    assert entries[manifest["rootModelIdentifier"]]["name"] == "model.mlmodel"
    assert len(entries) == 2
    assert all((package / "Data" / entry["path"]).exists() for entry in entries.values())


@with_tools
def test_int8_activations_need_macos(built: dict[str, _artifact.Artifact]) -> None:
    """If this fails, coremltools calibrates here too: then int8 can be static, as elsewhere."""
    import coremltools as ct
    from coremltools.optimize import coreml as compress

    if platform.system() == "Darwin":
        pytest.skip("here coremltools calibrates")
    model = ct.models.MLModel(built["fp16"].file, skip_model_load=True)
    scheme = compress.experimental.OpActivationLinearQuantizerConfig(mode="linear_symmetric")
    with pytest.raises(Exception, match="macOS"):
        compress.experimental.linear_quantize_activations(
            model,
            compress.OptimizationConfig(global_config=scheme),
            [{"input": np.zeros((1, 1, 8, 8), np.float32)}],
        )
