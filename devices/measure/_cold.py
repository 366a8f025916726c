"""The child that is timed from its start to its first answer, and then has done its work.

    python -P -m paretomark.devices.measure._cold SPEC ANSWER DONE

What these are is said in `_worker`. What the harness itself imports, and makes of pictures, is not
a net's start, and lies between the parts that are timed.
"""

from __future__ import annotations

import time

# By a clock that all processes share. Nothing but what every Python runs has run before.
FIRST_LINE_NS = time.monotonic_ns()

import numpy  # noqa: E402, F401  # every runtime needs it, so it is a part of importing one

NUMPY_S = (time.monotonic_ns() - FIRST_LINE_NS) / 1e9

import os  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from paretomark.devices import _host  # noqa: E402
from paretomark.devices._device import open_device  # noqa: E402
from paretomark.devices.measure import _inputs, _worker  # noqa: E402
from paretomark.devices.measure._inputs import VisitSpec  # noqa: E402


class Start:
    """One model on one device, until its first answer."""

    def __init__(self, spec: VisitSpec, stage: Path) -> None:
        self._spec, self._stage = spec, stage

    def begin(self) -> dict[str, Any]:
        """Import, load and run once. Return what the parent records of that."""
        spec = self._spec
        self._stage.write_text("probe")
        start = time.perf_counter()
        device = open_device(spec.device)
        device.probe()
        import_s = NUMPY_S + time.perf_counter() - start
        before = _host.resident_bytes()
        self._stage.write_text("load")
        start = time.perf_counter()
        placement = _inputs.ready(spec, device)
        load_s = time.perf_counter() - start
        self._stage.write_text("inputs")
        inputs = _inputs.rotating(spec, placement)
        self._stage.write_text("first inference")
        start = time.perf_counter()
        outputs = device.run(inputs[0])
        first_s = time.perf_counter() - start
        _inputs.check_outputs(outputs, placement)
        answer: dict[str, Any] = {
            "first_line_ns": FIRST_LINE_NS,
            "import_s": import_s,
            "placement": dict(placement.operators),
            "placement_costs": dict(placement.costs),
            "fell_back": placement.fell_back,
            "home": placement.home,
            "load_s": load_s - (placement.compile_s or 0.0),
            "compile_s": placement.compile_s,
            "first_s": first_s,
            "before_load_bytes": before,
            "simulated": placement.simulated,
            "warnings": list(placement.warnings),
            "cpu_s": _family_s(),
        }
        if placement.predicted_s is not None:
            answer["predicted_s"] = placement.predicted_s
        return answer

    def do(self, word: str, *arguments: str) -> dict[str, Any]:
        """Do nothing more: what came later would no longer be cold."""
        return {}


def _family_s() -> float:
    """The processor time of this process and of its children, those that have ended too: a runtime
    that compiles may start some, and they are no others' load."""
    ended = os.times()
    return _host.family_s(children=True) + ended.children_user + ended.children_system


if __name__ == "__main__":
    _worker.serve(Start)
