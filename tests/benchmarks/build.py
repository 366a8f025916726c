#!/usr/bin/env python3
"""What building the variants of a suite takes: time, processors and memory, from an empty cache.

    python tests/benchmarks/build.py [SUITE]

Memory is the proportional set size of all building processes together, sampled from outside
(Linux only). Goal: both of two cores in use, and at most 8 GiB.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

from paretomark.devices.measure import _collect, _work
from paretomark.devices.measure._request import RunRequest
from paretomark.models.build._artifact import Artifact
from paretomark.suites.spec import _suite

EVERY_S = 0.2


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("suite", nargs="?", default="quick")
    given = parser.parse_args()
    path = _suite.locate(given.suite)
    request = RunRequest(_suite.text(path), path.stem, str(path.parent.absolute()))
    suite, cells = request.plan()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PARETOMARK_CACHE"] = cache
        peak, done = [0], threading.Event()
        watch = threading.Thread(target=_watch, args=(peak, done))
        watch.start()
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        built = _collect.build_artifacts(suite, cells, _work.Progress())
        wall = time.monotonic() - start
        done.set()
        watch.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    artifacts = {a.file for a in built.values() if isinstance(a, Artifact)}
    print(
        f"{suite.name}: {len(artifacts)} artifacts in {wall:.0f} s, {cpu / wall:.2f} of "
        f"{os.cpu_count()} processors in use, at most {peak[0] / 2**30:.2f} GiB"
    )
    return 0


def _watch(peak: list[int], done: threading.Event) -> None:
    while not done.wait(EVERY_S):
        peak[0] = max(peak[0], sum(map(_bytes, _descendants(os.getpid()))))


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:  # it has ended since
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    lines = [line.split() for line in text.splitlines()]
    return next((int(line[1]) * 1024 for line in lines if line[0] == "Pss:"), 0)


if __name__ == "__main__":
    sys.exit(main())
