"""Which net to ship in a place: the best of those that keep to limits, and how sure that is.

A latency is held to a limit by Student's t of its level, accuracies are paired example by example
with those of the most accurate float net in the same place. The two are independent, so the
probability that a net keeps to all limits is the product.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from paretomark.suites.records import _front, _scores, _stats
from paretomark.suites.records._row import Group, Row
from paretomark.suites.records._stats import Difference
from paretomark.suites.records._summary import Summary, Visits
from paretomark.suites.spec._pick import Limits

By = Literal["latency", "accuracy", "size"]
BYS: tuple[By, ...] = ("latency", "accuracy", "size")
NEAREST = 3  # that are told where nothing keeps to the limits
POSSIBLE = 0.5  # with less nothing is named at all


@dataclass(frozen=True)
class Candidate:
    """A row, how its accuracy differs from the float net's, and whether it keeps to the limits.

    `chance` is the probability that it does; `breaks` names the limits that it is most likely
    beyond, and `excess` is by how much: of latency and bytes as a share, of accuracy in points.
    """

    row: Row
    drop: Difference | None
    chance: float
    breaks: tuple[str, ...] = ()
    excess: float = 0.0


@dataclass(frozen=True)
class Choice:
    """What is chosen in a place: `chosen` is None where nothing keeps to the limits.

    `float_net` is what accuracies are held against. `bolder` is better still, and less likely to
    keep to the limits than was asked; `nearest` are, where nothing is chosen, those that break the
    fewest.
    """

    group: Group
    by: By
    float_net: Row
    chosen: Candidate | None
    bolder: Candidate | None
    nearest: tuple[Candidate, ...]
    of: int


def choices(summary: Summary, limits: Limits, by: By | None = None) -> list[Choice]:
    """Choose in each place, from the rows that may stand on a front, by what is asked for: without
    a word the fastest where accuracy has a limit, and the most accurate where it has none."""
    by = by or ("latency" if limits.drop is not None else "accuracy")
    return [
        _choice(group, rows, summary, limits, by)
        for group, rows in _front.groups(summary.rows).items()
    ]


def _choice(group: Group, rows: Sequence[Row], summary: Summary, limits: Limits, by: By) -> Choice:
    dense = [row for row in rows if row.dense] or rows
    float_net = max(dense, key=lambda row: row.accuracy or 0)
    every = [_candidate(row, float_net, summary, limits) for row in rows]
    best = sorted(every, key=lambda c: _order(c.row, by))
    chosen = next((c for c in best if c.chance >= limits.sure), None)
    before = itertools.takewhile(lambda c: c is not chosen, best)
    bolder = next((c for c in before if c.chance >= POSSIBLE), None)
    nearest = () if chosen else tuple(sorted(best, key=lambda c: c.excess)[:NEAREST])
    return Choice(group, by, float_net, chosen, bolder, nearest, len(rows))


def _order(row: Row, by: By) -> tuple[float, ...]:
    latency, accuracy = row.latency_s or math.inf, -(row.accuracy or 0)
    size = row.artifact_bytes or math.inf
    orders: dict[By, tuple[float, ...]] = {
        "latency": (latency, accuracy, size),
        "accuracy": (accuracy, latency, size),
        "size": (size, accuracy, latency),
    }
    return orders[by]


def _candidate(row: Row, float_net: Row, summary: Summary, limits: Limits) -> Candidate:
    mine, its = summary.visits[row.cell], summary.visits[float_net.cell]
    drop = None if row is float_net else _scores.difference(its.outcomes, mine.outcomes)
    keeps: dict[str, float] = {}
    excess = 0.0
    if limits.drop is not None:
        keeps["accuracy"] = _keeps_accuracy(row, float_net, drop, limits.drop)
        lost = (float_net.accuracy or 0) - (row.accuracy or 0)
        excess += 100 * max(0.0, lost - limits.drop)
    if limits.latency_s is not None:
        keeps["latency"] = _keeps_latency(row, mine, limits.latency_s)
    for name, value, limit in (
        ("latency", row.latency_s, limits.latency_s),
        ("size", row.artifact_bytes, limits.size_bytes),
        ("memory", row.peak_memory_bytes, limits.memory_bytes),
    ):
        if limit is None:
            continue
        keeps.setdefault(name, float(value is not None and value <= limit))
        excess += math.inf if value is None else max(0.0, value / limit - 1)
    breaks = tuple(name for name, chance in keeps.items() if chance < POSSIBLE)
    return Candidate(row, drop, math.prod(keeps.values()), breaks, excess)


def _keeps_accuracy(row: Row, float_net: Row, drop: Difference | None, limit: float) -> float:
    """The probability that it loses no more; where answers cannot be paired, by the means alone."""
    if row is float_net:
        return 1.0
    if drop is None:
        return float((row.accuracy or 0) >= (float_net.accuracy or 0) - limit)
    error = (drop.high - drop.low) / 2 / _stats.Z
    if error == 0:
        return float(drop.value >= -limit)
    return NormalDist().cdf((drop.value + limit) / error)


def _keeps_latency(row: Row, visits: Visits, limit_s: float) -> float:
    """The probability that its latency lies below; where no noise is known, by the figure alone."""
    level = visits.level
    if level is None or level.error == 0:
        return float((row.latency_s or math.inf) <= limit_s)
    return _stats.t_cdf((math.log(limit_s) - level.log) / level.error, max(1.0, level.dof))
