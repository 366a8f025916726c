"""Sparse, dense or unsafe: what a TFLite file alone tells of XNNPACK's sparse inference.

The same constructions run on an emulated AArch64 in test_emulated.py.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paretomark.models.export import _sparse_check, _sparse_graph, _sparse_tflite, tflite
from paretomark.models.export._sparse_check import Verdict
from paretomark.suites.spec._errors import UserError
from paretomark.tests._tflite_nets import Net

ZEROS = 0.85


def body(net: Net, zeros: float = ZEROS) -> Net:
    """What may lie in a chain, with enough zeros."""
    return net.depthwise().conv(32, zeros=zeros).depthwise().conv(32, zeros=zeros)


def head(net: Net) -> Net:
    """A mean, and a classifier of its own."""
    return net.conv(48, zeros=ZEROS).mean().reshape((1, 48)).dense(10)


def stored(net: Net, folder: Path) -> Path:
    """The net, stored sparse whatever the verdict is."""
    file = net.save(folder / "dense.tflite")
    model = _sparse_graph.load(file)
    _sparse_tflite.leave_out_zeros(model)
    _sparse_tflite.write(model, folder / "sparse.tflite")
    return folder / "sparse.tflite"


def judged(net: Net, folder: Path) -> Verdict:
    return _sparse_check.verdict(stored(net, folder))


def test_a_chain_from_the_first_convolution_to_the_mean_runs_sparse(tmp_path: Path) -> None:
    verdict = judged(head(body(Net().stem())), tmp_path)
    assert (verdict.kind, verdict.operator) == ("sparse", "")
    assert verdict.sparsity == pytest.approx(ZEROS, abs=0.01)


@pytest.mark.parametrize("kind", ["HARD_SWISH", "LOGISTIC", "RELU6", "LEAKY_RELU"])
def test_unary_operators_may_lie_in_a_chain(tmp_path: Path, kind: str) -> None:
    assert judged(head(body(Net().stem()).unary(kind)), tmp_path).kind == "sparse"


def test_sums_and_5x5_depthwise_convolutions_may_lie_in_a_chain(tmp_path: Path) -> None:
    net = body(Net().stem())
    before = net.at
    net = net.depthwise(5).conv(32, zeros=ZEROS).add(before).pad((2, 2)).depthwise(5, 2, same=False)
    assert judged(head(net), tmp_path).kind == "sparse"


@pytest.mark.parametrize(
    ("net", "operator", "reason"),
    [
        (
            Net().stem(stride=1),
            "CONV_2D 1",
            "3x3 convolution with stride 1 on 3 channels, padded (1, 1",
        ),
        (Net().stem(kernel=5), "CONV_2D 1", "5x5 convolution with stride 2"),
        (Net(channels=1).stem(), "CONV_2D 1", "on 1 channels"),
        (Net().conv(16, 3, 2), "CONV_2D 0", "padded by TensorFlow's SAME, and not"),
    ],
)
def test_without_its_first_convolution_there_is_no_chain(
    tmp_path: Path, net: Net, operator: str, reason: str
) -> None:
    """The last one is padded by TensorFlow's SAME, which is not symmetric under a stride."""
    verdict = judged(head(body(net)), tmp_path)
    assert (verdict.kind, verdict.operator) == ("dense", operator)
    assert reason in verdict.reason
    assert verdict.sparsity == pytest.approx(ZEROS, abs=0.01)


def test_without_a_mean_at_its_end_a_chain_is_dense(tmp_path: Path) -> None:
    verdict = judged(body(Net().stem()).reshape((1, 12 * 12 * 32)), tmp_path)
    assert (verdict.kind, verdict.operator) == ("dense", "RESHAPE 6")


@pytest.mark.parametrize(("zeros", "kind"), [(0.6, "dense"), (0.7, "sparse")])
def test_over_two_thirds_of_the_weights_of_a_cluster_must_be_zeros(
    tmp_path: Path, zeros: float, kind: str
) -> None:
    net = body(Net().stem(), zeros).conv(48, zeros=zeros).mean().reshape((1, 48)).dense(10)
    verdict = judged(net, tmp_path)
    assert verdict.kind == kind
    assert verdict.sparsity == pytest.approx(zeros, abs=0.01)
    assert kind == "sparse" or "60.0 % of the 1x1 weights" in verdict.reason


def test_a_classifier_that_hangs_on_the_mean_would_be_counted(tmp_path: Path) -> None:
    """48 x 200 dense weights, against 3072 of which 85 % are zeros."""
    file = body(Net().stem()).conv(48, zeros=ZEROS).mean().dense(200).save(tmp_path / "m.tflite")
    model = _sparse_graph.load(file)
    for number in _sparse_tflite.filters(model):
        _sparse_tflite.store(model, number)
    hanging = _sparse_check.judge(_sparse_graph.graph(model))
    assert hanging.kind == "dense"
    assert "% of the 1x1 weights are zeros" in hanging.reason
    tflite.sparsify(file, tmp_path / "parted.tflite")
    assert _sparse_check.verdict(tmp_path / "parted.tflite").kind == "sparse"


