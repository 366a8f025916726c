#!/usr/bin/env python3
"""What a comparison of two runs finds of slow-downs that are planted as work, not as numbers.

Runs of one suite, in turns: unchanged ones, and ones in which a cell of each runtime is slower by
1, 2, 3 or 5 %, another one in every run. A plug-in plants it: it runs a runtime's own adapter, and
then keeps the processor busy for so much of the time that a call takes in quiet moments. All cells
hold the same file. Then every unchanged run is compared, by `bench.py compare`, with every other,
and with every changed one.

    python tests/benchmarks/power.py [--effort quick|gate] [--runs 3] [--neighbour] [--delta 2%]
        [--out DIR]

--neighbour keeps a process beside the runs that is busy half of the time, in bursts of 0.1 to 3 s.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

PLANTED = (0.01, 0.02, 0.03, 0.05)
BASES = {"fake": "digits_mlp", "litert": "scenes_mobilenet", "onnxruntime": "scenes_mobilenet"}
THREADS = range(1, 5)  # they name the cells of a runtime: the plug-in always takes one
PLUGIN = """
import json, os, time
import numpy as np
from paretomark.devices import _device

BASES = {"fake": "fake:ok", "litert": "litert:xnnpack", "onnxruntime": "onnxruntime:cpu"}
FORMAT = FORM
VARIANTS = (NAME,)

class Planted:
    def __init__(self, variant):
        self.variant, self.base = variant, _device.open_device(BASES[variant])

    def probe(self):
        return self.base.probe()

    def load(self, model, threads):
        placement = self.base.load(model, 1)
        inputs = [np.zeros(port.shape, port.dtype) for port in placement.inputs]
        taken = []
        for _ in range(300):
            start = time.perf_counter_ns()
            self.base.run(inputs)
            taken.append(time.perf_counter_ns() - start)
        share = json.loads(os.environ["PLANTED"]).get(f"{self.variant}/{threads}", 0)
        self.more_ns = share * sorted(taken)[15]
        return placement

    def run(self, inputs):
        outputs = self.base.run(inputs)
        end = time.perf_counter_ns() + self.more_ns
        while time.perf_counter_ns() < end:
            pass
        return outputs

def device(variant):
    return Planted(variant)
"""
SUITE = """
blocks = 3
seconds = 0.3
examples = 16
plugins = "plugins"
batch = [1]
threads = {threads}
"""
NEIGHBOUR = """
import random, time
while True:
    end = time.monotonic() + random.uniform(0.1, 3.0)
    while time.monotonic() < end:
        pass
    time.sleep(random.uniform(0.1, 3.0))
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--effort", default="quick", choices=("quick", "gate", "publish"))
    parser.add_argument("--runs", type=int, default=3, help="unchanged ones, and changed ones")
    parser.add_argument("--neighbour", action="store_true")
    parser.add_argument("--delta", default="", help="of the comparisons; else as the effort has it")
    parser.add_argument(
        "--out", type=Path, help="keep the runs here; those that are there are read"
    )
    given = parser.parse_args()
    kept = nullcontext(given.out) if given.out else tempfile.TemporaryDirectory()
    with kept as folder:
        study(Path(folder), given.effort, given.runs, given.neighbour, given.delta)


def study(folder: Path, effort: str, count: int, neighbour: bool, delta: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    suite = laid(folder)
    beside = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR])] if neighbour else []
    changes: dict[Path, dict[str, float]] = {}
    try:
        for number in range(count):
            for kind in ("unchanged", "changed"):
                run = folder / f"{kind}{number}"
                changes[run] = planted(number) if kind == "changed" else {}
                if not run.exists():
                    measure(suite, run, effort, changes[run])
    finally:
        for process in beside:
            process.kill()
            process.wait()
    report(changes, effort, neighbour, delta)


def laid(folder: Path) -> Path:
    """Write the suite and its plug-ins; a device is a file, for each has a format."""
    plugins = folder / "plugins/devices"
    plugins.mkdir(parents=True, exist_ok=True)
    forms = {"fake": "npz", "litert": "tflite", "onnxruntime": "onnx"}
    for base, form in forms.items():
        text = PLUGIN.replace("FORM\n", f"{form!r}\n").replace("(NAME,)", f"({base!r},)")
        (plugins / f"planted_{base}.py").write_text(text)
    text = SUITE.format(threads=list(THREADS))
    text += f"devices = {[f'planted_{base}:{base}' for base in BASES]}\n"
    for net in dict.fromkeys(BASES.values()):
        devices = [f"planted_{base}:{base}" for base, its in BASES.items() if its == net]
        text += f"[model.{net}]\ndevices = {devices}\n"
    (folder / "suite.toml").write_text(text + "[recipe.fp32]\n")
    return folder / "suite.toml"


def planted(number: int) -> dict[str, float]:
    """Which cells are slower in a changed run, and by how much: one of each runtime."""
    rng = random.Random(number)
    shares = rng.sample(PLANTED, len(BASES))
    return {f"{base}/{rng.choice(THREADS)}": shares[i] for i, base in enumerate(BASES)}


def measure(suite: Path, run: Path, effort: str, changes: Mapping[str, float]) -> None:
    command = [sys.executable, "-P", "-m", "paretomark.bench", "run", str(suite)]
    done = subprocess.run(
        [*command, "--effort", effort, "--out", str(run)],
        env={**os.environ, "PLANTED": json.dumps(changes)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{run.name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    print(f"{run.name}: {changes or 'nothing planted'}", flush=True)


def compared(a: Path, b: Path, delta: str) -> dict[str, dict[str, Any]]:
    """The verdicts, by RUNTIME/THREADS."""
    command = [sys.executable, "-P", "-m", "paretomark.bench", "compare", str(a), str(b), "--json"]
    command += ["--delta", delta] if delta else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    verdicts = {}
    for verdict in json.loads(done.stdout)["verdicts"]:
        *_, device, _, threads = verdict["cell"].split("/")
        verdicts[f"{device.partition(':')[2]}/{threads[1:]}"] = verdict
    return verdicts


def report(
    changes: Mapping[Path, Mapping[str, float]], effort: str, neighbour: bool, delta: str
) -> None:
    unchanged = [run for run, its in changes.items() if not its]
    changed = [run for run, its in changes.items() if its]
    pairs: Sequence[tuple[Path, Path]] = [
        *itertools.combinations(unchanged, 2),
        *itertools.product(unchanged, changed),
    ]
    cells, found = Counter[str](), defaultdict[float, list[bool]](list)
    false = 0
    for a, b in pairs:
        wrong = False
        for cell, verdict in compared(a, b, delta).items():
            if share := changes[b].get(cell):
                found[share].append(verdict["answer"] == "slower")
                continue
            cells[verdict["answer"]] += 1
            wrong |= verdict["answer"] in ("slower", "faster")
        false += wrong
    beside = ", with a neighbour that is busy half of the time" * neighbour
    print(f"{effort}{beside}: {len(pairs)} comparisons of {len(THREADS) * len(BASES)} cells")
    total = sum(cells.values())
    print(f"  reports with a false verdict: {false} of {len(pairs)}")
    print("  cells in which nothing is planted:", end=" ")
    print(", ".join(f"{word} {n / total:.0%}" for word, n in cells.most_common()))
    for share, hits in sorted(found.items()):
        print(f"  {share:.0%} planted: found in {sum(hits)} of {len(hits)}", flush=True)


if __name__ == "__main__":
    main()
