#!/usr/bin/env python3
"""OpenVINO's own benchmark_app and a visit of this suite, on the same file.

The same model, threads, stream, batch and precision, in turns, each in a process of its own.
Prints the ratio of the median latencies of each pair of turns; their median should lie within
1.00 +- 0.03.

    python tests/benchmarks/openvino_app.py [--net scenes_resnet] [--turns 15]
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path

from paretomark.devices import _run
from paretomark.devices._visit import Spec
from paretomark.models import _build
from paretomark.models._artifact import Artifact, Order
from paretomark.suites._suite import Model, Recipe

SECONDS = 2  # of one turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", default="scenes_resnet")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for precision in ("fp32", "int8"):
        order = Order(
            Model(name=arguments.net, net=arguments.net),
            Recipe(precision=precision),
            "xml",
            1,
            100,
            0,
        )
        built = _build.build([order], 900, lambda _, result: None)[_build.key(order)]
        if not isinstance(built, Artifact):
            raise SystemExit(f"{arguments.net}.xml: {built.reason}")
        ratios = []
        for turn in range(arguments.turns):
            pair = {}
            for name in ("suite", "app") if turn % 2 else ("app", "suite"):
                measured = suite if name == "suite" else app
                pair[name] = measured(built, arguments.threads)
            ratios.append(pair["suite"] / pair["app"])
        low, high = (sorted(ratios)[i] for i in (len(ratios) // 4, -1 - len(ratios) // 4))
        print(
            f"{arguments.net} {precision}: suite / benchmark_app: median "
            f"{statistics.median(ratios):.3f} (quartiles {low:.3f} .. {high:.3f}, "
            f"{len(ratios)} pairs; the last {pair['suite']:.3f} ms and {pair['app']:.3f} ms)",
            flush=True,
        )


def suite(built: Artifact, threads: int) -> float:
    """The median latency of one visit, in ms."""
    spec = Spec(
        device="openvino:cpu",
        file=built.file,
        threads=threads,
        batch=1,
        seconds=SECONDS,
        max_samples=10**6,
        images=built.images,
        labels=built.labels,
        reference="",
        preprocess=built.preprocess,
        label_offset=0,
        score=False,
        parity_limit=None,
        seed=0,
    )
    visit = _run.visit(spec, 120, 1e9)
    if visit.status != "ok":
        raise SystemExit(f"the visit failed: {visit.reason}")
    samples: list[int] = visit.measured["samples_ns"]
    return statistics.median(samples) / 1e6


def app(built: Artifact, threads: int) -> float:
    """The median latency that benchmark_app prints, in ms."""
    program = str(Path(sys.executable).with_name("benchmark_app"))
    # With a hint other than none, it chooses streams and threads itself.
    command = [
        *(program, "-m", built.file, "-d", "CPU", "-api", "sync", "-hint", "none"),
        *("-nstreams", "1", "-infer_precision", "f32", "-nthreads", str(threads)),
        *("-t", str(int(SECONDS))),
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Median:\s+([\d.]+) (ms|us)", said)
    if not found:
        raise SystemExit(f"benchmark_app does not print a median:\n{said}")
    return float(found[1]) / (1000 if found[2] == "us" else 1)


if __name__ == "__main__":
    main()
