#!/usr/bin/env python3
"""How much faster nets with half the MACs are, on every runtime for the processor that is here.

    python tests/benchmarks/channels.py [--pairs 10] [--macs 0.5] [--by reconstruction] [--net ...]

Dense and pruned in turns, each visit a fresh process, one thread, batch 1. Prints the dense over
the pruned latency with its 95 % interval (pairs of visits), and accuracy through the artifact as
it is, pruned, and pruned and trained; the trained net is the one that is timed. Goal: at least 1.6
times as fast at half the MACs, on each runtime. With PARETOMARK_DATA, the folder of real pictures
and weights, MobileNetV1 0.25 is timed as well: by l1 and without training, for its pictures have
no train split, so its accuracy is lost and says nothing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
from pathlib import Path
from typing import Any

from paretomark.devices import _device
from paretomark.devices.measure import _parity, _run
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.records import _levels
from paretomark.suites.spec._model import RANDOM, Model, Recipe

DEVICES = ("onnxruntime:cpu", "litert:xnnpack", "openvino:cpu")
EXAMPLES = 1000
GOAL = 1.6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10, help="of visits, 2 or more")
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--by", default="reconstruction")
    parser.add_argument("--epochs", type=int, default=2, help="of the training after it")
    parser.add_argument("--seconds", type=float, default=1.0, help="of one visit")
    parser.add_argument("--net", nargs="*", help="only these")
    given = parser.parse_args()
    for model in models():
        if given.net and model.net not in given.net:
            continue
        prune = {"method": "channels", "macs": given.macs, "by": given.by}
        tune = {"method": "finetune", "epochs": given.epochs, "lr": 0.02}
        recipes = {"dense": [], "pruned": [prune], "trained": [prune, tune]}
        if model.data or model.weights == RANDOM:
            recipes = {"dense": [], "pruned": [prune | {"by": "l1"}]}
        for device in DEVICES:
            compare(model, recipes, device, given.pairs, given.seconds)
    return 0


def models() -> list[Model]:
    found = [Model(name=name, net=name) for name in ("scenes_resnet", "scenes_mobilenet")]
    found.append(Model(name="mobilenetv1_100", net="timm:mobilenetv1_100", weights=RANDOM))
    if folder := os.environ.get("PARETOMARK_DATA"):
        root = Path(folder).absolute()
        found.append(
            Model(
                name="mobilenet_v1_0_25",
                net="mobilenet_v1_0_25",
                weights=str(root / "weights" / "mobilenetv1_0.25_imagenet.safetensors"),
                data=f"labels_csv:{root}/imagenet_photos",
            )
        )
    return found


def compare(
    model: Model, recipes: dict[str, list[dict[str, Any]]], device: str, pairs: int, seconds: float
) -> None:
    """One line: accuracies, MACs, and how much faster the last recipe is than the first."""
    built = {name: artifact(model, steps, device) for name, steps in recipes.items()}
    scores = {name: visit(device, found, seconds, score=True)[1] for name, found in built.items()}
    first, last = built["dense"], list(built.values())[-1]
    times = []
    for pair in range(pairs):
        turn = {}
        for found in (first, last) if pair % 2 else (last, first):
            turn[found.file] = visit(device, found, seconds, score=False)[0]
        times.append((turn[last.file], turn[first.file]))
    after, before = (dict(enumerate(side)) for side in zip(*times, strict=True))
    sides = _levels.levels({"last": after, "first": before})
    ratio = _levels.ratio(sides["last"], sides["first"])
    assert first.macs
    assert last.macs
    verdict = "reached" if ratio.low >= GOAL else "not reached" if ratio.high < GOAL else "open"
    print(
        f"{model.net:18} {device:16} {first.macs / 1e6:6.2f} to {last.macs / 1e6:6.2f} M MACs "
        f"({last.macs / first.macs:.0%})  {statistics.median(t for _, t in times):7.3f} to "
        f"{statistics.median(t for t, _ in times):7.3f} ms  {ratio.value:.2f} "
        f"[{ratio.low:.2f}, {ratio.high:.2f}] times as fast, {GOAL} is {verdict};  top-1 "
        + ", ".join(f"{name} {score:.1%}" for name, score in scores.items() if score),
        flush=True,
    )


def artifact(model: Model, steps: list[dict[str, Any]], device: str) -> Artifact:
    order = BuildSpec(model, Recipe(steps=tuple(steps)), _device.formats()[device], 1, EXAMPLES, 0)
    built = _build.build([order], 1800, lambda _, result: None)[_build.key(order)]
    if not isinstance(built, Artifact):
        raise SystemExit(f"{model.net} for {device}: {built.reason}")
    return built


def visit(device: str, built: Artifact, seconds: float, *, score: bool) -> tuple[float, float]:
    """The median latency of one visit, in ms, and the accuracy, 0..1, if that was asked for."""
    limit = _parity.LIMITS["fp32"]
    spec = VisitSpec.of(
        built, device, seconds=seconds, max_samples=10**6, score=score, parity_limit=limit
    )
    result = _run.visit(spec, 600, 1e9)
    if result.status != "ok":
        raise SystemExit(f"{device}: the visit failed: {result.reason}")
    outcomes = result.measured.get("outcomes") or "0"
    milliseconds = statistics.median(itertools.chain(*result.measured["slices_ns"])) / 1e6
    return milliseconds, outcomes.count("1") / len(outcomes)


if __name__ == "__main__":
    sys.exit(main())
