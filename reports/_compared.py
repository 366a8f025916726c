"""Two runs compared, with all that a report of it tells; what draws it takes this alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from paretomark.reports import _beside, _outcome, _text, _verdicts
from paretomark.reports._beside import Change
from paretomark.reports._outcome import Outcome
from paretomark.reports._pairs import State
from paretomark.reports._verdicts import Answer, Comparison, Verdict
from paretomark.suites.records import _moved
from paretomark.suites.records._moved import Moved
from paretomark.suites.records._row import Row
from paretomark.suites.records._sessions import USUAL, Sessions
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary, margin
from paretomark.suites.spec._gate import Gate

STATES: tuple[State, ...] = ("failing", "gone", "new", "mended")
ORDER: tuple[Answer, ...] = ("slower", "faster", "inconclusive", "same")


@dataclass(frozen=True)
class Compared:
    """Both summaries, what is said of their cells and fronts, and what it comes to."""

    a: Summary
    b: Summary
    comparison: Comparison
    beside: tuple[Change, ...]
    fronts: tuple[Moved, ...]
    outcome: Outcome
    sessions: Sessions
    notes: tuple[str, ...] = ()  # how the runs were found

    @property
    def rows(self) -> tuple[dict[str, Row], dict[str, Row]]:
        """The rows of both by their cell."""
        first, second = ({row.cell: row for row in s.rows} for s in (self.a, self.b))
        return first, second


def of(
    a: Summary,
    b: Summary,
    delta: float = 0.02,
    by_name: bool = False,
    sessions: Sessions = USUAL,
    gate: Gate | None = None,
    notes: tuple[str, ...] = (),
) -> Compared:
    """Compare two runs. Raises UserError as `_verdicts.compare` does."""
    comparison = _verdicts.compare(a, b, delta, by_name, sessions)
    beside = tuple(_beside.changes(a, b, comparison))
    names = {v.cell_b: v.cell for v in comparison.verdicts if v.cell_b}
    sides = (a.rows, a.visits), (b.rows, b.visits)
    fronts = tuple(_moved.moved(*sides, comparison.common, names, margin(b.run)))
    fronts = tuple(_still(moved, (*a.rows, *b.rows), comparison) for moved in fronts)
    rows = {row.cell: row for row in (*b.rows, *a.rows)}
    outcome = _outcome.of(comparison, beside, rows, gate or Gate())
    return Compared(a, b, comparison, beside, fronts, outcome, sessions, notes)


def _still(moved: Moved, rows: Sequence[Row], comparison: Comparison) -> Moved:
    """A front, which has not moved if every cell of its group is the same thing in both runs."""
    same = {cell for v in comparison.verdicts if v.same_thing for cell in (v.cell, v.cell_b)}
    if any(row.group == moved.group and row.cell not in same for row in rows):
        return moved
    return dataclasses.replace(moved, joined=(), left=(), p=None, q=None)


def differences(a: Run, b: Run) -> list[tuple[str, str, str]]:
    """Tell what else differs between the runs: name, value in a, value in b; versions first."""
    mine, yours = _versions(a), _versions(b)
    pairs = [(n, mine.get(n, "–"), yours.get(n, "–")) for n in sorted(mine.keys() & yours.keys())]
    pairs += [
        ("commit", _commit(a), _commit(b)),
        ("paretomark", a.header.version, b.header.version),
        ("system", a.header.host.system, b.header.host.system),
        ("python", a.header.host.python, b.header.host.python),
        ("suite", a.header.suite, b.header.suite),
    ]
    return [(n, _text.clean(x), _text.clean(y)) for n, x, y in pairs if x != y]


def _commit(run: Run) -> str:
    return (run.header.commit[:12] or "none") + (" + changes" if run.header.dirty else "")


def _versions(run: Run) -> dict[str, str]:
    versions: dict[str, str] = {}
    for probe in run.header.probes:
        versions |= {_text.clean(k): v for k, v in probe.versions.items()}
    return versions


def of_runs(compared: Compared) -> list[str]:
    """Say what holds for all cells, one sentence each."""
    comparison, told = compared.comparison, list(compared.notes)
    both = comparison.common
    if comparison.side_by_side:
        told.append(
            "timed side by side, in the same crews: nothing is taken out, days do not count"
        )
    elif both.known:
        shift, low, high = (_text.points(n - 1) for n in both.ratio[:3])
        answer = f" {comparison.of_all.upper()}" if comparison.of_all else ""
        whose = (
            " that are the same file by the same runtime: the machine's day"
            if both.unchanged
            else ": the machine's day, or a change of all"
        )
        told.append(
            f"all cells{answer}: {shift} % [{low}, {high}], the median of {both.cells}{whose}; "
            "it is taken out of each"
        )
        if both.spread > 1.05:
            told.append(
                f"cells lie {both.spread:.1f} times as far apart as the visits of one run tell; "
                "their intervals are wider by that"
            )
    elif both.cells:
        told.append(f"{both.cells} cells are too few to tell a change of all cells from theirs")
    if not comparison.side_by_side:
        told.append(_of_sessions(compared.sessions, both.known))
    same = sum(v.same_thing for v in comparison.verdicts)
    if same:
        told.append(
            f"{same} of the cells are the same file by the same runtime in both: a change of their "
            "times has to be ten times as unlikely as that of others to be called one"
        )
    for summary in (compared.a, compared.b):
        if any(row.sequential for row in summary.rows):
            run = _text.clean(summary.run.header.run)
            told.append(f"{run}: sequential, each visit timed in one stretch, by an older version")
    return told


def _of_sessions(sessions: Sessions, known: bool) -> str:
    """How far apart runs of other days lie, whence that is known, and what it is used for."""
    together, own = (
        f"{_text.number(100 * math.sqrt(2) * sd, 2)} %" for sd in (sessions.together, sessions.own)
    )
    whence = (
        f"learnt from {sessions.pairs} pairs of earlier runs with equal files"
        if sessions.pairs
        else "as is usual, for there are no earlier runs of equal files here"
    )
    told = (
        f"unchanged runs of other hours differ by {together} in all cells and {own} more in each "
        f"(standard deviations, {whence})"
    )
    return told if known else f"{told}: with so few cells, all of that is in every interval"


def by_name(compared: Compared) -> list[str]:
    """Say what is compared though it is not the same thing, and what is another."""
    changed: dict[str, list[str]] = {}
    for v in compared.comparison.verdicts:
        if v.changed and v.answer != "not compared":
            changed.setdefault(_text.clean(v.changed), []).append(_text.clean(v.cell))
    return [f"by name only: {change}: {', '.join(cells)}" for change, cells in changed.items()]


def counts(verdicts: tuple[Verdict, ...]) -> str:
    """Count the verdicts, and cells that are new, gone, or fail."""
    answers = [v.answer for v in verdicts]
    told = [f"{n} {kind}" for kind in ORDER if (n := answers.count(kind))]
    files = sum(v.same_file for v in verdicts)
    told += [f"of them {files} the same file"] if files else []
    states = [v.state for v in verdicts]
    told += [
        f"{n} {state}"
        for state in ("failing", "gone", "new", "mended")
        if (n := states.count(state))
    ]
    other = sum(v.answer == "not compared" and not v.state for v in verdicts)
    told += [f"{other} not compared"] if other else []
    return ", ".join(told) or "no cells"


def rest(verdicts: tuple[Verdict, ...]) -> list[tuple[str, list[str]]]:
    """Group the cells that are not compared by the reason."""
    reasons: dict[str, list[str]] = {}
    for v in verdicts:
        if v.answer == "not compared":
            reasons.setdefault(_text.clean(v.reason), []).append(_text.clean(v.cell))
    return list(reasons.items())
