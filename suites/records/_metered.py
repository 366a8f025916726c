"""What a call costs beside time: instructions, misses of caches, joules; where something tells.

A visit tells one number of each kind per call. A cell has the median of its visits for counts, and
for joules, which are a difference and scatter on both sides, their mean. Energy that cannot be told
from none is not told. Two cells differ by the ratio of their means, with the spread of the visits
(Welch, Biometrika 34, 1947). That is a claim of its own kind, and says nothing about time.
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
LEAST = 1e-4  # relative standard deviation: what is equal to the last digit is rounded


def of(record: Record, kind: str) -> float | None:
    """Return a number of a visit per call, of KINDS; None where it is not told."""
    return record.energy_j if kind == ENERGY else record.counters.get(kind)


def fields(pool: Sequence[Record]) -> dict[str, Any]:
    """Return fields of a row, of the visits that count."""
    told = {name: _median([r.counters.get(name) for r in pool]) for name in (*COUNTERS, COUNTED)}
    cycles, instructions = told["cycles"], told["instructions"]
    return {
        **told,
        "ipc": instructions / cycles if instructions is not None and cycles else None,
        "idle_w": _median([r.idle_w for r in pool]),
        "energy_source": next((r.energy_source for r in pool if r.energy_source), ""),
        **_energy(pool),
    }


def _energy(pool: Sequence[Record]) -> dict[str, Any]:
    """The mean of the visits, with Student's interval; why there is none, if there is none."""
    joules = [r.energy_j for r in pool if r.energy_j is not None]
    told: dict[str, Any] = {"energy_j": None, "energy_low_j": None, "energy_high_j": None}
    if not joules:
        return {**told, "energy_why": next((r.energy_why for r in pool if r.energy_why), "")}
    mean, low, high = fmean(joules), None, None
    if len(joules) > 1:
        half = _stats.t_quantile(0.975, len(joules) - 1) * math.sqrt(_of_mean(joules))
        low, high = mean - half, mean + half
    if mean <= 0 or (low is not None and low <= 0):
        return {**told, "energy_why": "a call draws too little to be told from the idle machine"}
    return {"energy_j": mean, "energy_low_j": low, "energy_high_j": high, "energy_why": ""}


def change(a: Sequence[Record], b: Sequence[Record], kind: str) -> Ratio | None:
    """Return b / a of the visits of two cells; None where one of them has not two of that kind, or
    its mean is not above 0."""
    sides = [[value for r in pool if (value := of(r, kind)) is not None] for pool in (a, b)]
    if any(len(side) < 2 or fmean(side) <= 0 for side in sides):
        return None
    means = [fmean(side) for side in sides]
    # Of the logarithm of a mean: its relative variance.
    parts = [
        max(LEAST**2 / len(side), _of_mean(side) / mean**2)
        for side, mean in zip(sides, means, strict=True)
    ]
    freedom = sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    log = math.log(means[1] / means[0])
    return _stats.ratio(log, math.sqrt(sum(parts)), sum(parts) ** 2 / freedom)


def _of_mean(values: Sequence[float]) -> float:
    return variance(values) / len(values)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
