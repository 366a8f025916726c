"""The child that profiles: latency without a profiler first, then the operators under it.

    python -P -m paretomark.devices.measure._profile_child RUNS SPEC ANSWER DONE

A profiler slows what it watches, so its times are shares of a latency, and no latency themselves.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from paretomark.devices._device import (
    Accelerator,
    Arrays,
    Device,
    Operator,
    Placement,
    Profiler,
    Unavailable,
    open_device,
)
from paretomark.devices.measure import _inputs, _timing, _worker
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._wrong import Wrong

ROUNDS = 5
# Units, as adapters and runtimes call them, that are not the host's processor.
ELSEWHERE = re.compile("gpu|npu|tpu|cuda|tensorrt|coreml|^ane$", re.IGNORECASE)


def profile(runs: int, spec: VisitSpec, stage: Path) -> dict[str, Any]:
    """Load, time, then let a fresh device profile `runs` inferences of the same inputs."""
    stage.write_text("probe")
    device = open_device(spec.device)
    device.probe()
    stage.write_text("load")
    start = time.perf_counter()
    placement = device.load(Path(spec.file), spec.threads)
    load_s = time.perf_counter() - start
    stage.write_text("inputs")
    inputs = _inputs.rotating(spec, placement)
    stage.write_text("first inference")
    start = time.perf_counter()
    outputs = device.run(inputs[0])
    answer = {
        "placement": dict(placement.operators),
        "fell_back": placement.fell_back,
        "home": placement.home,
        "on_host": on_host(device, placement),
        "load_s": load_s,
        "first_s": time.perf_counter() - start,
    }
    _inputs.check_outputs(outputs, placement)
    stage.write_text("timing")
    answer |= latency(spec, device, placement, inputs)
    stage.write_text("profile")
    del device  # its memory is free for the other
    profiler = open_device(spec.device)
    profiler.probe()
    if not isinstance(profiler, Profiler):
        raise Wrong(f"{spec.device} cannot tell the time of single operators")
    share = -(-runs // ROUNDS)
    try:
        rounds = [
            profiler.profile(Path(spec.file), spec.threads, inputs, share) for _ in range(ROUNDS)
        ]
    except Unavailable as error:
        raise Wrong(
            f"{spec.device} does not tell single operators: {error}; {error.remedy}"
        ) from None
    answer["operators"] = [dataclasses.asdict(operator) for operator in _median(rounds)]
    return answer


def latency(
    spec: VisitSpec, device: Device, placement: Placement, inputs: list[Arrays]
) -> dict[str, Any]:
    """Time a device by the host's clock. Return fields of a record; what is only predicted is not
    timed."""
    if placement.predicted_s is not None:
        return {"simulated": "predicted", "predicted_s": placement.predicted_s}
    runs, slices_ns = _timing.measure(device.run, inputs, spec.seconds, spec.max_samples)
    return {"simulated": placement.simulated, "warmup_runs": runs, "slices_ns": slices_ns}


def _median(rounds: list[list[Operator]]) -> list[Operator]:
    """The operators with the median of their mean times.

    Runtimes tell means, in which one call that others on the machine held up shows as if its
    operator were slow. It spoils one round only.
    """
    if len({tuple((o.kind, o.macs) for o in operators) for operators in rounds}) > 1:
        raise Wrong("the runtime tells other operators each time that it is asked")
    return [
        dataclasses.replace(same[0], ns=statistics.median(o.ns for o in same))
        for same in zip(*rounds, strict=True)
    ]


def on_host(device: Device, placement: Placement) -> bool:
    """Tell whether what the host's processor and memory can do bounds this device."""
    measured = placement.predicted_s is None and not isinstance(device, Accelerator)
    return measured and not ELSEWHERE.search(placement.home)


def operators(answer: dict[str, Any]) -> list[Operator]:
    """Take the operators of an answer, which may be anything; [] if one of them is not such."""
    try:
        rows = [Operator(**row) for row in answer["operators"]]
    except (KeyError, TypeError):
        return []
    return rows if all(map(_is_operator, rows)) else []


def _is_operator(it: Operator) -> bool:
    return (
        all(isinstance(word, str) for word in (it.name, it.kind, it.unit))
        and all(n is None or (isinstance(n, int) and n >= 0) for n in (it.macs, it.bytes))
        and isinstance(it.ns, int | float)
        and 0 <= it.ns < 10**13
    )


if __name__ == "__main__":
    _worker.work_on_spec(functools.partial(profile, int(sys.argv[1])))
