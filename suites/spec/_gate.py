"""By how much a change may be worse, before a comparison fails: `[gate]` of a suite.

    [gate]
    latency = "3%"                      # a cell that is slower by more
    accuracy = "0.5 points"             # of 100
    size = "1%"                         # of the file; likewise memory, load, and tail
    [gate.model.scenes_resnet]          # instead, for a model
    [gate.device."litert:xnnpack"]      # or for a device, which goes before the model

Only what is proven fails. What is not named is as `USUAL` has it; "" is no limit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from paretomark.suites.spec._errors import UserError, unknown

UNITS = {"accuracy": "points"}  # others are per cent


@dataclass(frozen=True)
class Limits:
    """How much worse something may be; "" where no more is said than elsewhere."""

    latency: str = ""
    accuracy: str = ""
    size: str = ""
    memory: str = ""
    load: str = ""
    tail: str = ""


@dataclass(frozen=True)
class Gate(Limits):
    """Limits of all cells, and of those of some models and devices."""

    model: Mapping[str, Limits] = field(default_factory=dict)
    device: Mapping[str, Limits] = field(default_factory=dict)

    def limit(self, kind: str, model: str, device: str) -> float | None:
        """Return the limit of a cell as a share, 0.03 of 3 % or 3 points; None if it has none."""
        for limits in (self.device.get(device), self.model.get(model), self):
            if limits is not None and (text := getattr(limits, kind)):
                return share(text, kind)
        return USUAL.get(kind)


# A proven change for the worse, however small, is one; a file may grow by what a version stamp is.
USUAL = {"latency": 0.0, "accuracy": 0.0, "size": 0.01}
KINDS = tuple(f.name for f in dataclasses.fields(Limits))


def share(text: str, kind: str, table: str = "gate") -> float:
    """Read a limit of a table of the suite. Raises UserError if it is none."""
    unit = UNITS.get(kind, "%")
    try:
        value = float(text.removesuffix(unit)) / 100
    except ValueError:
        value = math.nan
    if not text.endswith(unit) or not 0 <= value < 10:
        example = "0.5 points" if unit == "points" else "3%"
        raise UserError(f'[{table}] {kind} = "{text}": must be written as "{example}"')
    return value


def check(gate: Gate, models: Collection[str], devices: Collection[str], where: str) -> None:
    """Raise UserError for limits that are none, or of what is not in the suite."""
    for kind, tables, valid in (("model", gate.model, models), ("device", gate.device, devices)):
        for name in tables:
            if name not in valid:
                raise unknown(kind, name, valid, f"{where}, [gate.{kind}.{name}]")
    for limits in (gate, *gate.model.values(), *gate.device.values()):
        for kind in KINDS:
            if text := getattr(limits, kind):
                share(text, kind)
