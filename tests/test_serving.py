"""Queries that arrive when they please: when they are answered, and from when that is counted."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path

import pytest

from paretomark.devices import _thermal
from paretomark.devices.measure import _scenarios, _serving
from paretomark.suites.records import _stats

MS = 1_000_000


class Clock:
    """Time that passes in calls and in sleep, and by 100 ns when one looks at it."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.slept_s: list[float] = []

    def __call__(self) -> int:
        self.now_ns += 100
        return self.now_ns

    def call(self, duration_ns: int) -> None:
        self.now_ns += duration_ns

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += round(seconds * 1e9) + 400_000  # nobody wakes in time


def served(durations_ns: list[int], arrivals_ns: list[int], bound_ns: int = 0) -> list[int]:
    clock = Clock()
    return _serving.serve(
        clock.call, durations_ns, arrivals_ns, bound_ns, clock=clock, sleep=clock.sleep
    )


def about(*milliseconds: float) -> list[object]:
    return [pytest.approx(ms * MS, abs=2_000) for ms in milliseconds]


def test_a_query_that_waits_for_none_takes_its_call() -> None:
    """Also where the worker has slept, which it does until shortly before."""
    assert served([2 * MS, 3 * MS], [10 * MS, 20 * MS, 30 * MS]) == about(2, 3, 2)


def test_waiting_counts_from_the_arrival() -> None:
    """One call of 10 ms holds up what comes behind it: a harness that asks only after an answer
    would see 10, 1, 1, 1."""
    durations = [10 * MS, 1 * MS, 1 * MS, 1 * MS]
    assert served(durations, [0, 2 * MS, 4 * MS, 30 * MS]) == about(10, 9, 8, 1)


def test_the_worker_wakes_before_the_arrival_and_no_query_is_early() -> None:
    clock = Clock()
    latencies = _serving.serve(
        clock.call, [1 * MS], [50 * MS, 50 * MS + 10], clock=clock, sleep=clock.sleep
    )
    assert clock.slept_s == [pytest.approx(0.049, abs=1e-5)]
    assert latencies == about(1, 2)


def test_a_trial_that_cannot_pass_is_ended() -> None:
    """Not sooner: until then its 99th percentile may still be under the bound."""
    late, fine = [20 * MS], [1 * MS]
    arrivals = [i * 100 * MS for i in range(1000)]
    allowed = served(late * 10 + fine * 990, arrivals, 5 * MS)
    assert len(allowed) == 1000
    assert _stats.quantile(allowed, 0.99) < 20 * MS
    ended = served(late * 11 + fine * 989, arrivals, 5 * MS)
    assert len(ended) == 11
    whole = served(late * 11 + fine * 989, arrivals)
    assert len(whole) == 1000
    assert _stats.quantile(whole, 0.99) > 5 * MS


def test_arrivals_are_a_poisson_process_of_their_seed() -> None:
    arrivals = _serving.arrivals(200.0, 20_000, seed=1)
    gaps = [b - a for a, b in itertools.pairwise(arrivals)]
    assert statistics.fmean(gaps) == pytest.approx(5 * MS, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(5 * MS, rel=0.03)  # as of an exponential
    assert min(gaps) >= 0
    assert arrivals == _serving.arrivals(200.0, 20_000, seed=1)
    assert arrivals != _serving.arrivals(200.0, 20_000, seed=2)
    twice = _serving.arrivals(400.0, 20_000, seed=1)
    assert twice[-1] == pytest.approx(arrivals[-1] / 2, rel=1e-9)  # the same pattern, faster


@pytest.mark.parametrize("limit", [3.0, 50.0, 333.0, 990.0])
def test_the_highest_rate_is_found_to_three_percent(limit: float) -> None:
    tried: list[float] = []

    def passes(rate: float) -> bool:
        tried.append(rate)
        return rate <= limit

    found = _scenarios.search(passes, above=1000.0)
    assert found is not None
    assert found <= limit
    assert found >= limit * (1 - _scenarios.NEAR) - 1000 / 2**_scenarios.MOST_TRIALS
    assert len(tried) <= _scenarios.MOST_TRIALS


def test_no_rate_is_found_where_none_passes() -> None:
    assert _scenarios.search(lambda rate: False, above=1000.0) is None


def test_clock_and_temperature_are_the_processors(tmp_path: Path) -> None:
    assert _thermal.clock_mhz(tmp_path) is None
    assert _thermal.temperature_c(tmp_path) is None
    zones = {"x86_pkg_temp": "71500", "acpitz": "99000", "cpu-dead": "-274000", "cpu-odd": "hot"}
    for i, (kind, says) in enumerate(zones.items()):
        zone = tmp_path / "class" / "thermal" / f"thermal_zone{i}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{says}\n")
    for i, khz in enumerate(("800000", "3400000", "")):
        folder = tmp_path / "devices" / "system" / "cpu" / f"cpu{i}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(khz)
    assert _thermal.clock_mhz(tmp_path) == 3400
    assert _thermal.temperature_c(tmp_path) == 71
