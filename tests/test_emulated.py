"""The emulated AArch64, where it is installed: its answers, and the path that x86 does not take.

Without QEMU and what `python -m paretomark.devices._emulated` sets up, only its absence is tested.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.fx.experimental.optimization import fuse

from paretomark.devices import _emulated
from paretomark.devices._device import Arrays, Placement, Unavailable, open_device
from paretomark.devices._emulated import Emulated
from paretomark.models.compress import _step
from paretomark.models.export import _sparse_check, _sparse_graph, _sparse_tflite, tflite
from paretomark.models.nets import scenes_segmenter
from paretomark.tests import _needs
from paretomark.tests._tflite_nets import Net
from paretomark.tests.test_train import shipped

pytestmark = pytest.mark.build

# Taken before the tests get a cache of their own.
INSTALLED = _emulated.sysroot()
ZEROS = 0.85


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulated]:
    """The device, on the system that the user has installed."""
    monkeypatch.setattr(_emulated, "sysroot", lambda: INSTALLED)
    device = _needs.probed(Emulated())
    yield device
    device.close()


def body(net: Net) -> Net:
    return net.depthwise().conv(32, zeros=ZEROS).depthwise().conv(32, zeros=ZEROS)


def head(net: Net) -> Net:
    return net.conv(48, zeros=ZEROS).mean().reshape((1, 48)).dense(10)


def pair(net: Net, folder: Path) -> tuple[Path, Path]:
    """The net stored dense, and stored sparse whatever the verdict is."""
    dense = net.save(folder / "dense.tflite")
    model = _sparse_graph.load(dense)
    _sparse_tflite.leave_out_zeros(model)
    _sparse_tflite.write(model, folder / "sparse.tflite")
    return dense, folder / "sparse.tflite"


def answers(device: Any, file: Path) -> tuple[Placement, NDArray[Any]]:
    """Where the file runs, and its answers to two noisy pictures."""
    device.probe()
    placement = device.load(file, 1)
    rng = np.random.default_rng(0)
    shape = placement.inputs[0].shape
    pictures: Arrays = [rng.standard_normal(shape).astype(np.float32) for _ in range(2)]
    return placement, np.stack([device.run([picture])[0] for picture in pictures])


def test_it_answers_as_the_host_does(emulated: Emulated, tmp_path: Path) -> None:
    dense, _ = pair(head(body(Net().stem())), tmp_path)
    placement, found = answers(emulated, dense)
    host, wanted = answers(open_device("litert:xnnpack"), dense)
    assert np.allclose(found, wanted, atol=1e-4)
    assert not np.allclose(found[0], found[1], atol=1e-2)
    assert placement.inputs == host.inputs
    assert placement.outputs == host.outputs
    assert placement.operators == host.operators
    assert placement.home == "xnnpack"
    assert not placement.fell_back


def test_the_chip_says_that_it_is_emulated(emulated: Emulated) -> None:
    chip = emulated.probe()
    assert "emulated" in chip.name
    assert chip.versions.keys() == {"qemu-user", "ai-edge-litert"}


def test_the_sparse_path_is_taken_and_right(emulated: Emulated, tmp_path: Path) -> None:
    """Taken, for it sums in another order, and takes far less processor time."""
    net = Net(48).stem(32)
    for _ in range(3):
        net = net.depthwise().conv(128, zeros=0.95)
    dense, sparse = pair(net.mean(), tmp_path)
    assert _sparse_check.verdict(sparse).kind == "sparse"
    _, wanted = answers(emulated, dense)
    dense_ns = min(emulated.phases_ns()["compute"])
    _, found = answers(emulated, sparse)
    assert min(emulated.phases_ns()["compute"]) < 0.7 * dense_ns
    assert not np.array_equal(found, wanted)
    assert np.allclose(found, wanted, atol=1e-4)


def test_what_is_judged_unsafe_is_wrong_there_and_right_on_x86(
    emulated: Emulated, tmp_path: Path
) -> None:
    """By more than two pictures differ from each other."""
    dense, sparse = pair(head(body(Net().stem()).conv(32, 3)), tmp_path)
    assert _sparse_check.verdict(sparse).kind == "unsafe"
    _, wanted = answers(open_device("litert:xnnpack"), dense)
    _, here = answers(open_device("litert:xnnpack"), sparse)
    assert np.array_equal(here, wanted)
    _, right = answers(emulated, dense)
    _, wrong = answers(emulated, sparse)
    assert np.allclose(right, wanted, atol=1e-4)
    assert np.abs(wrong - wanted).max() > np.abs(wanted[0] - wanted[1]).max()


def test_what_is_judged_dense_runs_as_the_dense_file(emulated: Emulated, tmp_path: Path) -> None:
    dense, sparse = pair(head(body(Net().stem(stride=1))), tmp_path)
    assert _sparse_check.verdict(sparse).kind == "dense"
    assert np.array_equal(answers(emulated, dense)[1], answers(emulated, sparse)[1])


def test_a_file_that_does_not_load_is_an_error_of_the_emulated_runtime(
    emulated: Emulated, tmp_path: Path
) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model")
    with pytest.raises(RuntimeError, match="the emulated process ended with 1: ValueError"):
        emulated.load(tmp_path / "m.tflite", 1)


def test_an_emulated_process_that_dies_or_hangs_is_an_error(
    emulated: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense, _ = pair(head(body(Net().stem())), tmp_path)
    (port,) = emulated.load(dense, 1).inputs
    picture = np.zeros(port.shape, np.float32)
    monkeypatch.setattr(_emulated, "DEADLINE_S", 1e-3)
    with pytest.raises(RuntimeError, match=r"ended with -9 \(an answer may take 0.001 s\)"):
        emulated.run([picture])
    with pytest.raises(RuntimeError, match="ended with -9"):
        emulated.run([picture])


def test_without_a_system_the_remedy_is_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETOMARK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "qemu-aarch64").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(Unavailable, match="there is no AArch64 system") as caught:
        Emulated().probe()
    assert caught.value.remedy == "python -m paretomark.devices._emulated"
    assert not (tmp_path / "cache").exists()


def test_without_qemu_the_remedy_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="qemu-aarch64 is not on PATH") as caught:
        Emulated().probe()
    assert caught.value.remedy == "apt-get install qemu-user"


@pytest.mark.filterwarnings("ignore")
def test_the_segmenter_runs_sparse_and_its_masks_are_right(
    emulated: Emulated, tmp_path: Path
) -> None:
    """Bilinear resizing, excitation by MEAN and a DEPTH_TO_SPACE at the end, all in NCHW."""
    ctx = _step.Context("scenes", scenes_segmenter.PREPROCESS, 0, scenes_segmenter.TASK)
    net = shipped("scenes_segmenter")
    pruned = _step.apply(net, {"method": "magnitude", "sparsity": 0.8}, ctx).eval()
    dense, sparse = tmp_path / "dense.tflite", tmp_path / "sparse.tflite"
    tflite.export(fuse(pruned), torch.zeros(1, 3, 96, 96), dense)
    assert tflite.sparsify(dense, sparse).startswith("sparse: ")
    _, wanted = answers(open_device("litert:xnnpack"), dense)
    _, found = answers(emulated, sparse)
    assert not np.array_equal(found, wanted)  # it sums in another order
    assert np.allclose(found, wanted, atol=1e-4)
    assert np.abs(wanted[0] - wanted[1]).max() > 0.1
