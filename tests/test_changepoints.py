"""Steps of series: found where they are, and not where they are not."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
import pytest

from paretomark.suites.records import _changepoints
from paretomark.suites.records._changepoints import Series
from paretomark.suites.records._levels import Level
from paretomark.suites.records._sessions import Sessions

KNOWN = Sessions(together=0.010, own=0.007, pairs=20)


def level(log: float, error: float = 0.003) -> Level:
    return Level(log, error**2, 8.0, 3)


def noisy(count: int, rng: random.Random, steps: dict[int, float], told: set[int]) -> Series:
    """A series with noise as `KNOWN` has it, and these steps."""
    logs, base = [], 0.0
    for i in range(count):
        base += steps.get(i, 0.0)
        logs.append(base + rng.gauss(0, math.hypot(0.007, 0.003)))
    return Series(logs, [0.007**2 + 0.003**2] * count, [i in told for i in range(count)])


def found(series: Series, level: float = 0.05) -> list[int]:
    return [step.at for step in _changepoints.steps(series, KNOWN, 0.01, level)]


def test_two_steps_are_found_with_their_size() -> None:
    series = noisy(30, random.Random(1), {10: 0.05, 20: -0.03}, set())
    steps = _changepoints.steps(series, KNOWN, 0.01, 0.05)
    assert [step.at for step in steps] == [10, 20]
    for step, true in zip(steps, (0.05, -0.03), strict=True):
        assert step.low < math.exp(true) < step.high


def test_one_run_is_enough_where_something_is_known_to_have_changed() -> None:
    rng, counts = random.Random(2), {True: 0, False: 0}
    for _ in range(40):
        series = noisy(10, rng, {9: 0.06}, set())
        counts[False] += found(series) == [9]
        told = Series(series.logs, series.variances, [i == 9 for i in range(10)])
        counts[True] += found(told) == [9]
    assert counts[False] == 0  # a single run may be a bad day
    assert counts[True] >= 36


def test_a_step_that_is_told_of_is_placed_there() -> None:
    rng, right = random.Random(3), 0
    for _ in range(40):
        right += found(noisy(12, rng, {5: 0.04}, {5})) == [5]
    assert right >= 36


def test_without_steps_few_are_found() -> None:
    rng = random.Random(4)
    false = sum(bool(found(noisy(40, rng, {}, {7, 19, 30}))) for _ in range(300))
    assert false <= 24  # 5 %, and what chance adds to it


def test_a_run_that_was_disturbed_is_no_step() -> None:
    series = noisy(21, random.Random(5), {}, set())
    logs = list(series.logs)
    logs[10] += 0.2
    assert found(Series(logs, series.variances, series.told)) == []
    # It moves no other step either, nor makes one where a file is another.
    assert found(Series(logs, series.variances, [i == 8 for i in range(21)])) == []


@pytest.mark.parametrize("at", [0, 1, 19, 20])
def test_a_run_that_was_disturbed_at_an_end_is_no_step(at: int) -> None:
    series = noisy(21, random.Random(5), {}, set())
    logs = list(series.logs)
    logs[at] += 0.1
    assert found(Series(logs, series.variances, series.told)) == []


def test_what_was_changed_and_changed_back_is_two_steps() -> None:
    series = noisy(21, random.Random(9), {10: 0.2, 11: -0.2}, {10, 11})
    assert found(series) == [10, 11]


def test_steps_that_are_too_small_are_none() -> None:
    assert found(noisy(400, random.Random(6), {200: 0.008}, {200})) == []


def test_days_are_taken_out_where_cells_tell_them() -> None:
    rng = random.Random(7)
    days = [rng.gauss(0, 0.05) for _ in range(8)]
    runs = [
        {f"cell{c} file": level(c / 10 + day + rng.gauss(0, 0.003)) for c in range(20)}
        for day in days
    ]
    told = _changepoints.days(runs, KNOWN)
    middle = float(np.median(days))
    assert all(told.known)
    assert not any(told.loose[1:])
    for offset, day in zip(told.offsets, days, strict=True):
        assert abs(offset - (day - middle)) < 0.01


def test_days_of_few_cells_are_not_known() -> None:
    runs = [{f"cell{c} file": level(0.1 * i) for c in range(3)} for i in range(4)]
    told = _changepoints.days(runs, KNOWN)
    assert told.known == [False] * 4
    assert told.offsets == [0.0] * 4


def test_days_before_all_files_changed_are_on_another_scale() -> None:
    """Then nothing tells whether the machine or the files became slower, so more is needed."""
    runs = [
        {f"cell{c} {'old' if i < 4 else 'new'}": level(0.03 * (i >= 4)) for c in range(20)}
        for i in range(8)
    ]
    told = _changepoints.days(runs, KNOWN)
    assert [i for i in range(1, 8) if told.loose[i]] == [4]
    assert max(map(abs, told.offsets)) < 1e-9
    logs, at_4 = [0.03 * (i >= 4) for i in range(8)], [i == 4 for i in range(8)]
    tight = Series(logs, [1e-5] * 8, at_4)
    loose = Series(logs, [1e-5] * 8, at_4, told.loose)
    widths = [
        step.high / step.low
        for series in (tight, loose)
        for step in _changepoints.steps(series, KNOWN, 0.01, 0.2)
    ]
    assert widths[1] > 2 * widths[0] - 1


def test_the_share_of_false_findings_of_a_report_is_kept() -> None:
    rng, reports = random.Random(8), 0
    for _ in range(60):
        series = {i: noisy(12, rng, {}, {4, 8}) for i in range(20)}
        searches = {
            i: lambda level, s=s: _changepoints.steps(s, KNOWN, 0.01, level)
            for i, s in series.items()
        }
        reports += bool(_changepoints.selected(searches))
    assert reports <= 8


def scores(right: int, lost: int = 0, count: int = 400) -> np.ndarray:
    found = np.zeros(count)
    found[lost:right] = 1.0
    return found


def test_accuracies_step_where_examples_do() -> None:
    runs = [scores(300)] * 4 + [scores(300, lost=20)] * 3
    (step,) = _changepoints.paired(runs, 0.05)
    assert (step.at, step.value) == (4, -0.05)
    assert step.low < -0.05 < step.high < 0
    assert _changepoints.paired([scores(300)] * 4 + [scores(301)] * 3, 0.05) == []


def test_many_small_losses_are_one_that_is_proven() -> None:
    runs = [scores(300, lost=2 * i) for i in range(12)]
    assert all(not _changepoints.paired(list(pair), 0.05) for pair in pairwise(runs))
    assert _changepoints.paired(runs, 0.05)
