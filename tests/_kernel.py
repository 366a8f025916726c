"""A kernel that counts as it is told, in the bytes of the real one; trees of energy counters."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ATTRIBUTE = struct.Struct("=IIQQQQQIIQ")  # perf_event_attr, of 64 bytes
NUMBERS = {1: "instructions", 0: "cycles", 3: "cache_misses", 5: "branch_misses"}


@dataclass
class Event:
    """An open event, and what it has counted."""

    name: str
    thread: int
    group: int
    value: int = 0
    enabled_ns: int = 0
    running_ns: int = 0


@dataclass
class Kernel:
    """`refuse(name, thread, group)` gives an errno to fail with, or 0."""

    refuse: Callable[[str, int, int], int] = lambda name, thread, group: 0
    ids: Sequence[int] = (100,)
    short: bool = False  # answers with half of what it was asked for
    attributes: list[tuple[int, ...]] = field(default_factory=list)
    events: dict[int, Event] = field(default_factory=dict)
    next: int = 10

    def threads(self) -> Sequence[int]:
        return self.ids

    def open(self, attribute: bytes, thread: int, group: int) -> int:
        values = ATTRIBUTE.unpack(attribute)
        name = NUMBERS[values[2]]
        if code := self.refuse(name, thread, group):
            raise OSError(code, os.strerror(code))
        self.attributes.append(values)
        self.next += 1
        self.events[self.next] = Event(name, thread, group)
        return self.next

    def read(self, descriptor: int) -> bytes:
        event = self.events[descriptor]
        told = struct.pack("=QQQ", event.value, event.enabled_ns, event.running_ns)
        return told[:12] if self.short else told

    def close(self, descriptor: int) -> None:
        del self.events[descriptor]

    def count(self, share: float = 1.0, thread: int = 100, **values: int) -> None:
        """Let a millisecond pass in which this happens, of which `share` is counted."""
        for event in self.events.values():
            if event.thread == thread and event.name in values:
                event.value += round(values[event.name] * share)
                event.enabled_ns += 1_000_000
                event.running_ns += round(1_000_000 * share)


def powercap(folder: Path, zones: dict[str, tuple[str, int, int | None]]) -> Path:
    """A tree of /sys/class/powercap: by zone, its name, its microjoules, and its range."""
    for zone, (name, used_uj, range_uj) in zones.items():
        path = folder / zone
        path.mkdir(parents=True)
        (path / "name").write_text(f"{name}\n")
        (path / "energy_uj").write_text(f"{used_uj}\n")
        if range_uj is not None:
            (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder


def use(folder: Path, zone: str, used_uj: int) -> None:
    (folder / zone / "energy_uj").write_text(f"{used_uj}\n")
