"""Compare two runs on one machine, cell by cell."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from paretomark.reports import _console, _json, _metered_lines, _text, _verdicts
from paretomark.reports._command import ALL_WELL, percentage
from paretomark.reports._verdicts import Answer, Comparison, Verdict
from paretomark.suites.records import _store
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary, summarise

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_ORDER: tuple[Answer, ...] = get_args(Answer)
_TITLES = (
    "verdict",
    "cell",
    "latency",
    "change [95 %]",
    "detectable",
    "tail",
    "Δ accuracy",
    "file",
)
_STYLES = {"slower": "red", "faster": "green", "inconclusive": "yellow"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("a", type=Path, metavar="A", help="the run before")
    parser.add_argument("b", type=Path, metavar="B", help="the run after")
    parser.add_argument(
        "--delta",
        type=percentage,
        metavar="2%",
        help="changes of latency below this are 'same' (default: the precision that the runs were "
        "to reach, 0.02 for one of --effort quick)",
    )
    parser.add_argument(
        "--by-name",
        action="store_true",
        help="compare cells of one name also where net, recipe or data are others",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--markdown", action="store_true")


def command(arguments: argparse.Namespace) -> int:
    """Print the verdicts. Raises UserError for what is no run, or of another machine."""
    a, b = (summarise(_store.read(run)) for run in (arguments.a, arguments.b))
    delta = arguments.delta or max(a.run.header.precision, b.run.header.precision)
    comparison = _verdicts.compare(a, b, delta, arguments.by_name)
    if arguments.json:
        print(_json.text(as_json(a, b, comparison)))
    elif arguments.markdown:
        print(as_markdown(a, b, comparison))
    else:
        show(a, b, comparison)
    return ALL_WELL


def differences(a: Run, b: Run) -> list[tuple[str, str, str]]:
    """Tell what else differs between the runs: name, value in a, value in b."""
    pairs = [
        ("commit", _commit(a), _commit(b)),
        ("paretomark", a.header.version, b.header.version),
        ("system", a.header.host.system, b.header.host.system),
        ("python", a.header.host.python, b.header.host.python),
    ]
    mine, yours = _versions(a), _versions(b)
    pairs += [(n, mine.get(n, "–"), yours.get(n, "–")) for n in sorted(mine.keys() & yours.keys())]
    return [(n, _text.clean(x), _text.clean(y)) for n, x, y in pairs if x != y]


def _commit(run: Run) -> str:
    return (run.header.commit[:12] or "none") + (" + changes" if run.header.dirty else "")


def _versions(run: Run) -> dict[str, str]:
    versions: dict[str, str] = {}
    for probe in run.header.probes:
        versions |= {_text.clean(k): v for k, v in probe.versions.items()}
    return versions


def as_json(a: Summary, b: Summary, comparison: Comparison) -> dict[str, Any]:
    """Give both headers, what differs between them, and the verdicts as plain JSON values."""
    shift = comparison.common.ratio if comparison.common.known else None
    return {
        "a": a.run.header.to_json(),
        "b": b.run.header.to_json(),
        "differences": [list(d) for d in differences(a.run, b.run)],
        "delta": comparison.delta,
        "common": {
            "cells": comparison.common.cells,
            "ratio": shift.value if shift else None,
            "ratio_low": shift.low if shift else None,
            "ratio_high": shift.high if shift else None,
            "spread": comparison.common.spread,
            "answer": comparison.of_all,
        },
        "verdicts": [dataclasses.asdict(v) for v in comparison.verdicts],
        "beside_time": [
            dataclasses.asdict(change) for change in _metered_lines.changes(a, b, comparison)
        ],
    }


def show(a: Summary, b: Summary, comparison: Comparison) -> None:
    """Print what differs between the runs, and the verdicts."""
    changed = [f"{name}: {x} → {y}" for name, x, y in differences(a.run, b.run)]
    notes = [*changed, *_others(comparison.verdicts), *_of_runs(a, b, comparison)]
    _console.show(*notes, table(comparison.verdicts))
    if lines := _metered_lines.lines(_metered_lines.changes(a, b, comparison)):
        body = _console.frame()
        for title in _metered_lines.TITLES:
            body.add_column(title, overflow="fold")
        for line in lines:
            body.add_row(*map(_plain, line))
        _console.show(body)


def _plain(text: str) -> Text:
    from rich.text import Text

    return Text(text)


def _of_runs(a: Summary, b: Summary, comparison: Comparison) -> list[str]:
    """What holds for all cells."""
    both, notes = comparison.common, []
    if both.known:
        shift, low, high = (_text.points(n - 1) for n in both.ratio[:3])
        answer = f" {comparison.of_all.upper()}" if comparison.of_all else ""
        notes.append(
            f"all cells{answer}: {shift} % [{low}, {high}], the median of {both.cells}: the "
            "machine's day, or a change of all; it is taken out of each"
        )
        if both.spread > 1.05:
            notes.append(
                f"cells lie {both.spread:.1f} times as far apart as the visits of one run tell; "
                "their intervals are wider by that"
            )
    elif both.cells:
        notes.append(f"{both.cells} cells are too few to tell a change of all cells from theirs")
    for summary in (a, b):
        if any(row.sequential for row in summary.rows):
            run = _text.clean(summary.run.header.run)
            notes.append(f"{run}: sequential, each visit timed in one stretch, by an older version")
    return notes


def table(verdicts: Sequence[Verdict]) -> Table:
    """Lay out the verdicts for a terminal, what needs attention first, and below what has none."""
    from rich.table import Table
    from rich.text import Text

    body = _console.frame()
    for title in _TITLES:
        body.add_column(title, overflow="fold")
    for answer, *line in map(_line, _ordered(verdicts)):
        body.add_row(Text(answer, style=_STYLES.get(answer, "")), *map(Text, line))
    page = Table.grid()
    page.add_row(body)
    page.add_row(Text(_counts(verdicts), style="bold"))
    for reason, cells in _rest(verdicts):
        page.add_row(Text(f"not compared: {reason}: {', '.join(cells)}", style="dim"))
    return page


def as_markdown(a: Summary, b: Summary, comparison: Comparison) -> str:
    """Write the same as Markdown, for a pull request."""
    verdicts = comparison.verdicts
    lines = [f"**{_counts(verdicts)}**", ""]
    lines += [
        f"- {_code(name)}: {_code(x)} → {_code(y)}" for name, x, y in differences(a.run, b.run)
    ]
    lines += [f"- {_code(n)}" for n in (*_others(verdicts), *_of_runs(a, b, comparison))]
    lines += ["", f"| {' | '.join(_TITLES)} |", "|---" * len(_TITLES) + "|"]
    for answer, *line in map(_line, _ordered(verdicts)):
        lines.append(f"| **{answer}** | {' | '.join(map(_code, line))} |")
    rest = [f"- not compared: {_code(r)}: {', '.join(map(_code, c))}" for r, c in _rest(verdicts)]
    if beside := _metered_lines.lines(_metered_lines.changes(a, b, comparison)):
        titles = _metered_lines.TITLES
        lines += ["", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
        lines += [f"| {' | '.join(map(_code, line))} |" for line in beside]
    lines += ["", *rest]
    return "\n".join(lines).strip() + "\n"


def _others(verdicts: Sequence[Verdict]) -> list[str]:
    """What is compared though it is not the same thing, and what is another."""
    changes: dict[str, list[str]] = {}
    for v in verdicts:
        if v.changed and v.answer != "not compared":
            changes.setdefault(_text.clean(v.changed), []).append(_text.clean(v.cell))
    return [f"by name only: {change}: {', '.join(cells)}" for change, cells in changes.items()]


def _code(text: str) -> str:
    """Foreign text as a code span, in which Markdown, HTML and mentions mean nothing."""
    return "`" + (_text.clean(text).replace("`", "'").replace("|", "\\|") or "–") + "`"


def _counts(verdicts: Sequence[Verdict]) -> str:
    answers = [v.answer for v in verdicts]
    return ", ".join(f"{n} {kind}" for kind in _ORDER if (n := answers.count(kind))) or "no cells"


def _rest(verdicts: Sequence[Verdict]) -> list[tuple[str, list[str]]]:
    """Why cells are not compared, and the cells."""
    reasons: dict[str, list[str]] = {}
    for v in verdicts:
        if v.answer == "not compared":
            reasons.setdefault(_text.clean(v.reason), []).append(_text.clean(v.cell))
    return list(reasons.items())


def _ordered(verdicts: Sequence[Verdict]) -> list[Verdict]:
    compared = [v for v in verdicts if v.answer != "not compared"]
    return sorted(compared, key=lambda v: (_ORDER.index(v.answer), -abs(math.log(v.ratio or 1))))


def _named(v: Verdict) -> str:
    return f"{v.cell} → {v.cell_b}" if v.cell_b else v.cell


def _line(v: Verdict) -> tuple[str, ...]:
    change = accuracy = "–"
    if v.ratio is not None:
        change = f"{_text.points(v.ratio - 1)} %"
    if v.ratio_low and v.ratio_high:
        change += f" [{_text.points(v.ratio_low - 1)}, {_text.points(v.ratio_high - 1)}]"
    if v.accuracy_change is not None:
        accuracy = _text.points(v.accuracy_change) + _text.half(v.accuracy_low, v.accuracy_high)
        accuracy = " ".join(filter(None, (accuracy, v.accuracy_answer, v.metric)))
    size = _text.size(v.bytes_b)
    return (
        v.answer,
        _text.clean(_named(v) + (f" ({v.simulated})" if v.simulated else "")),
        f"{_text.seconds(v.latency_a_s)} → {_text.seconds(v.latency_b_s)}",
        change,
        "–" if v.detectable is None else f"{_text.number(v.detectable * 100, 2)} %",
        "–" if v.tail is None else f"{_text.points(v.tail, 0)} % {v.tail_answer}".strip(),
        accuracy,
        size if v.bytes_a == v.bytes_b else f"{_text.size(v.bytes_a)} → {size}",
    )
