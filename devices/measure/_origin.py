"""The child that has a runtime imported, of which visits are forked: importing is most of a start.

    python -P -m paretomark.devices.measure._origin TARGET ANSWER DONE

It imports what a visit needs, and the runtime of the target, unless TARGET is "". Its first answer
says how many threads that has started: with more than one it cannot be forked. To the word `fork`
it answers with the number of a new process, whose parent is its own parent, and which goes on as if
it had been started with these arguments; see `_worker` for all of them.
"""

from __future__ import annotations

import gc
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from paretomark.devices._device import open_device
from paretomark.devices.measure import _visit, _worker

THREADS = Path("/proc/self/task")
WAIT_S = 0.001


class Origin:
    """A runtime that is imported, and nothing more."""

    def __init__(self, target: str, stage: Path) -> None:
        self._target, self._stage = target, stage

    def begin(self) -> dict[str, Any]:
        """Import all."""
        if self._target:
            self._stage.write_text("probe")
            open_device(self._target).probe()
        self._stage.write_text("fork")
        gc.collect()
        gc.freeze()  # lest a collection in a child copies all of it
        return {"threads": len(list(THREADS.iterdir()))}

    def do(self, word: str, *arguments: str) -> dict[str, Any]:
        """Fork: SPEC ANSWER, and paths of what the parent has open, of WORDS, DONE and LOG."""
        assert word == "fork", word
        told, teller = os.pipe()
        if not (between := os.fork()):
            # What it starts is given to the next ancestor that adopts, our parent, when it ends.
            between = os.getpid()
            if os.fork():
                os._exit(0)
            _go_on(between, teller, *arguments)
        os.close(teller)
        os.waitpid(between, 0)
        child = os.read(told, 100)
        os.close(told)
        return {"pid": int(child)}


def _go_on(before: int, teller: int, source: str, answer: str, *paths: str) -> NoReturn:
    """Be a visit, in a session of its own, as soon as the process before is no more its parent."""
    try:
        os.setsid()
        words, done, log = paths
        for path, mode, descriptors in ((words, os.O_RDONLY, (0,)), (log, os.O_WRONLY, (1, 2))):
            opened = os.open(path, mode | os.O_APPEND)
            for descriptor in descriptors:
                os.dup2(opened, descriptor)
            os.close(opened)
        sys.stdin = os.fdopen(0, closefd=False)
        os.close(int(sys.argv[-1]))
        sys.argv = [_visit.__file__, source, answer, str(os.open(done, os.O_WRONLY))]
        os.write(teller, str(os.getpid()).encode())
        os.close(teller)
        while os.getppid() == before:
            time.sleep(WAIT_S)
        _worker.serve(_visit.Visit)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    _worker.serve_word(Origin)
