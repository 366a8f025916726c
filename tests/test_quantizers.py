"""What each tool chain's quantizer writes: precisions, options of static int8, and ranges."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from paretomark.devices._device import open_device
from paretomark.models.data import _data
from paretomark.models.export import _export, _options
from paretomark.models.nets import _zoo, digits_cnn, scenes_mobilenet
from paretomark.suites.spec._errors import UserError
from paretomark.tests import _needs

torch = pytest.importorskip("torch")
for package in ("onnxruntime", "openvino", "nncf", "ai_edge_quantizer", "executorch"):
    pytest.importorskip(package)
# The tool chains warn of each other's versions.
pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

TARGETS = {
    "onnx": "onnxruntime:cpu",
    "tflite": "litert:xnnpack",
    "xml": "openvino:cpu",
    "pte": "executorch:xnnpack",
}
WEIGHTS = 3776  # of digits_cnn in its layers, biases not counted
FLAT = ("onnx", "tflite", "xml")  # formats that show what they hold
Build = Callable[..., Path]
Pictures = NDArray[np.float32]


def trained() -> Any:
    from safetensors.torch import load_file
    from torch.fx.experimental.optimization import fuse

    net = digits_cnn.net().eval()
    net.load_state_dict(load_file(_zoo.weights("digits_cnn")))
    return fuse(net)


def pictures(split: _data.Split, count: int) -> Pictures:
    images = _data.load("digits", split, count, digits_cnn.PREPROCESS).images
    return np.ascontiguousarray(np.moveaxis(_data.normalise(digits_cnn.PREPROCESS, images), -1, 1))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """digits_cnn in a format and precision, each written once."""

    @cache
    def written(form: str, precision: str = "int8", **options: str) -> Path:
        out = tmp_path_factory.mktemp("built") / f"model.{form}"
        if precision == "fp32":
            _export.module(form).export(trained(), torch.zeros(1, 1, 8, 8), out)
        else:
            model, calibration = written(form, "fp32"), pictures("calibration", 100)
            _export.module(form).quantize(model, out, precision, calibration, **options)
        return out

    return written


def answers(form: str, file: Path, images: Pictures) -> Pictures:
    """What the file's runtime answers; maps in NCHW."""
    device, outputs = open_device(TARGETS[form]), []
    placement = device.load(file, 1)
    (port,), (answer,) = placement.inputs, placement.outputs
    for image in images[:, None]:
        ready = np.moveaxis(image, 1, -1) if form == "tflite" else image
        said = answer.decode(device.run([port.encode(ready)])[0])
        outputs.append(np.moveaxis(said, -1, 1) if form == "tflite" else said)
    return np.concatenate(outputs)


def agreement(form: str, file: Path) -> float:
    """How often the file's runtime has the same first class as the float32 net."""
    images = pictures("test", 200)
    exact = trained()(torch.from_numpy(images)).argmax(1).numpy()
    return float((answers(form, file, images).argmax(1) == exact).mean())


def layers(form: str, file: Path) -> list[tuple[int, int, int]]:
    """Of each layer the bits of a weight, how many weights there are, and how many scales."""
    types: list[tuple[int, int, int]] = []
    if form == "onnx":
        import onnx

        graph = onnx.load(file).graph
        constants = {w.name: w for w in graph.initializer}
        bits = {"INT8": 8, "UINT8": 8, "INT4": 4, "FLOAT": 32}
        for node in graph.node:
            # of ConvInteger and MatMulInteger the weights are second, and fourth a zero point
            inputs, unpacks = list(node.input), node.op_type == "DequantizeLinear"
            weight, scale = (
                constants.get(name) for name in [*(inputs if unpacks else inputs[1::2]), "", ""][:2]
            )
            kind = onnx.TensorProto.DataType.Name(weight.data_type) if weight else ""
            if weight and kind in bits and len(weight.dims) > 1:
                scales = int(np.prod(scale.dims)) if scale else 0
                types.append((bits[kind], int(np.prod(weight.dims)), scales))
    elif form == "tflite":
        for tensor, kind, _ in tflite_tensors(file, constant=True):
            if len(tensor.shape) > 1 and kind != "INT32":
                size = {"INT8": 8, "INT4": 4, "FLOAT32": 32}[kind]
                scales = 0 if tensor.quantization.scale is None else len(tensor.quantization.scale)
                types.append((size, int(np.prod(tensor.shape)), scales))
    else:
        import openvino

        for op in openvino.Core().read_model(file).get_ops():
            shape = op.get_output_shape(0) if op.get_type_name() == "Constant" else ()
            size = op.get_output_element_type(0).bitwidth if shape else 64
            if len(shape) > 1 and int(np.prod(shape)) > 64 and size < 64:
                (reader,) = op.output(0).get_target_inputs()
                (product,) = reader.get_node().output(0).get_target_inputs()
                scale = product.get_node().input_value(1)
                types.append((size, int(np.prod(shape)), int(np.prod(scale.get_shape()))))
    return types


