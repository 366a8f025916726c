"""Look at this machine: what makes times noisy, how to change it, and what runs can tell on it.

Nothing is changed. Equal cells are then measured for a minute: what differs between them is noise.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from paretomark.devices.measure import _doctor, _equal_cells
from paretomark.devices.measure._doctor_settings import Finding, State
from paretomark.devices.measure._equal_cells import Pair
from paretomark.reports import _console, _json, _noise
from paretomark.reports._command import ALL_WELL, duration
from paretomark.reports._noise import Effort, Noise
from paretomark.reports._text import clean, number, percent

if TYPE_CHECKING:
    from rich.table import Table

_ORDER: tuple[State, ...] = ("warn", "note", "ok", "unknown")
_STYLES = {"warn": "red", "note": "yellow", "ok": "green", "unknown": "dim"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--device", default="", help="to measure on (default: the first usual one that is here)"
    )
    parser.add_argument(
        "--model", default="", help="net of the zoo to measure (default: a small one)"
    )
    parser.add_argument(
        "--time",
        type=duration,
        default=60.0,
        metavar="1m",
        help="how long equal cells are measured (default: 1m)",
    )
    parser.add_argument(
        *("--look", "--no-aa"),
        action="store_true",
        dest="look",
        help="only look, and measure nothing",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Look, measure and tell; 0 also if things could be better. Raises UserError if no device is
    here, or it does not time the net."""
    probe = None if arguments.look else _equal_cells.present(arguments.device)
    findings = _doctor.look()
    if not arguments.json:
        _console.show(table(findings))
    pair = noise = None
    if probe:
        pair = _equal_cells.measure(probe, arguments.time, arguments.model, _say)
        noise = _noise.noise(pair)
    if arguments.json:
        print(_json.text(as_json(findings, pair, noise)))
    elif pair and noise:
        print("\n".join(lines(pair, noise)))
    return ALL_WELL


def table(findings: Sequence[Finding]) -> Table:
    """Lay out what was found, the worst first, with what it means and what changes it."""
    from rich.text import Text

    body = _console.frame()
    for title in ("", "what", "what was seen, what it means for times, and what changes it"):
        body.add_column(title, overflow="fold")
    for finding in sorted(findings, key=lambda f: _ORDER.index(f.state)):
        says = Text(clean(finding.seen))
        if finding.state in ("warn", "note"):
            says.append(f"\n{finding.means}", style="dim")
            says.append(f"\n→ {finding.remedy}")
        body.add_row(Text(finding.state, style=_STYLES[finding.state]), finding.name, says)
    return body


def lines(pair: Pair, noise: Noise) -> list[str]:
    """Say what equal cells told of the machine."""
    told = [
        f"\n{noise.cells} equal cells of {pair.model} on {pair.device}, {noise.visits} visits in "
        f"{pair.wall_s:.0f} s:",
        *(f"  {line}" for line in _verdict(noise)),
        f"  {percent(noise.disturbed, 0)} of slices were disturbed: their calls took a tenth more "
        "than in quiet moments, or longer",
    ]
    if not any(effort.detectable for effort in noise.efforts):
        why = "too few visits count. As noisy as it is now, neither would those of a run"
        return [*told, f"What a run would tell is not known: {why}."]
    return [*told, "On this machine, in this state,", *map(_effort, noise.efforts), _POWER]


_POWER = (
    "That is the smallest slow-down of one cell that a comparison of two such runs finds in four "
    "of five cases.\nMore cells take longer, in proportion."
)


def _verdict(noise: Noise) -> list[str]:
    told = []
    if noise.valid_visits < noise.visits:
        flags = ", ".join(f"{name} {count}" for name, count in noise.flags.items())
        told.append(f"{noise.visits - noise.valid_visits} visits do not count: {flags or 'failed'}")
    apart, both = noise.compared, noise.comparison.common
    if not apart:
        return [*told, "the two halves of them cannot be compared: too few visits count"]
    told.append(
        f"the first and the second half of a cell lie {_share(median(apart))} apart in the middle, "
        f"{_share(max(apart))} at most"
    )
    if both.known:
        word = "slower" if both.shift > 0 else "faster"
        told.append(f"all cells together became {_share(abs(both.ratio.value - 1))} {word}")
    if noise.false:
        return [*told, f"FALSE VERDICTS, for nothing changed: {'; '.join(noise.false)}"]
    return [*told, f"no false verdict of {len(apart)}: nothing changed, and no change is claimed"]


def _effort(effort: Effort) -> str:
    if effort.detectable is None:
        return f"  --effort {effort.name}: not known"
    return (
        f"  a run of {number(effort.wall_s / 60, 2)} minutes tells {_share(effort.detectable)} "
        f"(--effort {effort.name}: {effort.visits} visits of each of these cells)"
    )


def _share(value: float) -> str:
    return f"{number(100 * value, 2)} %"


def as_json(
    findings: Sequence[Finding], pair: Pair | None = None, noise: Noise | None = None
) -> dict[str, Any]:
    """All that was found, as plain JSON values; `equal_cells` is null where none were measured."""
    told: dict[str, Any] = {"findings": [dataclasses.asdict(f) for f in findings]}
    if pair is None or noise is None:
        return told | {"equal_cells": None}
    both = noise.comparison.common
    return told | {
        "equal_cells": {
            "device": pair.device,
            "model": pair.model,
            "wall_s": pair.wall_s,
            "blocks": pair.blocks,
            "cells": noise.cells,
            "visits": noise.visits,
            "valid_visits": noise.valid_visits,
            "flags": dict(noise.flags),
            "disturbed": noise.disturbed,
            "apart": noise.compared,
            "shift": both.ratio.value - 1 if both.known else None,
            "false_verdicts": noise.false,
            "verdicts": [dataclasses.asdict(v) for v in noise.comparison.verdicts],
            "efforts": [dataclasses.asdict(effort) for effort in noise.efforts],
        }
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
