#!/usr/bin/env python3
"""Whether visits that are forked are as those that start in a fresh Python, and what that saves.

Of each runtime, some times over: visits of one file, every other one forked of a process that has
imported the runtime, all in one crew. Prints the ratio of their floors, with a 95 % interval over
the crews, and the time from start to readiness for loading, of a fresh one and of the forked ones.

    python tests/benchmarks/starts.py [--crews 6] [--net scenes_resnet]
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time

from paretomark.devices import _device
from paretomark.devices.measure import _origins, _process
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._process import HERE
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.records import _levels, _stats
from paretomark.suites.spec._model import Model, Recipe

RUNTIMES = ("litert:xnnpack", "onnxruntime:cpu", "openvino:cpu", "pytorch:eager",
            "executorch:xnnpack")  # fmt: skip
VISITS, ROUNDS, SLICE = 6, 40, "slice 0.01 1000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crews", type=int, default=6)
    parser.add_argument("--net", default="scenes_resnet")
    given = parser.parse_args()
    for target in RUNTIMES:
        spec = ready(given.net, target)
        crews = [crew(spec, seed) for seed in range(given.crews)]
        logs = [math.log(forked / fresh) for fresh, forked, *_ in crews]
        error = statistics.stdev(logs) / math.sqrt(len(logs))
        value, low, high, *_ = _stats.ratio(statistics.fmean(logs), error, len(logs) - 1)
        fresh_s, forked_s = (statistics.fmean(c[at] for c in crews) for at in (2, 3))
        print(
            f"{target:19} forked / fresh {value:.4f} [{low:.4f}, {high:.4f}]; a start takes "
            f"{fresh_s:.2f} s, of {VISITS // 2} forked ones, with their origin, {forked_s:.2f} s",
            flush=True,
        )


def ready(net: str, target: str) -> VisitSpec:
    order = BuildSpec(Model(net, net), Recipe(), _device.formats()[target], 1, 16, 0)
    built = _build.build([order], 900.0, lambda _, result: None)[_build.key(order)]
    if not isinstance(built, Artifact):
        raise SystemExit(f"{net}: {built.reason}")
    return VisitSpec.of(built, target, seconds=0.4, max_samples=4000, score=False)


def crew(spec: VisitSpec, seed: int) -> tuple[float, float, float, float]:
    """The mean floors of fresh and of forked visits, in ns; then seconds until they had started."""
    begun, children = time.monotonic(), []
    fresh_s = 0.0
    with _origins.opened([(spec, HERE)] * VISITS) as origins:
        for at in range(VISITS):
            now = time.monotonic()
            start = origins.start(spec) if at % 2 else _process.fresh
            child = _process.Child("_visit", spec, 600.0, start=start)
            children.append(child)
            checked(child.answer())
            fresh_s += 0.0 if at % 2 else time.monotonic() - now
        forked_s = time.monotonic() - begun - fresh_s
    for child in children:
        checked(child.ask("load", 60.0))
    slices: list[list[list[float]]] = [[] for _ in children]
    order, chance = list(range(VISITS)), random.Random(seed)
    for _ in range(ROUNDS):
        chance.shuffle(order)
        for at in order:
            slices[at].append(checked(children[at].ask(SLICE, 60.0))["ns"])
    for child in children:
        child.kill()
    floors = [_levels.floor(each) for each in slices]
    fresh, forked = (_levels.mean(floors[at::2]) for at in (0, 1))
    return fresh, forked, fresh_s / (VISITS / 2), forked_s


def checked(answer: _process.Answer) -> dict[str, list[float]]:
    if answer.table is None:
        raise SystemExit(answer.error)
    return answer.table


if __name__ == "__main__":
    main()
