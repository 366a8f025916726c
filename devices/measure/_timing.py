"""The one clock and the one stopping rule of all devices.

Nothing but the call itself lies between two reads of the clock (time.perf_counter_ns). Inputs
rotate, so that nothing is answered from a cache. The garbage collector is off meanwhile.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

WARMUP_RUNS = 3
WARMUP_SHARE = 0.25  # of the sampling time
MIN_SAMPLES = 11  # below that, a median is not reported
DRIFT = 0.10
UNSTEADY_TIMES, UNSTEADY_SHARE = 1.5, 0.2


@dataclass(frozen=True)
class Timing:
    """Latency samples of steady state, in ns, in the order they were taken."""

    warmup_runs: int
    samples_ns: tuple[int, ...]


def measure(
    run: Callable[[Any], Any], inputs: Sequence[Any], seconds: float, max_samples: int
) -> Timing:
    """Warm up, then time single calls until `seconds` are spent or `max_samples` are taken.

    At least 11 samples are taken, however long they last.
    """
    clock = time.perf_counter_ns
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        warmup, end = 0, clock() + int(seconds * WARMUP_SHARE * 1e9)
        while warmup < WARMUP_RUNS or clock() < end:
            run(inputs[warmup % len(inputs)])
            warmup += 1
        samples: list[int] = []
        start = clock()
        end = start + int(seconds * 1e9)
        while len(samples) < max_samples and (len(samples) < MIN_SAMPLES or start < end):
            arrays = inputs[len(samples) % len(inputs)]
            start = clock()
            run(arrays)
            samples.append(clock() - start)
    finally:
        if enabled:
            gc.enable()
    return Timing(warmup, tuple(samples))


def unsteady(samples_ns: Sequence[int]) -> bool:
    """Tell whether a fifth of the samples or more lie over one and a half times the lower quartile.

    So a median that jumps between two modes is not taken for a latency.
    """
    if not samples_ns:
        return False
    quarter = sorted(samples_ns)[len(samples_ns) // 4]
    slow = sum(sample > UNSTEADY_TIMES * quarter for sample in samples_ns)
    return slow >= UNSTEADY_SHARE * len(samples_ns)


def drifted(samples_ns: Sequence[int]) -> bool:
    """Tell whether the medians of the first and the last third differ by more than a tenth."""
    third = len(samples_ns) // 3
    if third < MIN_SAMPLES:
        return False
    first, last = (statistics.median(s) for s in (samples_ns[:third], samples_ns[-third:]))
    return abs(last / first - 1) > DRIFT
