#!/usr/bin/env python3
"""Why a number differs from that of a runtime's own tool, and by how much.

The same file, on one thread, by a visit of this suite and by the tool: in turns, each in a process
of its own. The tools time the inference alone, over inputs that stay where they are, and so is the
visit's latency of that name compared with theirs; that of the call stands beside it. For each net:
the median over turns of the ratio of least times, with its 95 % interval (by ranks of the turns):
of medians, neighbours decide.

    python tests/benchmarks/agreement.py [--turns 9] [--runtime RUNTIME] [--net NET]

Tools: OpenVINO's benchmark_app, LiteRT's litert-benchmark (which rounds to 0.01 ms), and of ONNX
Runtime, whose onnxruntime_perf_test is in no package, a loop over `run_with_iobinding`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from scipy import stats

from paretomark.devices import _device
from paretomark.devices.measure import _process
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.spec._model import Model, Recipe

SECONDS = 2.0  # of a turn
NETS = {"scenes_resnet": 4, "scenes_repvgg": 4, "scenes_mobilenet": 4, "scenes_landmarks": 4,
        "scenes_segmenter": 4}  # fmt: skip
BOUND = """
import sys, time
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
binding, rng = session.io_binding(), np.random.default_rng(0)
for port in session.get_inputs():
    binding.bind_cpu_input(port.name, rng.random(port.shape, np.float32))
for port in session.get_outputs():
    binding.bind_output(port.name)
taken, end = [], time.perf_counter() + 1.25 * float(sys.argv[2])
while time.perf_counter() < end:
    start = time.perf_counter_ns()
    session.run_with_iobinding(binding)
    taken.append((time.perf_counter_ns() - start) / 1e6)
print(min(taken[len(taken) // 5:]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--runtime", choices=TOOLS, action="append")
    parser.add_argument("--net", choices=NETS, action="append")
    given = parser.parse_args()
    print("least time of the suite over least time of the tool, [95 % interval]")
    for target, net in itertools.product(given.runtime or TOOLS, given.net or NETS):
        spec = ready(target, net)
        inside, calls, theirs = [], [], []
        for turn in range(given.turns):
            for side in ("suite", "tool") if turn % 2 else ("tool", "suite"):
                if side == "tool":
                    theirs.append(TOOLS[target](spec.file))
                else:
                    call, inference = visit(spec)
                    calls.append(call)
                    inside.append(inference)
        told = [between([a / b for a, b in zip(x, theirs, strict=True)]) for x in (inside, calls)]
        where = f"{target:16} {net:17} {spec.batch:3} {statistics.median(theirs):8.3f} ms"
        print(f"{where}   inference alone {told[0]}   call {told[1]}", flush=True)


def ready(target: str, net: str) -> VisitSpec:
    form, batch = _device.formats()[target], NETS[net]
    order = BuildSpec(Model(net, net), Recipe(), form, batch, 100, 0)
    built = _build.build([order], 900, lambda _, result: None)[_build.key(order)]
    if not isinstance(built, Artifact):
        raise SystemExit(f"{net}.{form}: {built.reason}")
    return VisitSpec.of(built, target, seconds=SECONDS, max_samples=10**6, score=False, batch=batch)


def visit(spec: VisitSpec) -> tuple[float, float]:
    """The least times of the call, and of the inference alone, in ms."""
    with _process.Child("_visit", spec, 120.0) as child:
        answers = [child.answer(), child.ask("load", 120.0)]
        answers += [child.ask(f"slice {SECONDS / 10} 1000000", 60.0) for _ in range(10)]
        child.end()
    tables = []
    for answer in answers:
        if answer.table is None:
            raise SystemExit(f"{spec.device}: {answer.error}")
        tables.append(answer.table)
    call, inside = (
        min(itertools.chain(*(table[key] for table in tables[2:]))) / 1e6
        for key in ("ns", "inside_ns")
    )
    return call, inside


def between(ratios: Sequence[float]) -> str:
    """The median, and the ranks between which it lies in 95 % of cases."""
    ordered, count = sorted(ratios), len(ratios)
    rank = max(0, int(stats.binom.ppf(0.025, count, 0.5)) - 1)
    low, high = ordered[rank], ordered[-1 - rank]
    return f"{statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}]"


def openvino(file: str) -> float:
    # With a hint other than none, it chooses streams and threads itself; without -ip, it changes
    # the input of the model to bytes.
    program = str(Path(sys.executable).with_name("benchmark_app"))
    fixed = "-d CPU -api sync -hint none -nstreams 1 -infer_precision f32 -ip f32 -nthreads 1"
    said = told([program, "-m", file, *fixed.split(), "-t", str(int(SECONDS))])
    found = re.search(r"Min:\s+([\d.]+) (ms|us)", said)
    if not found:
        raise SystemExit(f"benchmark_app does not print its least time:\n{said}")
    return float(found[1]) / (1000 if found[2] == "us" else 1)


def litert(file: str) -> float:
    program = str(Path(sys.executable).with_name("litert-benchmark"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        runs = ["--num_runs", "500", "--warmup_runs", "100", "--num_threads", "1"]
        told([program, "--model", file, *runs, "--result_json", str(out)])
        return float(json.loads(out.read_text())["latency"]["min_ms"])


def onnxruntime(file: str) -> float:
    return float(told([sys.executable, "-c", BOUND, file, str(SECONDS)]))


def told(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


TOOLS: dict[str, Callable[[str], float]] = {
    "openvino:cpu": openvino,
    "litert:xnnpack": litert,
    "onnxruntime:cpu": onnxruntime,
}

if __name__ == "__main__":
    main()
