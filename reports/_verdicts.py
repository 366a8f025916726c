"""What two runs of one machine say of a cell: faster, slower, the same, or inconclusive.

A verdict is about latency and needs more than a small p value, for with enough visits every
difference is significant, and with too few none is:

    faster, slower   the ratio differs from 1 by more than chance, and by more than delta
    same             the 95 % interval of the ratio lies inside the margin of delta
    inconclusive     neither; the minimum detectable effect says what the comparison could see

What is compared is what is the same thing, whatever it is called: cells of one identity (see
`models/build/_identity.py`) in one place. Where a name stands for another thing in the second
run, the comparison says what is another, and gives a verdict only if it is asked to go by names.

`same` is never the answer to a lack of data. All claims of a report together, of difference and
of sameness, in latency and in accuracy, keep a false discovery rate of 5 % (Benjamini-Hochberg).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from paretomark.reports._text import clean
from paretomark.suites.records import _scores, _stats
from paretomark.suites.records._changes import changes
from paretomark.suites.records._row import SIGNIFICANT, Row
from paretomark.suites.records._summary import Summary, Visits
from paretomark.suites.spec._errors import UserError
from paretomark.suites.tasks import _task

Answer = Literal["slower", "faster", "inconclusive", "same", "not compared"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One cell in run a and run b. `ratio` is the latency of b over that of a.

    `p_different` and `p_same` are raw p values, `q_` those corrected over the whole report;
    `detectable` is the relative change found with 80 % power. `accuracy_change` is b - a on the
    same examples, None if they are not the same; `accuracy_answer` is "", "better" or "worse".
    """

    cell: str
    answer: Answer
    reason: str = ""
    cell_b: str = ""  # what it is called in run b, if that is something else
    changed: str = ""  # what is another in run b, though it goes by the same name
    simulated: str = ""
    visits_a: int = 0
    visits_b: int = 0
    latency_a_s: float | None = None
    latency_b_s: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    detectable: float | None = None
    p_different: float | None = None
    q_different: float | None = None
    p_same: float | None = None
    q_same: float | None = None
    accuracy_change: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_p: float | None = None
    accuracy_q: float | None = None
    accuracy_answer: str = ""
    metric: str = ""  # what accuracy is, if it is not that of classes
    bytes_a: int | None = None
    bytes_b: int | None = None


_CLAIMS = (("p_different", "q_different"), ("p_same", "q_same"), ("accuracy_p", "accuracy_q"))


