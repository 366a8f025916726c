"""What a call costs beside time: instructions, misses of caches, joules; where something tells.

A visit tells one number of each kind per call. A cell has the median of its visits, and two cells
differ by the ratio of their means, of logarithms, with the spread of the visits (Welch, Biometrika
34, 1947). That is a claim of its own kind, and says nothing about time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, variance
from typing import Any

from paretomark.suites.records import _stats
from paretomark.suites.records._record import Record
from paretomark.suites.records._stats import Ratio

COUNTERS = ("instructions", "cycles", "cache_misses", "branch_misses")
COUNTED = "counted"  # in `counters`: for which share of the time they ran; below 1 they are scaled
ENERGY = "energy_j"
KINDS = (*COUNTERS, ENERGY)
LEAST = 1e-4  # standard deviation of a logarithm: what is equal to the last digit is rounded


def of(record: Record, kind: str) -> float | None:
    """Return a number of a visit per call, of KINDS; None where it is not told."""
    return record.energy_j if kind == ENERGY else record.counters.get(kind)


def fields(pool: Sequence[Record]) -> dict[str, Any]:
    """Return fields of a row, of the visits that count."""
    told = {name: _median([r.counters.get(name) for r in pool]) for name in (*COUNTERS, COUNTED)}
    cycles, instructions = told["cycles"], told["instructions"]
    energy_j = _median([r.energy_j for r in pool])
    return {
        **told,
        "ipc": instructions / cycles if instructions is not None and cycles else None,
        "energy_j": energy_j,
        "idle_w": _median([r.idle_w for r in pool]),
        "energy_source": next((r.energy_source for r in pool if r.energy_source), ""),
        "energy_why": next((r.energy_why for r in pool if r.energy_why), "")
        if energy_j is None
        else "",
    }


def change(a: Sequence[Record], b: Sequence[Record], kind: str) -> Ratio | None:
    """Return b / a of the visits of two cells; None where one of them has not two of that kind."""
    sides = [
        [math.log(value) for r in pool if (value := of(r, kind)) is not None and value > 0]
        for pool in (a, b)
    ]
    if min(map(len, sides)) < 2:
        return None
    mine, yours = ((max(LEAST**2, variance(logs)) / len(logs), len(logs) - 1) for logs in sides)
    whole = mine[0] + yours[0]
    dof = whole**2 / (mine[0] ** 2 / mine[1] + yours[0] ** 2 / yours[1])
    return _stats.ratio(fmean(sides[1]) - fmean(sides[0]), math.sqrt(whole), dof)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
