"""Visits that start where their runtime is imported already: the parent's side of `_origin`.

A visit stays a process of its own. Where libraries lie in memory is the same for all that are
forked of one origin, so an origin serves one block, and the visits of a cell have different ones.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from paretomark.devices import _device
from paretomark.devices.measure import _process
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._process import HERE, Interpreter
from paretomark.models import _parent

FEWEST = 3  # visits that are worth an origin
DEADLINE_S = 120.0  # to import
FORK_S = 10.0

Key = tuple[str, int, Interpreter]  # target, or "" for none; threads

# Targets that are not forked with their runtime imported: it has threads, or cannot be imported.
_unforkable: set[str] = set()


class Origins:
    """Processes to fork visits of: one for each target, number of threads, and interpreter."""

    def __init__(self, ready: dict[Key, _process.Child]) -> None:
        self._ready = ready

    def start(self, spec: VisitSpec, where: Interpreter = HERE) -> _process.Start:
        """Give what starts a visit: of an origin if there is one, else in a fresh Python."""
        for key in (_key(spec, where), ("", spec.threads, where)):
            if key in self._ready:
                return lambda *told: self._forked(key, *told)
        return functools.partial(_process.fresh, where=where)

    def _forked(self, key: Key, command: list[str], ends: _process.Ends, threads: int) -> int:
        paths = [f"/proc/{os.getpid()}/fd/{end}" for end in (ends.words, ends.done, ends.log)]
        words = " ".join(("fork", *command[1:], *paths))
        answer = self._ready[key].ask(words, FORK_S)
        if isinstance(pid := (answer.table or {}).get("pid"), int):
            return pid
        del self._ready[key]
        return _process.fresh(command, ends, threads, key[2])


@contextmanager
def opened(visits: Iterable[tuple[VisitSpec, Interpreter]]) -> Iterator[Origins]:
    """Start origins for visits as these, side by side, and end them at last."""
    # An accelerator is opened by the process that uses it.
    able = [visit for visit in visits if not _device.alone(visit[0].device)]
    keys = Counter(
        key for spec, where in able for key in {_key(spec, where), ("", spec.threads, where)}
    )
    worth = [key for key, count in keys.items() if count >= FEWEST]
    with ExitStack() as stack:
        if not worth or not _parent.adopt():
            yield Origins({})
            return
        stack.callback(_parent.adopt, False)
        started = {key: stack.enter_context(_origin(*key)) for key in worth}
        threads = {key: (c.answer().table or {}).get("threads") for key, c in started.items()}
        _unforkable.update(target for (target, *_), count in threads.items() if count != 1)
        yield Origins({key: child for key, child in started.items() if threads[key] == 1})


def _origin(target: str, threads: int, where: Interpreter) -> _process.Child:
    start = functools.partial(_process.fresh, where=where)
    return _process.Child("_origin", target, DEADLINE_S, threads=threads, start=start)


def _key(spec: VisitSpec, where: Interpreter) -> Key:
    return "" if spec.device in _unforkable else spec.device, spec.threads, where
