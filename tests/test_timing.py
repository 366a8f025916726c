"""The clock and the stopping rule."""

from __future__ import annotations

import gc
import random
import time

import pytest

from paretomark.devices.measure import _timing


class Clock:
    """Time that passes only in calls, so that no other work on the machine is in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now_ns)

    def call(self, duration_ns: int) -> None:
        self.now_ns += duration_ns


def test_a_sample_is_the_time_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    watch = _timing.Stopwatch(clock.call, [4_000_000, 6_000_000])
    assert watch.warm_up(0.2) == 10  # a quarter of that time
    samples = watch.slice(0.2, 10_000)
    assert set(samples) == {4_000_000, 6_000_000}
    assert len(samples) == 40


def test_a_visit_has_slices_of_equal_time_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    _, slices = _timing.measure(clock.call, [1_000_000], seconds=0.4, max_samples=10_000)
    assert [len(samples) for samples in slices] == [10] * _timing.MOST_ROUNDS
    _, slices = _timing.measure(clock.call, [5_000_000], seconds=0.4, max_samples=10_000)
    assert [len(samples) for samples in slices] == [_timing.CALLS] * 16  # longer calls, less slices


def test_a_slow_call_is_timed_once_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    runs, slices = _timing.measure(clock.call, [300_000_000], seconds=0.5, max_samples=100)
    assert runs == _timing.WARMUP_RUNS
    assert [len(samples) for samples in slices] == [1] * _timing.ROUNDS
    assert clock.now_ns == (runs + _timing.ROUNDS) * 300_000_000  # none to fill caches again


def test_the_first_calls_of_a_slice_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others had the caches in between: what fills them again is no time of the net's."""
    clock = Clock(monkeypatch)
    cold = 0

    def run(duration_ns: int) -> None:
        nonlocal cold
        clock.call(duration_ns * (5 if cold > 0 else 1))
        cold -= 1

    watch = _timing.Stopwatch(run, [1_000_000])
    watch.warm_up(0.01)
    for _ in range(3):
        cold = 2
        assert set(watch.slice(0.005, 100)) == {1_000_000}


def test_a_fast_call_stops_at_the_largest_number_of_samples() -> None:
    watch = _timing.Stopwatch(lambda _: None, [None])
    watch.warm_up(0.001)
    assert len(watch.slice(2, 25)) == 25


def test_inputs_rotate_and_the_collector_is_off_only_meanwhile() -> None:
    seen: list[int] = []
    collector: list[bool] = []

    def run(number: int) -> None:
        seen.append(number)
        collector.append(gc.isenabled())

    watch = _timing.Stopwatch(run, [0, 1, 2])
    runs = watch.warm_up(0.0)
    for _ in range(4):
        watch.slice(0.0, 5)
    assert seen == [i % 3 for i in range(len(seen))]
    assert not any(collector[runs:])
    assert gc.isenabled()


def test_the_collector_is_restored_when_a_call_fails() -> None:
    def fail(_: object) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        _timing.Stopwatch(fail, [None]).slice(0.1, 12)
    assert gc.isenabled()


def test_two_modes_are_told_from_a_busy_machine() -> None:
    net, quiet, busy = [100, 100, 160] * 3, [100] * 9, [150] * 9
    changing = [100] * 5 + [160] * 4  # others came or went meanwhile
    assert _timing.two_modes([net] * 20)
    assert _timing.two_modes([[round(1.4 * n) for n in net] if i % 2 else net for i in range(20)])
    assert not _timing.two_modes([quiet, busy] * 10)
    assert not _timing.two_modes([quiet, busy, changing, changing] * 5)
    assert not _timing.two_modes([[100], [160], [100], [160]])  # slow nets: one call a slice


def test_drift_is_a_trend_and_not_noise() -> None:
    rng = random.Random(0)
    for _ in range(200):  # of a busy machine: few slices are quiet
        noisy = [100 if rng.random() < 0.2 else rng.uniform(130, 150) for _ in range(20)]
        assert not _timing.drifted(noisy)
    rising = [100 + 2 * i + rng.uniform(-3, 3) for i in range(20)]
    assert _timing.drifted(rising)
    assert _timing.drifted(rising[::-1])
    assert not _timing.drifted([100 + i / 10 for i in range(20)])  # a trend, but of nothing
    assert not _timing.drifted([100, 200] * 5)  # too few to say
