"""What a row says of the visits of a scenario: rates of a server, parts of a start, burst and end.

As of latencies, the unit of replication is the visit: a value of a cell is the geometric mean over
its visits, and its 95 % interval that of Student's t over their logarithms, from two visits on.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance
from typing import Any, NamedTuple

from paretomark.suites.records import _levels, _stats
from paretomark.suites.records._levels import Level
from paretomark.suites.records._record import Record
from paretomark.suites.records._row import Row
from paretomark.suites.spec._scenario import BATCH, COLD, SERVER, SINGLE, SUSTAINED

BURST = 5  # slices at the start of a sustained visit, or a third, where that is fewer
PERCENTILES = (50, 90, 99)


class Known(NamedTuple):
    """A value of a cell, and its interval, where it is known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Served:
    """What a server did at a rate: the queries of all visits, and percentiles of their latency in
    seconds; None where there were too few queries."""

    rate: float
    queries: int
    percentiles: Mapping[int, Known | None]


def over_visits(values: Sequence[float]) -> Known:
    """Return the geometric mean of values above 0, one of each visit."""
    logs = [math.log(value) for value in values]
    middle = fmean(logs)
    if len(logs) < 2:
        return Known(math.exp(middle))
    error = math.sqrt(variance(logs) / len(logs))
    value, low, high, *_ = _stats.ratio(middle, error, len(logs) - 1)
    return Known(value, low, high)


def served(pool: Sequence[Record]) -> list[Served]:
    """Return what was reached at each rate that was asked for, the lowest first."""
    trials = [t for r in pool for t in r.trials if not t.searched]
    found = []
    for rate in sorted({t.rate for t in trials}):
        mine = [t for t in trials if t.rate == rate]
        told = {p: [s for t in mine if (s := t.quantile_s(p))] for p in PERCENTILES}
        percentiles = {p: over_visits(every) if every else None for p, every in told.items()}
        found.append(Served(rate, sum(t.queries for t in mine), percentiles))
    return found


def best_rate(record: Record) -> tuple[float, float] | None:
    """Return the highest rate of the search that stayed under the bound, and the lowest above that
    did not; None where no rate did, or none was looked for."""
    tried = [t for t in record.trials if t.searched]
    bound_s = record.p99_bound_s
    passed = [t.rate for t in tried if bound_s is not None and t.passes(bound_s)]
    if not passed:
        return None
    best = max(passed)
    return best, min((t.rate for t in tried if t.rate > best), default=best)


def visit_s(record: Record) -> float:
    """Return the latency of a visit in seconds: the floor of its calls, or what is predicted; of a
    cold start all of it, of a sustained visit its last third. It must be `clocked`."""
    if record.predicted_s is not None:
        return record.predicted_s
    if record.cold:
        return record.cold.total_s
    if record.scenario == SUSTAINED:
        return sustained_s(record)
    return record.floor_s


def clocked_here(record: Record) -> bool:
    """Tell whether a visit has one time, and it is measured: visits repeat a prediction exactly,
    which says nothing about how far it is off."""
    return record.clocked and record.predicted_s is None


def levels(pools: Mapping[str, Sequence[Record]]) -> dict[str, Level]:
    """Return the level of each cell, from the visits that are shown of it, where it is known."""
    found: dict[str, Level] = {}
    measured = {c: pool for c, pool in pools.items() if any(map(clocked_here, pool))}
    # A call, a start, and the end of ten minutes are not noisy alike.
    for alike in ((SINGLE, BATCH), (COLD,), (SUSTAINED,)):
        mine = {c: pool for c, pool in measured.items() if pool[0].scenario in alike}
        times = {c: {r.block: visit_s(r) for r in pool} for c, pool in mine.items()}
        found |= _levels.levels(times, {c: pool[0].device for c, pool in mine.items()})
    return found


