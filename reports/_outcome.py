"""What a comparison comes to: what is proven worse by more than the limits, and what is open.

Limits are those of `[gate]` in the suite, see `suites/spec/_gate.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paretomark.reports import _text
from paretomark.reports._beside import LOAD, MEMORY, SIZE, Change
from paretomark.reports._command import ALL_WELL, INCONCLUSIVE, WORSE
from paretomark.reports._verdicts import Comparison, Verdict
from paretomark.suites.records._row import Row
from paretomark.suites.spec._gate import Gate

BESIDE = {SIZE: "size", MEMORY: "memory", LOAD: "load"}
OPEN_ACCURACY = 0.005  # a loss that a conclusive comparison has to rule out, where no limit is set
ALL = "all cells"


@dataclass(frozen=True)
class Finding:
    """A cell, what of it is worse, or is not known well enough, and in words."""

    cell: str
    kind: str
    told: str


@dataclass(frozen=True)
class Outcome:
    """What is proven worse, and what could still be."""

    worse: tuple[Finding, ...]
    undecided: tuple[Finding, ...]

    def code(self, conclusive: bool = False) -> int:
        """Return the exit code; with `conclusive`, what is undecided counts too."""
        if self.worse:
            return WORSE
        return INCONCLUSIVE if conclusive and self.undecided else ALL_WELL


def of(
    comparison: Comparison, beside: Sequence[Change], rows: dict[str, Row], gate: Gate
) -> Outcome:
    """Judge a comparison by the limits of a suite. `rows` are those of either run, by cell."""
    worse: list[Finding] = []
    undecided: list[Finding] = []
    if comparison.of_all == "slower":
        of_all = comparison.common.ratio.value - 1
        if of_all > (gate.limit("latency", "", "") or 0.0):
            worse.append(Finding(ALL, "latency", f"{_text.points(of_all)} % slower"))
    for verdict in comparison.verdicts:
        row = rows[verdict.cell]
        for finding, proven in _of_cell(verdict, comparison.delta, row, gate):
            (worse if proven else undecided).append(finding)
    for change in beside:
        row, kind = rows[change.cell], BESIDE.get(change.kind)
        limit = gate.limit(kind, row.model, row.device) if kind else None
        if limit is None or kind is None or change.ratio is None:
            continue
        told = f"{_text.points(change.ratio - 1)} %"
        if change.answer == "more" and change.ratio > 1 + limit:
            worse.append(Finding(change.cell, change.kind, f"{told} more"))
        elif change.ratio_high is not None and change.ratio_high > 1 + limit and not change.answer:
            undecided.append(Finding(change.cell, change.kind, _up_to(change.ratio_high - 1)))
    return Outcome(tuple(worse), tuple(undecided))


def _of_cell(v: Verdict, delta: float, row: Row, gate: Gate) -> Iterator[tuple[Finding, bool]]:
    """What is worse or open of a cell itself, and whether it is proven."""

    def limit(kind: str) -> float | None:
        return gate.limit(kind, row.model, row.device)

    if v.answer == "not compared":
        if v.state == "failing":
            yield Finding(v.cell, "fails", v.reason), True
        elif v.state not in ("new", "mended"):
            yield Finding(v.cell, "gone" if v.state == "gone" else "not compared", v.reason), False
        return
    if v.same_file:
        return
    latency, accuracy, tail = limit("latency") or 0.0, limit("accuracy") or 0.0, limit("tail")
    if v.answer == "slower" and v.ratio is not None and v.ratio > 1 + latency:
        yield Finding(v.cell, "latency", f"{_text.points(v.ratio - 1)} % slower"), True
    elif v.answer not in ("same", "faster") and (
        v.ratio_high is None or v.ratio_high > 1 + max(latency, delta)
    ):
        told = v.reason or _up_to((v.ratio_high or 1) - 1)
        yield Finding(v.cell, "latency", told), False
    if v.accuracy_change is not None and v.accuracy_low is not None:
        told = f"{_text.points(v.accuracy_change)} points"
        if v.accuracy_answer == "worse" and -v.accuracy_change > accuracy:
            yield Finding(v.cell, v.metric or "accuracy", told), True
        elif -v.accuracy_low > max(accuracy, OPEN_ACCURACY) and v.accuracy_answer != "better":
            ends = f"{_text.points(v.accuracy_low)} points cannot be ruled out"
            yield Finding(v.cell, v.metric or "accuracy", ends), False
    if tail is not None and v.tail is not None and v.tail_answer == "longer" and v.tail > tail:
        yield Finding(v.cell, "tail", f"{_text.points(v.tail)} % longer"), True


def _up_to(share: float) -> str:
    return f"{_text.points(share)} % cannot be ruled out"
