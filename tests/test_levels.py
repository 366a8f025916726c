"""What visits say of a cell, and two runs of each other: rules on simulated noise, where the truth
is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from paretomark.suites.records import _levels, _stats
from paretomark.suites.records._common import common
from paretomark.suites.records._levels import Level

CELLS = 30
Noise = Callable[[np.random.Generator, int], NDArray[Any]]


def clean(rng: np.random.Generator, visits: int) -> NDArray[Any]:
    return rng.normal(0, 0.005, (CELLS, visits))


def contaminated(rng: np.random.Generator, visits: int) -> NDArray[Any]:
    """A visit in seven is 5 to 60 % slower."""
    logs, hit = clean(rng, visits), rng.random((CELLS, visits)) < 0.15
    logs += hit * np.log1p(rng.uniform(0.05, 0.6, (CELLS, visits)))
    return logs


def uneven(rng: np.random.Generator, visits: int) -> NDArray[Any]:
    """Some cells are ten times as noisy as others."""
    logs = clean(rng, visits)
    logs *= np.exp(rng.uniform(-1.15, 1.15, (CELLS, 1)))
    return logs


def drifting(rng: np.random.Generator, visits: int) -> NDArray[Any]:
    """Each block is slower than the one before, for all cells alike."""
    logs = clean(rng, visits)
    logs += np.linspace(-0.02, 0.02, visits)
    return logs


def levels(logs: NDArray[Any]) -> dict[str, Level]:
    return _levels.levels(
        {str(i): dict(enumerate(np.exp(row).tolist())) for i, row in enumerate(logs)}
    )


@pytest.mark.parametrize("noise", [clean, contaminated, uneven, drifting])
@pytest.mark.parametrize("visits", [2, 3, 5, 15])
def test_intervals_hold_the_truth_as_often_as_they_say(noise: Noise, visits: int) -> None:
    rng, held = np.random.default_rng(visits), 0
    for _ in range(30):
        for level in levels(noise(rng, visits)).values():
            held += level.interval.low <= 1 <= level.interval.high
    assert 0.93 < held / (30 * CELLS) <= 0.995


@pytest.mark.parametrize("noise", [clean, contaminated, drifting])
def test_eight_visits_are_enough_to_know_a_latency_to_one_percent(noise: Noise) -> None:
    found = levels(noise(np.random.default_rng(3), 8)).values()
    assert sorted(level.interval.high - 1 for level in found)[CELLS // 2] < 0.01


def test_a_single_slow_process_does_not_decide() -> None:
    rng = np.random.default_rng(1)
    logs = clean(rng, 5)
    logs[4, 2] += 0.3
    found = levels(logs)
    assert found["4"].apart == 1
    assert found["4"].visits == 4
    assert found["4"].seconds == pytest.approx(1, abs=0.01)


def test_visits_that_agree_in_nothing_are_not_known_by_their_fellows() -> None:
    logs = clean(np.random.default_rng(2), 3)
    logs[4] = [0.0, 0.5, 1.1]
    found = levels(logs)["4"]
    assert (found.visits, found.apart) == (3, 0)
    assert found.interval.high / found.interval.low > 4


def test_a_cell_with_one_visit_has_an_interval_by_its_fellows() -> None:
    floors = {"one": {0: 1.0}, "a": {0: 2.0, 1: 2.02}, "b": {0: 3.0, 1: 2.98}}
    found = _levels.levels(floors)
    assert found["one"].dof == 2
    assert found["one"].interval.low < 1 < found["one"].interval.high
    wide = found["one"].interval.high / found["one"].interval.low
    assert wide > found["a"].interval.high / found["a"].interval.low


def test_cells_are_judged_by_their_like() -> None:
    """What is noisy, as a runtime may be, is not taken to be as sure as the others, nor they as
    unsure as it."""
    rng, held = np.random.default_rng(4), 0
    kinds = {str(i): "quiet" if i < 20 else "noisy" for i in range(CELLS)}
    for _ in range(20):
        logs = clean(rng, 3)
        logs[20:] *= 20
        floors = {str(i): dict(enumerate(np.exp(row).tolist())) for i, row in enumerate(logs)}
        found = _levels.levels(floors, kinds)
        held += sum(
            found[str(i)].interval.low <= 1 <= found[str(i)].interval.high for i in range(20, 30)
        )
        assert sorted(found[str(i)].error for i in range(20))[10] < 0.006
    assert held / 200 > 0.9


def test_of_single_visits_alone_nothing_is_known() -> None:
    assert _levels.levels({"a": {0: 1.0}, "b": {0: 2.0}, "none": {}}) == {}


def test_visits_that_repeat_exactly_are_not_known_exactly() -> None:
    (level,) = _levels.levels({"a": {0: 1.0, 1: 1.0}}).values()
    assert level.interval.low < 1 < level.interval.high


def test_the_floor_is_that_of_the_quietest_slice() -> None:
    busy, quiet = [1400.0] * 50, [1000.0 + i for i in range(50)]
    assert _levels.floor([busy, quiet, busy]) == pytest.approx(1002.45)
    assert _levels.floor([[7.0]]) == 7.0
    assert _levels.floor([[7.0], [5.0], [6.0]]) == 5.0


def test_the_floor_does_not_depend_on_the_order_of_slices_or_calls() -> None:
    rng = np.random.default_rng(0)
    slices = [list(rng.exponential(1, 20) + 10) for _ in range(6)]
    turned = [part[::-1] for part in slices[::-1]]
    assert _levels.floor(slices) == _levels.floor(turned)


def compared(a: NDArray[Any], b: NDArray[Any]) -> list[float]:
    """Adjusted p values of change, by cell."""
    before, after = levels(a), levels(b)
    both = common([(before[i], after[i]) for i in before])
    ratios = [both.compare(before[i], after[i]) for i in before]
    return _stats.benjamini_hochberg([_stats.p_different(ratio) for ratio in ratios])


@pytest.mark.parametrize("noise", [clean, contaminated, uneven])
def test_unchanged_runs_hardly_ever_differ(noise: Noise) -> None:
    rng = np.random.default_rng(5)
    wrong = [min(compared(noise(rng, 8), noise(rng, 8))) < 0.05 for _ in range(60)]
    assert sum(wrong) <= 8  # 5 % of 60 is 3


@pytest.mark.parametrize("noise", [clean, contaminated])
def test_two_percent_are_found_with_eight_visits(noise: Noise) -> None:
    rng, found = np.random.default_rng(6), 0
    for _ in range(40):
        after = noise(rng, 8)
        after[3] += math.log(1.02)
        found += compared(noise(rng, 8), after)[3] < 0.05
    assert found >= 32


def test_the_machines_day_is_told_and_taken_out() -> None:
    rng = np.random.default_rng(7)
    before, after = clean(rng, 4), clean(rng, 4) + math.log(1.1)
    after[3] += math.log(1.2)
    a, b = levels(before), levels(after)
    both = common([(a[i], b[i]) for i in a])
    assert both.ratio.low < 1.1 < both.ratio.high
    assert both.compare(a["3"], b["3"]).value == pytest.approx(1.2, rel=0.02)
    assert both.compare(a["5"], b["5"]).value == pytest.approx(1, rel=0.02)


def test_a_few_cells_do_not_tell_a_day_from_changes() -> None:
    rng = np.random.default_rng(8)
    a, b = levels(clean(rng, 4)[:5]), levels(clean(rng, 4)[:5] + math.log(1.1))
    both = common([(a[i], b[i]) for i in a])
    assert not both.known
    assert both.compare(a["3"], b["3"]).value == pytest.approx(1.1, rel=0.02)


def test_cells_that_changed_are_no_noise() -> None:
    """A quarter of a small suite may be slower at once."""
    rng, spreads = np.random.default_rng(9), []
    for _ in range(20):
        before, after = clean(rng, 8)[:12], clean(rng, 8)[:12]
        after[:3] += math.log(1.05)
        a, b = levels(before), levels(after)
        pairs = [(a[i], b[i]) for i in a]
        spreads.append((common(pairs).spread, common(pairs, unchanged=1.0).spread))
    robust, plain = np.median(spreads, axis=0)
    assert robust < 1.4 < plain
    assert min(robust for robust, _ in spreads) >= 1.0  # what is left out makes none narrower


def test_what_differs_between_runs_more_than_within_them_widens_the_intervals() -> None:
    """Each cell is off by 2 % from run to run, and by 0.5 % from visit to visit."""
    rng, wrong = np.random.default_rng(9), 0
    for _ in range(40):
        a = clean(rng, 8) + rng.normal(0, 0.02, (CELLS, 1))
        b = clean(rng, 8) + rng.normal(0, 0.02, (CELLS, 1))
        wrong += min(compared(a, b)) < 0.05
    assert wrong <= 6  # 5 % of 40 is 2


def test_a_floor_is_settled_when_the_quietest_slices_agree() -> None:
    slow = [[130.0] * 5] * 10
    assert not _levels.settled([[100.0] * 5, *slow])  # one lucky one
    assert not _levels.settled([[100.0] * 5, [100.2] * 5, *slow])
    assert _levels.settled([[100.0] * 5, [100.2] * 5, *slow, [100.5] * 5])
    assert not _levels.settled([[100.0] * 5] * 2)
    assert _levels.settled([[95.0] * 5, *[[100.0] * 5] * 39])  # a moment of a faster clock


def test_a_floor_does_not_fall_with_the_number_of_slices() -> None:
    """A visit that gets more slices has more moments in which the clock was faster."""
    rng = np.random.default_rng(3)

    def floors(count: int) -> list[float]:
        fast = rng.random((200, count)) < 0.02
        clocks = np.where(fast, 0.95, 1) * rng.normal(1, 0.002, (200, count))
        return [_levels.floor([[100.0 * clock] * 5 for clock in visit]) for visit in clocks]

    assert abs(np.mean(floors(120)) / np.mean(floors(40)) - 1) < 0.005
    assert np.std(floors(40)) < 1.0
