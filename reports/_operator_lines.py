"""The lines of a profile: operators, or kinds of them, with the rates that follow from their times.

A multiply-accumulate is two floating-point operations (FLOP), also where it is one of integers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paretomark.devices._device import Operator
from paretomark.devices.measure._peak import Peaks
from paretomark.reports._text import clean


@dataclass(frozen=True)
class Line:
    """An operator, or `count` of one kind and unit, and its share of the time of all operators."""

    position: int  # from 1, in order of running; of a kind, that of its first
    name: str
    kind: str
    unit: str
    count: int
    ns: float
    share: float
    macs: int | None
    bytes: int | None

    @property
    def flop_per_s(self) -> float | None:
        return 2e9 * self.macs / self.ns if self.macs and self.ns else None

    @property
    def byte_per_s(self) -> float | None:
        return 1e9 * self.bytes / self.ns if self.bytes and self.ns else None

    @property
    def flop_per_byte(self) -> float | None:
        return 2 * self.macs / self.bytes if self.macs and self.bytes else None

    def of_roof(self, peaks: Peaks | None) -> float | None:
        """Return the share of what the machine could do with this many FLOP per byte."""
        if peaks is None or self.flop_per_s is None or self.flop_per_byte is None:
            return None
        return self.flop_per_s / min(peaks.flop_per_s, self.flop_per_byte * peaks.byte_per_s)


def lines(operators: Sequence[Operator]) -> list[Line]:
    """Make one line per operator, in order of running."""
    total = math.fsum(o.ns for o in operators)
    return [_line(i, o.name, [o], total) for i, o in enumerate(operators, 1)]


def kinds(operators: Sequence[Operator]) -> list[Line]:
    """Make one line per kind and unit, slowest first. A sum with an unknown part is unknown."""
    total = math.fsum(o.ns for o in operators)
    groups: dict[tuple[str, str], tuple[int, list[Operator]]] = {}
    for i, o in enumerate(operators, 1):
        groups.setdefault((o.kind, o.unit), (i, []))[1].append(o)
    return sorted((_line(i, "", g, total) for i, g in groups.values()), key=lambda g: -g.ns)


def _line(position: int, name: str, group: Sequence[Operator], total_ns: float) -> Line:
    ns = math.fsum(o.ns for o in group)
    macs = [o.macs for o in group if o.macs is not None]
    sizes = [o.bytes for o in group if o.bytes is not None]
    return Line(
        position=position,
        name=name,
        kind=group[0].kind,
        unit=group[0].unit,
        count=len(group),
        ns=ns,
        share=ns / total_ns if total_ns else 0.0,
        macs=sum(macs) if len(macs) == len(group) else None,
        bytes=sum(sizes) if len(sizes) == len(group) else None,
    )


def short(text: str, limit: int) -> str:
    """Write foreign text in so many letters; of a long one its end, where layers differ."""
    text = clean(text)
    return text if len(text) <= limit else "…" + text[1 - limit :]


def plain(line: Line, peaks: Peaks | None) -> dict[str, Any]:
    """Give a line and its rates as plain values."""
    return dataclasses.asdict(line) | {
        "flop_per_s": line.flop_per_s,
        "byte_per_s": line.byte_per_s,
        "flop_per_byte": line.flop_per_byte,
        "of_roof": line.of_roof(peaks),
    }