def steady_s(slices: Sequence[Sequence[int]]) -> float:
    """Return what a call usually takes in these slices: the median of their medians."""
    return median(median(part) for part in slices) / 1e9


def burst_s(record: Record) -> float:
    """Return what a call took in the first slices."""
    return steady_s(record.slices_ns[: min(BURST, _third(record))])


def sustained_s(record: Record) -> float:
    """Return what a call took in the last third of the slices."""
    return steady_s(record.slices_ns[-_third(record) :])


def _third(record: Record) -> int:
    return max(1, len(record.slices_ns) // 3)


def values(pool: Sequence[Record]) -> dict[str, Any]:
    """Return the fields of `Row` that the scenario of these visits has besides the usual ones."""
    scenario = pool[0].scenario
    if scenario == SERVER:
        return _of_server(pool)
    if scenario == COLD:
        return _of_cold(pool)
    if scenario == SUSTAINED:
        return _of_sustained(pool)
    return {}


def _of_server(pool: Sequence[Record]) -> dict[str, Any]:
    rates = served(pool)
    values: dict[str, Any] = {"queries": {_name(each.rate): each.queries for each in rates}}
    for p, name in zip(PERCENTILES, ("median", "p90", "p99"), strict=True):
        known = {_name(each.rate): each.percentiles[p] for each in rates}
        values[f"server_{name}_s"] = {rate: k.value for rate, k in known.items() if k is not None}
    found = [best_rate(record) for record in pool]
    if best := [both for both in found if both is not None]:
        # The true rate lies between one that passed and the next that did not: both count.
        low, high = (over_visits(side) for side in zip(*best, strict=True))
        values["best_rate"] = low.value if len(best) == len(found) else None
        if values["best_rate"] and low.low is not None:
            values |= {"best_rate_low": low.low, "best_rate_high": high.high}
    return values


def _name(rate: float) -> str:
    return f"{rate:g}"


def _of_cold(pool: Sequence[Record]) -> dict[str, Any]:
    starts = [r.cold for r in pool if r.cold]
    if not starts:
        return {}
    compiled = [s.compile_s for s in starts if s.compile_s is not None]
    return {
        "interpreter_s": median(s.interpreter_s for s in starts),
        "import_s": median(s.import_s for s in starts),
        "load_s": median(s.load_s for s in starts),
        "compile_s": median(compiled) if compiled else None,
        "first_s": median(s.first_s for s in starts),
    }


def _of_sustained(pool: Sequence[Record]) -> dict[str, Any]:
    timed = [r for r in pool if r.slices_ns]
    if not timed:
        return {}
    slower = over_visits([sustained_s(r) / burst_s(r) for r in timed])
    return {
        "burst_s": over_visits([burst_s(r) for r in timed]).value,
        "slowdown": slower.value,
        "slowdown_low": slower.low,
        "slowdown_high": slower.high,
    }


def with_throughput(row: Row) -> Row:
    """Return the row with its inputs per second, if a call of it takes several."""
    if not row.latency_s or not (row.batch > 1 or row.scenario == BATCH) or row.scenario == COLD:
        return row
    low_s, high_s = row.latency_low_s, row.latency_high_s
    return dataclasses.replace(
        row,
        throughput=row.batch / row.latency_s,
        throughput_low=row.batch / high_s if high_s else None,
        throughput_high=row.batch / low_s if low_s else None,
    )


def knee(rows: Sequence[Row]) -> Row | None:
    """Return the row of the least batch size beyond which throughput no longer grows: no interval
    of a larger one lies above its own. None where it still grows, or where too little is known."""
    ordered = sorted((r for r in rows if r.throughput), key=lambda r: r.batch)
    if len(ordered) < 2 or any(r.throughput_low is None for r in ordered):
        return None
    for i, row in enumerate(ordered[:-1]):
        high = row.throughput_high or 0.0
        if all((later.throughput_low or 0.0) <= high for later in ordered[i + 1 :]):
            return row
    return None
