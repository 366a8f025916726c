"""Every format at every precision: what is written, loaded in its runtime, and answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from torch import Tensor

from paretomark.models.build import _artifact, _build
from paretomark.models.compress import _step
from paretomark.models.data import _data
from paretomark.models.export import tflite
from paretomark.models.nets import digits_cnn, scenes_mobilenet
from paretomark.suites.records import _store
from paretomark.suites.records._record import Record
from paretomark.suites.spec._model import Model, Recipe

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

SUITE = """
devices = ["litert:xnnpack", "onnxruntime:cpu", "pytorch:eager"]
blocks = 1
seconds = 0.02
foreign_load_cores = 99.0
[model.digits_cnn]
[recipe.fp32]
[recipe.fp16]
precision = "fp16"
[recipe.int8]
precision = "int8"
[recipe.tuned]
steps = [
    { method = "magnitude", sparsity = 0.5 },
    { method = "finetune", epochs = 1, lr = 0.001, count = 640 },
]
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Record]:
    """Records by recipe and runtime, of one visit each."""
    from paretomark import bench

    folder = tmp_path_factory.mktemp("export")
    (folder / "s.toml").write_text(SUITE)
    code = bench.main(["run", str(folder / "s.toml"), "--out", str(folder / "out"), "--json"])
    assert code == 0
    run = _store.read(folder / "out")
    return {(r.recipe, r.device.partition(":")[0]): r for r in run.records}


def artifact(recipe: str, form: str) -> _artifact.Artifact:
    """The cached artifact of a precision of digits_cnn."""
    order = _artifact.BuildSpec(
        Model(name="digits_cnn", net="digits_cnn"), Recipe(precision=recipe), form, 1, 1000, 0
    )
    built = _artifact.lookup(order)
    assert built is not None
    return built


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime", "pytorch"])
def test_float_files_answer_as_the_net_does(
    records: dict[tuple[str, str], Record], runtime: str
) -> None:
    for recipe, limit in (("fp32", 1e-3), ("fp16", 0.2), ("tuned", 1e-3)):
        record = records[recipe, runtime]
        assert record.status == "ok", (recipe, record.reason)
        assert record.parity_max_abs is not None
        assert record.parity_max_abs < limit, recipe
        assert record.outcomes.count("1") / record.examples > 0.93
    assert records["fp32", runtime].outcomes == records["fp32", "pytorch"].outcomes


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_int8_is_near_and_is_shown_to_differ(
    records: dict[tuple[str, str], Record], runtime: str
) -> None:
    record = records["int8", runtime]
    assert record.status == "ok"
    assert record.parity_top1 is not None
    assert record.parity_top1 > 0.97
    assert record.parity_mean_abs is not None
    assert record.parity_mean_abs > 1e-3


def test_what_a_device_does_not_run_is_a_record_with_a_reason(
    records: dict[tuple[str, str], Record],
) -> None:
    record = records["int8", "pytorch"]
    assert (record.status, record.stage) == ("unsupported", "plan")
    assert record.reason == "pytorch:eager runs fp32, fp16, bf16 only, not int8"


def test_the_delegate_took_the_operators(records: dict[tuple[str, str], Record]) -> None:
    for recipe in ("fp32", "int8"):
        placement = records[recipe, "litert"].placement
        assert placement["xnnpack"] > 5
        assert placement["xnnpack"] > placement["builtin"]


@pytest.mark.usefixtures("records")
def test_an_int8_tflite_file_holds_int8_inside_and_out() -> None:
    content = Path(artifact("int8", "tflite").file).read_bytes()
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)).subgraphs[0]
    ports = [graph.tensors[i] for i in (*graph.inputs, *graph.outputs)]
    assert {t.type for t in ports} == {schema.TensorType.INT8}
    assert not any(t.type == schema.TensorType.FLOAT32 for t in graph.tensors)
    scales = [len(t.quantization.scale) for t in graph.tensors if len(t.shape) == 4]
    assert max(scales) > 1  # per channel


@pytest.mark.usefixtures("records")
def test_an_int8_onnx_file_holds_int8_weights_per_channel() -> None:
    graph = onnx.load(artifact("int8", "onnx").file).graph
    weights = {t.name: t for t in graph.initializer if len(t.dims) == 4}
    assert weights
    assert {t.data_type for t in weights.values()} == {onnx.TensorProto.INT8}
    scales = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    readers = [n.input for n in graph.node if n.op_type == "DequantizeLinear"]
    used = {weight: scale for weight, scale, *_ in readers if weight in weights}
    assert used.keys() == weights.keys()
    assert all(scales[scale].size == weights[weight].dims[0] for weight, scale in used.items())


@pytest.mark.usefixtures("records")
@pytest.mark.parametrize("form", ["tflite", "onnx", "pt2"])
def test_fp16_halves_the_weights(form: str) -> None:
    dense, half = artifact("fp32", form), artifact("fp16", form)
    assert dense.parameters is not None
    assert 1.5 * dense.parameters < dense.bytes - half.bytes < 2.2 * dense.parameters


