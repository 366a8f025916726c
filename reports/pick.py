"""Say which net to ship on each device, within limits, and how sure that is.

Of the nets that keep to the limits with the probability that is asked for, it is the fastest, or
what --by says. Where a limit is given, those of the suite (`[pick]`) do not count; without any it
is they, by default a loss of half a point of accuracy at most against the most accurate float net
on the same device.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from paretomark.reports import _console, _json, _picked, _short
from paretomark.reports._command import ALL_WELL, SOME_FAILED
from paretomark.suites.records import _store
from paretomark.suites.records._summary import Summary, of_suite, summarise
from paretomark.suites.spec import _pick, _plan, _suite
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._pick import Pick

SCHEMA = "paretomark/pick/1"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("run", type=Path)
    for name in ("device", "model"):
        parser.add_argument(
            f"--{name}", action="append", default=[], help=f"only this {name}, or a pattern"
        )
    parser.add_argument("--max-drop", metavar="0.5", help="points of accuracy that it may lose")
    parser.add_argument("--under", metavar="5ms", help="latency that it may have")
    parser.add_argument("--max-size", metavar="2MB", help="bytes that its file may have")
    parser.add_argument("--max-memory", metavar="200MB", help="peak memory of the process")
    parser.add_argument("--sure", metavar="80%", help="with which probability it keeps to these")
    parser.add_argument("--by", choices=_picked.BYS, help="what is best of those that do")
    parser.add_argument("--json", action="store_true", help="print all as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Print the choice in each place. 1 where nothing keeps to the limits. Raises UserError for
    what is no run, no limit, or no name."""
    summary = _narrowed(summarise(_store.read(arguments.run)), arguments)
    given = {
        field.name: value
        for field in dataclasses.fields(Pick)
        if (value := getattr(arguments, field.name)) is not None
    }
    pick = of_suite(summary.run, _suite.pick, Pick())
    if given.keys() - {"sure"}:
        pick = Pick(max_drop="", sure=pick.sure)
    asked = _pick.limits(dataclasses.replace(pick, **given), "--")
    choices = _picked.choices(summary, asked, arguments.by)
    if not choices:
        raise UserError(
            f"{arguments.run}: no cell has both a valid latency and an accuracy, so there is "
            "nothing to choose from; `bench.py report` says why"
        )
    if arguments.json:
        table = {
            "schema": SCHEMA,
            "run": summary.run.header.run,
            "limits": _short.limits_as_json(asked),
            "choices": [_short.as_json(choice) for choice in choices],
        }
        print(_json.text(table))
    else:
        _console.show(*(f"{_short.place(c)}\n  {_short.answer(c, asked)}" for c in choices))
    return ALL_WELL if all(choice.chosen for choice in choices) else SOME_FAILED


def _narrowed(summary: Summary, arguments: argparse.Namespace) -> Summary:
    """Only the rows of some devices and models."""
    rows = summary.rows
    for name in ("device", "model"):
        valid = {getattr(row, name) for row in rows}
        chosen = [_plan.named(name, pattern, valid) for pattern in getattr(arguments, name)]
        if chosen:
            rows = tuple(row for row in rows if getattr(row, name) in set[str]().union(*chosen))
    return dataclasses.replace(summary, rows=rows)
