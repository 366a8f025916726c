"""The devices: which are here, whether they do as they must, and whether bad ones are caught."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from rich import box
from rich.table import Table

from paretomark.devices import _device
from paretomark.devices.measure import _conformance, _run
from paretomark.reports import _table
from paretomark.suites.spec._errors import unknown


def targets(wanted: Sequence[str]) -> list[str]:
    """The devices that are wanted; all if none is. Raises UserError for a name that is none."""
    formats = _device.formats()
    # The fake device's other variants misbehave on purpose, for tests.
    known = [t for t in formats if not t.startswith("fake:") or t == "fake:ok"]
    for device in wanted:
        if device not in formats:
            raise unknown("device", device, known, "--device")
    return list(wanted) or known


def show(devices: Sequence[str], as_json: bool) -> bool:
    """Print which devices are here, and how to get the others."""
    probes = _run.probe(devices)
    if as_json:
        print(json.dumps(probes, indent=1))
        return True
    rows = []
    for target, probe in probes.items():
        says = (
            ", ".join(f"{k} {v}" for k, v in probe["versions"].items())
            if probe["available"]
            else f"{probe['reason']}; {probe['remedy']}"
        )
        rows.append((target, "yes" if probe["available"] else "no", probe.get("chip", ""), says))
    _print(("device", "here", "chip", "versions, or why not and how to get it"), rows)
    return True


def verify(devices: Sequence[str], as_json: bool) -> bool:
    """Print the conformance of the devices that are here; whether every check held."""
    results = _conformance.verify(devices)
    if as_json:
        print(json.dumps([dataclasses.asdict(r) for r in results], indent=1))
    else:
        rows = [
            (r.device, r.precision, r.check, "ok" if r.held else "FAILS", r.detail) for r in results
        ]
        _print(("device", "precision", "check", "", "what was seen"), rows)
    return all(r.held for r in results)


def zoo(as_json: bool) -> bool:
    """Print what catches the misbehaving variants of the fake device; whether all are caught."""
    caught = _conformance.zoo()
    if as_json:
        print(json.dumps([dataclasses.asdict(c) for c in caught], indent=1))
    else:
        rows = [(c.variant, c.by or "not caught", c.reason) for c in caught]
        _print(("fake device", "caught by", "reason"), rows)
    return all(bool(c.by) != (c.variant in _conformance.WELL_BEHAVED) for c in caught)


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    _table.show_all(table)
