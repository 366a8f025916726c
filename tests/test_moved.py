"""Whether a front moved between two runs."""

from __future__ import annotations

import pytest

from paretomark.reports import _compared
from paretomark.reports._compared_lines import fronts
from paretomark.suites.records._moved import Moved
from paretomark.suites.records._record import Record
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.tests._runs import key, noisy, run, visits


def points(seed: int, *changed: tuple[int, float, int], sha256: str = "") -> list[Record]:
    """Twelve nets on a front, each more accurate and slower than the one before; `changed` ones by
    (number, times as slow, right answers more). Files are those of a seed, or have one digest."""
    more = {i: (slow, right) for i, slow, right in changed}
    records: list[Record] = []
    for i in range(12):
        slow, right = more.get(i, (1.0, 0))
        times = noisy(1e-3 * 1.2**i * slow, 6, 0.002, 100 * seed + i)
        known = 500 + 20 * i + right
        outcomes = "1" * known + "0" * (1000 - known)
        records += visits(times, f"m{i:02}", outcomes=outcomes, sha256=sha256 or f"{seed:064x}")
    return records


def cell(i: int) -> str:
    return key(f"m{i:02}", "dense", "cpu")


def moved(a: Run, b: Run) -> Moved:
    (found,) = _compared.of(summarise(a), summarise(b)).fronts
    return found


def test_an_unchanged_front_has_not_moved() -> None:
    for seed in range(10):
        found = moved(run(points(seed)), run(points(seed + 50)))
        assert (found.surely, found.answer) == (((), ()), "")
        assert found.low is not None
        assert found.low < 0 < (found.high or 0)


def test_a_front_of_what_is_the_same_in_both_runs_has_not_moved() -> None:
    """Whatever its times say: nothing of it can be another but the day."""
    a, b = points(1, sha256="ab" * 32), points(2, (5, 1.3, 0), sha256="ab" * 32)
    found = moved(run(a), run(b))
    assert (found.joined, found.left, found.answer) == ((), (), "")


def test_a_slower_net_leaves_the_front_and_another_joins() -> None:
    # The fifth becomes slower than the sixth, which is more accurate.
    found = moved(run(points(1)), run(points(2, (5, 1.3, 0))))
    joined, left = found.surely
    assert (joined, [p.cell for p in left]) == ((), [cell(5)])
    assert found.answer == "smaller"
    # 20 of 1000 answers more, for a width of log2(1.2).
    assert found.change == pytest.approx(-0.02 * 0.263, rel=0.25)
    back = moved(run(points(2, (5, 1.3, 0))), run(points(1)))
    assert [p.cell for p in back.surely[0]] == [cell(5)]
    assert back.answer == "larger"


def test_a_point_that_is_new_joins() -> None:
    a = run([r for r in points(1) if r.cell != cell(7)])
    found = moved(a, run(points(2)))
    assert [p.cell for p in found.surely[0]] == [cell(7)]
    assert found.surely[0][0].probability > 0.99


def test_a_machine_that_is_slower_as_a_whole_moves_no_front() -> None:
    slower = run(points(2, *((i, 1.2, 0) for i in range(12))))
    found = moved(run(points(1)), slower)
    assert (found.surely, found.answer) == (((), ()), "")


def test_ties_do_not_move_by_chance() -> None:
    """Two nets of one accuracy and latency: which of them is ahead is chance."""
    moves = 0
    for seed in range(20):
        a, b = (
            run(
                [
                    r
                    for i in range(8)
                    for times in [noisy(1e-3, 6, 0.01, 999 * seed + 10 * side + i)]
                    for r in visits(times, f"m{i}", sha256=f"{side:064x}")
                ]
            )
            for side in (0, 1)
        )
        moves += any(moved(a, b).surely)
    assert moves <= 1


def test_it_is_said_in_words() -> None:
    found = _compared.of(summarise(run(points(1))), summarise(run(points(2, (5, 1.3, 0)))))
    (line,) = fronts(found)
    assert f"left: {cell(5)} (100 %)" in line
    assert "smaller" in line
    still = _compared.of(summarise(run(points(1))), summarise(run(points(2))))
    assert fronts(still) == ["not moved: cpu, batch 1, 1 thread"]
