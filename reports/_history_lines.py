"""A history as lines of text, which the terminal and the page share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from paretomark.reports import _history, _text
from paretomark.reports._history import Event, History
from paretomark.reports._history_changes import ACCURACY, STATE, Change, Point
from paretomark.suites.records import _commits

TITLES = ("cell", "runs", "latency", "proven", "trend", "accuracy", "file")
MOST_COMMITS = 8  # that are named, of those that a change may be of
NEWEST = 24  # runs of a trend
MAX_WHY = 300
BARS = "▁▂▃▄▅▆▇█"
FLAT = 0.1  # a trend is drawn as if it spanned this much at least, so that noise looks like noise


class Interval(NamedTuple):
    """All that changed between two runs, by their numbers, and the commits in between."""

    before: int
    after: int
    commits: list[str]
    changes: list[Change]
    events: list[Event]


def intervals(history: History) -> list[Interval]:
    """Group what changed by the runs that it lies between, the newest first."""
    ends = {(change.before, change.after) for change in history.changes}
    ends |= {(event.before, event.after) for event in history.events}
    found = []
    for before, after in sorted(ends, key=lambda pair: (-pair[1], -pair[0])):
        changes = [c for c in history.changes if (c.before, c.after) == (before, after)]
        events = [e for e in history.events if (e.before, e.after) == (before, after)]
        commits = _history.between(history, (changes or events)[0])
        found.append(Interval(before, after, commits, changes, events))
    return found


def headline(history: History) -> str:
    """Say in one line what the history comes to."""
    cells = dict.fromkeys(change.cell for change in history.alarms)
    if cells:
        return f"worse than before: {len(cells)} cell{'s'[: len(cells) != 1]}"
    return "nothing is worse than before" if history.changes else "nothing changed"


def facts(history: History) -> list[str]:
    """Say which runs these are, what is left out, and how far runs lie apart."""
    runs, host = history.runs, history.runs[-1][1].host
    commits = len({header.commit for _, header in runs})
    told = [
        f"{len(history.cells)} cell{'s'[: len(history.cells) != 1]} in {len(runs)} "
        f"run{'s'[: len(runs) != 1]} of {commits} commit{'s'[: commits != 1]}, from "
        f"{_history.label(history, 0)} to {_history.label(history, len(runs) - 1)}",
        f"on {_text.clean(host.chip)}, {_text.cores(host.cores)} ({_text.clean(host.fingerprint)})",
    ]
    sessions = history.sessions
    shares = [f"{_text.number(100 * sd, 2)} %" for sd in (sessions.together, sessions.own)]
    whence = (
        f"learnt from {sessions.pairs} pair{'s'[: sessions.pairs != 1]} of runs with equal files"
        if sessions.pairs
        else "as is usual, for no two runs have equal files"
    )
    told.append(
        f"unchanged runs lie {shares[0]} apart in all cells, which is taken out where "
        f"enough of them are the same, and {shares[1]} more in each (standard deviations, {whence})"
    )
    told += [f"left out: {left}" for left in history.left_out]
    return told


def heading(history: History, interval: Interval) -> str:
    """Say which commits to look at."""
    before, after = (history.runs[i][1].commit for i in (interval.before, interval.after))
    if before == after:
        label = _history.label(history, interval.after)
        return f"between two runs of {label}: no commit did it"
    if len(interval.commits) == 1:
        return f"in {_history.label(history, interval.after)}"
    if not interval.commits:
        return f"at {_history.label(history, interval.after)}, which leads to the one before"
    short = before[: _commits.SHORT], after[: _commits.SHORT]
    return f"in one of {len(interval.commits)} commits, after {short[0]} and up to {short[1]}"


def candidates(interval: Interval) -> list[str]:
    """Name the commits that it may be, where they are several."""
    if len(interval.commits) < 2:
        return []
    named = interval.commits[-MOST_COMMITS:]
    told = [_text.clean(f"{c[: _commits.SHORT]} {_commits.subject(c)}") for c in named]
    hidden = len(interval.commits) - len(named)
    return [*([f"{hidden} more"] if hidden else []), *told]


def bisect(history: History, interval: Interval) -> str:
    """Give the command that finds the commit; "" where it is known, or nothing can be found."""
    if len(interval.commits) < 2 or not interval.changes:
        return ""
    cell = next((c.cell for c in interval.changes if c.cell in history.cells), "")
    ends = (history.runs[i][1].commit[: _commits.SHORT] for i in (interval.before, interval.after))
    return f"bench.py bisect {_text.clean(cell)} {' '.join(ends)}" if cell else ""


def reasons(changes: Sequence[Change]) -> dict[str, list[Change]]:
    """Group changes by what is known to be another, those first that are worse."""
    found: dict[str, list[Change]] = {}
    for change in sorted(changes, key=lambda change: not change.alarm):
        found.setdefault(_text.clean(change.why, MAX_WHY), []).append(change)
    return found


def what(each: Change) -> str:
    """Write what changed of which cell, and by how much."""
    cell = _text.clean(each.cell)
    if each.kind == STATE:
        return f"{cell}: {'fails' if each.answer == 'fails' else 'works again'}"
    unit = "points" if each.kind == ACCURACY else "%"
    ends = ""
    if each.low is not None and each.high is not None:
        ends = f" [{_text.points(each.low)}, {_text.points(each.high)}]"
    return f"{cell}: {each.kind} {_text.points(each.value)} {unit}{ends} {each.answer}"


def event(each: Event) -> str:
    """Write which versions are others from here on."""
    return _text.clean(f"{each.told} ({', '.join(each.devices)})")


def ordered(history: History) -> list[str]:
    """Give the cells, those first that are worse, then those that changed."""
    alarms = {each.cell for each in history.alarms}
    changed = {each.cell for each in history.changes}
    return sorted(history.cells, key=lambda cell: (cell not in alarms, cell not in changed))


def line(history: History, cell: str) -> tuple[str, ...]:
    """Write a cell in the columns of TITLES."""
    points = history.cells[cell]
    known = [level for p in points if p.seen.measured and (level := p.seen.level)]
    share = _history.proven(history, cell)
    last = points[-1].seen
    return (
        _text.clean(cell + (f" ({origin})" if (origin := _text.origin(last)) else "")),
        str(len(points)),
        _text.seconds(known[-1].seconds) + _text.spread(*known[-1].interval) if known else "–",
        "–" if share is None else f"{_text.points(share)} %",
        trend(history, points),
        last.status if last.status != "ok" else _text.percent(last.accuracy),
        _text.size(last.artifact_bytes),
    )


def trend(history: History, points: Sequence[Point]) -> str:
    """Draw the newest runs of a cell as bars: latencies without their days; ✗ where it fails, and
    · where nothing was measured."""
    shown = points[-NEWEST:]
    logs = [_history.log(point, history.days) for point in shown]
    without = ["·" if point.seen.status == "ok" else "✗" for point in shown]
    known = [log for log in logs if log is not None]
    if not known:
        return "".join(without)
    span = max(math.log1p(FLAT), max(known) - min(known))
    low = (max(known) + min(known) - span) / 2
    steps = len(BARS) - 1
    bars = [
        none if log is None else BARS[round((log - low) / span * steps)]
        for log, none in zip(logs, without, strict=True)
    ]
    return "".join(bars)