def tflite_tensors(file: Path, constant: bool) -> list[tuple[Any, str, Any]]:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(file.read_bytes(), 0))
    kinds = {v: k for k, v in vars(schema.TensorType).items()}
    data = [(t, kinds[t.type], model.buffers[t.buffer].data) for t in model.subgraphs[0].tensors]
    return [t for t in data if (t[2] is not None and len(t[2]) > 0) == constant]


def activations(form: str, file: Path) -> list[tuple[float, float]]:
    """The ranges of a file's activations, in its order."""
    if form == "onnx":
        import onnx

        graph = onnx.load(file).graph
        constants = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
        ranges: list[tuple[float, float]] = []
        for node in graph.node:
            if node.op_type == "QuantizeLinear":
                scale, zero = (constants[name] for name in node.input[1:])
                limits, point = np.iinfo(zero.dtype), int(zero)
                ranges.append(
                    (float(scale) * (limits.min - point), float(scale) * (limits.max - point))
                )
        return ranges
    if form == "tflite":
        levels = [t.quantization for t, _, _ in tflite_tensors(file, constant=False)]
        pairs = [(float(q.scale[0]), int(q.zeroPoint[0])) for q in levels]
        return [(scale * (-128 - zero), scale * (127 - zero)) for scale, zero in pairs]
    import openvino

    ops = openvino.Core().read_model(file).get_ops()
    quantizers = [op for op in ops if op.get_type_name() == "FakeQuantize"]
    ends = [[op.input_value(i).get_node().data for i in (1, 2)] for op in quantizers]
    return [(float(low.min()), float(high.max())) for low, high in ends]


NAMED = {"int8-dynamic": (8, 0.97), "int8-weights": (8, 0.98), "int4-weights": (4, 0.9)}
OFFERED = [(f, p) for f in FLAT for p in _export.module(f).PRECISIONS if p in NAMED]


@pytest.mark.parametrize(("form", "precision"), OFFERED)
def test_a_precision_is_what_its_name_says_and_runs(
    build: Build, form: str, precision: str
) -> None:
    bits, least = NAMED[precision]
    held = layers(form, file := build(form, precision))
    assert sum(count for _, count, _ in held) == WEIGHTS
    assert max(size for size, _, _ in held) == 8 if form == "tflite" else bits
    assert min(size for size, _, _ in held) == bits
    assert agreement(form, file) > least


def test_most_weights_of_a_convolutional_net_are_int4_in_tflite(tmp_path: Path) -> None:
    """Depthwise convolutions stay int8; in larger nets than digits_cnn they are a small part."""
    tflite = _export.module("tflite")
    net = scenes_mobilenet.net().eval()
    tflite.export(net, torch.zeros(1, 3, 96, 96), tmp_path / "model.tflite")
    tflite.quantize(tmp_path / "model.tflite", tmp_path / "4", "int4-weights", np.empty(0))
    held = layers("tflite", tmp_path / "4")
    assert {size for size, _, _ in held} == {4, 8}
    assert sum(c for size, c, _ in held if size == 4) > 0.9 * sum(c for _, c, _ in held)


def test_dynamic_convolutions_compute_in_integers(build: Build) -> None:
    import onnx

    kinds = [n.op_type for n in onnx.load(build("onnx", "int8-dynamic")).graph.node]
    assert kinds.count("ConvInteger") == 5
    assert not {"Conv", "Gemm", "MatMul"} & set(kinds)


@pytest.mark.parametrize("form", FLAT)
def test_other_ranges_clip_what_min_max_keeps(build: Build, form: str) -> None:
    methods = [m for m in _export.module(form).OPTIONS["ranges"] if m != "minmax"]
    widest = activations(form, build(form, ranges="minmax"))
    assert len(widest) >= 7
    seen = {tuple(widest)}
    for method in methods:
        clipped = activations(form, file := build(form, ranges=method))
        assert tuple(clipped) not in seen, method
        seen.add(tuple(clipped))
        for (low, high), (lowest, highest) in zip(clipped, widest, strict=True):
            slack = 0.02 * (highest - lowest)
            assert lowest - slack <= low <= 0 < high <= highest + slack
        assert agreement(form, file) > 0.95, method
    assert len(seen) == len(methods) + 1


