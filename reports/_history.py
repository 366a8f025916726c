"""The runs of a machine by commit: how every cell went, where it changed, and by which commits.

Runs stand in the order of the commit graph. What is known of them is what their digests tell
(`_digest.py`), and what changed is found by `_history_changes.py`.
"""

from __future__ import annotations

import fnmatch
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from paretomark.reports import _digest, _history_changes, _text
from paretomark.reports._history_changes import LATENCY, Change, Point
from paretomark.reports._verdicts import LEAST_PART
from paretomark.suites.records import _archive, _changepoints, _commits, _sessions
from paretomark.suites.records._changepoints import Days
from paretomark.suites.records._record import Header
from paretomark.suites.records._sessions import Sessions
from paretomark.suites.spec import _suite
from paretomark.suites.spec._errors import UserError, unknown
from paretomark.suites.spec._gate import Gate


@dataclass(frozen=True)
class Event:
    """Versions of a device that are others from a run on."""

    before: int
    after: int
    told: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """Runs in the order of their commits, cells with what was seen of them, and what changed."""

    runs: tuple[tuple[Path, Header], ...]
    cells: Mapping[str, tuple[Point, ...]]
    changes: tuple[Change, ...]
    events: tuple[Event, ...]
    days: Days
    sessions: Sessions
    left_out: tuple[str, ...]

    @property
    def alarms(self) -> tuple[Change, ...]:
        """What became worse and still is."""
        return tuple(change for change in self.changes if change.alarm)


def of(
    folder: Path,
    cells: Sequence[str] = (),
    since: str = "",
    suite: str = "",
    machine: str = "",
    told: Callable[[int, int], None] = lambda done, total: None,
) -> History:
    """Read the history of cells, named in full or by a pattern, from the runs below a folder.

    `since` is a revision, `suite` a name, `machine` the start of a fingerprint; `told` hears how
    many runs are read. Raises UserError if there is no such run, cell or revision.
    """
    found, left_out = _runs(folder, since, suite, machine)
    runs, seen = [], []
    for i, (path, header) in enumerate(found):
        told(i, len(found))
        try:
            seen.append(_digest.of(path))
            runs.append((path, header))
        except UserError as error:
            left_out += (f"a run that cannot be read: {error}",)
    told(len(found), len(found))
    if not runs:
        raise UserError(f"no run below {folder} can be read: {'; '.join(left_out)}")
    levels = [_digest.levels(each) for each in seen]
    in_time = sorted(range(len(runs)), key=lambda i: runs[i][1].started)
    apart = [levels[i] for i in in_time if not runs[i][1].together]
    sessions = _sessions.learnt([found for found in apart if found])
    days = _changepoints.days(levels, sessions)
    points: dict[str, list[Point]] = {}
    for i, each in enumerate(seen):
        for one in each:
            points.setdefault(one.cell, []).append(Point(i, one))
    chosen = {c: tuple(points[c]) for c in _chosen(cells, list(points))}
    precision = runs[-1][1].precision
    search = _history_changes.Searches(chosen, days, sessions, LEAST_PART * precision, len(runs))
    changes = search.found(everything=not cells)
    gate = _gate(runs[-1][1])
    changes = [_history_changes.with_alarm(change, changes, chosen, gate) for change in changes]
    changes.sort(key=lambda change: (-change.after, not change.alarm, change.cell, change.kind))
    return History(
        tuple(runs), chosen, tuple(changes), tuple(_events(chosen)), days, sessions, left_out
    )


def _runs(
    folder: Path, since: str, suite: str, machine: str
) -> tuple[list[tuple[Path, Header]], tuple[str, ...]]:
    """The runs of one machine in the order of their commits, and how many others are left out."""
    if _commits.top() is None:
        raise UserError("a history is by commit, and this is no git checkout: run it in one")
    head, start = _commits.resolve("HEAD"), _commits.resolve(since) if since else ""
    found = list(_archive.headers(folder))
    if not found:
        raise UserError(f"no run below {folder}: bench.py run makes one, --runs names a folder")
    place = {c: i for i, c in enumerate(_commits.line((h.commit for _, h in found), head, start))}
    left, kept = Counter[str](), []
    for path, header in found:
        if header.dirty or not header.commit:
            left["of uncommitted changes" if header.dirty else "of no commit"] += 1
        elif header.commit not in place:
            where = f"not from {since} to HEAD" if since else "of commits that do not lead to HEAD"
            left[where] += 1
        elif suite not in ("", header.suite):
            left[f"of other suites than {suite}"] += 1
        elif not header.host.fingerprint.startswith(machine):
            left["of other machines"] += 1
        else:
            kept.append((path, header))
    if kept:
        newest = kept[-1][1]
        same = [
            (path, header)
            for path, header in kept
            if header.host.fingerprint == newest.host.fingerprint
            and header.boundary == newest.boundary
        ]
        left["of other machines, or with another boundary (--machine)"] += len(kept) - len(same)
        kept = same
    told = tuple(f"{n} run{'s'[: n != 1]} {why}" for why, n in left.items() if n)
    if not kept:
        raise UserError(f"no run below {folder} is of this history: there are {', '.join(told)}")
    kept.sort(key=lambda pair: (place[pair[1].commit], pair[1].started))
    return kept, told


def _chosen(wanted: Sequence[str], cells: Sequence[str]) -> list[str]:
    """The cells that are named, in full or by patterns; all if none is."""
    if not wanted:
        return list(cells)
    found: dict[str, None] = {}
    for text in wanted:
        like = [cell for cell in cells if cell == text] or fnmatch.filter(cells, text)
        if not like:
            raise unknown("cell", text, cells)
        found |= dict.fromkeys(like)
    return list(found)


def _events(cells: Mapping[str, tuple[Point, ...]]) -> Iterator[Event]:
    """Where versions changed, those of several devices in one."""
    found: dict[tuple[int, int, str], list[str]] = {}
    for points in cells.values():
        for one, other in pairwise(points):
            if told := _history_changes.versions(one.seen.versions, other.seen.versions):
                found.setdefault((one.run, other.run, told), []).append(other.seen.device)
    for (before, after, told), devices in sorted(found.items()):
        yield Event(before, after, told, tuple(dict.fromkeys(devices)))


def _gate(header: Header) -> Gate:
    text = header.request.get("suite", "")
    return _suite.gate(text) if isinstance(text, str) else Gate()


def between(history: History, change: Change | Event) -> list[str]:
    """Return the commits that a change may be of, parents first; none if both runs are of one."""
    before, after = (history.runs[i][1].commit for i in (change.before, change.after))
    return _commits.after(before, after) if before != after else []


def log(point: Point, days: Days) -> float | None:
    """Return the logarithm of a latency without its day; None if it was not measured."""
    if not point.seen.measured or point.seen.level is None:
        return None
    return point.seen.level.log - days.offsets[point.run]


def proven(history: History, cell: str) -> float | None:
    """Return how much slower a cell is than at first, by its steps: 0.04 is 4 %; None without."""
    steps = [c for c in history.changes if c.cell == cell and c.kind == LATENCY]
    return math.prod(1 + (step.value or 0.0) for step in steps) - 1 if steps else None


def label(history: History, run: int) -> str:
    """Name a run by its commit, as it is shown."""
    header = history.runs[run][1]
    subject = _commits.subject(header.commit)
    short = header.commit[: _commits.SHORT]
    return _text.clean(f"{short} ({subject})" if subject else short)
