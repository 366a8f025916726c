"""Queries that arrive when they please, and one worker that answers them in their order.

The latency of a query is counted from when it was to arrive, not from when the worker came to it.
So a call that takes long also slows those that wait behind it, as it does for whoever waits for
them (coordinated omission is what leaves that out, Tene, "How NOT to measure latency", 2013).
"""

from __future__ import annotations

import gc
import itertools
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from paretomark.devices import _thermal
from paretomark.devices._device import Accelerator, Device

# Before an arrival the worker wakes so much earlier, and looks at the clock until it is due: a
# sleeping process wakes late, by 50 µs or more, and that is not the net's.
AWAKE_NS = 1_000_000
WARM = 3  # calls before the first arrival


def arrivals(rate: float, count: int, seed: int) -> list[int]:
    """Draw `count` arrivals of a Poisson process of `rate` a second: ns from the start. The same
    seed gives the same pattern at every rate, so that rates do not differ by their luck."""
    rng = random.Random(seed)
    gaps = (-math.log(1.0 - rng.random()) / rate * 1e9 for _ in range(count))
    return [int(at) for at in itertools.accumulate(gaps)]


def serve(
    run: Callable[[Any], Any],
    inputs: Sequence[Any],
    arrivals_ns: Sequence[int],
    bound_ns: int = 0,
    clock: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> list[int]:
    """Answer the queries, which take `inputs` in turn; return the latency of each, in ns.

    With a bound it stops as soon as so many latencies are above it that the 99th percentile of all
    of them must be too: what comes then cannot change that.
    """
    # At this many above the bound, both values that p99 lies between are.
    most = len(arrivals_ns) - int((len(arrivals_ns) - 1) * 0.99)
    latencies: list[int] = []
    over, start = 0, clock()
    for i, arrival in enumerate(arrivals_ns):
        due = start + arrival
        early = due - clock() - AWAKE_NS
        if early > 0:
            sleep(early / 1e9)
        while clock() < due:
            pass
        run(inputs[i % len(inputs)])
        latencies.append(clock() - due)
        if bound_ns and latencies[-1] > bound_ns:
            over += 1
            if over >= most:
                break
    return latencies


def trial(device: Device, inputs: Sequence[Any], *words: str) -> dict[str, Any]:
    """Make a trial: RATE COUNT SEED BOUND_NS, which is 0 without a bound. Return its latencies, and
    the processor time that it took."""
    rate, count, seed, bound_ns = float(words[0]), *map(int, words[1:])
    due = arrivals(rate, count, seed)
    for arrays in itertools.islice(itertools.cycle(inputs), WARM):
        device.run(arrays)
    gc.collect()
    enabled, before_s = gc.isenabled(), time.process_time()
    gc.disable()
    try:
        latencies = serve(device.run, inputs, due, bound_ns)
    finally:
        if enabled:
            gc.enable()
    return {"ns": latencies, "cpu_s": time.process_time() - before_s}


def state(device: Device) -> dict[str, Any]:
    """Say how the chip is now: an accelerator's own clock and temperature, or the processor's."""
    if isinstance(device, Accelerator):
        now = device.state()
        return {"clock_mhz": now.clock_mhz, "temperature_c": now.temperature_c}
    return {"clock_mhz": _thermal.clock_mhz(), "temperature_c": _thermal.temperature_c()}
