"""The child's side: be told what to do, do it, and leave an answer.

    python -P -m paretomark.devices.measure.MODULE ... SOURCE ANSWER DONE   (files, a descriptor)

The answer, JSON, appears as a whole or not at all. What the child was doing last is in
ANSWER.stage, so that the parent can name the stage in which it died. When all is done, the child
writes a byte to the descriptor, and stays until its stdin is closed: the parent reads its peak
memory meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._wrong import Wrong
from paretomark.suites.spec import _schema
from paretomark.suites.spec._errors import LONGEST, explained, line

Answer = dict[str, Any]


def work_on_spec(work: Callable[[VisitSpec, Path], Answer]) -> NoReturn:
    """Do `work(spec, stage)`, with the spec that is in the source, and end the process."""
    work_on(
        lambda source, stage: work(
            _schema.typed(VisitSpec, json.loads(Path(source).read_text())), stage
        )
    )


def work_on(work: Callable[[str, Path], Answer]) -> NoReturn:
    """Do `work(source, stage)`, leave its answer or its error, and end the process.

    The work writes the name of each stage that it begins into the file `stage`.
    """
    source, out, done = sys.argv[-3], Path(sys.argv[-2]), int(sys.argv[-1])
    try:
        answer = work(source, out.with_name(out.name + ".stage"))
    except Exception as error:
        traceback.print_exc()
        told = line(str(error))[:LONGEST] if isinstance(error, Wrong) else explained(error)
        answer = {"error": told}
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps(answer))
    part.replace(out)
    os.write(done, b".")
    sys.stdin.read()
    sys.stdout.flush()
    sys.stderr.flush()
    # The answer is on disk; a runtime that crashes while it is torn down shall not undo it.
    os._exit(0)
