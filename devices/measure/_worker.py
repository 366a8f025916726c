"""The child's side: be told what to do, do it, and leave an answer.

    python -P -m paretomark.devices.measure.MODULE ... SOURCE ANSWER DONE   (files, a descriptor)

The answer, JSON, appears as a whole or not at all, and then a byte is written to the descriptor.
What the child was doing last is in ANSWER.stage, so that the parent can name the stage in which it
died. After an answer the child stays, so that the parent can read its memory: it waits for a line
on its stdin that says what to do next, and ends when there are no more, or when its parent dies.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol

from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._wrong import Wrong
from paretomark.models import _parent
from paretomark.suites.spec import _schema
from paretomark.suites.spec._errors import LONGEST, explained, line

Answer = dict[str, Any]


class Work(Protocol):
    """What goes on after the first answer."""

    def begin(self) -> Answer:
        """Give the first answer."""
        ...

    def do(self, word: str, *arguments: str) -> Answer:
        """Do what the parent says, and give the answer."""
        ...


def work_on_spec(work: Callable[[VisitSpec, Path], Answer]) -> NoReturn:
    """Do `work(spec, stage)`, with the spec that is in the source, and end the process."""
    work_on(lambda source, stage: work(_spec(source), stage))


def work_on(work: Callable[[str, Path], Answer]) -> NoReturn:
    """Do `work(source, stage)`, leave its answer or its error, and end the process.

    The work writes the name of each stage that it begins into the file `stage`.
    """
    source, stage = _told()
    _leave(lambda: work(source, stage))
    _end()


def serve(make: Callable[[VisitSpec, Path], Work]) -> NoReturn:
    """Begin what `make(spec, stage)` gives, and go on with it as the parent says."""
    serve_word(lambda source, stage: make(_spec(source), stage))


def serve_word(make: Callable[[str, Path], Work]) -> NoReturn:
    """Begin what `make(source, stage)` gives, and go on with it as the parent says."""
    source, stage = _told()
    begun: list[Work] = []

    def begin() -> Answer:
        begun.append(make(source, stage))
        return begun[0].begin()

    _leave(begin)
    for words in map(str.split, sys.stdin):
        _leave(lambda words=words: begun[0].do(*words))  # type: ignore[misc]
    _end()


def _told() -> tuple[str, Path]:
    _parent.die_with_it()
    os.set_inheritable(int(sys.argv[-1]), False)
    return sys.argv[-3], Path(sys.argv[-2] + ".stage")


def _spec(source: str) -> VisitSpec:
    return _schema.typed(VisitSpec, json.loads(Path(source).read_text()))


def _leave(work: Callable[[], Answer]) -> None:
    """Do some work, and leave its answer or its error."""
    out, done = Path(sys.argv[-2]), int(sys.argv[-1])
    try:
        answer = work()
    except Exception as error:
        traceback.print_exc()
        told = line(str(error))[:LONGEST] if isinstance(error, Wrong) else explained(error)
        answer = {"error": told}
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps(answer))
    part.replace(out)
    os.write(done, b".")


def _end() -> NoReturn:
    """Stay until there is nothing more to do, then end at once: a runtime that crashes while it is
    torn down shall not undo the answer, which is on disk."""
    sys.stdin.read()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
