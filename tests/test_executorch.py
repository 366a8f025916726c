"""ExecuTorch: .pte files as the build writes them, through the runtime that loads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from paretomark.devices._device import Device, Placement, open_device
from paretomark.models.build import _artifact
from paretomark.models.export import pte
from paretomark.models.nets import _zoo, digits_cnn
from paretomark.suites.records import _store
from paretomark.suites.records._record import Record
from paretomark.suites.spec._model import Model, Recipe

pytest.importorskip("executorch", reason="executorch is not installed")
# Its modules warn when they are imported: of what is experimental, and of files for CUDA.
pytestmark = [pytest.mark.build, pytest.mark.filterwarnings("ignore")]

SUITE = """
devices = ["executorch:xnnpack"]
blocks = 1
seconds = 0.02
foreign_load_cores = 99.0
[model.digits_cnn]
[recipe.fp32]
[recipe.int8]
precision = "int8"
[recipe.fp16]
precision = "fp16"
"""

# Run as a process of its own, for the pool of threads belongs to the process.
WORK = """
import json, sys, time
from pathlib import Path
import numpy as np
from paretomark.devices._device import open_device

device = open_device("executorch:xnnpack")
device.probe()
answer = {}
for threads in (1, 2):
    placement = device.load(Path(sys.argv[1]), threads)
    (port,) = placement.inputs
    image = np.random.default_rng(0).standard_normal(port.shape).astype(port.dtype)

    def used():
        tasks = Path("/proc/self/task")
        lines = {task.name: (task / "stat").read_text() for task in tasks.iterdir()}
        return {t: sum(map(int, s.rpartition(")")[2].split()[11:13])) for t, s in lines.items()}

    device.run([image])
    before, end = used(), time.perf_counter() + 1.0
    while time.perf_counter() < end:
        device.run([image])
    answer[threads] = sorted(ticks - before.get(t, 0) for t, ticks in used().items())[::-1]
