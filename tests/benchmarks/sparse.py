#!/usr/bin/env python3
"""What zeros are worth in a TFLite file: its bytes, its answers, and XNNPACK's sparse inference.

Builds a net at several sparsities, without tuning, so accuracy is no part of it. x86 with AVX
never runs sparse: its ratio is about 1. The emulated AArch64 (devices/_emulated.py), where it is
installed, shows whether the path is taken; its times are emulated, and no latency of any chip.
Last comes why a check refuses some files: one that is forced through it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import Placement, Unavailable, open_device
from paretomark.devices._emulated import Emulated
from paretomark.models.build import _artifact, _build
from paretomark.models.export import _sparse_check, _sparse_graph, _sparse_tflite, tflite
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Model, Recipe
from paretomark.tests._tflite_nets import Net

SPARSITIES = (0.0, 0.7, 0.8, 0.9, 0.95)
PRECISIONS = ("fp32", "fp16", "int8")
PICTURES, TURNS, EMULATED_TURNS = 4, 30, 5
Inputs = list[list[NDArray[Any]]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="scenes_mobilenet", help="a net of the zoo")
    net = parser.parse_args().net
    emulated = Emulated()
    try:
        print("emulated:", emulated.probe())
    except Unavailable as error:
        print(f"no emulated AArch64: {error}; {error.remedy}")
        emulated = None  # type: ignore[assignment]
    for sparsity in SPARSITIES:
        files = build(net, sparsity)
        for precision in PRECISIONS:
            compare(f"{net} {sparsity:.0%} {precision}", *files[precision], emulated)
    with tempfile.TemporaryDirectory() as folder:
        forced(Path(folder), emulated)
    return 0


def build(net: str, sparsity: float) -> dict[str, tuple[Path, Path]]:
    """By precision, the file stored dense and the one stored sparse, as the build makes them."""
    steps = ({"method": "magnitude", "sparsity": sparsity},) if sparsity else ()
    model = Model(name=net, net=net)
    wanted = {
        (precision, storage): _artifact.BuildSpec(
            model, Recipe("", steps, precision, storage=storage), "tflite", 1, 20, 0
        )
        for precision in PRECISIONS
        for storage in ("dense", "sparse")
    }
    results = _build.build(list(wanted.values()), 900, lambda *_: None)
    found = {}
    for key, order in wanted.items():
        result = results[_build.key(order)]
        if not isinstance(result, _artifact.Artifact):
            raise UserError(f"{net} {key}: {result.reason}")
        found[key] = Path(result.file)
    return {
        precision: (found[precision, "dense"], found[precision, "sparse"])
        for precision in PRECISIONS
    }


def compare(name: str, dense: Path, sparse: Path, emulated: Emulated | None) -> None:
    """One line: bytes, verdict, answers and times of the two files."""
    before, after = dense.stat().st_size, sparse.stat().st_size
    verdict = _sparse_check.verdict(sparse)
    host = [open_device("litert:xnnpack") for _ in range(2)]
    inputs = pictures(host[0].load(dense, 1))
    host[1].load(sparse, 1)
    wanted, found = (answers(device, inputs) for device in host)
    line = f"{name:30} {before:8} -> {after:8} bytes ({after / before:4.0%})  {verdict.kind:6}  "
    line += f"x86: {'bit-equal' if np.array_equal(wanted, found) else 'DIFFERENT'}, "
    line += f"dense / sparse time {ratio(host, inputs):.2f}"
    if emulated:
        slow, right = emulated_run(emulated, dense, inputs)
        fast, got = emulated_run(emulated, sparse, inputs)
        signal = np.abs(wanted[0].astype(float) - wanted[1]).max()
        off = np.abs(got.astype(float) - right).max() / signal
        line += f"  [emulated] AArch64: {slow / fast:.2f}, off by {off:.1g} of the signal"
    print(line, flush=True)


def forced(folder: Path, emulated: Emulated | None) -> None:
    """A chain that a dense 3x3 convolution interrupts: refused, and what it does if it is not."""
    net = Net().stem().depthwise().conv(32, zeros=0.9).depthwise().conv(32, zeros=0.9).conv(32, 3)
    dense = net.conv(48, zeros=0.9).mean().dense(10).save(folder / "dense.tflite")
    try:
        tflite.sparsify(dense, folder / "sparse.tflite")
    except UserError as error:
        print(f"refused: {error}")
    sparse = folder / "forced.tflite"
    model = _sparse_graph.load(dense)
    _sparse_tflite.leave_out_zeros(model)
    _sparse_tflite.write(model, sparse)
    host = open_device("litert:xnnpack")
    inputs = pictures(host.load(dense, 1))
    wanted = answers(host, inputs)
    host.load(sparse, 1)
    signal = np.abs(wanted[0] - wanted[1]).max()
    off = np.abs(answers(host, inputs) - wanted).max() / signal
    print(f"forced, x86: off by {off:.2g} of |y1 - y2|")
    if emulated:
        for kind, file in (("dense", dense), ("forced", sparse)):
            _, got = emulated_run(emulated, file, inputs)
            off = np.abs(got - wanted).max() / signal
            print(f"{kind}, [emulated] AArch64: off by {off:.2g} of |y1 - y2|")


def pictures(placement: Placement) -> Inputs:
    """Noise, as the first input of a model wants it."""
    port, rng = placement.inputs[0], np.random.default_rng(0)
    noise = (rng.standard_normal(port.shape).astype(np.float32) for _ in range(PICTURES))
    return [[port.encode(picture)] for picture in noise]


def answers(device: Any, inputs: Inputs) -> NDArray[Any]:
    return np.stack([device.run(picture)[0] for picture in inputs])


def ratio(devices: Sequence[Any], inputs: Inputs) -> float:
    """Time of the first over that of the second, the two in turns: the median of their ratios."""
    ratios = []
    for _ in range(TURNS):
        spent = []
        for device in devices:
            start = time.perf_counter()
            answers(device, inputs)
            spent.append(time.perf_counter() - start)
        ratios.append(spent[0] / spent[1])
    return statistics.median(ratios)


def emulated_run(device: Emulated, file: Path, inputs: Inputs) -> tuple[float, NDArray[Any]]:
    """Emulated processor time of one inference in ns, the least of all, and the answers."""
    device.load(file, 1)
    for _ in range(EMULATED_TURNS):
        found = answers(device, inputs)
    taken = min(device.phases_ns()["compute"])
    device.close()
    return taken, found


if __name__ == "__main__":
    sys.exit(main())
