"""Compare two runs on one machine, or two revisions, cell by cell: what got worse?"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from paretomark.reports import (
    _both,
    _compared,
    _compared_lines,
    _compared_markdown,
    _compared_terminal,
    _json,
    _learnt,
    _running,
    _sides,
)
from paretomark.reports._command import check_page, open_page, percentage
from paretomark.reports._compared import Compared
from paretomark.reports._running import SUITE
from paretomark.suites.records import _archive
from paretomark.suites.records._store import Run
from paretomark.suites.spec import _suite
from paretomark.suites.spec._gate import Gate

CONCLUSIVE = "conclusive"
FILES = "compare.html", "compare.md", "compare.json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    what = "folder of a run, a file in it, or a revision that has runs"
    parser.add_argument("a", metavar="A", help=f"before: {what}")
    parser.add_argument("b", metavar="B", help="after: likewise")
    parser.add_argument(
        "--runs",
        type=Path,
        default=_archive.FOLDER,
        metavar="DIR",
        help="where runs of revisions, and earlier runs of the machine, are (default: runs)",
    )
    parser.add_argument(
        "--suite",
        default="",
        help="of several suites that a revision has runs of, this one; with --run its file, from "
        f"the top of the checkout (default: {SUITE})",
    )
    parser.add_argument(
        "--run",
        action="store_true",
        help="A and B are revisions: check both out, build them, and time them side by side",
    )
    _running.arguments(parser)
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
        help="compare cells of one name also where net, recipe or data are others; of two "
        "revisions that is so anyway",
    )
    parser.add_argument(
        "--require",
        choices=(CONCLUSIVE,),
        help="exit with 3 where a cell could be worse by more than the limits, for all one knows",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print all as JSON")
    form.add_argument("--markdown", action="store_true", help="print a comment for a pull request")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page")
    parser.add_argument("--open", action="store_true", help="show that page in a browser")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"write {', '.join(FILES)} into this folder"
    )
    parser.add_argument("--all", action="store_true", help="print every row on the terminal")


def command(arguments: argparse.Namespace) -> int:
    """Print what differs. Raises UserError for what is no run, or of another machine."""
    check_page(arguments.open, arguments.html)
    if arguments.run:
        a, b = (run.folder for run in _running.both(arguments.a, arguments.b, arguments))
        notes: tuple[str, ...] = ()
    else:
        _running.check_unused(arguments)
        a, b, notes = _sides.find(arguments.a, arguments.b, arguments.runs, arguments.suite)
    revisions = _sides.are_revisions(arguments.a, arguments.b)
    by_name = arguments.by_name or arguments.run or revisions
    compared = of(a, b, arguments.runs, arguments.delta, by_name, notes)
    _write(compared, arguments)
    return compared.outcome.code(arguments.require == CONCLUSIVE)


def of(
    a: Path,
    b: Path,
    runs: Path = _archive.FOLDER,
    delta: float | None = None,
    by_name: bool = False,
    notes: tuple[str, ...] = (),
) -> Compared:
    """Compare the runs of two folders, by the limits of the second's suite, and by what the runs
    below `runs` tell of the machine. Raises UserError if they cannot be compared."""
    one, other = _both.summaries(a, b)
    head = other.run.header
    sessions = _learnt.sessions(runs, head, (a, b))
    delta = delta or max(one.run.header.precision, head.precision)
    return _compared.of(one, other, delta, by_name, sessions, _gate(other.run), notes)


def _gate(run: Run) -> Gate:
    """The limits of a run's suite."""
    text = run.header.request.get("suite", "")
    return _suite.gate(text) if isinstance(text, str) else Gate()


def _write(compared: Compared, arguments: argparse.Namespace) -> None:
    from paretomark.reports import _compared_html, _html

    if arguments.json:
        print(_json.text(as_json(compared)))
    elif arguments.markdown:
        print(_compared_markdown.text(compared), end="")
    else:
        _compared_terminal.show(compared, arguments.all)
    if arguments.html:
        _compared_html.write(compared, arguments.html)
        if arguments.open:
            open_page(arguments.html)
    if arguments.out:
        page, comment, table = (arguments.out / name for name in FILES)
        _compared_html.write(compared, page)
        _html.save(comment, _compared_markdown.text(compared))
        _html.save(table, _json.text(as_json(compared)))


def as_json(compared: Compared) -> dict[str, Any]:
    """Give both headers, what differs between them, verdicts, fronts and the outcome as plain JSON
    values."""
    a, b, comparison = compared.a, compared.b, compared.comparison
    shift = comparison.common.ratio if comparison.common.known else None
    outcome = compared.outcome
    return {
        "a": _json.header(a.run.header),
        "b": _json.header(b.run.header),
        "notes": list(compared.notes),
        "differences": [list(d) for d in _compared.differences(a.run, b.run)],
        "delta": comparison.delta,
        "side_by_side": comparison.side_by_side,
        "sessions": dataclasses.asdict(compared.sessions),
        "common": {
            "cells": comparison.common.cells,
            "ratio": shift.value if shift else None,
            "ratio_low": shift.low if shift else None,
            "ratio_high": shift.high if shift else None,
            "spread": comparison.common.spread,
            "answer": comparison.of_all,
        },
        "outcome": {
            "headline": _compared_lines.headline(compared),
            "worse": [dataclasses.asdict(found) for found in outcome.worse],
            "undecided": [dataclasses.asdict(found) for found in outcome.undecided],
        },
        "verdicts": [dataclasses.asdict(v) for v in comparison.verdicts],
        "beside_time": [dataclasses.asdict(change) for change in compared.beside],
        "fronts": [
            {
                "group": moved.group._asdict(),
                "before": _area(moved.before),
                "after": _area(moved.after),
                "reference": moved.before.reference._asdict(),
                "change": moved.change,
                "change_low": moved.low,
                "change_high": moved.high,
                "q": moved.q,
                "answer": moved.answer,
                "joined": [point._asdict() for point in moved.joined],
                "left": [point._asdict() for point in moved.left],
            }
            for moved in compared.fronts
        ],
    }


def _area(found: Any) -> dict[str, float | None]:
    return {"value": found.value, "low": found.low, "high": found.high}
