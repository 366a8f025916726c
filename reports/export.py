"""Export runs for other tools: tables, CI systems, trackers of benchmarks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from paretomark.reports._command import ALL_WELL
from paretomark.suites.records import _store
from paretomark.suites.records._summary import Summary
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError, unknown

NEEDS = ("SUFFIX", "write(summaries)")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--format", required=True, help=", ".join(formats()))
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: print it")


def command(arguments: argparse.Namespace) -> int:
    """Write the file. Raises UserError for what is no run, or a format that cannot hold them."""
    from paretomark.reports import _html
    from paretomark.suites.records._summary import summarise

    if arguments.format not in formats():
        raise unknown("format to export", arguments.format, formats())
    summaries = [summarise(_store.read(folder)) for folder in arguments.runs]
    content = text(arguments.format, summaries)
    if arguments.out is None and isinstance(content, bytes):
        raise UserError(f"{arguments.format} is no text to print: name a file with --out")
    if arguments.out is None:
        print(content, end="")
    else:
        _html.save(arguments.out, content)
        print(arguments.out, file=sys.stderr)
    left_out = sum(not row.valid for summary in summaries for row in summary.rows)
    if left_out:
        print(f"{left_out} cells have no time that counts", file=sys.stderr)
    return ALL_WELL


def formats() -> list[str]:
    """What can be exported, as one names it."""
    return [name.replace("_", "-") for name in _plugins.names("writers")]


def text(form: str, summaries: Sequence[Summary]) -> str | bytes:
    """Write runs in a format, one of `formats`. Raises UserError if it cannot hold them."""
    writer = _plugins.module("writers", form.replace("-", "_"), NEEDS)
    content: str | bytes = writer.write(summaries)
    return content
