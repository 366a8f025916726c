"""From the records of a run to one row per planned cell: what every report shows.

Nothing is dropped: a cell that failed, was never run, or has no valid visit is a row too. Only
valid rows whose answers mean something stand on a front, and only with their own kind, see `Group`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from paretomark.suites.records import _scores, _sparsity, _stats
from paretomark.suites.records._record import Record
from paretomark.suites.records._row import NOT_RUN, Group, Row
from paretomark.suites.records._scores import Scores
from paretomark.suites.records._store import Run
from paretomark.suites.tasks import _task

Getter = Callable[[Record], Any]
_WORST_FIRST = ("failed", "unavailable", "unsupported", "fallback", "ok")


@dataclass(frozen=True)
class Summary:
    """What reports are made of: a run, a row per planned cell, and its visits by cell.

    Rows are in the order of the plan, with the records of cells that no plan has at their end.
    """

    run: Run
    rows: tuple[Row, ...]
    visits: Mapping[str, Visits]

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

    @property
    def medians(self) -> list[float]:
        """One per valid visit, in seconds."""
        return [visit_median(r) for r in self.valid]

    @property
    def outcomes(self) -> Scores:
        """One score per scored example; "" if none was scored."""
        return next((s for r in self.records if (s := r.outcomes or r.scores)), "")


def visit_median(record: Record) -> float:
    """Return the latency of a visit in seconds: the median of its samples, or what is predicted."""
    if record.predicted_s is not None:
        return record.predicted_s
    return median(record.samples_ns) / 1e9


def summarise(run: Run) -> Summary:
    """Summarise a run, in one row per cell. Every report is made of the one summary of a run."""
    visits = _by_cell(run)
    rows = [_row(*item) for item in visits.items()]
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
    return Summary(run, tuple(with_fronts(_adjusted(compared), visits)), visits)


def _by_cell(run: Run) -> dict[str, Visits]:
    """The visits by cell: the planned cells in the order of the plan, then any other."""
    newest: dict[str, dict[int, Record]] = {cell: {} for cell in run.header.cells}
    for record in run.records:
        newest.setdefault(record.cell, {})[record.block] = record
    return {cell: _visits([blocks[b] for b in sorted(blocks)]) for cell, blocks in newest.items()}


def _visits(records: Sequence[Record]) -> Visits:
    timed = [r for r in records if r.timed]
    few = [r for r in timed if r.samples_ns and len(r.samples_ns) < _stats.NEEDED[50]]
    flags = {flag for r in records for flag in r.flags} | ({"few samples"} if few else set())
    valid = [r for r in timed if r.status == "ok" and not r.flags and r not in few]
    if len({(r.identity, r.sha256, r.data, r.task, r.simulated) for r in timed}) > 1:
        flags.add("artifact changed")  # visits of different things cannot be pooled
        valid = []
    return Visits(tuple(records), tuple(valid), tuple(sorted(flags)))


def _row(cell: str, visits: Visits) -> Row:
    if not visits.records:
        return _not_run(cell)
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
    pool = visits.valid or tuple(r for r in visits.records if r.timed)
    return Row(**values | (_accuracy(scored) if scored else {}) | (_times(pool) if pool else {}))


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


def _times(pool: Sequence[Record]) -> dict[str, Any]:
    medians = [visit_median(r) for r in pool]
    # Visits repeat a prediction exactly, which says nothing about how far it is off.
    measured = any(r.samples_ns for r in pool)
    low, high = (_stats.latency_interval(medians) if measured else None) or (None, None)
    p90 = _stats.percentile([s for r in pool for s in r.samples_ns], 90)
    return {
        "latency_s": _stats.latency(medians),
        "latency_low_s": low,
        "latency_high_s": high,
        "p90_s": None if p90 is None else p90 / 1e9,
        "load_s": _over(pool, lambda r: r.load_s, median),
        "first_s": _over(pool, lambda r: r.first_s, median),
        "peak_memory_bytes": _over(pool, lambda r: r.peak_memory_bytes, max),
        "added_memory_bytes": _over(pool, _added, max),
    }


def _not_run(cell: str) -> Row:
    """A planned cell without a record: all that is known is its key, `Cell.key` of the plan."""
    reason = "no record: the run was stopped before this cell; finish it with run --resume"
    key = re.fullmatch(r"(.*)/(.*)/(.*)/b(\d{1,9})/t(\d{1,9})(?:/l(\d{1,9}))?", cell)
    if not key:
        return Row(cell=cell, model=cell, recipe="", reason=reason)
    row = Row(cell=cell, model=key[1], recipe=key[2], device=key[3], reason=reason)
    return dataclasses.replace(row, batch=int(key[4]), threads=int(key[5]), length=int(key[6] or 0))


def _zeros(record: Record) -> float | None:
    if record.nonzeros is None or not record.parameters:
        return None
    return 1 - record.nonzeros / record.parameters


def _added(record: Record) -> int | None:
    peak, before = record.peak_memory_bytes, record.before_load_bytes
    return None if peak is None or before is None else peak - before


def _over(records: Iterable[Record], get: Getter, pick: Callable[[list[Any]], Any]) -> Any:
    values = [v for r in records if (v := get(r)) is not None]
    return pick(values) if values else None


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
        if gain and row.latency_low_s is not None:
            comparison |= {"speedup_low": gain.low, "speedup_high": gain.high}
    return dataclasses.replace(row, **comparison)


def ratio(row: Row, other: Row, visits: Mapping[str, Visits]) -> _stats.Ratio | None:
    """Return how many times as fast a row is as another, by the visits of the same blocks."""
    blocks = {r.block: visit_median(r) for r in visits[other.cell].valid}
    mine = [r for r in visits[row.cell].valid if r.block in blocks]
    return _stats.paired_ratio_interval([(visit_median(r), blocks[r.block]) for r in mine])


def _adjusted(rows: list[Row]) -> list[Row]:
    """Rows with the p value of Δ corrected for the number of differences in this report."""
    p = {r.cell: r.delta_p for r in rows if r.delta_p is not None}
    q = dict(zip(p, _stats.benjamini_hochberg(list(p.values())), strict=True))
    return [dataclasses.replace(r, delta_q=q.get(r.cell)) for r in rows]


def with_fronts(rows: Sequence[Row], visits: Mapping[str, Visits]) -> list[Row]:
    """Mark the fronts of the groups of the rows, whose visits are given by cell."""
    groups: dict[Group, list[Row]] = {}
    for row in rows:
        if row.sound and row.accuracy is not None:
            groups.setdefault(row.group, []).append(row)
    marks: dict[str, dict[str, Any]] = {}
    for group in groups.values():
        front = _stats.pareto([r.latency_s or 0 for r in group], [r.accuracy or 0 for r in group])
        of_group = [visits[r.cell] for r in group]
        chances: Sequence[float | None] = _stats.front_probability(
            [v.medians for v in of_group], [v.outcomes for v in of_group]
        ) or [None] * len(group)
        for row, on, chance in zip(group, front, chances, strict=True):
            marks[row.cell] = {"on_front": on, "front_probability": chance}
    return [dataclasses.replace(r, **marks.get(r.cell, {})) for r in rows]
