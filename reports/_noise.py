"""How noisy a machine is: what two runs of equal cells tell, and what longer ones would.

Runs of other lengths are drawn from the visits that were made: blocks with replacement, and of each
block visits with replacement, for all cells are one. One of the cells is made slower, until a
comparison by the rules of all (`_verdicts.py`) says so. That counts what `Verdict.detectable`, of
one comparison, cannot: that how noisy cells are is itself only estimated, from few of them.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from paretomark.devices.measure._equal_cells import Pair
from paretomark.devices.measure._request import EFFORTS
from paretomark.reports import _verdicts
from paretomark.reports._verdicts import Comparison
from paretomark.suites.records import _levels, _stats
from paretomark.suites.records._levels import Level
from paretomark.suites.records._scenarios import visit_s
from paretomark.suites.records._summary import Summary, summarise

DRAWS = 60
MOST, NEAR = 1.0, 0.03  # a change beyond which none is looked for; how near it is told

# The logarithms of floors, by block.
Floors = Mapping[int, Sequence[float]]


@dataclass(frozen=True)
class Effort:
    """A run of so many visits of each cell: the `wall_s` that it takes, and the relative change
    that a comparison of two such runs finds with 80 % power; None where it cannot be told."""

    name: str
    visits: int
    wall_s: float
    detectable: float | None


@dataclass(frozen=True)
class Noise:
    """What equal cells told. Shares are from 0 to 1, changes relative; None is `not known`."""

    cells: int
    visits: int
    valid_visits: int
    flags: Mapping[str, int]  # visits by what is flagged
    disturbed: float | None  # share of slices
    comparison: Comparison  # of the two runs, each verdict of which should be none of a change
    efforts: tuple[Effort, ...]

    @property
    def compared(self) -> list[float]:
        """How far apart the two halves of each cell lie, without what all have in common."""
        ratios = [v.ratio for v in self.comparison.verdicts if v.ratio is not None]
        return [math.exp(abs(math.log(ratio))) - 1 for ratio in ratios]

    @property
    def false(self) -> list[str]:
        """Every verdict of a change, in words, for there is none."""
        verdicts = self.comparison.verdicts
        false = [f"{v.cell}: {v.answer}" for v in verdicts if v.answer in ("faster", "slower")]
        false += [f"{v.cell}: tail {v.tail_answer}" for v in verdicts if v.tail_answer]
        return false + ([f"all cells: {self.comparison.of_all}"] if self.comparison.of_all else [])


def noise(pair: Pair) -> Noise:
    """Judge two runs of equal cells by the rules of a comparison."""
    a, b = summarise(pair.first), summarise(pair.second)
    comparison = _verdicts.compare(a, b, pair.first.header.precision, facts=False)
    visits = [v for side in (a, b) for v in side.visits.values()]
    records = [record for v in visits for record in v.records]
    shares = [r.disturbed for r in (*a.rows, *b.rows) if r.disturbed is not None]
    sides = _floors(a), _floors(b)
    return Noise(
        cells=len(a.rows),
        visits=len(records),
        valid_visits=sum(len(v.valid) for v in visits),
        flags=Counter(flag for record in records for flag in record.flags),
        disturbed=fmean(shares) if shares else None,
        comparison=comparison,
        efforts=tuple(
            Effort(
                name,
                effort.visits,
                effort.visits * effort.longer * pair.wall_s / pair.blocks,
                detectable(*sides, len(a.rows), effort.visits, effort.precision),
            )
            for name, effort in EFFORTS.items()
        ),
    )


def detectable(
    first: Floors, second: Floors, cells: int, visits: int, delta: float, seed: int = 0
) -> float | None:
    """Return the slow-down of one cell that a comparison of two runs finds in four of five cases,
    if their visits are like those of the first and of the second.

    None where nothing is known of the noise, or nothing below `MOST` is found so often.
    """
    if not (first and second):
        return None
    chance, found = random.Random(seed), []
    for _ in range(DRAWS):
        sides = [_drawn(floors, cells, visits, chance) for floors in (first, second)]
        pairs = [(a, sides[1][cell]) for cell, a in sides[0].items() if cell in sides[1]]
        if pairs:
            found.append(_least_found(pairs, delta))
    least = sorted(found)[math.ceil(_stats.POWER * len(found)) - 1] if found else math.inf
    return least if least < MOST else None


def _least_found(pairs: Sequence[tuple[Level, Level]], delta: float) -> float:
    """The least slow-down of the first cell that is found; `MOST` if none below that is."""
    (a, b), *others = pairs
    low, high = 0.0, MOST
    while high - low > NEAR * high:
        slower = (low + high) / 2
        changed = dataclasses.replace(b, log=b.log + math.log1p(slower))
        if _verdicts.answers([(a, changed), *others], delta)[0] == "slower":
            high = slower
        else:
            low = slower
    return high


def _drawn(floors: Floors, cells: int, visits: int, chance: random.Random) -> dict[str, Level]:
    """The levels of a run of equal cells, whose visits are drawn from those of a run."""
    blocks = list(enumerate(chance.choices(sorted(floors), k=visits)))
    return _levels.levels(
        {
            str(cell): {at: math.exp(_visit(floors[block], chance)) for at, block in blocks}
            for cell in range(cells)
        }
    )


def _visit(logs: Sequence[float], chance: random.Random) -> float:
    """One of the visits of a block, as far from their mean as a visit lies: of so few the mean is
    nearer than that of all (Davison & Hinkley, Bootstrap Methods, 1997, 2.3)."""
    middle, count = fmean(logs), len(logs)
    wider = math.sqrt(count / (count - 1)) if count > 1 else 1.0
    return middle + wider * (chance.choice(logs) - middle)


def _floors(summary: Summary) -> dict[int, list[float]]:
    """The logarithms of the floors of the visits that count, by block."""
    found: dict[int, list[float]] = {}
    for visits in summary.visits.values():
        for record in visits.valid:
            found.setdefault(record.block, []).append(math.log(visit_s(record)))
    return found