def compare(a: Summary, b: Summary, delta: float = 0.02, by_name: bool = False) -> list[Verdict]:
    """Judge every cell of either run, in the order of a's plan, then of b's.

    `delta` is the relative change of latency that does not matter: 0.02 is 2 %. With `by_name`
    cells of one name are compared even where they are not the same thing. Raises UserError if the
    runs are of different machines, or `delta` is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise UserError(f"delta is {delta}; give a share between 0 and 1, such as 0.02 for 2 %")
    hosts = a.run.header.host, b.run.header.host
    if hosts[0].fingerprint != hosts[1].fingerprint:
        here, there = (f"{clean(h.chip)} ({clean(h.fingerprint, 40)})" for h in hosts)
        raise UserError(
            f"{a.run.folder} ran on {here} and {b.run.folder} on {there}: times of different "
            "machines do not compare; repeat one of the runs on the machine of the other"
        )
    verdicts = []
    for one, other in _pairs(a.rows, b.rows, by_name):
        if one is not None and other is not None:
            visits = a.visits[one.cell], b.visits[other.cell]
            verdicts.append(_verdict(one, other, visits, delta, by_name))
        elif only := one or other:
            why = f"only in the {'first' if one else 'second'} run"
            verdicts.append(Verdict(cell=only.cell, answer="not compared", reason=why))
    return [_judge(v, delta) for v in _corrected(verdicts)]


def _pairs(
    rows_a: Sequence[Row], rows_b: Sequence[Row], by_name: bool
) -> Iterator[tuple[Row | None, Row | None]]:
    """Rows that are the same thing in the same place, whatever their names; else of one name."""
    left = {row.cell: row for row in rows_b}
    partner: dict[str, Row] = {}
    keys: tuple[Callable[[Row], object], ...] = (
        lambda row: (row.cell, row.identity),
        lambda row: (
            (row.identity, row.device, row.batch, row.threads) if row.identity else row.cell
        ),
        lambda row: row.cell,
    )
    for key in keys[-1:] if by_name else keys:
        by_key = {key(row): row for row in reversed(left.values())}
        for row in rows_a:
            match = by_key.get(key(row))
            if row.cell not in partner and match is not None and match.cell in left:
                partner[row.cell] = left.pop(match.cell)
    for row in rows_a:
        yield row, partner.get(row.cell)
    for row in left.values():
        yield None, row


def _verdict(a: Row, b: Row, visits: tuple[Visits, Visits], delta: float, by_name: bool) -> Verdict:
    changed = changes(a, b)
    why = _obstacle(a, b)
    if not why and changed and not by_name:
        why = f"{changed} (--by-name compares all the same)"
    verdict = Verdict(cell=a.cell, answer="not compared", reason=why)
    if not why:
        verdict = _measure(a, b, *visits, delta)
    renamed = b.cell if b.cell != a.cell else ""
    return dataclasses.replace(verdict, cell_b=renamed, changed=changed)


def _obstacle(a: Row, b: Row) -> str:
    """Why two rows cannot be compared; "" if they can."""
    for name, row in (("first", a), ("second", b)):
        if row.status != "ok":
            return f"{row.status} in the {name} run: {row.reason}"
        if not row.valid:
            return f"no valid visit in the {name} run: {', '.join(row.flags)}"
    if a.simulated != b.simulated:
        kinds = [r.simulated or "measured" for r in (a, b)]
        return f"{kinds[0]} in the first run, {kinds[1]} in the second"
    return ""


def _measure(a: Row, b: Row, mine: Visits, yours: Visits, delta: float) -> Verdict:
    values: dict[str, Any] = {}
    if ratio := _stats.ratio_interval(mine.medians, yours.medians):
        values = {
            "ratio_low": ratio.low,
            "ratio_high": ratio.high,
            "detectable": _stats.minimum_detectable_effect(ratio),
            "p_different": _stats.p_different(ratio),
            "p_same": _stats.p_same(ratio, delta),
        }
    same = (a.data, a.task) == (b.data, b.task)
    if same and (change := _scores.difference(mine.outcomes, yours.outcomes)):
        names = ("accuracy_change", "accuracy_low", "accuracy_high", "accuracy_p")
        values |= dict(zip(names, change, strict=True))
    return Verdict(
        cell=a.cell,
        answer="inconclusive",
        simulated=a.simulated,
        visits_a=a.valid_visits,
        visits_b=b.valid_visits,
        latency_a_s=a.latency_s,
        latency_b_s=b.latency_s,
        ratio=b.latency_s / a.latency_s if a.latency_s and b.latency_s else None,
        metric="" if a.task == _task.CLASSIFICATION else a.metric,
        bytes_a=a.artifact_bytes,
        bytes_b=b.artifact_bytes,
        **values,
    )


def _corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with every p value corrected for all the others in the report."""
    claims = [
        (i, q, value)
        for i, verdict in enumerate(verdicts)
        for p, q in _CLAIMS
        if (value := getattr(verdict, p)) is not None
    ]
    corrected: dict[int, dict[str, Any]] = {}
    adjusted = _stats.benjamini_hochberg([value for _, _, value in claims])
    for (i, q, _), value in zip(claims, adjusted, strict=True):
        corrected.setdefault(i, {})[q] = value
    return [dataclasses.replace(v, **corrected.get(i, {})) for i, v in enumerate(verdicts)]


def _judge(v: Verdict, delta: float) -> Verdict:
    if v.answer == "not compared":
        return v
    worse = ""
    if v.accuracy_q is not None and v.accuracy_q < SIGNIFICANT and v.accuracy_change:
        worse = "better" if v.accuracy_change > 0 else "worse"
    if v.ratio is None or v.ratio_low is None or v.ratio_high is None:
        why = "an interval needs two valid visits in each run; measure more blocks"
        return dataclasses.replace(v, reason=why, accuracy_answer=worse)
    margin = 1 + delta
    answer: Answer = "inconclusive"
    if (v.q_same or 0) < SIGNIFICANT and v.ratio_low > 1 / margin and v.ratio_high < margin:
        answer = "same"
    elif (v.q_different or 0) < SIGNIFICANT and not 1 / margin <= v.ratio <= margin:
        answer = "slower" if v.ratio > 1 else "faster"
    return dataclasses.replace(v, answer=answer, accuracy_answer=worse)
