"""How long a comparison of two large runs takes, from the files to the last line.

    .venv/bin/python tests/benchmarks/comparing.py [--cells 1000]

The runs are made up: that many cells of three visits, each of 7 slices of 100 calls.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paretomark import bench
from paretomark.suites.records import _store
from paretomark.tests import _runs

VISITS, SLICES, CALLS, EXAMPLES = 3, 7, 100, 1000


def made(folder: Path, cells: int, seed: int) -> None:
    """Write a run of so many cells, the same ones for every seed."""
    rng, records = random.Random(seed), []
    for number in range(cells):
        right, base_ns = 0.5 + number / cells / 2, 300_000 + 500 * number
        same = random.Random(number)
        outcomes = "".join("1" if same.random() < right else "0" for _ in range(EXAMPLES))
        for block in range(VISITS):
            level = base_ns * rng.gauss(1, 0.005)
            slices = tuple(
                tuple(round(level * (1 + rng.expovariate(200))) for _ in range(CALLS))
                for _ in range(SLICES)
            )
            place = f"net{number % 40}", f"recipe{number // 40}", "onnxruntime:cpu"
            scored = {"outcomes": outcomes} if block == 0 else {}
            record = _runs.record(*place, block=block, metric="accuracy", **scored)
            records.append(dataclasses.replace(record, slices_ns=slices))
    run = _runs.run(records, run=folder.name)
    _store.create(folder, run.header)
    with (folder / _store.RECORDS).open("wb") as file:
        file.writelines(map(_store.line, run.records))


def main() -> None:
    """Make two runs, compare them in this process, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1000)
    cells = parser.parse_args().cells
    with tempfile.TemporaryDirectory() as scratch:
        a, b = Path(scratch, "a"), Path(scratch, "b")
        made(a, cells, 1)
        made(b, cells, 2)
        size = sum(file.stat().st_size for file in Path(scratch).rglob("*.jsonl"))
        print(f"{cells} cells, two runs, {size / 1e6:.0f} MB of records")
        for form in ([], ["--json"], ["--markdown"]):
            start = time.monotonic()
            words = [sys.executable, str(bench.__file__), "compare", str(a), str(b), *form]
            told = subprocess.run(words, capture_output=True, check=False)
            wall_s = time.monotonic() - start
            assert told.returncode != bench.USER_ERROR, told.stderr
            size = len(told.stdout)
            print(f"compare {' '.join(form):12} {wall_s:5.1f} s, {size / 1e3:.0f} kB", flush=True)
    most_bytes = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"peak memory {most_bytes / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
