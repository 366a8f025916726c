"""Visits that start where their runtime is imported already: the parent's side of `_origin`.

A visit stays a process of its own. Where libraries lie in memory is the same for all that are
forked of one origin, so an origin serves one block, and the visits of a cell have different ones.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack

from paretomark.devices import _device
from paretomark.devices.measure import _process
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.models import _parent

FEWEST = 3  # visits that are worth an origin
DEADLINE_S = 120.0  # to import
FORK_S = 10.0

_threaded: set[str] = set()  # targets whose runtime has threads as soon as it is imported


class Origins(ExitStack):
    """Processes to fork visits of: one for each target and number of threads, ended with this."""

    def __init__(self, specs: Iterable[VisitSpec]) -> None:
        super().__init__()
        self._ready: dict[tuple[str, int], _process.Child] = {}
        # An accelerator is opened by the process that uses it.
        able = [spec for spec in specs if not _device.alone(spec.device)]
        if not _parent.adopt():
            return
        self.callback(_parent.adopt, False)
        keys = Counter(key for spec in able for key in {_key(spec), ("", spec.threads)})
        self._start([key for key, count in keys.items() if count >= FEWEST])

    def start(self, spec: VisitSpec) -> _process.Start:
        """Give what starts a visit: of an origin if there is one, else in a fresh Python."""
        origin = self._ready.get(_key(spec)) or self._ready.get(("", spec.threads))
        return _process.fresh if origin is None else _forking(origin)

    def _start(self, keys: Iterable[tuple[str, int]]) -> None:
        started = {}
        for target, threads in keys:
            child = _process.Child("_origin", target, DEADLINE_S, threads=threads)
            started[target, threads] = self.enter_context(child)
        for (target, threads), child in started.items():
            count = (child.answer().table or {}).get("threads")
            if count == 1:
                self._ready[target, threads] = child
            else:
                _threaded.add(target)


def _key(spec: VisitSpec) -> tuple[str, int]:
    return "" if spec.device in _threaded else spec.device, spec.threads


def _forking(origin: _process.Child) -> _process.Start:
    def start(command: list[str], ends: _process.Ends, threads: int) -> int:
        paths = [f"/proc/{os.getpid()}/fd/{end}" for end in (ends.words, ends.done, ends.log)]
        answer = origin.ask(" ".join(("fork", *command[1:], *paths)), FORK_S)
        if isinstance(pid := (answer.table or {}).get("pid"), int):
            return pid
        return _process.fresh(command, ends, threads)

    return start
