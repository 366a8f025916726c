"""Fronts: against their definition, by hand, and by simulation."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomark.reports._text import number
from paretomark.suites.records import _front
from paretomark.suites.records._front import Reference
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec._margin import Margin
from paretomark.tests._runs import noisy, record, run, visits, written

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

SURE = 1e-9  # standard error


POINTS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), max_size=25)


@given(POINTS)
@settings(deadline=None)
def test_pareto_by_definition(points: list[tuple[int, int]]) -> None:
    front = _front.pareto([t for t, _ in points], [a for _, a in points])
    for i, (t, a) in enumerate(points):
        beaten = any(
            (u <= t and b > a) or (u < t and b >= a) for j, (u, b) in enumerate(points) if j != i
        )
        assert front[i] is not beaten
    assert any(front) or not points


def time(seconds: float) -> tuple[float, float, float]:
    """Known to 2 %: its logarithm, the standard error of that, degrees of freedom."""
    return math.log(seconds), 0.02, 4.0


def test_front_probability_of_the_sure_and_the_hopeless() -> None:
    good, bad = "1" * 90 + "0" * 10, "1" * 20 + "0" * 80
    found = _front.front_probability([time(1), time(5), time(5)], [good, good, bad])
    assert found[0] == 1
    assert found[1] < 0.01
    assert found[2] < 0.01


def test_front_probability_of_twins_is_even() -> None:
    """The same answers in the same time: beaten exactly when slower, half of the time."""
    right = "1" * 50 + "0" * 50
    found = _front.front_probability([time(1), time(1)], [right, right])
    assert sum(found) == pytest.approx(1)
    assert found[0] == pytest.approx(0.5, abs=0.06)


def test_front_probability_pairs_examples() -> None:
    """b answers all that a answers and one more: whatever examples are drawn, a is not better."""
    a, b = "1" * 60 + "0" * 40, "1" * 61 + "0" * 39
    found = _front.front_probability([time(2), time(1)], [a, b])
    assert found[0] < 0.01  # unpaired it would be near 0.45


def test_front_probability_is_repeatable_and_takes_different_examples() -> None:
    visits, right = [time(1), time(2), time(3)], ["1100", "1110", "11111"]
    first, again = (_front.front_probability(visits, right) for _ in range(2))
    assert first == again != _front.front_probability(visits, right, seed=1)


def test_points_that_are_drawn_equal_are_tied_on_the_front() -> None:
    found = _front.front_probability([(0.0, 0.0, 4.0)] * 2, ["1100"] * 2)
    assert found == [1.0, 1.0]


def sure(*points: tuple[float, float], reference: Reference) -> _front.Hypervolume:
    """The hypervolume of points of (seconds, right answers of 4) that are exactly known."""
    times = [(math.log(t), SURE, 4.0) for t, _ in points]
    return _front.hypervolume(times, [[a] * 3 for _, a in points], reference)


@pytest.mark.parametrize(
    ("points", "corner", "area"),
    [
        ([(1, 0.5)], (4, 0.0), 2 * 0.5),  # two doublings
        ([(1, 0.5), (2, 0.75)], (4, 0.0), 0.5 + 0.75),
        ([(2, 0.75), (1, 0.5)], (4, 0.0), 0.5 + 0.75),  # in any order
        ([(1, 0.5), (2, 0.75), (3, 0.6)], (4, 0.0), 0.5 + 0.75),  # beaten
        ([(1, 0.5), (1, 0.5), (2, 0.75)], (4, 0.0), 0.5 + 0.75),  # equal
        ([(1, 0.5), (2, 0.75)], (4, 0.25), 0.25 + 0.5),
        ([(1, 0.5), (2, 0.75)], (4, 0.6), 0.15),  # the first is worse than the reference
        ([(1, 0.5), (8, 0.75)], (4, 0.0), 2 * 0.5),  # the second is slower than the reference
        ([(8, 0.75)], (4, 0.0), 0.0),
    ],
)
def test_hypervolumes_by_hand(
    points: list[tuple[float, float]], corner: tuple[float, float], area: float
) -> None:
    reference = Reference(*corner)
    assert _front.area(points, reference) == pytest.approx(area)
    found = sure(*points, reference=reference)
    assert found[:3] == pytest.approx([area] * 3, abs=1e-6)
    assert found.reference == reference


@given(POINTS.filter(bool))
@settings(deadline=None)
def test_only_the_front_has_an_area(points: list[tuple[int, int]]) -> None:
    on = _front.pareto([t for t, _ in points], [a for _, a in points])
    front = [point for point, is_on in zip(points, on, strict=True) if is_on]
    reference = Reference(8.0)
    assert _front.area(points, reference) == pytest.approx(_front.area(front, reference))
    twice = _front.area([*points, *points], reference)
    assert twice == pytest.approx(_front.area(points, reference))


def coverage(times: list[float], rights: list[float], spread: float, examples: int) -> float:
    """How often the interval holds the true area, over measurements of cells that are so."""
    rng, reference, hits, rounds = np.random.default_rng(7), Reference(8.0), 0, 150
    truth = _front.area(list(zip(times, rights, strict=True)), reference)
    for _ in range(rounds):
        dof = 4.0
        errors = spread * np.sqrt(rng.chisquare(dof, len(times)) / dof)
        logs = np.log(times) + spread * rng.standard_normal(len(times))
        answers = rng.random((examples, 1)) < np.array(rights)  # of shared difficulty: paired
        found = _front.hypervolume(
            [(float(log), float(e), dof) for log, e in zip(logs, errors, strict=True)],
            ["".join("01"[int(right)] for right in column) for column in answers.T],
            reference,
        )
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        hits += found.low <= truth <= found.high
    return hits / rounds


def test_intervals_hold_the_true_area() -> None:
    assert 0.9 <= coverage([1, 2, 4], [0.7, 0.8, 0.9], 0.03, 300) <= 0.99


def test_intervals_allow_for_the_best_of_many_looking_better_than_it_is() -> None:
    """Those of the draws themselves would hold it in 1 % of cases."""
    assert coverage([1] * 8, [0.8] * 8, 0.05, 300) > 0.8


def test_a_summary_has_the_area_of_each_front() -> None:
    fast = visits(noisy(1e-3, 4, 0.01, 1), "a", outcomes="1" * 70 + "0" * 30)
    slow = visits(noisy(4e-3, 4, 0.01, 2), "b", outcomes="1" * 90 + "0" * 10)
    other = visits(noisy(1e-3, 4, 0.01, 3), "a", device="gpu")
    summary = summarise(run([*fast, *slow, *other]))
    rows = {row.cell: row for row in summary.rows}
    assert {group.device for group in summary.hypervolumes} == {"cpu", "gpu"}
    (found,) = (v for group, v in summary.hypervolumes.items() if group.device == "cpu")
    slowest = rows[slow[0].cell].latency_s or 0
    assert found.reference == pytest.approx((1.1 * slowest, 0.0))
    assert found.value == pytest.approx(2 * 0.7 + math.log2(1.1) * 0.9, abs=0.1)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high


def test_two_runs_can_have_one_reference() -> None:
    summaries = [
        summarise(run(visits(noisy(t, 4, 0.01, 1), outcomes="1" * 80 + "0" * 20)))
        for t in (1e-3, 2e-3)
    ]
    group = summaries[0].rows[0].group
    common = {group: Reference(4e-3)}
    before, after = (_front.hypervolumes(s.rows, s.visits, common)[group].value for s in summaries)
    assert before - after == pytest.approx(0.8, abs=0.02)  # a doubling at 80 %


def test_without_knowledge_of_the_noise_there_is_an_area_but_no_interval() -> None:
    (found,) = summarise(run([record()])).hypervolumes.values()
    assert found.value == pytest.approx(0.8 * math.log2(1.1))
    assert (found.low, found.high) == (None, None)
    assert summarise(run([record(flags=("drift",))])).hypervolumes == {}


@pytest.mark.slow
def test_a_report_shows_the_area_of_each_front(tmp_path: Path, call: Callable[..., Called]) -> None:
    folder = written(run(visits(noisy(1e-3, 4, 0.01, 1))), tmp_path / "run")
    (found,) = json.loads(call("report", folder, "--json").out)["hypervolumes"]
    assert (found["device"], found["data"], found["batch"]) == ("cpu", "digits", 1)
    assert found["low"] < found["value"] < found["high"]
    assert found["reference"] == {"latency_s": pytest.approx(1.1e-3, rel=0.02), "accuracy": 0.0}
    shown = call("report", folder).out
    page = (folder / "report" / "index.html").read_text()
    for text in (" ".join(shown.split()), page):
        assert f"hypervolume {number(found['value'])} [{number(found['low'])}, " in text
        assert "accuracy × doublings of speed from 1.1" in text


def test_what_is_a_little_faster_and_much_worse_is_on_no_front() -> None:
    """Nets of 100 µs: one is a quarter of a per cent faster, and 7 points worse."""
    latencies, accuracies = [100.0, 99.75, 97.0, 100.5, 130.0], [0.90, 0.83, 0.80, 0.901, 0.92]
    assert _front.pareto(latencies, accuracies) == [True] * 5
    assert _front.pareto(latencies, accuracies, Margin()) == [True, False, True, True, True]
    wide = Margin("5%", "0.2 points")
    assert _front.pareto(latencies, accuracies, wide) == [True, False, False, True, True]


def test_a_front_within_a_margin_is_part_of_paretos_and_is_never_empty() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        latencies = np.exp(rng.normal(0, 0.02, 12)).round(2).tolist()
        accuracies = rng.normal(0.9, 0.003, 12).round(3).tolist()
        plain = _front.pareto(latencies, accuracies)
        within = _front.pareto(latencies, accuracies, Margin())
        assert any(within)
        assert all(on for on, also in zip(plain, within, strict=True) if also)


def test_a_margin_lowers_the_probability_of_what_is_hardly_faster() -> None:
    right, wrong = "1" * 900 + "0" * 100, "1" * 830 + "0" * 170
    times = [(0.0, 0.001, 20.0), (-0.0025, 0.001, 20.0)]
    plain = _front.front_probability(times, [right, wrong])
    within = _front.front_probability(times, [right, wrong], Margin())
    assert plain[1] > 0.9
    assert within == [1.0, 0.0]


def test_a_net_that_guesses_is_on_no_front() -> None:
    """Half of the examples are of one class."""
    half = {"chance": 0.5}
    good = record("a", outcomes="1" * 180 + "0" * 20, measures=half)
    guess = record("b", outcomes="10" * 100, latency=1e-5)
    rows = summarise(run([good, dataclasses.replace(guess, measures=half)])).rows
    assert [(row.on_front, row.guesses) for row in rows] == [(True, False), (False, True)]

    def guesses(*classes: str) -> bool:
        return summarise(run([dataclasses.replace(guess, classes=classes)])).rows[0].guesses

    assert guesses("cat", "dog")
    assert not guesses("cat", "dog", "cow", "hen")
    assert not guesses()