Path(sys.argv[2]).write_text(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """Records by recipe, of one visit each."""
    from paretomark import bench

    folder = tmp_path_factory.mktemp("executorch")
    (folder / "s.toml").write_text(SUITE)
    code = bench.main(["run", str(folder / "s.toml"), "--out", str(folder / "out"), "--json"])
    run = _store.read(folder / "out")
    assert code == 0, [r.reason for r in run.records]
    return {r.recipe: r for r in run.records}


def artifact(precision: str) -> _artifact.Artifact:
    order = _artifact.BuildSpec(
        Model(name="digits_cnn", net="digits_cnn"), Recipe(precision=precision), "pte", 1, 1000, 0
    )
    found = _artifact.lookup(order)
    assert found is not None
    return found


def test_the_float_file_answers_as_the_net_does(records: dict[str, Record]) -> None:
    """The digits have one channel, which is where strides mislead ExecuTorch."""
    record = records["fp32"]
    assert record.status == "ok", record.reason
    assert record.parity_max_abs is not None
    assert record.parity_max_abs < 1e-3
    assert record.parity_top1 == 1


def test_int8_is_near_is_smaller_and_is_shown_to_differ(records: dict[str, Record]) -> None:
    dense, record = records["fp32"], records["int8"]
    assert record.status == "ok", record.reason
    assert record.parity_top1 is not None
    assert record.parity_top1 > 0.97
    assert record.parity_mean_abs is not None
    assert record.parity_mean_abs > 1e-3
    assert record.artifact_bytes is not None
    assert dense.artifact_bytes is not None
    assert record.artifact_bytes < 0.9 * dense.artifact_bytes


def test_the_bytes_are_those_of_the_file_that_is_loaded(records: dict[str, Record]) -> None:
    """Not of the graph that lies beside it for the quantizer."""
    for precision in ("fp32", "int8"):
        file = Path(artifact(precision).file)
        assert records[precision].artifact_bytes == file.stat().st_size
    assert list(Path(artifact("fp32").file).parent.glob("*.pt2"))


def test_fp16_is_refused_with_the_reason(records: dict[str, Record]) -> None:
    record = records["fp16"]
    assert (record.status, record.stage) == ("unsupported", "build")
    assert record.reason == ".pte is written as fp32 and int8, not as fp16"


def test_xnnpack_took_all(records: dict[str, Record]) -> None:
    """A mean that drops its dimensions would be left behind, and cut the graph in two."""
    for precision in ("fp32", "int8"):
        placement = records[precision].placement
        assert placement["portable"] == 0
        assert placement["xnnpack"] >= 6


@pytest.mark.usefixtures("records")
def test_the_same_order_makes_the_same_bytes(tmp_path: Path) -> None:
    """Here in this process, there in the one that builds."""
    net, sample = _net_and_sample()
    pte.export(net, sample, tmp_path / "model.pte")
    assert (tmp_path / "model.pte").read_bytes() == Path(artifact("fp32").file).read_bytes()


def test_a_net_of_one_channel_runs_whatever_the_strides_of_the_sample(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten()).eval()
    images = torch.rand(1, 8, 8, 1).permute(0, 3, 1, 2)
    assert images.is_contiguous()
    assert images.stride() != torch.empty(images.shape).stride()  # the trap is there
    pte.export(net, images, tmp_path / "model.pte")
    device, _ = _load(tmp_path / "model.pte")
    with torch.no_grad():
        assert np.allclose(device.run([images.numpy().copy()])[0], net(images), atol=1e-4)


def test_softmax_behind_a_convolution_is_one_over_the_last_axis(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Softmax(-1)).eval()
    images = torch.rand(1, 3, 5, 7)
    pte.export(net, images, tmp_path / "model.pte")
    device, _ = _load(tmp_path / "model.pte")
    with torch.no_grad():
        assert np.allclose(device.run([images.numpy()])[0], net(images), atol=1e-5)


def test_ranges_do_not_depend_on_the_order_of_the_pictures(tmp_path: Path) -> None:
    """The quantizer's own histograms do, and cut off what is rare."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    pte.export(net, torch.zeros(1, 1, 8, 8), tmp_path / "model.pte")
    pictures = np.random.default_rng(0).random((8, 1, 8, 8)).astype(np.float32)
    pictures[0] *= 20
    for name, order in (("a", pictures), ("b", pictures[::-1].copy())):
        pte.quantize(tmp_path / "model.pte", tmp_path / name, "int8", order)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.usefixtures("records")
def test_an_answer_outlives_the_next_call() -> None:
    device, placement = _load(Path(artifact("fp32").file))
    rng = np.random.default_rng(0)
    one, two = (rng.random(placement.inputs[0].shape).astype(np.float32) for _ in range(2))
    first = device.run([one])[0]
    kept = first.copy()
    assert not np.array_equal(device.run([two])[0], kept)
    assert np.array_equal(first, kept)
    assert first.shape == placement.outputs[0].shape
    assert first.dtype.name == placement.outputs[0].dtype


@pytest.mark.timing
@pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="needs two processors, and a kernel that counts the time of each thread",
)
def test_as_many_threads_work_as_were_asked_for(tmp_path: Path) -> None:
    """The output is large: torch, if it were to copy it, would take a thread more."""
    layers = [torch.nn.Conv2d(32, 32, 3, padding=1) for _ in range(4)]
    net = torch.nn.Sequential(*layers).eval()
    pte.export(net, torch.zeros(1, 32, 64, 64), tmp_path / "model.pte")
    command = [sys.executable, "-P", "-c", WORK, str(tmp_path / "model.pte"), str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True)
    answer = json.loads((tmp_path / "out").read_text())
    alone, *others = answer["1"]
    assert sum(others) <= 0.05 * alone
    first, second, *others = answer["2"]
    assert second >= 0.2 * first
    assert sum(others) <= 0.05 * (first + second)


def _net_and_sample() -> tuple[torch.nn.Module, torch.Tensor]:
    """The trained net as the build hands it to an exporter."""
    from safetensors.torch import load_file
    from torch.fx.experimental.optimization import fuse

    net = digits_cnn.net().eval()
    net.load_state_dict(load_file(_zoo.weights("digits_cnn")))
    return fuse(net), torch.zeros(1, 1, 8, 8)


def _load(file: Path) -> tuple[Device, Placement]:
    device = open_device("executorch:xnnpack")
    device.probe()
    placement = device.load(file, 1)
    return device, placement
