"""Scores that are numbers: intervals, paired differences, fronts, and what a record may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paretomark.reports import _compared, _compared_markdown, _verdicts
from paretomark.suites.records import _front, _scores, _stats
from paretomark.suites.records._record import Malformed, Record
from paretomark.suites.records._summary import summarise
from paretomark.tests._runs import record, run, visits

RNG = np.random.default_rng(3)
BASE = tuple(float(s) for s in RNG.uniform(0.7, 1.0, 200))
LOWER = tuple(max(0.0, s - 0.01 * float(d)) for s, d in zip(BASE, RNG.random(200), strict=True))
MASKS: dict[str, Any] = {"task": "segmentation", "metric": "mean IoU", "outcomes": ""}


def scored(scores: tuple[float, ...], **more: Any) -> dict[str, Any]:
    return {**MASKS, "scores": scores, "examples": len(scores), **more}


def segmented(
    scores: tuple[float, ...], latencies: list[float], recipe: str = "dense"
) -> list[Record]:
    """One visit per latency, the first of which scores."""
    return [
        record(recipe=recipe, block=i, latency=t, **scored(scores if i == 0 else ()))
        for i, t in enumerate(latencies)
    ]


def test_the_interval_of_a_mean_is_students() -> None:
    # 1, 2, 3 tenths: mean 0.2, standard error 0.1 / sqrt(3), t(2, 97.5 %) = 4.30265
    interval = _scores.interval((0.1, 0.2, 0.3))
    assert interval is not None
    assert interval.low == 0.0
    assert interval.high == pytest.approx(0.2 + 4.30265 * 0.1 / 3**0.5, abs=1e-5)
    assert _scores.interval((0.5,)) is None
    assert _scores.interval("1100") == _stats.wilson(2, 4)
    assert _scores.mean("1100") == 0.5
    assert _scores.mean((0.25, 0.75)) == 0.5


def test_a_difference_is_paired_example_by_example() -> None:
    found = _scores.difference(BASE, LOWER)
    assert found is not None
    assert found.value == pytest.approx(np.mean(LOWER) - np.mean(BASE))
    assert found.high < 0  # a hundredth, where the scores themselves spread over three tenths
    assert found.p < 1e-6
    back = _scores.difference(LOWER, BASE)
    assert back is not None
    assert (back.value, back.low, back.high) == (-found.value, -found.high, -found.low)


def test_the_p_value_is_that_of_the_t_test() -> None:
    # steps 0.1, 0.2, 0.0, 0.1: mean 0.1, standard error 0.0408248, t = 2.44949, 3 dof
    found = _scores.difference((0.1, 0.1, 0.5, 0.5), (0.2, 0.3, 0.5, 0.6))
    assert found is not None
    assert found.p == pytest.approx(0.09175, abs=1e-4)


def test_differences_without_noise_or_without_a_pair() -> None:
    assert _scores.difference(BASE, BASE) == (0.0, 0.0, 0.0, 1.0)
    shifted = _scores.difference((0.25, 0.5), (0.5, 0.75))
    assert shifted == (0.25, 0.25, 0.25, 0.0)
    assert _scores.difference(BASE, BASE[:-1]) is None
    assert _scores.difference("10", (1.0, 0.0)) is None
    assert _scores.difference((1.0, 0.0), "10") is None
    assert _scores.difference("110", "100") == _stats.paired_difference("110", "100")


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        interval = _scores.interval(tuple(rng.beta(8, 2, 60)))
        assert interval is not None
        hits += interval.low <= 0.8 <= interval.high
    assert 0.92 < hits / 400 < 0.98


def test_zeros_and_ones_have_the_same_front_as_outcomes_and_as_numbers() -> None:
    medians = [(0.0, 0.05, 2.0), (0.7, 0.05, 2.0)]
    outcomes = ["1" * 80 + "0" * 20, "1" * 85 + "0" * 15]
    numbers = [[float(c) for c in text] for text in outcomes]
    assert _front.front_probability(medians, outcomes) == _front.front_probability(medians, numbers)


def test_equal_scores_are_never_parted_by_rounding() -> None:
    """The faster of two that always score alike beats the other, in every resample."""
    fast, slow = (0.0, 1e-4, 2.0), (0.7, 1e-4, 2.0)
    assert _front.front_probability([fast, slow, slow], [BASE, BASE, BASE]) == [1.0, 0.0, 0.0]


def test_rows_hold_the_mean_its_interval_and_the_paired_difference() -> None:
    records = segmented(BASE, [1e-3, 1.01e-3]) + segmented(LOWER, [5e-4, 5.1e-4], recipe="0.9")
    dense, pruned = summarise(run(records)).rows
    assert (dense.metric, dense.task, dense.examples) == ("mean IoU", "segmentation", 200)
    assert dense.accuracy == pytest.approx(np.mean(BASE))
    assert (dense.accuracy_low, dense.accuracy_high) == _scores.interval(BASE)
    assert pruned.loss
    assert pruned.delta == pytest.approx(np.mean(LOWER) - np.mean(BASE))
    assert dense.on_front
    assert pruned.on_front


def test_runs_are_compared_by_the_scores_of_their_task() -> None:
    times = [1e-3, 1.01e-3, 0.99e-3]
    before, after = (summarise(run(segmented(scores, times))) for scores in (BASE, LOWER))
    comparison = _verdicts.compare(before, after)
    (verdict,) = comparison.verdicts
    assert (verdict.metric, verdict.accuracy_answer) == ("mean IoU", "worse")
    assert "mean IoU" in _compared_markdown.text(_compared.of(before, after))
    (verdict,) = _verdicts.compare(before, summarise(run(visits(times)))).verdicts
    assert verdict.accuracy_change is None


def test_another_task_is_another_artifact() -> None:
    records = [record(block=0), record(block=1, **scored(()))]
    (row,) = summarise(run(records)).rows
    assert row.flags == ("artifact changed",)


@pytest.mark.parametrize(
    "changes",
    [
        scored((0.5, 1.5)),
        scored((0.5, -0.5)),
        scored((0.5, 0.5), examples=3),
        scored((0.5,), task="<b>"),
        scored((0.5,), outcomes="1"),
    ],
)
def test_scores_that_cannot_be_are_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        record(**changes)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "0.5", None, True])
def test_scores_from_a_file_are_checked(score: Any) -> None:
    table = record(**scored((0.5,))).to_json()
    assert Record.from_json(table).scores == (0.5,)
    with pytest.raises(Malformed, match="scores"):
        Record.from_json(table | {"scores": [score]})
