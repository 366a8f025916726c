"""From the records of a run to one row per planned cell: what every report shows.

Nothing is dropped: a cell that failed, was never run, or has no valid visit is a row too. Only
valid rows whose answers mean something stand on a front, and only with their own kind, see `Group`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from paretomark.suites.records import (
    _front,
    _levels,
    _metered,
    _planned,
    _scenarios,
    _scores,
    _sparsity,
    _stats,
    _times,
)
from paretomark.suites.records._front import Hypervolume
from paretomark.suites.records._levels import Level
from paretomark.suites.records._record import CALL, Record
from paretomark.suites.records._row import NOT_RUN, Group, Row
from paretomark.suites.records._scores import Scores
from paretomark.suites.records._store import Run
from paretomark.suites.spec import _suite
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._margin import Margin
from paretomark.suites.spec._scenario import SUSTAINED
from paretomark.suites.spec._suite import BOUNDARIES
from paretomark.suites.tasks import _task

T = TypeVar("T")
_WORST_FIRST = ("failed", "unavailable", "unsupported", "fallback", "ok")


@dataclass(frozen=True)
class Summary:
    """What reports are made of: a run, a row per planned cell, and its visits by cell.

    Rows are in the order of the plan, with the records of cells that no plan has at their end.
    """

    run: Run
    rows: tuple[Row, ...]
    visits: Mapping[str, Visits]
    hypervolumes: Mapping[Group, Hypervolume] = field(default_factory=dict)  # of each front

    @property
    def failed(self) -> bool:
        """Whether some cell failed that could have run here."""
        return any(row.status in ("failed", "fallback", NOT_RUN) for row in self.rows)


@dataclass(frozen=True)
class Visits:
    """The records of one cell, one per block (the newest, for a resumed run repeats a block)."""

    records: tuple[Record, ...]
    valid: tuple[Record, ...]
    flags: tuple[str, ...]
    level: Level | None = None  # of the valid visits, or of all that are timed; None: not known

    @property
    def pool(self) -> tuple[Record, ...]:
        """The visits whose times are shown: the valid ones, or all timed ones if there are none."""
        return self.valid or tuple(r for r in self.records if r.timed)

    @property
    def outcomes(self) -> Scores:
        """One score per scored example; "" if none was scored."""
        return next((s for r in self.records if (s := r.outcomes or r.scores)), "")

    @functools.cached_property
    def tails(self) -> Mapping[int, float]:
        """The 90th percentile of the calls over their floor, by block, where it can be told."""
        return _times.tails(self.pool)


def summarise(run: Run) -> Summary:
    """Summarise a run, in one row per cell. Every report is made of the one summary of a run."""
    visits = _by_cell(run)
    both = {
        name: visits if name == run.header.boundary else _by_boundary(run, name)
        for name in BOUNDARIES
        if name in (CALL, run.header.boundary) or any(r.inference_ns for r in run.records)
    }
    rows = [
        dataclasses.replace(
            _row(cell, of_cell),
            boundary=run.header.boundary,
            **_latencies(cell, both),
        )
        for cell, of_cell in visits.items()
    ]
    dense = {(r.model, *r.group): r for r in rows if r.dense}
    compared = [_against(r, dense.get((r.model, *r.group)), visits) for r in rows]
    whole = {(r.model, r.precision, *r.group): r for r in rows if r.steps == ""}
    features = run.header.host.features
    compared = [
        _sparsity.with_verdict(r, twin, ratio(r, twin, visits) if twin else None, features)
        for r in compared
        for same in [whole.get((r.model, r.precision, *r.group))]
        for twin in [None if same is r and r.sparsity is None else same]  # a file of the user's
    ]
    rows_of_all = tuple(_front.with_fronts(_adjusted(compared), visits, margin(run)))
    return Summary(run, rows_of_all, visits, _front.hypervolumes(rows_of_all, visits))


def of_suite(run: Run, read: Callable[[str], T], otherwise: T) -> T:
    """What the suite of a run says, as `read` tells from its text. An imported run has no suite,
    and the text of another's may be damaged: these get what is said `otherwise`."""
    text = run.header.request.get("suite", "")
    try:
        return read(text) if isinstance(text, str) and text else otherwise
    except UserError:
        return otherwise


def margin(run: Run) -> Margin:
    """What is too little to matter, by the suite of a run."""
    return of_suite(run, _suite.margin, Margin())


def half_widths(run: Run) -> dict[str, float]:
    """Return how wide the interval of each measured cell is: 0.02 is ±2 %; infinite where only one
    of its visits counts, and no other cell tells anything."""
    return {
        cell: math.sqrt(visits.level.interval.high / visits.level.interval.low) - 1
        if visits.level and visits.valid
        else math.inf
        for cell, visits in _by_cell(run).items()
        if any(_scenarios.clocked_here(r) and r.scenario != SUSTAINED for r in visits.pool)
    }


def _by_cell(run: Run) -> dict[str, Visits]:
    """The visits by cell: the planned cells in the order of the plan, then any other."""
    return _by_boundary(run, run.header.boundary)


