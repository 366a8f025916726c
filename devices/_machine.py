"""What the kernel's files tell of the machine at a moment: /proc and /sys below a root folder.

Files are foreign: they may be missing, empty, huge or no text. What is read of one is bounded, and
what cannot be read raises `Unreadable`, which says why.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
MOST_BYTES = 2**18  # of a file; /proc/cpuinfo of 64 processors is less
MOST_FILES = 4096
_NUMBER = re.compile(r"[+-]?\d{1,18}")
_TIMES = 8  # fields of a line of /proc/stat up to steal; what follows is counted in them already
_CPU = "sys/devices/system/cpu"


class Unreadable(Exception):
    """Why something cannot be told."""


@dataclass(frozen=True)
class Tree:
    """The files below a root folder: "/", or that of a test."""

    root: Path

    def text(self, path: str) -> str:
        """Return the first `MOST_BYTES` of a file. Raise Unreadable."""
        try:
            # Not to wait for whoever writes into a pipe.
            descriptor = os.open(self.root / path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(descriptor, "rb") as file:
                return (file.read(MOST_BYTES) or b"").decode(errors="replace")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not readable"
            raise Unreadable(f"/{path}: {why.lower()}{self._where()}") from None

    def word(self, path: str) -> str:
        """Return the one word of a file. Raise Unreadable."""
        words = self.text(path).split(maxsplit=1)
        if len(words) != 1:
            raise Unreadable(f"/{path}: does not hold one word")
        return words[0]

    def number(self, path: str) -> int:
        """Return the one whole number of a file. Raise Unreadable."""
        return whole(self.word(path), path)

    def files(self, pattern: str) -> list[str]:
        """List the paths below the root that fit a pattern, in order."""
        found = []
        try:
            for file in self.root.glob(pattern):
                found.append(str(file.relative_to(self.root)))
                if len(found) == MOST_FILES:
                    break
        except OSError:
            pass
        return sorted(found)

    def numbers(self, pattern: str) -> dict[str, int]:
        """Return the number of every file that fits a pattern and holds one. Raise Unreadable if
        none does."""
        found = {}
        for path in self.files(pattern):
            try:
                found[path] = self.number(path)
            except Unreadable:
                continue
        if not found:
            raise Unreadable(f"/{pattern}: no file holds a number{self._where()}")
        return found

    def _where(self) -> str:
        if (self.root / "proc" / "stat").exists():
            return ""
        return f" ({platform.system()} here tells nothing in files)"


def whole(text: str, path: str) -> int:
    """Return a whole number that stands in a file. Raise Unreadable if it is none."""
    if not _NUMBER.fullmatch(text):
        raise Unreadable(f"/{path}: does not hold a whole number")
    return int(text)


@dataclass(frozen=True)
class Moment:
    """Counters at one moment. A text in place of one is why it cannot be read."""

    ticks: tuple[int, ...] | str  # of all processors: user, nice, system, idle, ..., steal
    processes: Mapping[int, tuple[str, int]] | str  # name and ticks of each, by number
    throttled: tuple[int, int] | str  # by a quota: how often, and for how many microseconds
    hot: int | str  # how often a processor was slowed for heat
    swapped: int | str  # pages that came back from swap


def moment(tree: Tree) -> Moment:
    """Read the counters."""
    return Moment(
        _tried(lambda: _ticks(tree)),
        _tried(lambda: _processes(tree)),
        _tried(lambda: _throttled(tree)),
        _tried(
            lambda: sum(tree.numbers(f"{_CPU}/cpu*/thermal_throttle/*_throttle_count").values())
        ),
        _tried(lambda: table(tree, "proc/vmstat", "pswpin")),
    )


def told(value: T | str) -> T:
    """Return a counter. Raise Unreadable with the text in its place."""
    if isinstance(value, str):
        raise Unreadable(value)
    return value


def table(tree: Tree, path: str, name: str) -> int:
    """Return the number behind a name at the start of a line. Raise Unreadable."""
    for line in tree.text(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0].rstrip(":") == name:
            return whole(words[1], path)
    raise Unreadable(f"/{path}: tells no {name}")


def processors(tree: Tree) -> int:
    """Return how many processors are on. Raise Unreadable."""
    count = len(re.findall(r"^cpu\d+ ", tree.text("proc/stat"), re.MULTILINE))
    if not count:
        raise Unreadable("/proc/stat: names no processor")
    return count


def groups(tree: Tree, controller: str = "cpu") -> list[str]:
    """List the folders of the control groups that this process is in, the innermost first.

    Both of cgroup v1 and v2; inside a container its own group is often the root of what it sees.
    """
    paths: dict[str, None] = {}
    for line in tree.text("proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            bases = ["sys/fs/cgroup", "sys/fs/cgroup/unified"]
        elif controller in names.split(","):
            bases = [f"sys/fs/cgroup/{names}", f"sys/fs/cgroup/{controller}"]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for base in bases:
            for end in range(len(parts), -1, -1):
                paths["/".join([base, *parts[:end]])] = None
    return list(paths)


def _ticks(tree: Tree) -> tuple[int, ...]:
    name, *fields = tree.text("proc/stat").split("\n", 1)[0].split() or [""]
    if name != "cpu" or len(fields) < 4:
        raise Unreadable("/proc/stat: does not start with the times of all processors")
    numbers = [whole(field, "proc/stat") for field in fields[:_TIMES]]
    return tuple(numbers + [0] * (_TIMES - len(numbers)))


def _processes(tree: Tree) -> dict[int, tuple[str, int]]:
    found = {}
    for path in tree.files("proc/[0-9]*/stat"):
        try:
            head, _, rest = tree.text(path).rpartition(")")
            fields = rest.split()
            ticks = whole(fields[11], path) + whole(fields[12], path)
            found[whole(path.split("/")[1], path)] = head.partition("(")[2], ticks
        except (Unreadable, IndexError):  # it has ended since, or is none
            continue
    if not found:
        raise Unreadable(f"/proc: lists no process{tree._where()}")
    return found


def _throttled(tree: Tree) -> tuple[int, int]:
    for folder in groups(tree):
        path = f"{folder}/cpu.stat"
        try:
            times = table(tree, path, "nr_throttled")
        except Unreadable:
            continue
        try:
            return times, table(tree, path, "throttled_usec")
        except Unreadable:
            return times, table(tree, path, "throttled_time") // 1000
    raise Unreadable("no cpu.stat of a control group that counts stops by a quota")


def _tried(read: Callable[[], T]) -> T | str:
    try:
        return read()
    except Unreadable as error:
        return str(error)