@pytest.mark.parametrize(
    ("name", "operator"),
    [
        ("dense 3x3", "CONV_2D 6"),
        ("1x1 with a stride", "CONV_2D 6"),
        ("asymmetric depthwise", "DEPTHWISE_CONV_2D 7"),
        ("7x7 depthwise", "DEPTHWISE_CONV_2D 6"),
    ],
)
def test_a_chain_that_is_interrupted_before_another_one_is_unsafe(
    tmp_path: Path, name: str, operator: str
) -> None:
    verdict = judged(interrupted(name), tmp_path)
    assert (verdict.kind, verdict.operator) == ("unsafe", operator)
    assert "but gets NCHW from" in verdict.reason


def interrupted(name: str) -> Net:
    """A legal beginning, what interrupts it, and a legal end."""
    net = body(Net().stem())
    if name == "dense 3x3":
        net = net.conv(32, 3)
    elif name == "1x1 with a stride":
        net = net.conv(32, 1, 2)
    elif name == "asymmetric depthwise":
        net = net.pad((0, 1)).depthwise(3, 2, same=False)
    else:
        net = net.depthwise(7)
    return head(net)


def test_an_interrupted_chain_is_safe_if_it_has_few_zeros(tmp_path: Path) -> None:
    net = head(body(Net().stem(), zeros=0.5).conv(32, 3))
    assert judged(net, tmp_path).kind == "dense"


def test_an_output_taken_out_of_a_chain_is_unsafe(tmp_path: Path) -> None:
    net = body(Net().stem())
    middle = net.at
    net.conv(8, zeros=ZEROS).output()
    net.at = middle
    verdict = judged(head(net), tmp_path)
    assert verdict.kind == "unsafe"
    assert "output of the graph" in verdict.reason


def test_a_mean_over_other_axes_is_unsafe(tmp_path: Path) -> None:
    net = (
        body(Net().stem()).mean((1,), keep=True).conv(48, zeros=ZEROS).mean((1, 2)).reshape((1, 48))
    )
    verdict = judged(net, tmp_path)
    assert (verdict.kind, verdict.operator) == ("unsafe", "MEAN 6")


@pytest.mark.parametrize(
    ("name", "operator"),
    [("nothing", "MEAN 6"), ("1x1", ""), ("RELU", ""), ("1x1, reshape", "RESHAPE 8")],
)
def test_only_a_reshape_may_follow_a_mean_that_keeps_its_axes(
    tmp_path: Path, name: str, operator: str
) -> None:
    """XNNPACK mixes their order up: the answer gets another shape, or the file does not load."""
    net = body(Net().stem()).mean(keep=True)
    if name == "RELU":
        net = net.unary(name)
    elif name != "nothing":
        net = net.conv(8, zeros=ZEROS)
    if "reshape" in name:
        net = net.reshape((1, 8))
    verdict = judged(net, tmp_path)
    assert (verdict.kind, verdict.operator) == ("unsafe", operator)
    good = body(Net().stem()).mean(keep=True).reshape((1, 32)).dense(8)
    assert judged(good, tmp_path).kind == "sparse"


def test_squeeze_and_excitation_may_lie_in_a_chain(tmp_path: Path) -> None:
    net = body(Net().stem())
    before = net.at
    net = net.mean(keep=True).conv(8).conv(32).unary("LOGISTIC").multiply(before)
    assert judged(head(net), tmp_path).kind == "sparse"


def test_a_file_that_is_stored_dense_is_dense(tmp_path: Path) -> None:
    file = head(body(Net().stem())).save(tmp_path / "m.tflite")
    verdict = _sparse_check.verdict(file)
    assert (verdict.kind, verdict.operator) == ("dense", "")
    assert "no filter is stored sparse" in verdict.reason


@pytest.mark.parametrize(
    ("name", "sparsity"),
    [
        ("face_detection_full_range_sparse", 0.7),
        ("hand_landmark_sparse_2021-02", 0.8),
    ],
)
def test_published_sparse_files_are_read(real_data: Path, name: str, sparsity: float) -> None:
    """One ends in DEPTH_TO_SPACE, the other in MEAN."""
    file = real_data / "tflite" / f"{name}.tflite"
    if not file.exists():
        pytest.skip(f"no {file.name} in the real data")
    graph = _sparse_graph.graph(_sparse_graph.load(file))
    pointwise = [n.filter for n in graph.nodes if n.filter and n.is_pointwise]
    sparse = [f for f in pointwise if f.is_stored_sparse]
    assert len(sparse) > 0.8 * len(pointwise)
    for weights in sparse:
        assert weights.zeros / weights.weights == pytest.approx(sparsity, abs=0.02)
    assert _sparse_check.judge(graph).kind == "sparse"


def test_what_is_no_tflite_file_is_named(tmp_path: Path) -> None:
    file = head(body(Net().stem())).save(tmp_path / "m.tflite")
    content = file.read_bytes()
    for name, bad in {"text": b"no model at all", "cut": content[: len(content) // 2]}.items():
        (tmp_path / name).write_bytes(bad)
        with pytest.raises(UserError, match=name):
            _sparse_check.verdict(tmp_path / name)
    with pytest.raises(UserError, match="gone"):
        _sparse_check.verdict(tmp_path / "gone.tflite")


def test_a_verdict_needs_neither_torch_nor_a_runtime(tmp_path: Path) -> None:
    file = stored(head(body(Net().stem())), tmp_path)
    script = (
        "import sys; from pathlib import Path; from paretomark.models.export import _sparse_check;"
        f"print(_sparse_check.verdict(Path({str(file)!r})).kind);"
        "assert not {'torch', 'ai_edge_litert.interpreter'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "sparse\n"), done.stderr