@pytest.mark.parametrize("form", FLAT)
def test_weights_have_a_scale_per_channel_or_per_tensor(build: Build, form: str) -> None:
    channels = [scales for _, _, scales in layers(form, build(form))]
    single = layers(form, file := build(form, weights="tensor"))
    assert sorted(channels) == [10, 16, 16, 32, 32, 64]
    assert [scales for _, _, scales in single] == [1] * 6
    assert agreement(form, file) > 0.95


@pytest.mark.parametrize("form", ["onnx", "tflite"])
def test_symmetric_activations_have_no_zero_point(build: Build, form: str) -> None:
    for symmetric in (False, True):
        options = {"activations": "symmetric"} if symmetric else {}
        ends = activations(form, file := build(form, **options))
        centred = [abs(low / high + 1) < 0.02 for low, high in ends]
        assert all(centred) if symmetric else not any(centred)
    if form == "onnx":
        _needs.exact_int8_products()
    assert agreement(form, file) > 0.97


def test_executorch_has_all_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What XNNPACK has taken is opaque: so the options are looked for in the graph it is given."""
    pte, graphs = _export.module("pte"), []
    lower, model, file = pte._lower, tmp_path / "model.pte", tmp_path / "int8.pte"
    monkeypatch.setattr(pte, "_lower", lambda program, _: graphs.append(program))
    pte.export(trained(), torch.zeros(1, 1, 8, 8), model)
    options = {"ranges": "mse", "weights": "tensor", "activations": "symmetric"}
    scales = []
    for more in ({}, options):
        pte.quantize(model, file, "int8", pictures("calibration", 100), **more)
        targets = [(str(n.target), n.args[1:3]) for n in graphs[-1].graph.nodes if len(n.args) > 2]
        inputs = [args for name, args in targets if ".quantize_per_tensor" in name]
        assert len(inputs) >= 7
        assert any(zero for _, zero in inputs) == (not more)
        assert any("dequantize_per_channel" in name for name, _ in targets) == (not more)
        scales.append([scale for scale, _ in inputs])
    # Symmetric, half the levels are lost to what is never negative; clipping wins some of it back.
    ratios = [b / a for a, b in zip(*scales, strict=True)]
    assert max(ratios) < 2.02
    assert min(ratios[:-1]) < 1.95
    lower(graphs[-1], file)
    assert agreement("pte", file) > 0.95


def test_core_ml_holds_int4_weights_per_channel(build: Build) -> None:
    ct = pytest.importorskip("coremltools")
    from coremltools.converters.mil.frontend.milproto import load

    model = ct.models.MLModel(str(build("mlpackage", "int4-weights")), skip_model_load=True)
    spec = model.get_spec()
    main = load.load(spec, spec.specificationVersion, model.weights_dir).functions["main"]
    packed = [o.weight.op for o in main.operations if o.op_type in ("conv", "linear")]
    true = [p.detach().numpy() for p in trained().parameters() if p.ndim > 1]
    assert sum(op.data.val.size for op in packed) == WEIGHTS
    for op, exact in zip(packed, true, strict=True):
        values, scale = op.data.val.astype(np.float32), op.scale.val.astype(np.float32)
        assert np.abs(values).max() <= 8
        assert scale.size == len(exact)
        assert (np.abs(values * scale - exact) <= 0.51 * scale + 1e-3).all()


def test_options_that_are_not_there_are_refused(build: Build, tmp_path: Path) -> None:
    quantize = _export.module("onnx").quantize
    model, none = build("onnx", "fp32"), np.empty(0, np.float32)
    with pytest.raises(UserError, match="did you mean 'percentile'"):
        quantize(model, tmp_path / "q", "int8", none, ranges="precentile")
    with pytest.raises(UserError, match="option of precision 'int8', and not of 'int8-dynamic'"):
        quantize(model, tmp_path / "q", "int8-dynamic", none, weights="tensor")
    with pytest.raises(UserError, match="valid: mean-minmax, minmax, mse, percentile"):
        _export.module("xml").quantize(model, tmp_path / "q", "int8", none, ranges="entropy")
    with pytest.raises(UserError, match="unknown option of quantization 'range'"):
        _options.check(_options.OPTIONS, "int8", range="mse")
