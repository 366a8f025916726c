"""What a page says of instructions, misses and joules: which meters there were, and why not."""

from __future__ import annotations

from collections.abc import Sequence

from paretomark.reports import _html, _text
from paretomark.reports._html import Cell, esc
from paretomark.suites.records import _metered
from paretomark.suites.records._row import Row
from paretomark.suites.records._store import Run

TITLES = ("beside time, per call", "cell", "before → after", "change [95 %]", "answer")
SHOWN = ("instructions", "cache_misses", "branch_misses", _metered.ENERGY)  # JSON has all KINDS
WHOLE = 0.995  # share of the time, below which a count is said to be scaled


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
    columns = ("beside time", "state", "what tells it, or why not and how to get it")
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
