"""List the devices: what is here, and how to get what is not."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

from rich import box
from rich.table import Table

from paretomark.devices import _device
from paretomark.devices.measure import _conformance, _power, _run
from paretomark.reports import _console, _json, _text
from paretomark.reports._command import ALL_WELL, SOME_FAILED


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--device", action="append", default=[], help="only this one (repeatable)")
    parser.add_argument("--verify", action="store_true", help="check that adapters do as they must")
    parser.add_argument(
        "--self-test", action="store_true", help="check that bad adapters are caught"
    )
    parser.add_argument("--json", action="store_true")


def command(arguments: argparse.Namespace) -> int:
    """List, verify or test. Raises UserError for a device that there is not."""
    if arguments.self_test:
        good = self_test(arguments.json)
    elif arguments.verify:
        good = verify(_device.targets(arguments.device), arguments.json)
    else:
        good = show(_device.targets(arguments.device), arguments.json)
    return ALL_WELL if good else SOME_FAILED


def show(devices: Sequence[str], as_json: bool) -> bool:
    """Print which devices are here, and how to get the others."""
    probes = _run.probe(devices)
    if as_json:
        print(_json.text({t: probe.to_json() for t, probe in probes.items()}))
        return True
    rows = []
    for target, probe in probes.items():
        says = (
            ", ".join(f"{k} {v}" for k, v in probe.versions.items())
            if probe.available
            else f"{probe.reason}; {probe.remedy}"
        )
        rows.append((target, "yes" if probe.available else "no", probe.chip, says))
    _print(("device", "here", "chip", "versions, or why not and how to get it"), rows)
    beside = [
        (
            meter.device,
            "yes" if meter.available else "no",
            meter.chip if meter.available else f"{meter.reason}; {meter.remedy}",
        )
        for meter in _power.meters(t for t, probe in probes.items() if probe.available)
    ]
    _print(("beside time", "here", "what tells it, or why not and how to get it"), beside)
    return True


def verify(devices: Sequence[str], as_json: bool) -> bool:
    """Print the conformance of the devices that are here; whether every check held."""
    results = _conformance.verify(devices)
    if as_json:
        print(_json.text([dataclasses.asdict(r) for r in results]))
    else:
        rows = [
            (r.device, r.precision, r.check, "ok" if r.held else "FAILS", r.detail) for r in results
        ]
        _print(("device", "precision", "check", "", "what was seen"), rows)
    return all(r.held for r in results)


def self_test(as_json: bool) -> bool:
    """Print what catches the misbehaving variants of the fake device; whether all are caught."""
    caught = _conformance.self_test()
    if as_json:
        print(_json.text([dataclasses.asdict(c) for c in caught]))
    else:
        rows = [(c.variant, c.by or "not caught", c.reason) for c in caught]
        _print(("fake device", "caught by", "reason"), rows)
    return all(bool(c.by) != (c.variant in _conformance.WELL_BEHAVED) for c in caught)


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(_text.clean(cell, 1000) for cell in row))
    _console.show(table)
