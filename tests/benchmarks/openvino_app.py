#!/usr/bin/env python3
"""OpenVINO's own benchmark_app and a visit of this suite, on the same file.

The same model, threads, stream, batch and precision, in turns, each in a process of its own.
benchmark_app fills its input once, reads OpenVINO's own clock, and never looks at an answer. So
the suite's loop is compared by that clock too: the median ratio should lie within 1.00 +- 0.03,
where bringing the next picture from memory is not much of the whole (`--pictures 1` repeats one).
What the whole call takes is more by a fixed amount: it hands over a picture each time and fetches
the answer, as a program has to that calls OpenVINO from Python.

    python tests/benchmarks/openvino_app.py [--net scenes_resnet] [--turns 15]
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

from paretomark.devices._device import Arrays, open_device
from paretomark.devices.measure import _inputs, _timing
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.spec import _schema
from paretomark.suites.spec._model import Model, Recipe

SECONDS = 2  # of one turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", default="scenes_resnet")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--pictures", type=int, default=8, help="that inputs rotate through")
    arguments = parser.parse_args()
    for batch, precision in itertools.product(arguments.batch, ("fp32", "int8")):
        model = Model(name=arguments.net, net=arguments.net)
        order = BuildSpec(model, Recipe(precision=precision), "xml", batch, 100, 0)
        built = _build.build([order], 900, lambda _, result: None)[_build.key(order)]
        if not isinstance(built, Artifact):
            raise SystemExit(f"{arguments.net}.xml: {built.reason}")
        pairs = []
        for turn in range(arguments.turns):
            spec = _spec(built, arguments.threads, batch)
            sides = [suite, app] if turn % 2 else [app, suite]
            found = {side: side(spec, arguments.pictures) for side in sides}
            pairs.append((*found[suite], *found[app]))
        print(f"{arguments.net} {precision}, batch {batch}, benchmark_app {pairs[-1][2]:.3f} ms:")
        for what, column in (("OpenVINO's clock", 1), ("the call", 0)):
            ratios = sorted(pair[column] / pair[2] for pair in pairs)
            low, high = (ratios[i] for i in (len(ratios) // 4, -1 - len(ratios) // 4))
            middle = statistics.median(ratios)
            print(f"  by {what:16} {middle:.3f} (quartiles {low:.3f} .. {high:.3f})", flush=True)


def suite(spec: VisitSpec, pictures: int) -> tuple[float, float]:
    """The median latency of the suite's loop, in ms: of the call, and by OpenVINO's clock."""
    code = (
        "import sys; from paretomark.tests.benchmarks import openvino_app as it; "
        "it.loop(*sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, json.dumps(dataclasses.asdict(spec)), str(pictures)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    call, clock = json.loads(done.stdout)
    return call, clock


def loop(spec_json: str, pictures: str) -> None:
    """What a visit does between loading and scoring, with OpenVINO's clock read after each call."""
    spec = _schema.typed(VisitSpec, json.loads(spec_json))
    device = open_device(spec.device)
    device.probe()
    inputs = _inputs.rotating(spec, device.load(Path(spec.file), spec.threads))[: int(pictures)]
    clock: list[float] = []

    def run(arrays: Arrays) -> None:
        device.run(arrays)
        clock.append(device.request.latency)  # type: ignore[attr-defined]

    _, slices = _timing.measure(run, inputs, spec.seconds, spec.max_samples)
    samples_ns = list(itertools.chain(*slices))
    taken = clock[-len(samples_ns) :]
    print(json.dumps([statistics.median(samples_ns) / 1e6, statistics.median(taken)]))


def _spec(built: Artifact, threads: int, batch: int) -> VisitSpec:
    return VisitSpec.of(
        built,
        "openvino:cpu",
        seconds=SECONDS,
        max_samples=10**6,
        score=False,
        threads=threads,
        batch=batch,
    )


def app(spec: VisitSpec, pictures: int) -> tuple[float]:
    """The median latency that benchmark_app prints, in ms."""
    program = str(Path(sys.executable).with_name("benchmark_app"))
    # With a hint other than none, it chooses streams and threads itself; without -ip, it changes
    # the input of the model to bytes.
    command = [
        *(program, "-m", spec.file, "-d", "CPU", "-api", "sync", "-hint", "none"),
        *(
            "-nstreams",
            "1",
            "-infer_precision",
            "f32",
            "-ip",
            "f32",
            "-nthreads",
            str(spec.threads),
        ),
        *("-t", str(int(SECONDS))),
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Median:\s+([\d.]+) (ms|us)", said)
    if not found:
        raise SystemExit(f"benchmark_app does not print a median:\n{said}")
    return (float(found[1]) / (1000 if found[2] == "us" else 1),)


if __name__ == "__main__":
    main()
