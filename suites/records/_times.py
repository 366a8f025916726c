"""The times of a row: of the call and the inference alone, in quiet moments and as they came."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from paretomark.suites.records import _levels, _stats
from paretomark.suites.records._levels import Level
from paretomark.suites.records._record import Record
from paretomark.suites.records._scenarios import visit_s
from paretomark.suites.spec._scenario import BATCH, SINGLE

Getter = Callable[[Record], Any]
DISTURBED = 1.1


def tails(pool: Sequence[Record]) -> dict[int, float]:
    """Return the 90th percentile of the calls over their floor, by block, where it can be told."""
    found = {}
    for record in pool:
        p90 = _stats.percentile(record.samples_ns, 90)
        if p90 is not None:
            found[record.block] = p90 / (1e9 * record.floor_s)
    return found


def of_boundary(name: str, pool: Sequence[Record], level: Level | None) -> dict[str, Any]:
    """Return the latency of a boundary: fields NAME_s, NAME_low_s and NAME_high_s of a row; none of
    a scenario whose latency is no time of a call."""
    if not all(r.scenario in (SINGLE, BATCH) for r in pool):
        return {}
    return _ends(name, pool, level)


def _ends(name: str, pool: Sequence[Record], level: Level | None) -> dict[str, Any]:
    clocked = [visit_s(r) for r in pool if r.clocked]
    if not clocked:
        return {}
    low, high = level.interval if level else (None, None)
    seconds = level.seconds if level else _levels.mean(clocked)
    return {f"{name}_s": seconds, f"{name}_low_s": low, f"{name}_high_s": high}


def times(
    pool: Sequence[Record], level: Level | None, every: Sequence[Record] = ()
) -> dict[str, Any]:
    """Return the fields of a row that tell times, and memory, of its visits: of the `pool` that
    counts, but of `every` one those that are told by the first alone, see `_cold`."""
    cold = _cold(every or pool)
    slices = [sorted(part) for r in pool if not r.aggregate for part in r.slices_ns]
    samples = sorted(itertools.chain(*slices))  # quick, as each of them is in order
    percentiles = {p: _stats.percentile(samples, p) for p in _stats.NEEDED}
    latency = _ends("latency", pool, level)
    return {
        **latency,
        "typical_s": _seconds(percentiles[50]),
        "p90_s": _seconds(percentiles[90]),
        "p95_s": _seconds(percentiles[95]),
        "p99_s": _seconds(percentiles[99]),
        "disturbed": _disturbed(slices, latency.get("latency_s")),
        "sequential": any(r.sequential for r in pool),
        "visits_apart": level.apart if level else 0,
        "load_s": _over(cold, lambda r: r.load_s, median),
        "compile_s": _over(cold, lambda r: r.compile_s, median),
        "first_s": _over(cold, lambda r: r.first_s, median),
        "peak_memory_bytes": _over(cold, lambda r: r.peak_memory_bytes, max),
        "added_memory_bytes": _over(cold, _added, max),
    }


def _seconds(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e9


def _disturbed(slices: Sequence[Sequence[int]], latency_s: float | None) -> float | None:
    """The share of slices whose middle call takes a tenth more than the latency, or longer."""
    if not slices or latency_s is None:
        return None
    return sum(median(part) > DISTURBED * latency_s * 1e9 for part in slices) / len(slices)


def _cold(pool: Sequence[Record]) -> Sequence[Record]:
    """The visits that started alone: others start side by side, which makes loading slower, and
    have pages in common with the process that they are forked of."""
    if any(r.sequential or r.imported for r in pool):
        return pool
    return [r for r in pool if r.block == 0] or pool


def _added(record: Record) -> int | None:
    peak, before = record.peak_memory_bytes, record.before_load_bytes
    return None if peak is None or before is None else peak - before


def _over(records: Iterable[Record], get: Getter, pick: Callable[[list[Any]], Any]) -> Any:
    values = [v for r in records if (v := get(r)) is not None]
    return pick(values) if values else None
