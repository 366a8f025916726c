"""What two runs of one machine say of a cell: faster, slower, the same, or inconclusive.

A verdict is about latency and needs more than a small p value, for with enough visits every
difference is significant, and with too few none is:

    faster, slower   the ratio differs from 1 by more than chance, and by more than half of delta
    same             the 95 % interval of the ratio lies inside the margin of delta
    inconclusive     neither; the minimum detectable effect says what the comparison could see

What is common to all cells, the machine's better or worse day, is said by itself, and taken out of
the verdicts (`suites/records/_common.py`). A change of the tail is a claim of its own: p90 over the
floor, of each visit.

What is compared is what is the same thing, whatever it is called: cells of one identity (see
`models/build/_identity.py`) in one place. Where a name stands for another thing in the second
run, the comparison says what is another, and gives a verdict only if it is asked to go by names.

`same` is never the answer to a lack of data. The claims of one kind in a report, of change, of
sameness, of tails, of accuracy, keep a false discovery rate of 5 % each (Benjamini-Hochberg).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from paretomark.reports._text import clean, served
from paretomark.suites.records import _levels, _scores, _stats
from paretomark.suites.records._changes import changes
from paretomark.suites.records._common import Common, common, detectable
from paretomark.suites.records._levels import Level
from paretomark.suites.records._row import SIGNIFICANT, Row
from paretomark.suites.records._stats import Ratio
from paretomark.suites.records._summary import Summary, Visits
from paretomark.suites.records._times import tails
from paretomark.suites.spec._errors import UserError
from paretomark.suites.tasks import _task

Answer = Literal["slower", "faster", "inconclusive", "same", "not compared"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One cell in run a and run b. `ratio` is the latency of b over that of a.

    `p_different` and `p_same` are raw p values, `q_` those corrected over the claims of their kind;
    `detectable` is the relative change found with 80 % power. `tail` is by how much p90 over floor
    has grown, and `tail_answer` "", "longer" or "shorter". `accuracy_change` is b - a on the
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
    tail: float | None = None
    tail_p: float | None = None
    tail_q: float | None = None
    tail_answer: str = ""
    accuracy_change: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_p: float | None = None
    accuracy_q: float | None = None
    accuracy_answer: str = ""
    metric: str = ""  # what accuracy is, if it is not that of classes
    bytes_a: int | None = None
    bytes_b: int | None = None


# A family each: of claims of one kind.
_CLAIMS = (
    ("p_different", "q_different"),
    ("p_same", "q_same"),
    ("tail_p", "tail_q"),
    ("accuracy_p", "accuracy_q"),
)
LEAST_TAIL = 0.1  # change of p90 over floor that is worth a word
LEAST_PART = 0.5  # of delta, that a change must look larger than


@dataclass(frozen=True)
class Comparison:
    """Two runs: a verdict for every cell of either, in the order of a's plan, then of b's; and what
    is common to all of them."""

    verdicts: tuple[Verdict, ...]
    common: Common
    delta: float

    @property
    def of_all(self) -> Literal["", "slower", "faster"]:
        """Whether all cells together changed by more than delta, and more than chance."""
        ratio = self.common.ratio
        if not self.common.known or 1 / (1 + self.delta) <= ratio.value <= 1 + self.delta:
            return ""
        if _stats.p_different(ratio) >= SIGNIFICANT:
            return ""
        return "slower" if ratio.value > 1 else "faster"


def compare(a: Summary, b: Summary, delta: float = 0.02, by_name: bool = False) -> Comparison:
    """Judge every cell of either run.

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
    of = a.run.header.boundary, b.run.header.boundary
    if of[0] != of[1]:
        raise UserError(
            f"latencies of {a.run.folder} are of the {of[0]}, those of {b.run.folder} of the "
            f'{of[1]}: run one of them again, with boundary = "{of[0]}" in both suites'
        )
    verdicts, measured = [], []
    for one, other in _pairs(a.rows, b.rows, by_name):
        if one is not None and other is not None:
            verdict = _verdict(one, other, by_name)
            if verdict.answer != "not compared":
                measured.append((one, other, a.visits[one.cell], b.visits[other.cell]))
            verdicts.append(verdict)
        elif only := one or other:
            why = f"only in the {'first' if one else 'second'} run"
            verdicts.append(Verdict(cell=only.cell, answer="not compared", reason=why))
    sides = [(x.level, y.level) for _, _, x, y in measured if x.level and y.level]
    both = common(sides)
    tails = _tails([(x, y) for _, _, x, y in measured])
    found = {
        one.cell: _measure(one, other, x, y, delta, both, len(sides)) | tail
        for (one, other, x, y), tail in zip(measured, tails, strict=True)
    }
    whole = [dataclasses.replace(v, **found.get(v.cell, {})) for v in verdicts]
    return Comparison(tuple(_judge(v, delta) for v in _corrected(whole)), both, delta)


def _tails(pairs: Sequence[tuple[Visits, Visits]]) -> list[dict[str, Any]]:
    """How the tails of cells changed: p90 over floor, by the same rules as latencies."""
    sides = [
        _levels.levels({str(i): tails(visits.pool) for i, visits in enumerate(side)})
        for side in zip(*pairs, strict=True)
    ] or [{}, {}]
    at = [i for i in map(str, range(len(pairs))) if i in sides[0] and i in sides[1]]
    # Neighbours make tails longer, of some runtimes more than of others: what lies far out is not
    # changed by that.
    both = common([(sides[0][i], sides[1][i]) for i in at], unchanged=1.0)
    ratios = {i: both.compare(sides[0][i], sides[1][i]) for i in at}
    return [
        {"tail": ratio.value - 1, "tail_p": _stats.p_different(ratio)}
        if (ratio := ratios.get(str(i)))
        else {}
        for i in range(len(pairs))
    ]


