"""TFLite files stored sparse: the same answers from fewer bytes, built or one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from paretomark.devices._device import open_device
from paretomark.models.build import _artifact, _build
from paretomark.models.export import (
    _sparse_check,
    _sparse_graph,
    _sparse_tflite,
    _tflite_model,
    tflite,
)
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Model, Recipe
from paretomark.tests._tflite_nets import Net

pytestmark = pytest.mark.build

PRECISIONS = ("fp32", "fp16", "int8")
STEPS = ({"method": "magnitude", "sparsity": 0.9},)


def order(precision: str, storage: str) -> _artifact.BuildSpec:
    recipe = Recipe(steps=STEPS, precision=precision, storage=storage)
    model = Model(name="scenes_mobilenet", net="scenes_mobilenet")
    return _artifact.BuildSpec(model, recipe, "tflite", 1, 20, 0)


@pytest.fixture(scope="module")
def files() -> dict[tuple[str, str], Path]:
    """The pruned net by precision and storage, as the build makes it."""
    specs = {(p, s): order(p, s) for p in PRECISIONS for s in ("dense", "sparse")}
    results = _build.build(list(specs.values()), 300, lambda *_: None)
    files_by_cell = {}
    for key, wish in specs.items():
        artifact = results[_build.key(wish)]
        assert isinstance(artifact, _artifact.Artifact), artifact
        files_by_cell[key] = Path(artifact.file)
    return files_by_cell


def answers(file: Path, variant: str = "xnnpack") -> list[NDArray[Any]]:
    """What a file says to three noisy pictures."""
    device = open_device(f"litert:{variant}")
    device.probe()
    (port,) = device.load(file, 1).inputs
    rng = np.random.default_rng(0)
    pictures = [rng.standard_normal(port.shape).astype(np.float32) for _ in range(3)]
    return [device.run([port.encode(picture)])[0] for picture in pictures]


def graph(file: Path) -> Any:
    return _sparse_graph.load(file).subgraphs[0]


@pytest.mark.parametrize("variant", ["xnnpack", "reference"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_answers_stay_to_the_last_bit(
    files: dict[tuple[str, str], Path], precision: str, variant: str
) -> None:
    before = answers(files[precision, "dense"], variant)
    after = answers(files[precision, "sparse"], variant)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert not np.array_equal(before[0], before[1])


@pytest.mark.parametrize(("precision", "share"), [("fp32", 0.4), ("fp16", 0.5), ("int8", 0.85)])
def test_files_get_smaller(
    files: dict[tuple[str, str], Path], precision: str, share: float
) -> None:
    dense, sparse = (files[precision, s].stat().st_size for s in ("dense", "sparse"))
    assert sparse < share * dense


def test_the_verdict_tells_floating_point_from_integers(
    files: dict[tuple[str, str], Path],
) -> None:
    verdicts = {p: _sparse_check.verdict(files[p, "sparse"]) for p in PRECISIONS}
    assert [verdicts[p].kind for p in PRECISIONS] == ["sparse", "sparse", "dense"]
    assert verdicts["int8"].reason == "it does not compute in floating point"
    assert all(v.sparsity == verdicts["fp32"].sparsity > 0.9 for v in verdicts.values())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_zero_of_a_1x1_convolution_is_left_out(
    files: dict[tuple[str, str], Path], precision: str
) -> None:
    nodes = _sparse_graph.graph(_sparse_graph.load(files[precision, "sparse"])).nodes
    pointwise = [n.filter for n in nodes if n.filter and n.is_pointwise]
    assert len(pointwise) == 6
    assert all(f.is_stored_sparse for f in pointwise if f.zeros > f.weights / 2)
    model = _sparse_graph.load(files[precision, "sparse"])
    for tensor in model.subgraphs[0].tensors:
        if tensor.sparsity is None:
            continue
        numbers = _tflite_model.stored(model, tensor)
        assert numbers is not None
        assert numbers.all()
        *dense, rows = tensor.sparsity.dimMetadata
        assert [d.denseSize for d in dense] == [tensor.shape[0], 1, 1]
        assert rows.format == schema.DimensionType.SPARSE_CSR
        assert len(rows.arraySegments.values) == tensor.shape[0] + 1
        assert len(rows.arrayIndices.values) == rows.arraySegments.values[-1] == numbers.size
        assert rows.arrayIndicesType == schema.SparseIndexVector.Uint8Vector


@pytest.mark.filterwarnings("ignore")
def test_int8_weights_alone_are_stored_sparse_and_int8_on_the_fly_is_refused(
    files: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    dense, sparse = tmp_path / "dense.tflite", tmp_path / "sparse.tflite"
    tflite.quantize(files["fp32", "dense"], dense, "int8-weights", np.empty(0, np.float32))
    tflite.sparsify(dense, sparse)
    assert sparse.stat().st_size < 0.8 * dense.stat().st_size
    assert _sparse_check.verdict(sparse).kind == "sparse"
    assert all(np.array_equal(a, b) for a, b in zip(answers(dense), answers(sparse), strict=True))
    tflite.quantize(files["fp32", "dense"], dense, "int8-dynamic", np.empty(0, np.float32))
    with pytest.raises(UserError, match="LiteRT does not load it; take another precision"):
        tflite.sparsify(dense, sparse)


def test_positions_take_the_smallest_type_that_holds_them(tmp_path: Path) -> None:
    """300 columns need 16 bits; 65 536 nonzeros 32 for the starts of the rows."""
    net = Net(size=4).stem(300).conv(600, zeros=0.6)
    tflite.sparsify(net.save(tmp_path / "m.tflite"), tmp_path / "s.tflite")
    (rows,) = (
        t.sparsity.dimMetadata[3] for t in graph(tmp_path / "s.tflite").tensors if t.sparsity
    )
    assert rows.arrayIndicesType == schema.SparseIndexVector.Uint16Vector
    assert rows.arraySegmentsType == schema.SparseIndexVector.Int32Vector
    assert rows.arraySegments.values[-1] == 72_000
    before, after = (answers(tmp_path / name) for name in ("m.tflite", "s.tflite"))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_filter_without_any_weight_keeps_one_zero_and_stops_nothing(tmp_path: Path) -> None:
    net = Net().stem().conv(32, zeros=1.0).conv(32, zeros=0.9).mean().reshape((1, 32))
    assert tflite.sparsify(net.save(tmp_path / "m.tflite"), tmp_path / "s.tflite") == (
        "sparse: 3 operators run in NCHW"
    )
    before, after = (answers(tmp_path / name) for name in ("m.tflite", "s.tflite"))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_filters_that_would_grow_stay_dense(tmp_path: Path) -> None:
    """A tenth of zeros saves less than their positions cost; without any gain nothing changes."""
    net = Net().stem().conv(32, zeros=0.1).conv(32, zeros=0.9).mean().reshape((1, 32))
    tflite.sparsify(net.save(tmp_path / "m.tflite"), tmp_path / "s.tflite")
    assert [t.sparsity is not None for t in graph(tmp_path / "s.tflite").tensors].count(True) == 1
    few = Net().stem().conv(32, zeros=0.1).mean().dense(10).save(tmp_path / "few.tflite")
    tflite.sparsify(few, tmp_path / "same.tflite")
    assert (tmp_path / "same.tflite").read_bytes() == few.read_bytes()


def test_types_that_cannot_be_restored_stay_dense(real_data: Path, tmp_path: Path) -> None:
    """8 bits without a sign, whose zero is not stored as 0."""
    file = real_data / "tflite" / "mobilenet_v1_0.25_128_quant.tflite"
    if not file.exists():
        pytest.skip(f"no {file.name} in the real data")
    tflite.sparsify(file, tmp_path / "same.tflite")
    assert (tmp_path / "same.tflite").read_bytes() == file.read_bytes()


def test_a_mean_and_its_classifier_are_parted_once(tmp_path: Path) -> None:
    """And squeeze-and-excitation, whose mean goes elsewhere, is left alone."""
    file = Net().stem().conv(32, zeros=0.9).mean().dense(10).save(tmp_path / "m.tflite")
    tflite.sparsify(file, tmp_path / "once.tflite")
    tflite.sparsify(tmp_path / "once.tflite", tmp_path / "twice.tflite")
    for name in ("once", "twice"):
        model = _sparse_graph.load(tmp_path / f"{name}.tflite")
        kinds = [_tflite_model.kind(model, o) for o in model.subgraphs[0].operators]
        assert kinds == [
            "DENSIFY",
            "PAD",
            "CONV_2D",
            "CONV_2D",
            "MEAN",
            "RESHAPE",
            "FULLY_CONNECTED",
        ]


def test_metadata_that_allows_less_precision_is_dropped(tmp_path: Path) -> None:
    file = Net().stem().conv(32, zeros=0.9).mean().save(tmp_path / "m.tflite")
    model = _sparse_graph.load(file)
    model.buffers.append(schema.BufferT(data=np.frombuffer(b"fp16accfp32", np.uint8)))
    for name in (b"reduced_precision_support", b"author"):
        model.metadata = [*(model.metadata or []), schema.MetadataT(name, len(model.buffers) - 1)]
    _sparse_tflite.write(model, file)
    tflite.sparsify(file, tmp_path / "s.tflite")
    assert [m.name for m in _sparse_graph.load(tmp_path / "s.tflite").metadata] == [b"author"]


def test_constants_lie_where_the_schema_wants_them(tmp_path: Path) -> None:
    file = Net().stem().conv(32, zeros=0.9).conv(8).mean().save(tmp_path / "m.tflite")
    tflite.sparsify(file, tmp_path / "s.tflite")
    content = (tmp_path / "s.tflite").read_bytes()
    whole = np.frombuffer(content, np.uint8)
    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i).DataAsNumpy() for i in range(model.BuffersLength())]
    starts = [d.ctypes.data - whole.ctypes.data for d in buffers if isinstance(d, np.ndarray)]
    assert len(starts) > 5
    assert all(start % 16 == 0 for start in starts)


def test_what_would_be_unsafe_is_refused_and_not_written(tmp_path: Path) -> None:
    net = Net().stem().depthwise().conv(32, zeros=0.9).conv(32, 3).conv(48, zeros=0.9).mean()
    file = net.save(tmp_path / "m.tflite")
    with pytest.raises(UserError, match="wrong answers on AArch64") as caught:
        tflite.sparsify(file, tmp_path / "s.tflite")
    assert "because of CONV_2D 4: it is a 3x3 convolution" in str(caught.value)
    assert "store it dense, or change the net" in str(caught.value)
    assert not (tmp_path / "s.tflite").exists()


def behind(file: Path, out: Path) -> Path:
    """The same model with its large constants behind the flatbuffer, as in larger files."""
    model = schema.ModelT.InitFromPackedBuf(file.read_bytes())
    moved = [b for b in model.buffers if b.data is not None and len(b.data) >= 64]
    parts = [bytes(buffer.data) for buffer in moved]
    for buffer in moved:
        buffer.data, buffer.offset, buffer.size = None, 1, 1
    at = len(packed(model)) + 15 & ~15  # offsets take the same room whatever they are
    for buffer, part in zip(moved, parts, strict=True):
        buffer.offset, buffer.size = at, len(part)
        at = at + len(part) + 15 & ~15
    data = bytearray(packed(model))
    for buffer, part in zip(moved, parts, strict=True):
        data += bytes(buffer.offset - len(data)) + part
    out.write_bytes(data)
    return out


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_constants_behind_the_flatbuffer_are_found(tmp_path: Path) -> None:
    net = Net().stem().depthwise().conv(32, zeros=0.9).depthwise().conv(32, zeros=0.9)
    inside = net.mean(keep=True).reshape((1, 32)).save(tmp_path / "inside.tflite")
    outside = behind(inside, tmp_path / "outside.tflite")
    assert tflite.zeros(outside) == tflite.zeros(inside)
    for file in (inside, outside):
        _sparse_tflite.sparsify(file, file.with_suffix(".sparse"))
    assert inside.with_suffix(".sparse").read_bytes() == outside.with_suffix(".sparse").read_bytes()
    assert inside.with_suffix(".sparse").stat().st_size < inside.stat().st_size
    for before, after in zip(
        answers(outside), answers(outside.with_suffix(".sparse")), strict=True
    ):
        assert np.array_equal(before, after)
    outside.write_bytes(outside.read_bytes()[:-64])
    with pytest.raises(UserError, match="damaged TFLite file"):
        _sparse_graph.load(outside)
