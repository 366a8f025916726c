"""How two runs differ in what is not time per call: size, memory, loading, instructions, joules.

A change of them is a claim of its own kind, and never part of a verdict, which is about latency.
Each kind keeps a false discovery rate of 5 % over a comparison (Benjamini-Hochberg).

A size is exact. Memory and loading are told once a run, by the first block, so their noise is that
of all cells of the two runs around the middle one; of few cells, what is usual stands in.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, NamedTuple

from paretomark.reports import _text
from paretomark.reports._verdicts import LEAST_PART, UNLIKELY, Comparison, Verdict
from paretomark.suites.records import _metered, _stats
from paretomark.suites.records._common import WIDER
from paretomark.suites.records._levels import FEW
from paretomark.suites.records._row import SIGNIFICANT, Row
from paretomark.suites.records._stats import Ratio
from paretomark.suites.records._summary import Summary

_NORMAL_OF_90 = 1.645  # standard deviations that nine of ten lie within
SIZE, MEMORY, LOAD = "file size", "peak memory", "load time"


class Noise(NamedTuple):
    """Of a number that is told once a run: standard deviations of the logarithm of its change. Of
    each cell, the usual one and the least there is; of all cells in common; and the least change
    that is worth a word. Where it is `rough`, some cells are off by far more than most, such as by
    a file that is not in memory: then those count, and of a file and runtime that are the same no
    change is told at all."""

    usual: float
    least: float
    common: float
    margin: float
    rough: bool = False


# By `tests/benchmarks/sessions.py`, as USUAL in `_sessions.py`.
ONCE = {MEMORY: Noise(0.005, 0.003, 0.0, 0.02), LOAD: Noise(0.30, 0.10, 0.20, 0.10, rough=True)}
KINDS = (SIZE, *ONCE, *_metered.KINDS)
TITLES = ("beside time", "cell", "before → after", "change [95 %]", "detectable", "answer")
HIDDEN = ("cycles",)  # JSON has all KINDS


@dataclass(frozen=True, kw_only=True)
class Change:
    """One number of one cell in run a and run b: in bytes, seconds, or per call. `answer` is
    "more", "less", or "" where the change may be chance, or is not worth a word; `detectable` the
    relative change that is found with 80 % power."""

    kind: str
    cell: str
    a: float
    b: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    detectable: float | None = None
    p: float | None = None
    q: float | None = None
    answer: Literal["", "more", "less"] = ""


def changes(a: Summary, b: Summary, comparison: Comparison) -> list[Change]:
    """Give the change of every number that both runs tell of a cell that is compared.

    Joules are only compared if the same meter told them.
    """
    compared = [v for v in comparison.verdicts if v.answer != "not compared" and not v.same_file]
    rows = tuple({row.cell: row for row in summary.rows} for summary in (a, b))
    sides = [(v, rows[0][v.cell], rows[1][v.cell_b or v.cell]) for v in compared]
    found, same = list(_sizes(sides)), {v.cell for v in compared if v.same_thing}
    for kind, noise in ONCE.items():
        judged = _judged(list(_once(kind, noise, sides)), noise.margin, same)
        found += [
            dataclasses.replace(c, answer="") if noise.rough and c.cell in same else c
            for c in judged
        ]
    least = LEAST_PART * comparison.delta
    for kind in _metered.KINDS:
        found += _judged(list(_metered_changes(a, b, compared, kind)), least, same)
    return found


def _sizes(sides: Sequence[tuple[Verdict, Row, Row]]) -> Iterator[Change]:
    for verdict, one, other in sides:
        before, after = one.artifact_bytes, other.artifact_bytes
        if before and after:
            share = after / before
            yield Change(
                kind=SIZE,
                cell=verdict.cell,
                a=before,
                b=after,
                ratio=share,
                ratio_low=share,
                ratio_high=share,
                detectable=0.0,
                answer="" if share == 1 else "more" if share > 1 else "less",
            )


def _once(kind: str, noise: Noise, sides: Sequence[tuple[Verdict, Row, Row]]) -> Iterator[Change]:
    told = [(v.cell, _number(kind, one), _number(kind, other)) for v, one, other in sides]
    both = [(cell, a, b) for cell, a, b in told if a and b]
    logs = [math.log(b / a) for _, a, b in both]
    own, dof = noise.usual, float(FEW)
    if len(logs) >= FEW:
        middle = median(logs)
        off = [abs(log - middle) for log in logs]
        seen = 1.4826 * median(off)
        if noise.rough:
            seen = max(seen, _stats.quantile(off, 0.9) / _NORMAL_OF_90)
        own, dof = max(noise.least, WIDER * seen), len(logs) - 1.0
    error = math.hypot(own, noise.common)
    for (cell, a, b), log in zip(both, logs, strict=True):
        ratio = _stats.ratio(log, error, dof)
        yield _with(Change(kind=kind, cell=cell, a=a, b=b), ratio, len(both), noise.margin)


def _number(kind: str, row: Row) -> float | None:
    if kind == MEMORY:
        return row.peak_memory_bytes
    return None if row.load_s is None else row.load_s + (row.compile_s or 0.0)


def _metered_changes(
    a: Summary, b: Summary, compared: Sequence[Verdict], kind: str
) -> Iterator[Change]:
    for verdict in compared:
        pools = a.visits[verdict.cell].pool, b.visits[verdict.cell_b or verdict.cell].pool
        before, after = (_metered.fields(pool) for pool in pools)
        if before[kind] is None or after[kind] is None:
            continue
        if kind == _metered.ENERGY and before["energy_source"] != after["energy_source"]:
            continue
        change = Change(kind=kind, cell=verdict.cell, a=before[kind], b=after[kind])
        ratio = _metered.change(*pools, kind)
        yield _with(change, ratio, len(compared), 0.0) if ratio else change


def _with(change: Change, ratio: Ratio, claims: int, least: float) -> Change:
    """The change with all that its ratio tells."""
    return dataclasses.replace(
        change,
        ratio=ratio.value,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        detectable=_stats.minimum_detectable_effect(ratio, claims, least),
        p=_stats.p_different(ratio),
    )


def _judged(changes: Sequence[Change], least: float, same: Collection[str]) -> list[Change]:
    """What is proven, where cells of which nothing is known to have changed hardly ever do."""
    known = [i for i, change in enumerate(changes) if change.p is not None]
    weights = [UNLIKELY if changes[i].cell in same else 1.0 for i in known]
    p = [min(1.0, w * (changes[i].p or 0.0)) for i, w in zip(known, weights, strict=True)]
    q = _stats.benjamini_hochberg(p)
    corrected = dict(zip(known, q, strict=True))
    judged = []
    for i, change in enumerate(changes):
        share = change.ratio
        answer: Literal["", "more", "less"] = ""
        if share and corrected[i] < SIGNIFICANT and not 1 / (1 + least) <= share <= 1 + least:
            answer = "more" if share > 1 else "less"
        judged.append(dataclasses.replace(change, q=corrected.get(i), answer=answer))
    return judged


def write(kind: str, value: float) -> str:
    """Write a number of a kind with its unit."""
    writers: dict[str, Callable[[float | None], str]] = {
        SIZE: _text.size,
        MEMORY: _text.size,
        LOAD: _text.seconds,
        _metered.ENERGY: _text.joules,
    }
    return writers.get(kind, _text.count)(value)


def line(change: Change) -> tuple[str, ...]:
    """Write a change in the columns of TITLES."""
    percent = "–"
    if change.ratio is not None and change.ratio_low and change.ratio_high:
        percent = f"{_text.points(change.ratio - 1)} %"
        if change.ratio_low < change.ratio_high:
            ends = (_text.points(end - 1) for end in (change.ratio_low, change.ratio_high))
            percent += f" [{', '.join(ends)}]"
    kind = change.kind.removesuffix("_j").replace("_", " ")
    values = f"{write(change.kind, change.a)} → {write(change.kind, change.b)}"
    least = f"{_text.number(change.detectable * 100, 2)} %" if change.detectable else "–"
    return kind, _text.clean(change.cell), values, percent, least, change.answer


def ordered(changes: Sequence[Change]) -> list[Change]:
    """Give the changes that are shown, those that are claims first."""
    shown = [change for change in changes if change.kind not in HIDDEN]
    return sorted(shown, key=lambda c: (not c.answer, KINDS.index(c.kind)))
