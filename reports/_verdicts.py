"""What two runs of one machine say of a cell: faster, slower, the same, or inconclusive.

A verdict is about latency and needs more than a small p value, for with enough visits every
difference is significant, and with too few none is:

    faster, slower   the ratio differs from 1 by more than chance, and by more than half of delta
    same             the 95 % interval of the ratio lies inside the margin of delta
    inconclusive     neither; the minimum detectable effect says what the comparison could see

What is common to all cells, the machine's better or worse day, is said by itself, and taken out of
the verdicts (`suites/records/_common.py`). Of runs that were timed side by side, in the same crews,
nothing is taken out: they had the same day. A change of the tail is a claim of its own: p90 over
the floor, of each visit.

`same` is never the answer to a lack of data. The claims of one kind in a report, of change, of
sameness, of tails, of accuracy, keep a false discovery rate of 5 % each (Benjamini-Hochberg).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from paretomark.reports import _pairs
from paretomark.reports._pairs import State
from paretomark.suites.records import _levels, _scenarios, _scores, _stats
from paretomark.suites.records._changes import changes
from paretomark.suites.records._common import ENOUGH, Common, common, detectable, of_unchanged
from paretomark.suites.records._levels import Level
from paretomark.suites.records._row import SIGNIFICANT, Row
from paretomark.suites.records._sessions import USUAL, Sessions
from paretomark.suites.records._summary import Summary, Visits
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
    state: State = ""
    same_file: bool = False  # both sides have it, and it was timed once for both
    same_thing: bool = False  # file, runtime and system are the same: only a day can be another
    cell_b: str = ""  # what it is called in run b, if that is something else
    changed: str = ""  # what is another in run b, though it goes by the same name
    simulated: str = ""
    imported: str = ""
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
    tail_detectable: float | None = None
    accuracy_change: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_p: float | None = None
    accuracy_q: float | None = None
    accuracy_answer: str = ""
    accuracy_detectable: float | None = None  # of the scale from 0 to 1, as the change
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
_OF_TIME = "p_different", "tail_p"
LEAST_TAIL = 0.1  # change of p90 over floor that is worth a word
LEAST_PART = 0.5  # of delta, that a change must look larger than
# A cell of which nothing is known to have changed is called slower only if that is so many times as
# unlikely as of others. This weighs its p values (Genovese, Roeder & Wasserman, Biometrika 93,
# 2006), which keeps the false discovery rate, and below it where there are no others.
UNLIKELY = 10.0


@dataclass(frozen=True)
class Comparison:
    """Two runs: a verdict for every cell of either, in the order of a's plan, then of b's; and what
    is common to all of them."""

    verdicts: tuple[Verdict, ...]
    common: Common
    delta: float
    side_by_side: bool = False

    @property
    def of_all(self) -> Literal["", "slower", "faster"]:
        """Whether all cells together changed by more than delta, and more than chance."""
        ratio, margin = self.common.claim, 1 + self.delta
        if self.common.unchanged or not self.common.known or 1 / margin <= ratio.value <= margin:
            return ""
        if _stats.p_different(ratio) >= SIGNIFICANT:
            return ""
        return "slower" if ratio.value > 1 else "faster"


def compare(
    a: Summary,
    b: Summary,
    delta: float = 0.02,
    by_name: bool = False,
    sessions: Sessions = USUAL,
    facts: bool = True,
) -> Comparison:
    """Judge every cell of either run.

    `delta` is the relative change of latency that does not matter: 0.02 is 2 %. With `by_name`
    cells of one name are compared even where they are not the same thing. `sessions` is how far
    runs of this machine lie apart. With `facts` it counts that nothing is known to have changed of
    a cell that has the same file, runtime and system. Raises UserError if the runs are of different
    machines, or `delta` is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise UserError(f"delta is {delta}; give a share between 0 and 1, such as 0.02 for 2 %")
    _pairs.check(a.run, b.run)
    beside = bool(a.run.header.together) and a.run.header.together == b.run.header.together
    verdicts, measured, once, system = [], [], {}, facts and _system(a) == _system(b)
    for one, other in _pairs.pairs(a.rows, b.rows, by_name):
        if one is None or other is None:
            verdicts.append(_alone(one, other))
            continue
        sides = a.visits[one.cell], b.visits[other.cell]
        verdict = _verdict(one, other, by_name)
        if beside and verdict.answer != "not compared" and _timed_once(*sides):
            verdict = dataclasses.replace(verdict, answer="same", same_file=True)
            once[one.cell] = _of_rows(one, other, *sides) | {"ratio": 1.0}
        elif verdict.answer != "not compared":
            measured.append((one, other, *sides))
            is_same = system and one.sha256 == other.sha256 != "" and not beside
            is_same = is_same and _versions(a, one.device) == _versions(b, other.device)
            verdict = dataclasses.replace(verdict, same_thing=is_same)
        verdicts.append(verdict)
    pairs = [(x, y) for *_, x, y in measured]
    levels = _side_by_side(pairs) if beside else [(x.level, y.level) for x, y in pairs]
    known = [(x, y) for x, y in levels if x and y]
    same = {v.cell for v in verdicts if v.same_thing}
    null = [
        (x, y)
        for (one, *_), (x, y) in zip(measured, levels, strict=True)
        if x and y and one.cell in same
    ]
    if beside:
        both = Common(len(known))
    elif len(null) >= ENOUGH:
        both = of_unchanged(null, sessions)
    else:
        both = common(known, sessions=sessions)
    found = {
        one.cell: _of_rows(one, other, x, y) | _latency(both, *level, delta, len(known)) | tail
        for (one, other, x, y), level, tail in zip(
            measured, levels, _tails(pairs, beside), strict=True
        )
    }
    whole = [dataclasses.replace(v, **(found | once).get(v.cell, {})) for v in verdicts]
    judged = tuple(_judge(v, delta) for v in _corrected(whole))
    return Comparison(judged, both, delta, beside)


