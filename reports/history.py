"""Draw how every cell went over the commits, and name those that changed it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from paretomark.reports import _history, _history_lines, _history_terminal, _json
from paretomark.reports._command import ALL_WELL, WORSE, check_page, open_page
from paretomark.reports._history import History
from paretomark.suites.records import _archive

SLOW = 20  # runs, from which on it is told how many are read


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "cells", nargs="*", metavar="CELL", help="only this cell, or those like it: '*/int8/*'"
    )
    parser.add_argument("--since", default="", metavar="REV", help="from this revision on")
    parser.add_argument(
        "--runs",
        type=Path,
        default=_archive.FOLDER,
        metavar="DIR",
        help="where the runs are, in folders up to two levels deep (default: runs)",
    )
    parser.add_argument("--suite", default="", help="only runs of the suite of this name")
    parser.add_argument(
        "--machine",
        default="",
        metavar="FINGERPRINT",
        help="of this machine, or one that begins so (default: that of the newest commit's run)",
    )
    parser.add_argument(
        "--fail", action="store_true", help="exit with 1 if something is worse than before"
    )
    parser.add_argument("--json", action="store_true", help="print all as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots")
    parser.add_argument("--open", action="store_true", help="show that page in a browser")
    parser.add_argument("--all", action="store_true", help="print every row on the terminal")


def command(arguments: argparse.Namespace) -> int:
    """Print the history. Raises UserError if there is none."""
    check_page(arguments.open, arguments.html)
    history = _history.of(
        arguments.runs,
        arguments.cells,
        since=arguments.since,
        suite=arguments.suite,
        machine=arguments.machine,
        told=_reading,
    )
    if arguments.json:
        print(_json.text(as_json(history)))
    else:
        _history_terminal.show(history, arguments.all)
    if arguments.html:
        from paretomark.reports import _history_html

        _history_html.write(history, arguments.html)
        if arguments.open:
            open_page(arguments.html)
    return WORSE if arguments.fail and history.alarms else ALL_WELL


def _reading(done: int, total: int) -> None:
    """Tell on a terminal how many runs are read: for the first time that takes a second each."""
    if total >= SLOW and sys.stderr.isatty():
        print(f"\rreading runs: {done} of {total}", end="", file=sys.stderr, flush=True)
        if done == total:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def as_json(history: History) -> dict[str, Any]:
    """Give runs, cells, changes and versions as plain JSON values; a run goes by its number."""
    return {
        "headline": _history_lines.headline(history),
        "left_out": list(history.left_out),
        "sessions": vars(history.sessions),
        "runs": [
            {
                "folder": str(path),
                "commit": header.commit,
                "started": header.started,
                "suite": header.suite,
                "versions": {p.device: dict(p.versions) for p in header.probes},
                "day": history.days.offsets[i] if history.days.known[i] else None,
            }
            for i, (path, header) in enumerate(history.runs)
        ],
        "cells": {
            cell: [
                {
                    "run": point.run,
                    "status": point.seen.status,
                    "sha256": point.seen.sha256,
                    "latency_s": point.seen.level.seconds if point.seen.level else None,
                    "latency_low_s": point.seen.level.interval.low if point.seen.level else None,
                    "latency_high_s": point.seen.level.interval.high if point.seen.level else None,
                    "valid": point.seen.valid,
                    "simulated": point.seen.simulated,
                    "imported": point.seen.imported,
                    "metric": point.seen.metric,
                    "accuracy": point.seen.accuracy,
                    "artifact_bytes": point.seen.artifact_bytes,
                    "peak_memory_bytes": point.seen.peak_memory_bytes,
                }
                for point in points
            ]
            for cell, points in history.cells.items()
        },
        "intervals": [
            {
                "before": interval.before,
                "after": interval.after,
                "commits": interval.commits,
                "versions": [
                    {"told": event.told, "devices": list(event.devices)}
                    for event in interval.events
                ],
                "changes": [vars(change) for change in interval.changes],
            }
            for interval in _history_lines.intervals(history)
        ],
    }
