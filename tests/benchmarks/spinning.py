#!/usr/bin/env python3
"""What thread pools do that look for more work for a while after a call, with two threads.

Of each runtime: how long a worker still uses the processor when its slice is over, and whether that
slows the slice of the next worker: slices right after another's slice against slices after a pause,
in turns, as the ratio of their medians (with quartiles over pairs).

    python tests/benchmarks/spinning.py [--pairs 30]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from pathlib import Path

from paretomark.devices import _device
from paretomark.devices.measure import _process
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.spec._model import Model, Recipe

RUNTIMES = ("onnxruntime:cpu", "openvino:cpu", "litert:xnnpack", "executorch:xnnpack",
            "pytorch:eager")  # fmt: skip
NET, THREADS = "scenes_resnet", 2
SLICE, PAUSE_S = "slice 0.02 1000", 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30)
    pairs = parser.parse_args().pairs
    for target in RUNTIMES:
        spec = ready(target)
        with (
            _process.Child("_visit", spec, 600.0) as one,
            _process.Child("_visit", spec, 600.0) as other,
        ):
            for child in (one, other):
                child.answer()
                child.ask("load", 60.0)
            spun_s = statistics.fmean(spun(one) for _ in range(10))
            ratios = sorted(ratio(one, other, i) for i in range(pairs))
        low, high = ratios[pairs // 4], ratios[-1 - pairs // 4]
        print(
            f"{target:19} {THREADS} threads: {1e3 * spun_s:5.1f} ms of processor after a slice; "
            f"slices that follow another's / after a pause: {statistics.median(ratios):.3f} "
            f"({low:.3f} .. {high:.3f})",
            flush=True,
        )


def ready(target: str) -> VisitSpec:
    order = BuildSpec(Model(NET, NET), Recipe(), _device.formats()[target], 1, 16, 0)
    built = _build.build([order], 900.0, lambda _, result: None)[_build.key(order)]
    if not isinstance(built, Artifact):
        raise SystemExit(f"{NET}: {built.reason}")
    return VisitSpec.of(built, target, seconds=0.4, max_samples=10**6, score=False, threads=THREADS)


def spun(child: _process.Child) -> float:
    """Seconds of processor that a worker uses in the 0.3 s after it has answered."""
    child.ask(SLICE, 30.0)
    before = cpu_s(child.pid)
    time.sleep(PAUSE_S)
    return cpu_s(child.pid) - before


def cpu_s(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in threads) / 1e9


def ratio(one: _process.Child, other: _process.Child, number: int) -> float:
    """How much longer calls take right after the other's slice, to after a pause."""
    found = {}
    order = ["paused", "following"]
    random.Random(number).shuffle(order)
    for kind in order:
        other.ask(SLICE, 30.0)
        if kind == "paused":
            time.sleep(PAUSE_S)
        table = one.ask(SLICE, 30.0).table
        if table is None:
            raise SystemExit("a worker failed")
        found[kind] = statistics.median(table["ns"])
    return float(found["following"] / found["paused"])


if __name__ == "__main__":
    main()