def _system(summary: Summary) -> tuple[str, ...]:
    """What all cells of a run have below them."""
    header = summary.run.header
    return header.version, header.host.system, header.host.python


def _versions(summary: Summary, device: str) -> dict[str, str]:
    return next((dict(p.versions) for p in summary.run.header.probes if p.device == device), {})


def _alone(a: Row | None, b: Row | None) -> Verdict:
    """Of a cell that one of the runs does not have."""
    why = f"only in the {'first' if b is None else 'second'} run"
    cell = (a or b or Row(cell="", model="", recipe="")).cell
    return Verdict(cell=cell, answer="not compared", reason=why, state=_pairs.state(a, b))


def _verdict(a: Row, b: Row, by_name: bool) -> Verdict:
    changed = changes(a, b)
    why = _pairs.obstacle(a, b)
    if not why and changed and not by_name:
        why = f"{changed} (--by-name compares all the same)"
    return Verdict(
        cell=a.cell,
        answer="not compared" if why else "inconclusive",
        reason=why,
        state=_pairs.state(a, b),
        cell_b=b.cell if b.cell != a.cell else "",
        changed=changed,
    )


def _timed_once(a: Visits, b: Visits) -> bool:
    """Whether the visits of one side were recorded for both, for both have the same file."""
    times = [[(r.sha256, r.slices_at_s) for r in side.records] for side in (a, b)]
    return times[0] == times[1] and any(at for _, at in times[0])


def _side_by_side(
    pairs: Sequence[tuple[Visits, Visits]],
) -> list[tuple[Level | None, Level | None]]:
    """The levels of both sides, of crews that they had in common: so blocks and noise are, too."""
    pools = {f"{side} {i}": p[side].pool for i, p in enumerate(pairs) for side in (0, 1)}
    levels = _scenarios.levels(pools)
    return [(levels.get(f"0 {i}"), levels.get(f"1 {i}")) for i in range(len(pairs))]


def _tails(pairs: Sequence[tuple[Visits, Visits]], beside: bool) -> list[dict[str, Any]]:
    """How the tails of cells changed: p90 over floor, by the same rules as latencies."""
    sides = [
        _levels.levels({str(i): visits.tails for i, visits in enumerate(side)})
        for side in zip(*pairs, strict=True)
    ] or [{}, {}]
    at = [i for i in map(str, range(len(pairs))) if i in sides[0] and i in sides[1]]
    # Neighbours make tails longer, of some runtimes more than of others: what lies far out is not
    # changed by that.
    levels = [(sides[0][i], sides[1][i]) for i in at]
    both = Common(len(at)) if beside else common(levels, unchanged=1.0)
    ratios = {i: both.compare(sides[0][i], sides[1][i]) for i in at}
    return [
        {
            "tail": ratio.value - 1,
            "tail_p": _stats.p_different(ratio),
            "tail_detectable": detectable(ratio, len(at), LEAST_TAIL),
        }
        if (ratio := ratios.get(str(i)))
        else {}
        for i in range(len(pairs))
    ]


def _of_rows(a: Row, b: Row, mine: Visits, yours: Visits) -> dict[str, Any]:
    """What is known of two rows without their levels: fields of `Verdict`."""
    values: dict[str, Any] = {
        "simulated": a.simulated,
        "imported": a.imported,
        "visits_a": a.valid_visits,
        "visits_b": b.valid_visits,
        "latency_a_s": a.latency_s,
        "latency_b_s": b.latency_s,
        "ratio": b.latency_s / a.latency_s if a.latency_s and b.latency_s else None,
        "metric": "" if a.task == _task.CLASSIFICATION else a.metric,
        "bytes_a": a.artifact_bytes,
        "bytes_b": b.artifact_bytes,
    }
    same = (a.data, a.task) == (b.data, b.task)
    if same and (change := _scores.difference(mine.outcomes, yours.outcomes)):
        names = ("accuracy_change", "accuracy_low", "accuracy_high", "accuracy_p")
        values |= dict(zip(names, change, strict=True))
        values["accuracy_detectable"] = _scores.detectable(change)
    return values


def _latency(
    both: Common, a: Level | None, b: Level | None, delta: float, claims: int
) -> dict[str, Any]:
    """What is known of a change of latency: fields of `Verdict`."""
    if a is None or b is None:
        return {}
    ratio = both.compare(a, b)
    return {
        **{"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high},
        "detectable": detectable(ratio, claims, LEAST_PART * delta),
        "p_different": _stats.p_different(ratio),
        "p_same": _stats.p_same(ratio, delta),
    }


def answers(pairs: Sequence[tuple[Level, Level]], delta: float) -> list[Answer]:
    """Return what a comparison says of cells that have these levels in two runs."""
    both, claims = common(pairs), len(pairs)
    found = [_latency(both, a, b, delta, claims) for a, b in pairs]
    verdicts = [Verdict(cell="", answer="inconclusive", **values) for values in found]
    return [_judge(verdict, delta).answer for verdict in _corrected(verdicts)]


def _corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts with every p value corrected for the others of its kind."""
    corrected: dict[int, dict[str, Any]] = {}
    for p, q in _CLAIMS:
        claims = [
            (i, min(1.0, value * (UNLIKELY if v.same_thing and p in _OF_TIME else 1.0)))
            for i, v in enumerate(verdicts)
            if (value := getattr(v, p)) is not None
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
    if v.same_file:
        return v
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
