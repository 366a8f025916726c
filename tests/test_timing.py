"""The clock and the stopping rule."""

from __future__ import annotations

import gc
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
    timing = _timing.measure(clock.call, [4_000_000, 6_000_000], seconds=0.2, max_samples=10_000)
    assert set(timing.samples_ns) == {4_000_000, 6_000_000}
    assert len(timing.samples_ns) == 41  # the one that ends after 0.2 s is the last
    assert timing.warmup_runs == 10  # a quarter of that time


def test_a_slow_call_is_still_timed_often_enough_for_a_median() -> None:
    timing = _timing.measure(lambda _: time.sleep(0.02), [None], seconds=0.001, max_samples=100)
    assert len(timing.samples_ns) == _timing.MIN_SAMPLES
    assert timing.warmup_runs >= _timing.WARMUP_RUNS


def test_a_fast_call_stops_at_the_largest_number_of_samples() -> None:
    timing = _timing.measure(lambda _: None, [None], seconds=2, max_samples=25)
    assert len(timing.samples_ns) == 25


def test_inputs_rotate_and_the_collector_is_off_only_meanwhile() -> None:
    seen: list[int] = []
    collector: list[bool] = []

    def run(number: int) -> None:
        seen.append(number)
        collector.append(gc.isenabled())

    timing = _timing.measure(run, [0, 1, 2], seconds=0.0, max_samples=12)
    timed = seen[timing.warmup_runs :]
    assert timed == [i % 3 for i in range(len(timed))]
    assert not any(collector)
    assert gc.isenabled()


def test_the_collector_is_restored_when_a_call_fails() -> None:
    def fail(_: object) -> None:
        raise RuntimeError

    try:
        _timing.measure(fail, [None], seconds=0.1, max_samples=12)
    except RuntimeError:
        assert gc.isenabled()
    else:
        raise AssertionError("the error was swallowed")


def test_drift_is_a_change_between_the_ends_and_not_noise() -> None:
    steady = [100 + i % 7 for i in range(90)]
    assert not _timing.drifted(steady)
    assert _timing.drifted([s + i for i, s in enumerate(steady)])
    assert not _timing.drifted([100, 200] * 5)  # too few to say
