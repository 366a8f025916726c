"""Find the commit that changed a cell, by building and measuring those between two revisions."""

from __future__ import annotations

import argparse
import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paretomark.reports import _bisect, _json, _progress, _running, _text
from paretomark.reports._bisect import KINDS, Found
from paretomark.reports._command import ALL_WELL, INCONCLUSIVE
from paretomark.reports._running import SUITE
from paretomark.suites.records import _archive, _commits


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("cell", metavar="CELL", help="as history and reports name it")
    parser.add_argument("good", metavar="GOOD", help="a revision before the change")
    parser.add_argument("bad", metavar="BAD", help="one that follows it, after the change")
    parser.add_argument(
        "--of", choices=KINDS, help="what changed (default: the first of these that is proven)"
    )
    parser.add_argument(
        "--suite", default="", help=f"file of the suite, from the top (default: {SUITE})"
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=_archive.FOLDER,
        metavar="DIR",
        help="where the runs are kept, in a folder of this search (default: runs)",
    )
    _running.how(parser)
    parser.set_defaults(effort="gate")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Print the commit. Raises UserError for revisions between which nothing can be found."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = arguments.runs / f"bisect-{stamp}"
    with _progress.show(to_stderr=True) as progress:
        search = _bisect.Search(
            _running.asked(arguments, [arguments.cell]),
            folder,
            progress,
            arguments.setup,
            _running.tell,
        )
        try:
            found = search.find(arguments.cell, arguments.good, arguments.bad, arguments.of)
        except _bisect.Undecided as error:
            print(_json.text({"error": str(error)}) if arguments.json else _text.clean(str(error)))
            return INCONCLUSIVE
    if arguments.json:
        print(_json.text(as_json(found)))
    else:
        print("\n".join(_lines(found)))
    return ALL_WELL if found.confirmed else INCONCLUSIVE


def _lines(found: Found) -> list[str]:
    lines = []
    if len(found.commits) == 1:
        lines.append(f"{_name(found.commits[0])} did it")
    else:
        lines.append(f"one of these {len(found.commits)} commits did it; some could not be told:")
        reasons = {tried.commit: tried.why for tried in found.tried}
        for commit in found.commits:
            why = reasons.get(commit, "")
            lines.append(f"  {_name(commit)}" + (f": {_text.clean(why)}" if why else ""))
    lines.append(f"{_text.clean(found.cell)}: {_what(found)}")
    if len(found.commits) == 1 and not found.confirmed:
        lines.append("against its parent that is not proven again: look twice")
    counts = [sum(t.answer == a for t in found.tried) for a in ("good", "bad", "skipped")]
    lines.append("tried: {} good, {} bad, {} skipped".format(*counts))
    return lines


def _what(found: Found) -> str:
    """What the commit did to the cell, against its parent."""
    v = found.verdict
    if found.kind == "fails" or v is None:
        return f"{found.kind}: {_text.clean(found.why)}" if found.why else found.kind
    told = {
        "latency": f"latency {_text.points(v.ratio - 1 if v.ratio else None)} %"
        + (
            f" [{_text.points(v.ratio_low - 1)}, {_text.points(v.ratio_high - 1)}]"
            if v.ratio_low and v.ratio_high
            else ""
        )
        + f", {v.answer}",
        "accuracy": f"{v.metric or 'accuracy'} {_text.points(v.accuracy_change)} points"
        f"{_text.half(v.accuracy_low, v.accuracy_high)}, {v.accuracy_answer or 'inconclusive'}",
        "size": f"file {_text.size(v.bytes_a)} → {_text.size(v.bytes_b)}",
    }.get(found.kind, found.kind)
    return f"{told}: {_text.clean(v.changed)}" if v.changed else told


def _name(commit: str) -> str:
    subject = _commits.subject(commit)
    return _text.clean(f"{commit[: _commits.SHORT]} ({subject})" if subject else commit)


def as_json(found: Found) -> dict[str, Any]:
    """Give what was found as plain JSON values."""
    return {
        "cell": found.cell,
        "kind": found.kind,
        "commits": list(found.commits),
        "confirmed": found.confirmed,
        "why": found.why,
        "tried": [dataclasses.asdict(tried) for tried in found.tried],
        "verdict": dataclasses.asdict(found.verdict) if found.verdict else None,
    }