def _by_boundary(run: Run, boundary: str) -> dict[str, Visits]:
    newest: dict[str, dict[int, Record]] = {cell: {} for cell in run.header.cells}
    for record in run.records:
        newest.setdefault(record.cell, {})[record.block] = record.within(boundary)
    visits = {cell: _visits([blocks[b] for b in sorted(blocks)]) for cell, blocks in newest.items()}
    levels = _scenarios.levels({cell: v.pool for cell, v in visits.items()})
    return {c: dataclasses.replace(v, level=levels.get(c)) for c, v in visits.items()}


def _visits(records: Sequence[Record]) -> Visits:
    timed = [r for r in records if r.timed]
    few = [
        r  # of what others measured, their tool decided how many are enough
        for r in timed
        if r.samples_ns and not r.imported and len(r.samples_ns) < _stats.NEEDED[50]
    ]
    flags = {flag for r in records for flag in r.flags} | ({"few samples"} if few else set())
    valid = [r for r in timed if r.status == "ok" and not r.flags and r not in few]
    if len({(r.identity, r.sha256, r.data, r.task, r.simulated, r.imported) for r in timed}) > 1:
        flags.add("artifact changed")  # visits of different things cannot be pooled
        valid = []
    return Visits(tuple(records), tuple(valid), tuple(sorted(flags)))


def _latencies(cell: str, both: Mapping[str, Mapping[str, Visits]]) -> dict[str, Any]:
    """Its latency by each boundary: fields of its row."""
    found: dict[str, Any] = {}
    for boundary, visits in both.items():
        found |= _times.of_boundary(boundary, visits[cell].pool, visits[cell].level)
    return found


def _row(cell: str, visits: Visits) -> Row:
    if not visits.records:
        return _planned.not_run(cell)
    worst = min(visits.records, key=lambda r: _WORST_FIRST.index(r.status))
    best = next((r for r in visits.records if r.timed), worst)
    part = sum(r.status == worst.status for r in visits.records)
    where = f"in {part} of {len(visits.records)} visits: " if part < len(visits.records) else ""
    shared = {f.name for f in dataclasses.fields(Row)} & {f.name for f in dataclasses.fields(best)}
    values: dict[str, Any] = {name: getattr(best, name) for name in shared} | {
        "status": worst.status,
        "stage": worst.stage,
        "reason": where + worst.reason if worst.reason else "",
        "flags": visits.flags,
        "warnings": tuple(dict.fromkeys(w for r in visits.records for w in r.warnings)),
        "broken": next((r.broken for r in visits.records if r.broken), ""),
        "visits": len(visits.records),
        "valid_visits": len(visits.valid),
        "dense": best.steps == "" and best.precision == "fp32",
        "sparsity": _zeros(best),
        "file_sparsity": best.file_zeros / best.file_weights
        if best.file_weights and best.file_zeros is not None
        else None,
    }
    scored = next((r for r in visits.records if r.examples), None)
    times: dict[str, Any] = {}
    if pool := visits.pool:
        times = (
            _times.times(pool, visits.level, visits.records)
            | _metered.fields(pool)
            | _scenarios.values(pool)
        )
    row = Row(**values | (_accuracy(scored) if scored else {}) | times)
    return _scenarios.with_throughput(row)


def _accuracy(scored: Record) -> dict[str, Any]:
    scores = scored.outcomes or scored.scores
    low, high = _scores.interval(scores) or (None, None)
    return {
        "examples": scored.examples,
        "accuracy": _scores.mean(scores),
        "metric": scored.metric or _task.metric(scored.task),
        "answers": scored.answers,
        "accuracy_low": low,
        "accuracy_high": high,
        "measures": scored.measures,
        "parity_max_abs": scored.parity_max_abs,
        "parity_mean_abs": scored.parity_mean_abs,
        "parity_top1": scored.parity_top1,
    }


def _zeros(record: Record) -> float | None:
    if record.nonzeros is None or not record.parameters:
        return None
    return 1 - record.nonzeros / record.parameters


def _against(row: Row, dense: Row | None, visits: Mapping[str, Visits]) -> Row:
    """The row with its speed-up over the dense net, and its difference in accuracy."""
    if dense is None or dense is row:
        return row
    mine, other = visits[row.cell], visits[dense.cell]
    comparison: dict[str, Any] = {}
    if difference := _scores.difference(other.outcomes, mine.outcomes):
        comparison = dict(
            zip(("delta", "delta_low", "delta_high", "delta_p"), difference, strict=True)
        )
    if row.valid and dense.valid and row.latency_s and dense.latency_s:
        gain = ratio(row, dense, visits)
        comparison["speedup"] = gain.value if gain else dense.latency_s / row.latency_s
        if gain:
            comparison |= {"speedup_low": gain.low, "speedup_high": gain.high}
    return dataclasses.replace(row, **comparison)


def ratio(row: Row, other: Row, visits: Mapping[str, Visits]) -> _stats.Ratio | None:
    """Return how many times as fast a row is as another; None where too little is known."""
    mine, its = visits[row.cell], visits[other.cell]
    if not (mine.valid and its.valid and mine.level and its.level):
        return None
    return _levels.ratio(mine.level, its.level)


def _adjusted(rows: list[Row]) -> list[Row]:
    """Rows with the p value of Δ corrected for the number of differences in this report."""
    p = {r.cell: r.delta_p for r in rows if r.delta_p is not None}
    q = dict(zip(p, _stats.benjamini_hochberg(list(p.values())), strict=True))
    return [dataclasses.replace(r, delta_q=q.get(r.cell)) for r in rows]
