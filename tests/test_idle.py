"""Workers that wait for their turn leave the processor alone, on every runtime that is here."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from paretomark.devices import _device
from paretomark.devices.measure import _process
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec
from paretomark.suites.spec._model import Model, Recipe

RUNTIMES = ("onnxruntime:cpu", "openvino:cpu", "litert:xnnpack", "executorch:xnnpack",
            "pytorch:eager")  # fmt: skip
IDLE_S, MOST = 0.5, 0.05  # of a processor: from the moment at which a slice is said to be over

pytestmark = [pytest.mark.build, pytest.mark.timing]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("target", RUNTIMES)
def test_an_idle_worker_uses_no_processor(target: str, threads: int) -> None:
    form = _device.formats()[target]
    order = BuildSpec(Model("scenes_mobilenet", "scenes_mobilenet"), Recipe(), form, 1, 16, 0)
    built = _build.build([order], 900.0, lambda _, result: None)[_build.key(order)]
    assert isinstance(built, Artifact)
    spec = VisitSpec.of(built, target, seconds=0.1, max_samples=1000, score=False, threads=threads)
    with _process.Child("_visit", spec, 120.0) as child:
        assert child.answer().table
        assert child.ask("load", 60.0).table
        for _ in range(3):
            assert child.ask("slice 0.02 1000", 30.0).table
        before = _cpu_s(child.pid)
        time.sleep(IDLE_S)
        assert _cpu_s(child.pid) - before <= MOST * IDLE_S
        start = time.monotonic()
        assert child.ask("slice 0.02 1000", 30.0).table  # it is not asleep for good
        assert time.monotonic() - start < 5


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