def test_an_artifact_knows_where_it_comes_from(
    records: dict[tuple[str, str], Record],
) -> None:
    lineage = json.loads(records["tuned", "onnxruntime"].lineage)
    assert [s["method"] for s in lineage["steps"]] == ["magnitude", "finetune"]
    assert lineage["versions"]["torch"] == torch.__version__
    assert len(lineage["parent"]["sha256"]) == 64


@pytest.mark.filterwarnings("ignore")
def test_tflite_ranges_do_not_depend_on_the_order_of_the_pictures(tmp_path: Path) -> None:
    """The quantizer's own calibration is a moving average, which cuts off what came early."""
    net = digits_cnn.net().eval()
    model = tmp_path / "model.tflite"
    rng = np.random.default_rng(0)
    pictures = rng.random((12, 1, 8, 8)).astype(np.float32)
    pictures[0] *= 20  # the only one with large values comes first
    tflite.export(net, torch.from_numpy(pictures[:1]), model)
    files = []
    for name, order in (("a", pictures), ("b", pictures[::-1])):
        tflite.quantize(model, tmp_path / name, "int8", np.ascontiguousarray(order))
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_weights_that_lie_channels_last_are_written_right(tmp_path: Path) -> None:
    """litert-torch writes such weights in the wrong order: the build must undo the layout."""
    order = _artifact.BuildSpec(
        Model(name="scenes_mobilenet", net="scenes_mobilenet"),
        Recipe(steps=({"method": "finetune", "epochs": 1, "lr": 1e-6, "count": 64},)),
        "tflite",
        1,
        50,
        0,
    )
    ctx = _step.Context("scenes", scenes_mobilenet.PREPROCESS, 0)
    tuned = _step.apply(scenes_mobilenet.net(), order.recipe.steps[0], ctx)
    assert any(  # so that this test does not pass for want of the trap
        p.ndim == 4 and not p.is_contiguous() for p in tuned.parameters()
    )
    built: list[object] = []
    result = _build.build([order], 300, lambda _, result: built.append(result))
    found = next(iter(result.values()))
    assert isinstance(found, _artifact.Artifact)
    assert built == [found]
    interpreter = Interpreter(found.file)
    interpreter.allocate_tensors()
    port = interpreter.get_input_details()[0]["index"]
    out = interpreter.get_output_details()[0]["index"]
    images = _data.normalise(scenes_mobilenet.PREPROCESS, np.load(found.images))
    answers = []
    for image in images:
        interpreter.set_tensor(port, image[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(out)[0])
    assert np.allclose(answers, np.load(found.reference), atol=1e-3)


class Both(torch.nn.Module):
    """Two convolutions of the same, one after the other in channels, then a padded pooling."""

    def __init__(self, relu: bool) -> None:
        super().__init__()
        self.one, self.two = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(3, 4, 3, padding=1)
        self.act = torch.nn.ReLU() if relu else torch.nn.Identity()
        self.pool = torch.nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.act(self.one(x)), self.act(self.two(x))], 1)
        pooled: Tensor = self.pool(both)
        return pooled


@pytest.mark.parametrize(("relu", "padding"), [(True, "PAD"), (False, "PADV2")])
def test_max_pooling_in_tflite_is_padded_by_0_only_where_that_is_the_same(
    relu: bool, padding: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net, images = Both(relu).eval(), torch.randn(1, 3, 10, 10) - 1
    tflite.export(net, images, tmp_path / "model.tflite")
    interpreter = Interpreter(str(tmp_path / "model.tflite"))
    interpreter.allocate_tensors()
    kinds = [node["op_name"] for node in interpreter._get_ops_details()]
    assert [kind for kind in kinds if kind.startswith("PAD")] == [padding]
    assert kinds.count("DELEGATE") == (1 if relu else 2)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], nhwc(images))
    interpreter.invoke()
    output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    with torch.no_grad():
        assert np.allclose(output, nhwc(net(images)), atol=1e-5)


def nhwc(images: Tensor) -> NDArray[np.float32]:
    pixels: NDArray[np.float32] = images.permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def test_a_build_that_dies_costs_its_own_order_only(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    """Weights of another net: this order fails, the next is built."""
    text = SUITE.replace("[model.digits_cnn]", "[model.digits_cnn]\n[model.odd]").replace(
        "[model.odd]",
        '[model.odd]\nnet = "digits_cnn"\nweights = "odd.safetensors"',
    )
    (tmp_path / "s.toml").write_text(text)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "odd.safetensors")
    arguments = ["--recipe", "fp32", "--device", "onnxruntime:cpu", "--out", tmp_path / "out"]
    result = call("run", tmp_path / "s.toml", *arguments)
    assert result.code == 1
    records = {r.model: r for r in _store.read(tmp_path / "out").records}
    assert records["digits_cnn"].status == "ok"
    assert (records["odd"].status, records["odd"].stage) == ("failed", "build")
    assert "odd.safetensors does not fit the net" in records["odd"].reason
