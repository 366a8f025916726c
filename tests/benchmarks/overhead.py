#!/usr/bin/env python3
"""What the harness adds to a latency, on every runtime that is here.

The same loaded model, timed by the visit's own loop (adapter and all) and by a bare loop written
against the runtime, in turns, within one process per runtime. Prints the ratio of the floors of
each pair of turns. Then the share of
one core that the parent uses while a visit runs, and the time of `bench.py --help`.

    python tests/benchmarks/overhead.py [--turns 30]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paretomark.devices._device import Arrays, Inside, open_device
from paretomark.devices.measure import _inputs, _run, _timing
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.records import _stats
from paretomark.suites.spec._model import Model, Recipe

MODEL = "scenes_mobilenet"
RUNTIMES = {
    "litert:xnnpack": "tflite",
    "onnxruntime:cpu": "onnx",
    "openvino:cpu": "xml",
    "pytorch:eager": "pt2",
    "executorch:xnnpack": "pte",
}
SECONDS, PARTS = 0.2, 10  # of one turn, for each of the two loops; they alternate so often in it


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--runtime", choices=RUNTIMES, help="only this one, in this process")
    arguments = parser.parse_args()
    if arguments.runtime:
        ratios = compare(arguments.runtime, arguments.turns)
        low, high = (sorted(ratios)[i] for i in (len(ratios) // 4, -1 - len(ratios) // 4))
        print(
            f"{arguments.runtime:16} harness / bare loop: median {statistics.median(ratios):.3f}"
            f"  (quartiles {low:.3f} .. {high:.3f}, {len(ratios)} pairs)",
            flush=True,
        )
        return 0
    for runtime in RUNTIMES:
        command = [sys.executable, __file__, "--runtime", runtime]
        subprocess.run([*command, "--turns", str(arguments.turns)], check=True)
    parent()
    start = [time.perf_counter() for _ in range(5) if not helped()]
    durations = [b - a for a, b in zip(start, [*start[1:], time.perf_counter()], strict=True)]
    print(f"bench.py --help: {statistics.median(durations):.2f} s")
    return 0


def artifact(form: str) -> Artifact:
    order = BuildSpec(Model(name=MODEL, net=MODEL), Recipe(), form, 1, 100, 0)
    built = _build.build([order], 600, lambda _, result: None)[_build.key(order)]
    if not isinstance(built, Artifact):
        raise SystemExit(f"{MODEL}.{form}: {built.reason}")
    return built


def spec(runtime: str, found: Artifact, seconds: float) -> VisitSpec:
    return VisitSpec.of(found, runtime, seconds=seconds, max_samples=100_000, score=False)


def compare(runtime: str, turns: int) -> list[float]:
    """Ratios of floors, harness over bare loop, turn by turn: of the same loaded model, for where a
    second one comes to lie in memory can make it faster or slower by more than what is looked for.
    """
    found = artifact(RUNTIMES[runtime])
    device = open_device(runtime)
    device.probe()
    placement = device.load(Path(found.file), 1)
    inputs = _inputs.rotating(spec(runtime, found, SECONDS), placement)
    inside = device.inference_ns if isinstance(device, Inside) else None
    bare, watch = BARE[runtime](device), _timing.Stopwatch(device.run, inputs, inside)
    watch.warm_up(1.0)
    ratios = []
    for turn in range(turns):
        pair: dict[str, list[float]] = {"harness": [], "bare": []}
        for part in range(PARTS):
            for name in ("harness", "bare") if (turn + part) % 2 else ("bare", "harness"):
                share = SECONDS / PARTS
                samples = (
                    watch.slice(share, 10**6) if name == "harness" else loop(bare, inputs, share)
                )
                pair[name].append(_stats.quantile(samples, 0.05))
        ratios.append(min(pair["harness"]) / min(pair["bare"]))
    return ratios


def loop(run: Callable[[Arrays], Any], inputs: list[Arrays], seconds: float) -> list[int]:
    """What anybody would write: warm up, then time calls."""
    for _ in range(2):
        run(inputs[0])
    times: list[int] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        arrays = inputs[len(times) % len(inputs)]
        start = time.perf_counter_ns()
        run(arrays)
        times.append(time.perf_counter_ns() - start)
    return times


def bare_litert(device: Any) -> Callable[[Arrays], Any]:
    interpreter = device._model._interpreter
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]

    def run(arrays: Arrays) -> Any:
        interpreter.set_tensor(source, arrays[0])
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run


def bare_onnxruntime(device: Any) -> Callable[[Arrays], Any]:
    session = device._session
    return lambda arrays: session.run(None, {"input": arrays[0]})


def bare_openvino(device: Any) -> Callable[[Arrays], Any]:
    import openvino

    request = device.request
    [output] = [tensor.data for tensor in request.output_tensors]

    def run(arrays: Arrays) -> Any:
        request.set_input_tensor(openvino.Tensor(arrays[0], shared_memory=True))
        request.infer()
        return output.copy()

    return run


def bare_pytorch(device: Any) -> Callable[[Arrays], Any]:
    import torch

    net = device._net

    def run(arrays: Arrays) -> Any:
        with torch.inference_mode():
            return net(torch.from_numpy(arrays[0])).numpy()

    return run


def bare_executorch(device: Any) -> Callable[[Arrays], Any]:
    import torch

    method = device._method

    def run(arrays: Arrays) -> Any:
        return method([torch.from_numpy(arrays[0])], clone_outputs=False)[0].numpy().copy()

    return run


BARE = {
    "litert:xnnpack": bare_litert,
    "onnxruntime:cpu": bare_onnxruntime,
    "openvino:cpu": bare_openvino,
    "pytorch:eager": bare_pytorch,
    "executorch:xnnpack": bare_executorch,
}


def parent() -> None:
    """Processor time of the parent during a visit of some seconds."""
    found = artifact("tflite")
    task = dataclasses.replace(spec("litert:xnnpack", found, 5.0))
    wall, used = time.perf_counter(), time.process_time()
    visit = _run.visit(task, 60, os.cpu_count() or 1)
    used, wall = time.process_time() - used, time.perf_counter() - wall
    print(f"parent during a visit of {wall:.1f} s: {100 * used / wall:.2f} % of a core")
    assert visit.status == "ok", visit.reason


def helped() -> bool:
    command = [sys.executable, str(Path(__file__).parents[2] / "bench.py"), "--help"]
    return bool(subprocess.run(command, stdout=subprocess.DEVNULL, check=True).returncode)


if __name__ == "__main__":
    sys.exit(main())
