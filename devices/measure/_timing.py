"""The one clock and the one stopping rule of all devices.

A visit is timed in slices: a few calls, then others have their turn, then a few more. Nothing but
the call itself lies between two reads of the clock (time.perf_counter_ns). Inputs rotate, so that
nothing is answered from a cache. The garbage collector is off meanwhile. After every fourth call,
from the first of a slice on, the device is asked what the inference alone took, where it can tell.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

# Slices of a visit, each of some calls: as many as there is time for, but enough to state a median,
# and if each is one call. Many short ones, for a visit is read at its quietest: on a busy machine
# half as many calls in each tell as much, but half as many slices tell far less
# (docs/measurement.md).
MOST_ROUNDS, ROUNDS, CALLS = 40, 12, 5
WARMUP_RUNS = 3
WARMUP_SHARE = 0.25  # of the sampling time
# The calls at the start of a slice fill the caches again that others have used. They are not timed;
# of a long call that is too small a part to be worth another one.
REFILLS = ((0.010, 2), (0.100, 1))  # calls shorter than so many seconds: how many
DRIFT, ORDERED = 0.10, 0.8
MODE, MODE_SHARE = 1.5, 0.2
EVERY = 4  # calls, of which one is asked for its inference alone: some runtimes need one more call


class Stopwatch:
    """Times calls of `run`, which takes one of `inputs`; `inside` tells of the inference alone."""

    def __init__(
        self,
        run: Callable[[Any], Any],
        inputs: Sequence[Any],
        inside: Callable[[], int] | None = None,
    ) -> None:
        self._run, self._inputs, self._inside = run, inputs, inside
        self.calls = 0
        self.inference_ns: list[int] = []  # of the last slice
        self._refill, self._rounds = 0, ROUNDS

    def warm_up(self, seconds: float) -> int:
        """Call for a quarter of the seconds that will be timed; return how often."""
        clock = time.perf_counter_ns
        gc.collect()
        start = now = clock()
        end = start + int(seconds * WARMUP_SHARE * 1e9)
        before = self.calls
        while self.calls - before < WARMUP_RUNS or now < end:
            self._call()
            now = clock()
        runs = self.calls - before
        call_s = (now - start) / runs / 1e9
        self._refill = next((count for limit, count in REFILLS if call_s < limit), 0)
        self._rounds = max(ROUNDS, min(MOST_ROUNDS, int(seconds / (CALLS * call_s))))
        return runs

    @property
    def rounds(self) -> int:
        """How many slices a visit has: fewer, where a call is so long that each holds but one."""
        return self._rounds

    def slice(self, seconds: float, most: int) -> list[int]:
        """Time calls until the seconds are spent or there are `most` of them; return them in ns."""
        clock, run, inputs, inside = time.perf_counter_ns, self._run, self._inputs, self._inside
        samples: list[int] = []
        self.inference_ns = inner = []
        enabled = gc.isenabled()
        gc.disable()
        try:
            for _ in range(self._refill):
                self._call()
            at, count = self.calls, len(inputs)
            stop = clock()
            end = stop + int(seconds * 1e9)
            while not samples or (stop < end and len(samples) < most):
                arrays = inputs[at % count]
                at += 1
                start = clock()
                run(arrays)
                stop = clock()
                samples.append(stop - start)
                if inside and len(samples) % EVERY == 1:
                    inner.append(inside())
                    stop = clock()
        finally:
            if enabled:
                gc.enable()
        self.calls = at
        return samples

    def _call(self) -> None:
        self._run(self._inputs[self.calls % len(self._inputs)])
        self.calls += 1


def measure(
    run: Callable[[Any], Any], inputs: Sequence[Any], seconds: float, max_samples: int
) -> tuple[int, list[list[int]]]:
    """Warm up, and time all slices of a visit one after the other, as where nothing else is timed.

    Return the number of calls to warm up, and the samples of each slice in ns.
    """
    watch = Stopwatch(run, inputs)
    runs = watch.warm_up(seconds)
    share = seconds / watch.rounds, -(-max_samples // watch.rounds)
    return runs, [watch.slice(*share) for _ in range(watch.rounds)]


def two_modes(slices: Sequence[Sequence[int]]) -> bool:
    """Tell whether, in three of four slices, a fifth of the calls or more take over one and a half
    times their lower quartile. What others do to a visit does not part the calls of every slice."""
    shares = sorted(_slower(samples) for samples in slices)
    return shares[len(shares) // 4] >= MODE_SHARE


def _slower(samples: Sequence[int]) -> float:
    limit = MODE * sorted(samples)[len(samples) // 4]
    return sum(sample > limit for sample in samples) / len(samples)


def drifted(floors: Sequence[float]) -> bool:
    """Tell whether the slices of a visit, by their floors in the order of time, become steadily
    slower or faster: by a tenth, and in an order that chance does not make."""
    third = len(floors) // 3
    if third < 4:
        return False
    first, last = (statistics.median(part) for part in (floors[:third], floors[-third:]))
    return abs(math.log(last / first)) > math.log1p(DRIFT) and abs(_order(floors)) > ORDERED


def _order(values: Sequence[float]) -> float:
    """Spearman's rank correlation with the order in which they stand; of equal ones the first comes
    first."""
    n = len(values)
    ranks = {i: rank for rank, i in enumerate(sorted(range(n), key=values.__getitem__))}
    return 1 - 6 * sum((i - rank) ** 2 for i, rank in ranks.items()) / (n * (n**2 - 1))
