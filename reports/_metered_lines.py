"""What is said of instructions, misses and joules: which there were, and how two runs differ.

A change of them is a claim of its own kind, and never part of a verdict, which is about latency.
Each kind keeps a false discovery rate of 5 % over a comparison (Benjamini-Hochberg).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from paretomark.reports import _html, _text
from paretomark.reports._html import Cell, esc
from paretomark.reports._verdicts import LEAST_PART, Comparison
from paretomark.suites.records import _metered, _stats
from paretomark.suites.records._row import SIGNIFICANT, Row
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary

TITLES = ("beside time, per call", "cell", "before → after", "change [95 %]", "")
SHOWN = ("instructions", "cache_misses", "branch_misses", _metered.ENERGY)  # JSON has all KINDS
WHOLE = 0.995  # share of the time, below which a count is said to be scaled


@dataclass(frozen=True, kw_only=True)
class Change:
    """One number of one cell in run a and run b, per call. `answer` is "more", "less", or "" where
    the change may be chance, or is not worth a word."""

    kind: str
    cell: str
    a: float
    b: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    p: float | None = None
    q: float | None = None
    answer: Literal["", "more", "less"] = ""


def changes(a: Summary, b: Summary, comparison: Comparison) -> list[Change]:
    """Give the change of every number that both runs tell of a cell that is compared.

    Joules are only compared if the same meter told them.
    """
    found = []
    for kind in _metered.KINDS:
        of_kind = []
        for verdict in comparison.verdicts:
            if verdict.answer != "not compared":
                sides = a.visits[verdict.cell], b.visits[verdict.cell_b or verdict.cell]
                pools = sides[0].pool, sides[1].pool
                before, after = (_metered.fields(pool) for pool in pools)
                if before[kind] is None or after[kind] is None:
                    continue
                if kind == _metered.ENERGY and before["energy_source"] != after["energy_source"]:
                    continue
                change = Change(kind=kind, cell=verdict.cell, a=before[kind], b=after[kind])
                if ratio := _metered.change(*pools, kind):
                    value, low, high = ratio[:3]
                    p = _stats.p_different(ratio)
                    ends = {"ratio": value, "ratio_low": low, "ratio_high": high, "p": p}
                    change = dataclasses.replace(change, **ends)  # type: ignore[arg-type]
                of_kind.append(change)
        found += _judged(of_kind, LEAST_PART * comparison.delta)
    return found


def _judged(changes: Sequence[Change], least: float) -> list[Change]:
    known = [i for i, change in enumerate(changes) if change.p is not None]
    q = _stats.benjamini_hochberg([changes[i].p or 0.0 for i in known])
    corrected = dict(zip(known, q, strict=True))
    judged = []
    for i, change in enumerate(changes):
        share = change.ratio
        answer: Literal["", "more", "less"] = ""
        if share and corrected[i] < SIGNIFICANT and not 1 / (1 + least) <= share <= 1 + least:
            answer = "more" if share > 1 else "less"
        judged.append(dataclasses.replace(change, q=corrected.get(i), answer=answer))
    return judged


def line(change: Change) -> tuple[str, ...]:
    """Write a change in the columns of TITLES."""
    write: Callable[[float], str] = _text.joules if change.kind == "energy_j" else _text.count
    percent = "–"
    if change.ratio is not None and change.ratio_low and change.ratio_high:
        ends = ", ".join(_text.points(end - 1) for end in (change.ratio_low, change.ratio_high))
        percent = f"{_text.points(change.ratio - 1)} % [{ends}]"
    kind = change.kind.removesuffix("_j").replace("_", " ")
    values = f"{write(change.a)} → {write(change.b)}"
    return kind, _text.clean(change.cell), values, percent, change.answer


def lines(changes: Sequence[Change]) -> list[tuple[str, ...]]:
    """Write the changes that are SHOWN, those that are claims first."""
    shown = [change for change in changes if change.kind in SHOWN]
    order = sorted(shown, key=lambda c: (not c.answer, SHOWN.index(c.kind)))
    return [line(change) for change in order]


def section(run: Run, rows: Sequence[Row]) -> str:
    """Say on a page which meters there were, and why there were no others; "" for older runs."""
    if not run.header.meters:
        return ""
    table = [
        (
            _html.text(meter.device),
            _html.text(*(("available", "") if meter.available else ("not available", "off"))),
            _html.text(
                meter.chip if meter.available else f"{meter.reason}; {meter.remedy}", "wide"
            ),
        )
        for meter in run.header.meters
    ]
    told = "".join(f"<p class=soft>{esc(note)}</p>" for note in notes(rows))
    columns = ("beside time", "", "what tells it, or why not and how to get it")
    lacking = [
        (_html.text(why, "wide"), Cell("<br>".join(map(esc, cells)), len(cells), "wide"))
        for why, cells in _lacking(rows)
    ]
    more = _html.card(_html.table(("no energy, because", "cells"), lacking)) if lacking else ""
    return f"<h2>Beside time</h2>{_html.card(_html.table(columns, table))}{told}{more}"


def notes(rows: Sequence[Row]) -> list[str]:
    """Say what the numbers beside time are, as far as there are any."""
    told = []
    shares = [row.counted for row in rows if row.counted is not None]
    if shares:
        told.append(
            "Instructions, cycles and misses are those of a call in user space, of all threads: "
            "the median of slices, and of visits. What the adapter and the stopwatch do for a call "
            "is in them."
        )
    if scaled := [share for share in shares if share < WHOLE]:
        told.append(
            f"In {len(scaled)} of {len(shares)} counted cells the processor counted by turns, for "
            f"{_text.percent(min(scaled), 0)} of the time at least: their counts are scaled."
        )
    for source in sorted({row.energy_source for row in rows if row.energy_j is not None}):
        idle = [
            row.idle_w for row in rows if row.energy_source == source and row.idle_w is not None
        ]
        ends = " to ".join(dict.fromkeys(f"{_text.number(w)} W" for w in (min(idle), max(idle))))
        told.append(
            f"Energy by {source}: what was used in the slices of a visit, by all that this meter "
            f"sees, less what it told while nothing ran ({ends}), over their calls."
        )
    return told


def _lacking(rows: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """Why cells have no energy, and the cells."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.energy_why:
            reasons.setdefault(_text.clean(row.energy_why), []).append(row.cell)
    return list(reasons.items())
