"""Records of every scenario, as small as shows a thing."""

from __future__ import annotations

from typing import Any

from paretomark.suites.records._record import Record
from paretomark.suites.records._summary import Summary, summarise
from paretomark.suites.records._trials import Reading, Start, Trial
from paretomark.tests._runs import noisy, record, run, visits

MS = 1_000_000


def of(scenario: str, block: int = 0, recipe: str = "dense", **changes: Any) -> Record:
    changes.setdefault("samples_ns", ())
    key = f"net/{recipe}/cpu/b1/t1/{scenario}"
    return record(recipe=recipe, cell=key, scenario=scenario, block=block, **changes)


def trial(rate: float, ms: float, queries: int = 700, **more: Any) -> Trial:
    """Latencies that are evenly spread from half of `ms` to one and a half."""
    each = tuple(int(MS * ms * (0.5 + i / (queries - 1))) for i in range(queries))
    return Trial(rate, queries, each, **more)


def server(block: int = 0, slower: float = 1.0, **more: Any) -> Record:
    searched = [(50.0, 3), (200.0, 9), (100.0, 4), (150.0, 6)]
    trials = [trial(100.0, 4 * slower), trial(600.0, 300 * slower)]
    trials += [trial(rate, ms * slower, searched=True) for rate, ms in searched]
    return of("server", block, trials=tuple(trials), p99_bound_s=0.010, **more)


def cold(block: int, slower: float = 1.0, recipe: str = "dense") -> Record:
    start = Start(0.05 * slower, 0.2 * slower, 0.03 * slower, 0.01 * slower, 0.01 * slower)
    return of("cold", block, recipe, cold=start, outcomes="")


def sustained(block: int, end: float = 2.0) -> Record:
    """Thirty slices, of which the last twelve take `end` times as long."""
    slices = tuple((round(MS * (1 if i < 18 else end)),) * 20 for i in range(30))
    readings = tuple(Reading(3000 if i < 18 else 1500, 50 + i) for i in range(30))
    at = tuple(1e9 + i for i in range(30))
    return of("sustained", block, slices_ns=slices, slices_at_s=at, readings=readings)


def batches(*latencies: float) -> list[Record]:
    """Batches of 1, 2, 4 and so on, each known to a percent or so."""
    return [
        each
        for i, latency in enumerate(latencies)
        for each in visits(
            noisy(latency, 5, 0.003, seed=i), batch=2**i, scenario="batch",
            cell=f"net/dense/cpu/b{2**i}/t1/batch",
        )
    ]  # fmt: skip


def every() -> Summary:
    records = [
        *(server(b, 1 + b / 100) for b in range(3)),
        *(cold(b, 1 + b / 50) for b in range(3)),
    ]
    records += [*(sustained(b) for b in range(3)), *batches(1e-3, 1.2e-3, 2.4e-3, 4.8e-3)]
    return summarise(run([*visits([1e-3, 1.001e-3, 0.999e-3]), *records]))