def _pairs(
    rows_a: Sequence[Row], rows_b: Sequence[Row], by_name: bool
) -> Iterator[tuple[Row | None, Row | None]]:
    """Rows that are the same thing in the same place, whatever their names; else of one name."""
    left = {row.cell: row for row in rows_b}
    partner: dict[str, Row] = {}
    keys: tuple[Callable[[Row], object], ...] = (
        lambda row: (row.cell, row.identity),
        lambda row: (
            (row.identity, row.device, row.batch, row.threads, row.length, row.scenario)
            if row.identity
            else row.cell
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


def _verdict(a: Row, b: Row, by_name: bool) -> Verdict:
    changed = changes(a, b)
    why = _obstacle(a, b)
    if not why and changed and not by_name:
        why = f"{changed} (--by-name compares all the same)"
    return Verdict(
        cell=a.cell,
        answer="not compared" if why else "inconclusive",
        reason=why,
        cell_b=b.cell if b.cell != a.cell else "",
        changed=changed,
    )


def _obstacle(a: Row, b: Row) -> str:
    """Why two rows cannot be compared; "" if they can."""
    for name, row in (("first", a), ("second", b)):
        if row.status != "ok":
            return f"{row.status} in the {name} run: {row.reason}"
        if not row.valid:
            return f"no valid visit in the {name} run: {', '.join(row.flags)}"
    if a.latency_s is None or b.latency_s is None:
        return f"a server has no one latency, so no verdict: {served(a)}; then {served(b)}"
    if a.simulated != b.simulated:
        kinds = [r.simulated or "measured" for r in (a, b)]
        return f"{kinds[0]} in the first run, {kinds[1]} in the second"
    return ""


def _measure(
    a: Row, b: Row, mine: Visits, yours: Visits, delta: float, both: Common, claims: int
) -> dict[str, Any]:
    """What is known of two rows that can be compared: fields of `Verdict`."""
    values: dict[str, Any] = {
        "simulated": a.simulated,
        "visits_a": a.valid_visits,
        "visits_b": b.valid_visits,
        "latency_a_s": a.latency_s,
        "latency_b_s": b.latency_s,
        "ratio": b.latency_s / a.latency_s if a.latency_s and b.latency_s else None,
        "metric": "" if a.task == _task.CLASSIFICATION else a.metric,
        "bytes_a": a.artifact_bytes,
        "bytes_b": b.artifact_bytes,
    }
    if mine.level and yours.level:
        values |= _latency(both.compare(mine.level, yours.level), delta, claims)
    same = (a.data, a.task) == (b.data, b.task)
    if same and (change := _scores.difference(mine.outcomes, yours.outcomes)):
        names = ("accuracy_change", "accuracy_low", "accuracy_high", "accuracy_p")
        values |= dict(zip(names, change, strict=True))
    return values


def _latency(ratio: Ratio, delta: float, claims: int) -> dict[str, Any]:
    """What is known of a change of latency: fields of `Verdict`."""
    return {
        **{"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high},
        "detectable": detectable(ratio, claims, LEAST_PART * delta),
        "p_different": _stats.p_different(ratio),
        "p_same": _stats.p_same(ratio, delta),
    }


def answers(pairs: Sequence[tuple[Level, Level]], delta: float) -> list[Answer]:
    """Return what a comparison says of cells that have these levels in two runs."""
    both, claims = common(pairs), len(pairs)
    found = [_latency(both.compare(a, b), delta, claims) for a, b in pairs]
    verdicts = [Verdict(cell="", answer="inconclusive", **values) for values in found]
    return [_judge(verdict, delta).answer for verdict in _corrected(verdicts)]


def _corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with every p value corrected for the others of its kind."""
    corrected: dict[int, dict[str, Any]] = {}
    for p, q in _CLAIMS:
        claims = [
            (i, value) for i, v in enumerate(verdicts) if (value := getattr(v, p)) is not None
        ]
        adjusted = _stats.benjamini_hochberg([value for _, value in claims])
        for (i, _), value in zip(claims, adjusted, strict=True):
            corrected.setdefault(i, {})[q] = value
    return [dataclasses.replace(v, **corrected.get(i, {})) for i, v in enumerate(verdicts)]


def _judge(v: Verdict, delta: float) -> Verdict:
    if v.answer == "not compared":
        return v
    worse = tail = ""
    if v.accuracy_q is not None and v.accuracy_q < SIGNIFICANT and v.accuracy_change:
        worse = "better" if v.accuracy_change > 0 else "worse"
    if (v.tail_q or 1) < SIGNIFICANT and abs(v.tail or 0) > LEAST_TAIL:
        tail = "longer" if (v.tail or 0) > 0 else "shorter"
    v = dataclasses.replace(v, accuracy_answer=worse, tail_answer=tail)
    if v.ratio is None or v.ratio_low is None or v.ratio_high is None:
        why = "nothing is known of the noise; measure more blocks, or more cells"
        return dataclasses.replace(v, reason=why)
    margin, least = 1 + delta, 1 + LEAST_PART * delta
    if _below(v.q_different) and not 1 / least <= v.ratio <= least:
        return dataclasses.replace(v, answer="slower" if v.ratio > 1 else "faster")
    if _below(v.q_same) and v.ratio_low > 1 / margin and v.ratio_high < margin:
        return dataclasses.replace(v, answer="same")
    return v


def _below(q: float | None) -> bool:
    return q is not None and q < SIGNIFICANT
