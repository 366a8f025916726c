#!/usr/bin/env python3
"""Where the wall time of a run goes: timed calls, warm-up, calls that fill caches, and the rest.

It makes the run, from a filled cache, or reads one that is there with the seconds it took.

    python tests/benchmarks/wall.py [--suite quick] [--effort quick|gate|publish] [--out DIR]
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median

from paretomark.devices.measure import _timing
from paretomark.suites.records import _store
from paretomark.suites.records._record import Record

BETWEEN_CREWS_S = 1.0
BENCH = Path(__file__).parents[2] / "bench.py"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--suite", default="quick")
    parser.add_argument("--effort", default="quick", choices=("quick", "gate", "publish"))
    parser.add_argument("--out", type=Path, help="keep the run here")
    given = parser.parse_args()
    kept = nullcontext(str(given.out)) if given.out else tempfile.TemporaryDirectory()
    with kept as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-P", str(BENCH), "run", given.suite, "--effort", given.effort]
        start = time.monotonic()
        subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
        report(_store.read(out).records, time.monotonic() - start)


def report(records: Sequence[Record], wall_s: float) -> None:
    timed = sum(_called_s(r, r.slices_ns) for r in records)
    warm = sum(median(r.slices_ns[0]) * (r.warmup_runs or 0) / 1e9 for r in records if r.slices_ns)
    refills = sum(_refills_s(r) for r in records)
    again = sum(_called_s(r, r.inference_ns) for r in records if "onnxruntime" in r.device)
    turns = _turns_s(records)
    parts = {
        "timed calls": timed,
        "calls for the inference alone": again,
        "warm-up": warm,
        "calls that fill caches again": refills,
        "turns, beside these calls": turns - timed - again - refills,
        "starting, loading, scoring, reports": wall_s - turns - warm,
    }
    print(f"{wall_s:.0f} s, {len(records)} visits")
    for name, seconds in parts.items():
        print(f"  {name:36} {seconds:6.1f} s {100 * seconds / wall_s:5.1f} %")


def _called_s(record: Record, slices: tuple[tuple[int, ...], ...]) -> float:
    return sum(map(sum, slices)) / 1e9


def _refills_s(record: Record) -> float:
    if not record.slices_ns:
        return 0.0
    call_s = median(map(median, record.slices_ns)) / 1e9
    count = next((count for limit, count in _timing.REFILLS if call_s < limit), 0)
    return count * call_s * len(record.slices_ns)


def _turns_s(records: Sequence[Record]) -> float:
    """Seconds in which slices had their turns, one after the other."""
    spans = sorted(
        (at, at + sum(samples) / 1e9)
        for record in records
        for at, samples in zip(record.slices_at_s, record.slices_ns, strict=True)
    )
    pauses = [after[0] - before[1] for before, after in itertools.pairwise(spans)]
    called_s = sum(end - start for start, end in spans)
    return called_s + sum(pause for pause in pauses if pause < BETWEEN_CREWS_S)


if __name__ == "__main__":
    main()
