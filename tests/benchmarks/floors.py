"""How far unchanged cells of runs lie apart, by what is taken for the floor of a visit.

    .venv/bin/python tests/benchmarks/floors.py RUN RUN ... [--series RUN RUN ...]

Runs of one series are paired with each other. Of each pair the cells with equal files and versions
are compared; what they have in common is taken out.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from unittest import mock

from paretomark.suites.records import _levels, _stats, _store
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary, summarise

Floor = Callable[[Sequence[Sequence[float]]], float]


def quantile(share: float) -> Floor:
    """The quantile of slices, of each the usual one of its calls; 0 is the least of them."""

    def floor(slices: Sequence[Sequence[float]]) -> float:
        ordered = sorted(_stats.quantile(samples, _levels.QUANTILE) for samples in slices)
        return ordered[round(share * (len(ordered) - 1))]

    return floor


def steps(series: Sequence[Run]) -> list[float]:
    """How far cells lie off what all have in common, over all pairs of a series."""
    found: list[float] = []
    for a, b in itertools.combinations([_levels_of(summarise(run)) for run in series], 2):
        logs = [b[key] - a[key] for key in a.keys() & b.keys()]
        found += [abs(log - median(logs)) for log in logs] if len(logs) >= _levels.FEW // 2 else []
    return found


def _levels_of(summary: Summary) -> dict[tuple[str, ...], float]:
    """The logarithm of the latency of each cell, by what it is."""
    versions = {p.device: str(p.versions) for p in summary.run.header.probes}
    return {
        (row.cell, row.sha256, versions.get(row.device, "")): level.log
        for row in summary.rows
        if row.valid and (level := summary.visits[row.cell].level)
    }


def main() -> None:
    """Read the runs once, and print a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--series", type=Path, nargs="+", action="append", default=[])
    arguments = parser.parse_args()
    series = [[_store.read(run) for run in runs] for runs in (arguments.runs, *arguments.series)]
    print("floor of a visit: middle, and what 90, 95 and 99 % of cells lie within")
    for share in (0, 0.025, 0.05, 0.1, 0.2, 0.5):
        for runs in series:
            for run in runs:
                for record in run.records:
                    vars(record).pop("floor_s", None)  # which it remembers
        with mock.patch.object(_levels, "floor", quantile(share)):
            off = [step for runs in series for step in steps(runs)]
        told = [f"{_stats.quantile(off, part):.2%}" for part in (0.5, 0.9, 0.95, 0.99)]
        print(f"{share:.1%} of its slices: {', '.join(told)} ({len(off)} pairs)", flush=True)


if __name__ == "__main__":
    main()
