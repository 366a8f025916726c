"""Masks and keypoints through the runtimes: scored, compared with the float net, reported apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from paretomark.models.compress import _step
from paretomark.models.data import _data
from paretomark.models.export import _sparse_graph, tflite
from paretomark.models.nets import _zoo, scenes_segmenter
from paretomark.models.training import _train
from paretomark.reports import leaderboard, report
from paretomark.suites.records import _store, _summary
from paretomark.suites.records._record import Record
from paretomark.suites.records._store import Run
from paretomark.tests.test_train import shipped

pytestmark = pytest.mark.build

EXAMPLES = 60
SUITE = f"""
devices = ["litert:xnnpack", "onnxruntime:cpu", "openvino:cpu", "executorch:xnnpack"]
blocks = 1
seconds = 0.02
examples = {EXAMPLES}
foreign_load_cores = 99.0
[model.scenes_segmenter]
[model.scenes_landmarks_slim]
devices = ["litert:xnnpack"]
recipes = ["fp32", "int8"]
[recipe.fp32]
[recipe.int8]
precision = "int8"
devices = ["litert:xnnpack"]
[recipe.sparse]
steps = [{{ method = "magnitude", sparsity = 0.8 }}]
storage = "sparse"
devices = ["litert:xnnpack"]
"""
FLOAT = [
    ("scenes_segmenter", "litert:xnnpack"),
    ("scenes_segmenter", "onnxruntime:cpu"),
    ("scenes_segmenter", "openvino:cpu"),
    ("scenes_segmenter", "executorch:xnnpack"),
    ("scenes_landmarks_slim", "litert:xnnpack"),
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    from paretomark import bench

    folder = tmp_path_factory.mktemp("dense")
    (folder / "s.toml").write_text(SUITE)
    bench.main(["run", str(folder / "s.toml"), "--out", str(folder / "out"), "--json"])
    return _store.read(folder / "out")


@pytest.fixture(scope="module")
def records(measured: Run) -> dict[tuple[str, str, str], Record]:
    """By model, recipe and device."""
    return {(r.model, r.recipe, r.device): r for r in measured.records}


@pytest.mark.parametrize(("model", "device"), FLOAT)
def test_a_float_file_scores_as_the_net_does(
    records: dict[tuple[str, str, str], Record], model: str, device: str
) -> None:
    record = records[model, "fp32", device]
    assert record.status == "ok", record.reason
    task = _zoo.task(model)
    test = _data.load("scenes", "test", EXAMPLES, None, task)
    net, preprocess = shipped(model), scenes_segmenter.PREPROCESS
    score = _train.accuracy(net, test.images, test.labels, preprocess, task)
    assert record.task == task
    assert len(record.scores) == record.examples == EXAMPLES
    assert np.mean(record.scores) == pytest.approx(score, abs=1e-3)
    assert record.parity_max_abs is not None
    assert record.parity_max_abs < 1e-2
    if task == "segmentation":
        assert record.parity_top1 == pytest.approx(1, abs=1e-4)
        assert record.measures["pooled_iou"] == pytest.approx(score, abs=0.1)
    else:
        assert record.parity_top1 is None
        assert 0 < record.measures["keypoint_error"] < 0.2


def test_int8_is_near_and_is_shown_to_differ(
    records: dict[tuple[str, str, str], Record],
) -> None:
    for model in ("scenes_segmenter", "scenes_landmarks_slim"):
        exact, near = (records[model, r, "litert:xnnpack"] for r in ("fp32", "int8"))
        assert near.status == "ok", near.reason
        assert near.scores != exact.scores
        assert np.mean(near.scores) == pytest.approx(np.mean(exact.scores), abs=0.03)
        assert near.parity_mean_abs is not None
        assert near.parity_mean_abs > 1e-4


def test_the_segmenter_is_stored_sparse_and_runs_sparse_where_xnnpack_can(
    records: dict[tuple[str, str, str], Record],
) -> None:
    record = records["scenes_segmenter", "sparse", "litert:xnnpack"]
    assert record.status == "ok", record.reason
    assert record.sparse_path.startswith("sparse: ")
    dense = records["scenes_segmenter", "fp32", "litert:xnnpack"]
    assert record.artifact_bytes is not None
    assert dense.artifact_bytes is not None
    assert record.artifact_bytes < 0.6 * dense.artifact_bytes


def test_tasks_share_no_front_no_plot_and_no_name(measured: Run, tmp_path: Path) -> None:
    summary = _summary.summarise(measured)
    rows = summary.rows
    assert {(r.task, r.metric) for r in rows} == {
        ("segmentation", "mean IoU"),
        ("keypoints", "PCK"),
    }
    for one in rows:
        for other in rows:
            assert (one.group == other.group) <= (one.task == other.task)
    names = {path.name for path in report.write(summary, tmp_path / "page")}
    assert {"pareto_scenes-segmentation.svg", "pareto_scenes-keypoints.svg"} <= names
    text = (tmp_path / "page" / "index.html").read_text()
    assert "Mean IoU over latency" in text
    assert "PCK over latency" in text
    assert "accuracy (top-1)" not in text
    leaderboard.write([summary], tmp_path / "board")
    board = (tmp_path / "board" / "index.html").read_text()
    assert "scenes, segmentation" in board
    assert "scenes, keypoints" in board


def test_differences_are_paired_picture_by_picture(measured: Run) -> None:
    rows = {(r.model, r.recipe, r.device): r for r in _summary.summarise(measured).rows}
    row = rows["scenes_segmenter", "int8", "litert:xnnpack"]
    assert row.delta is not None
    assert row.delta_low is not None
    assert row.delta_high is not None
    assert row.accuracy_low is not None
    assert row.accuracy_high is not None
    width = row.delta_high - row.delta_low
    assert 0 < width < (row.accuracy_high - row.accuracy_low) / 2  # pictures differ, nets hardly


def test_pruning_and_tuning_a_segmenter_keeps_its_zeros_and_teaches_it() -> None:
    ctx = _step.Context("scenes", scenes_segmenter.PREPROCESS, 0, "segmentation")
    test = _data.load("scenes", "test", 40, None, "segmentation")

    def score(net: nn.Module) -> float:
        return _train.accuracy(net, test.images, test.labels, ctx.preprocess, "segmentation")

    pruned = _step.apply(shipped("scenes_segmenter"), {"method": "magnitude", "sparsity": 0.8}, ctx)
    tuning = {"count": 256, "batch": 32, "lr": 0.02, "augment": ["flip", "crop"]}
    taught = {**tuning, "teacher": "scenes_segmenter", "method": "finetune"}
    tuned = _step.apply(pruned, taught, ctx)
    zeros = {n: p == 0 for n, p in pruned.named_parameters() if p.ndim > 1}
    assert sum(int(z.sum()) for z in zeros.values()) > 60_000
    assert all((dict(tuned.named_parameters())[n] == 0)[z].all() for n, z in zeros.items())
    assert score(tuned) > score(pruned) + 0.05


class Shuffled(nn.Module):
    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, 2, 1)
        self.head = nn.Conv2d(8, classes * side**2, 1)
        self.shuffle = nn.PixelShuffle(side)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.shuffle(self.head(self.body(x)))
        return out


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("classes", "side"), [(1, 2), (1, 4), (2, 2)])
def test_a_shuffle_of_pixels_is_one_operator_and_computes_the_same(
    classes: int, side: int, tmp_path: Path
) -> None:
    """With more than one class the orders of channels differ, and the chain must stay."""
    from ai_edge_litert.interpreter import Interpreter

    torch.manual_seed(0)
    net, x = Shuffled(classes, side).eval(), torch.randn(1, 3, 16, 24)
    tflite.export(net, x, tmp_path / "m.tflite")
    graph = _sparse_graph.graph(_sparse_graph.load(tmp_path / "m.tflite"))
    kinds = [node.kind for node in graph.nodes]
    assert ("DEPTH_TO_SPACE" in kinds) == (classes == 1)
    assert ("TRANSPOSE" in kinds) == (classes == 2)
    runner = Interpreter(str(tmp_path / "m.tflite"))
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], x.permute(0, 2, 3, 1).numpy())
    runner.invoke()
    output = runner.get_tensor(runner.get_output_details()[0]["index"])
    with torch.no_grad():
        expected = net(x).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(output, expected, atol=1e-5)
    assert not np.allclose(output, expected[:, ::-1], atol=1e-2)
