"""How a run shows what it does: bars on a terminal, one plain line per step elsewhere.

The bars never refresh by themselves: while a visit runs, this process uses no processor time.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from paretomark.devices.measure._work import Progress
from paretomark.suites.records._record import Probe, Record
from paretomark.suites.records._scenarios import visit_s
from paretomark.suites.spec._errors import line

SILENT_S = 2.0  # so long nothing is said at most
BEFORE = "planning, and asking the devices"


@contextmanager
def show(to_stderr: bool) -> Iterator[Progress]:
    """Show the progress of a run; on stderr if stdout is kept for JSON."""
    console = Console(stderr=to_stderr)
    if not console.is_terminal:
        with _plain(sys.stderr if to_stderr else sys.stdout) as progress:
            yield progress
        return
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        auto_refresh=False,
    )
    tasks = {}
    lock = threading.Lock()  # builds report from several threads

    def update(name: str, done: int, total: int, note: str) -> None:
        with lock:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total, note="")
            bars.update(tasks[name], completed=done, total=total, note=escape(note))
            bars.refresh()

    def absent(probe: Probe) -> None:
        console.print(f"[yellow]{escape(_absence(probe))}[/]")

    def building(done: int, total: int, what: str, note: str) -> None:
        pulse.note = "building"
        update("build", done, total, what)
        if note:
            console.print(f"[yellow]{escape(what)}: {escape(note)}[/]")
        if done == total:
            pulse.stop()

    def visiting(done: int, total: int, record: Record) -> None:
        pulse.stop()
        update("visit", done, total, _outcome(record))
        if record.status != "ok":
            console.print(f"[yellow]{escape(_outcome(record))}[/]")

    def turn(done: int, total: int) -> None:
        pulse.stop()
        update("turns of a crew", done, total, "")

    with bars, _pulse(lambda note: update("prepare", 0, 1, note)) as pulse:
        pulse.note = BEFORE
        yield Progress(absent, building, visiting, turn)


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Tell on stderr how far something is that may take long: how many, of how many, and which.

    Never is nothing said for over SILENT_S; what is done sooner is done without a word.
    """
    on_terminal = sys.stderr.isatty()
    start, end = ("\r", "\033[K") if on_terminal else ("", "\n")

    def say(note: str) -> None:
        print(f"{start}{line(note)}{end}", end="", file=sys.stderr, flush=True)

    with _pulse(say) as pulse:
        pulse.note = what

        def told(done: int, total: int, name: str) -> None:
            pulse.note = f"{what}: {done + 1} of {total}, {name}"

        yield told
    if on_terminal and pulse.told:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def training(name: str, metric: str) -> Iterator[Callable[[int, int, float, float], None]]:
    """Show the progress of a training, told epoch, epochs, loss, and the measure of its task."""
    with Bars(console=Console(stderr=True), auto_refresh=False) as bars:
        task = bars.add_task(name)

        def report(step: int, steps: int, loss: float, accuracy: float) -> None:
            note = f"{name}  loss {loss:.3f}  {metric} {100 * accuracy:.1f} %"
            bars.update(task, completed=step, total=steps, description=note)
            bars.refresh()

        yield report


class _Pulse:
    """Says its note whenever nothing was said for a while, until it is stopped."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.note, self.told = "", False
        self._say, self._last, self._stopped = say, time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def heard(self) -> None:
        """Take note that something was said."""
        self._last = time.monotonic()

    @property
    def silent(self) -> bool:
        """Whether nothing was said for a while."""
        return time.monotonic() - self._last >= SILENT_S

    def stop(self) -> None:
        """Say nothing any more: from the first visit on, nothing else may run."""
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        start = time.monotonic()
        while not self._stopped.wait(max(0.05, self._last + SILENT_S - time.monotonic())):
            if self.silent:
                self._say(f"{self.note} ({time.monotonic() - start:.0f} s)")
                self.told, self._last = True, time.monotonic()


@contextmanager
def _pulse(say: Callable[[str], None]) -> Iterator[_Pulse]:
    pulse = _Pulse(say)
    try:
        yield pulse
    finally:
        pulse.stop()


@contextmanager
def _plain(stream: TextIO) -> Iterator[Progress]:
    """A line for each step, and one where nothing was said for a while."""

    def say(text: str) -> None:
        print(text, file=stream, flush=True)
        pulse.heard()

    def building(done: int, total: int, what: str, note: str) -> None:
        pulse.note = "building"
        say(f"build {done}/{total} {line(what)}{': ' + line(note) if note else ''}")
        if done == total:
            pulse.stop()

    def visiting(done: int, total: int, record: Record) -> None:
        pulse.stop()
        say(f"visit {done}/{total} {_outcome(record)}")

    def turn(done: int, total: int) -> None:
        pulse.stop()
        if pulse.silent:
            say(f"turn {done}/{total} of a crew")

    with _pulse(say) as pulse:
        pulse.note = BEFORE
        yield Progress(lambda probe: say(_absence(probe)), building, visiting, turn)


def _absence(probe: Probe) -> str:
    return f"{probe.device} is not here: {line(probe.reason)}"


def _outcome(record: Record) -> str:
    if record.timed:
        took = (
            f"{visit_s(record) * 1e3:.3f} ms" if record.clocked else f"{len(record.trials)} trials"
        )
        result = f"{took} {record.simulated}".strip()
        if record.status != "ok":
            result += f", {record.status}: {line(record.reason)}"
    else:
        result = f"{record.status} ({record.stage}): {line(record.reason)}"
    flags = f" [{', '.join(record.flags)}]" if record.flags else ""
    return f"{record.cell}  {result}{flags}"
