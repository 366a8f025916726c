"""Verdicts between two runs of one machine."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest

from paretomark.reports import _compared, _compared_markdown, _compared_terminal, _verdicts
from paretomark.reports import compare as module
from paretomark.reports._verdicts import Verdict
from paretomark.suites.records._sessions import Sessions
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary, summarise
from paretomark.suites.spec._errors import UserError
from paretomark.tests._runs import HOST, PROBES, failed, key, noisy, only, realistic, record, run
from paretomark.tests._runs import visits as cell

ALIKE = Sessions(together=0.0, own=0.0)


def compare(a: Run, b: Run, delta: float = 0.02) -> tuple[Verdict, ...]:
    """The verdicts, as if runs of other days were no further apart than their visits tell."""
    return _verdicts.compare(summarise(a), summarise(b), delta, sessions=ALIKE).verdicts


def one(a: Sequence[float], b: Sequence[float], **changes: Any) -> Verdict:
    (verdict,) = compare(run(cell(a)), run(cell(b, **changes)))
    return verdict


def test_an_injected_slowdown_is_found() -> None:
    verdict = one(noisy(1e-3, 10, 0.02, 1), noisy(1.1e-3, 10, 0.02, 2))
    assert verdict.answer == "slower"
    assert verdict.ratio_low
    assert verdict.ratio_high
    assert verdict.ratio_low < 1.1 < verdict.ratio_high
    assert verdict.detectable
    assert verdict.detectable < 0.042
    back = one(noisy(1.1e-3, 10, 0.02, 2), noisy(1e-3, 10, 0.02, 1))
    assert back.answer == "faster"


def test_one_slow_cell_of_many_is_found_and_no_other() -> None:
    """Nineteen unchanged cells, one 10 % slower: the correction neither hides nor adds one."""
    wrong = 0
    for trial in range(20):
        before, after = [], []
        for i in range(20):
            slow = 1.1 if i == 7 else 1.0
            before += cell(noisy(1e-3, 10, 0.02, 1000 * trial + i), model=f"m{i}")
            after += cell(noisy(slow * 1e-3, 10, 0.02, 1000 * trial + 500 + i), model=f"m{i}")
        answers = {v.cell: v.answer for v in compare(run(before), run(after))}
        assert answers.pop(key("m7", "dense", "cpu")) == "slower"
        wrong += sum(a in ("slower", "faster") for a in answers.values())
    assert wrong <= 2


def test_two_noisy_visits_are_never_the_same() -> None:
    for seed in range(200):
        verdict = one(noisy(1e-3, 2, 0.05, seed), noisy(1e-3, 2, 0.05, seed + 1000))
        assert verdict.answer != "same"
        assert verdict.detectable


def test_no_change_with_many_quiet_visits_is_the_same() -> None:
    verdict = one(noisy(1e-3, 15, 0.005, 1), noisy(1e-3, 15, 0.005, 2))
    assert verdict.answer == "same"
    assert verdict.ratio_low
    assert verdict.ratio_high
    assert 1 / 1.02 < verdict.ratio_low < verdict.ratio_high < 1.02


def test_a_significant_but_tiny_change_is_the_same() -> None:
    verdict = one(noisy(1e-3, 20, 0.001, 1), noisy(1.005e-3, 20, 0.001, 2))
    assert verdict.q_different is not None
    assert verdict.q_different < 0.001
    assert verdict.answer == "same"


def test_one_visit_is_inconclusive() -> None:
    verdict = one([1e-3], [9e-3])
    assert verdict.answer == "inconclusive"
    assert verdict.ratio == pytest.approx(9, rel=1e-3)
    assert verdict.ratio_low is None
    assert "measure more blocks" in verdict.reason


def test_flagged_visits_do_not_count() -> None:
    source = run(cell([1e-3] * 3))
    flagged = run(cell([5e-3] * 3, flags=("drift",)))
    (verdict,) = compare(source, flagged)
    assert verdict.answer == "not compared"
    assert verdict.reason == "no valid visit in the second run: drift"


def test_accuracy_is_paired_per_example() -> None:
    before, after = "1" * 90 + "0" * 10, "1" * 70 + "0" * 30
    verdict, *_ = compare(
        run(cell([1e-3] * 3, outcomes=before)), run(cell([1e-3] * 3, outcomes=after))
    )
    assert verdict.accuracy_change == pytest.approx(-0.2)
    assert verdict.accuracy_answer == "worse"
    assert verdict.answer == "same"  # a verdict is about latency


@pytest.mark.parametrize("changes", [{"data": "scenes"}, {"outcomes": "10"}])
def test_accuracy_needs_the_same_examples(changes: dict[str, str]) -> None:
    verdict = one([1e-3] * 3, [1e-3] * 3, **changes)
    assert verdict.accuracy_change is None
    assert verdict.answer == "same"


def test_cells_that_cannot_be_compared_say_why() -> None:
    a = run([record(), record(model="gone"), failed(model="bad"), record(model="sim")])
    b = run([record(), record(model="new"), record(model="bad"),
             record(model="sim", simulated="predicted")])  # fmt: skip
    why = {v.cell.split("/")[0]: v.reason for v in compare(a, b) if v.answer == "not compared"}
    assert why == {
        "gone": "only in the first run",
        "new": "only in the second run",
        "bad": "failed in the first run: no such operator: NonMaxSuppression",
        "sim": "measured in the first run, predicted in the second",
    }


def test_different_machines_are_refused() -> None:
    other = only(run([record()]), host=HOST | {"fingerprint": "bad", "chip": "Cortex-A72"})
    with pytest.raises(UserError, match=r"Example Core i5-1234 .* Cortex-A72"):
        compare(run([record()]), other)


@pytest.mark.parametrize("delta", [0, -0.1, 1, math.nan])
def test_delta_is_a_share(delta: float) -> None:
    with pytest.raises(UserError, match="delta"):
        compare(run([record()]), run([record()]), delta)


def test_a_wider_delta_turns_slower_into_the_same() -> None:
    a, b = run(cell(noisy(1e-3, 12, 0.01, 1))), run(cell(noisy(1.05e-3, 12, 0.01, 2)))
    assert compare(a, b)[0].answer == "slower"
    assert compare(a, b, 0.1)[0].answer == "same"


def both() -> tuple[Summary, Summary]:
    a, b = realistic(3), realistic(3, slower=1.2)
    probes = ({**PROBES[0], "versions": {"onnxruntime": "1.21.0"}}, PROBES[1])
    return summarise(a), summarise(
        only(b, commit="f" * 40, dirty=False, probes=probes, version="0.2.0")
    )


def test_json_is_plain() -> None:
    a, b = both()
    table = json.loads(json.dumps(module.as_json(_compared.of(a, b)), allow_nan=False))
    assert ["onnxruntime", "1.20.0", "1.21.0"] in table["differences"]
    assert len(table["verdicts"]) == 46


def test_markdown_is_a_table_and_obeys_no_record() -> None:
    a, b = both()
    text = _compared_markdown.text(_compared.of(a, b))
    assert "all cells SLOWER: +20" in text
    assert "**34 same, 12 not compared**" in text  # but for that
    rows = [line for line in text.splitlines() if line.startswith("| **same**")]
    assert len(rows) == 34
    evil = summarise(run(cell([1e-3] * 2, model="`x` | <b>@all</b>\n# big")))
    lines = _compared_markdown.text(_compared.of(evil, evil)).splitlines()
    line = next(line for line in lines if "all</b>" in line)
    assert line.count("`") == 14
    assert r"'x' \| <b>@all</b> # big" in line


def test_the_terminal_table(capsys: pytest.CaptureFixture[str]) -> None:
    a, b = both()
    _compared_terminal.show(_compared.of(a, b))
    shown = capsys.readouterr().out
    assert "onnxruntime: 1.20.0 → 1.21.0" in shown
    assert "all cells SLOWER: +20" in shown
    assert "34 same, 12 not compared" in shown
