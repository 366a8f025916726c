"""Where a number steps over a series of runs, and by how much.

A series is split where both sides differ most, then each side again, and at last every split is
tested between its neighbours, and dropped if it does not hold (Fleming et al., Hunter, ICPE 2023,
after Matteson & James, JASA 109, 2014). Two things are known here that such methods do without:

    noise    how well each run knows a number, how far runs lie apart though nothing has changed
             (`_sessions.py`), and what all cells of a run have in common, its day: that is told by
             cells whose file and runtime are the same in other runs, and taken out.
    facts    between which runs a cell became another file, or its runtime another version. Most of
             the errors that are allowed are spent on these places (weighted p values: Genovese,
             Roeder & Wasserman, Biometrika 93, 2006), so there one run is enough to find a step.

Over all series of a report the false discovery rate is 5 %: series are selected by Benjamini and
Hochberg's rule, and steps within them tested at a level that allows for that selection (Benjamini &
Bogomolov, J. Royal Statistical Society B 76, 2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from paretomark.suites.records import _stats
from paretomark.suites.records._levels import FEW, Level
from paretomark.suites.records._row import SIGNIFICANT
from paretomark.suites.records._sessions import PRIOR, Sessions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

TOLD = 0.9  # of the errors that are allowed, for places where something is known to have changed
FAR = 4.0  # standard deviations from both runs beside it, by which a run was disturbed
MOST = 0.7  # of the runs of either side of a step, that lie on its side of the middle
LASTING = 3  # runs on either side of a step that nothing tells of
ROUNDS = 6  # in which the days settle
_NORMAL_MEDIAN = 1.4826
_OF_MEDIAN = 1.2533  # its standard error over that of the mean, for normal noise
Key = TypeVar("Key", bound=Hashable)


class Step(NamedTuple):
    """A step before the run `at`: after over before where it is of logarithms, else after minus
    before; its 95 % interval, and its p value, corrected for the places where it could be."""

    at: int
    value: float
    low: float
    high: float
    p: float


class Days(NamedTuple):
    """Of each run: what all its cells have in common, a logarithm, with its standard error; and
    whether those of the runs before it are on another scale, for no cells connect them."""

    offsets: list[float]
    errors: list[float]
    known: list[bool]
    loose: list[bool]


@dataclass(frozen=True)
class Series:
    """Logarithms of a number in consecutive runs, their variances, whether something is known to
    have changed before each, and whether days before it are on another scale."""

    logs: Sequence[float]
    variances: Sequence[float]
    told: Sequence[bool]
    loose: Sequence[bool] = ()


def days(runs: Sequence[Mapping[str, Level]], sessions: Sessions) -> Days:
    """Estimate what each run has in common, from levels by what was measured, as `_sessions`.

    Where a run has fewer than `FEW` cells that others have too, its day is not known: it counts as
    0, with the error that is usual.
    """
    rows: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        for thing in run:
            rows.setdefault(thing, []).append(i)
    rows = {thing: at for thing, at in rows.items() if len(at) > 1}
    shared = [[thing for thing in run if thing in rows] for run in runs]
    known = [len(things) >= FEW for things in shared]
    offsets = [0.0] * len(runs)
    for _ in range(ROUNDS):  # Tukey's median polish
        base = {
            thing: median(runs[i][thing].log - offsets[i] for i in at) for thing, at in rows.items()
        }
        offsets = [
            median(run[thing].log - base[thing] for thing in things) if is_known else 0.0
            for run, things, is_known in zip(runs, shared, known, strict=True)
        ]
    errors = [
        _OF_MEDIAN
        * math.sqrt((sessions.own**2 + median(run[t].variance for t in things)) / len(things))
        if is_known
        else sessions.together
        for run, things, is_known in zip(runs, shared, known, strict=True)
    ]
    spans = [0] * (len(runs) + 1)  # how many cells are the same before and from a run on
    for at in rows.values():
        spans[at[0] + 1] += 1
        spans[at[-1] + 1] -= 1
    loose, connecting = [], 0
    for i in range(len(runs)):
        connecting += spans[i]
        loose.append(connecting < FEW)
    return Days(offsets, errors, known, loose)


def steps(series: Series, sessions: Sessions, least: float, level: float) -> list[Step]:
    """Return the steps of a series that are larger than `least`, at a level of significance."""
    search = _Search(series, sessions, least)
    found = sorted(search.splits(0, len(series.logs), level))
    return _held(found, search.at, level, len(series.logs))


def selected(
    searches: Mapping[Key, Callable[[float], list[Step]]], rate: float = SIGNIFICANT
) -> dict[Key, list[Step]]:
    """Return the steps of all series, at this false discovery rate. A search takes the level."""
    first = {key: search(rate) for key, search in searches.items()}
    p = [min((step.p for step in found), default=1.0) for found in first.values()]
    q = _stats.benjamini_hochberg(p)
    kept = [key for key, value in zip(first, q, strict=True) if value < rate]
    level = rate * len(kept) / max(1, len(searches))
    return {key: found for key in kept if (found := searches[key](level))}


def paired(scores: Sequence[Numbers], level: float) -> list[Step]:
    """Return the steps of mean scores on the same examples, a row of them for each run."""
    import numpy as np

    differ = [k for k in range(1, len(scores)) if not np.array_equal(scores[k - 1], scores[k])]

    def at(low: int, k: int, high: int) -> Step:
        before, after = np.mean(scores[low:k], axis=0), np.mean(scores[k:high], axis=0)
        change = after - before
        total, squares, n = float(change.sum()), float((change**2).sum()), len(change)
        # As of matched pairs: half an example is added to each outcome, see `paired_difference`.
        centre = total / (n + 2)
        error = math.sqrt(squares + 1 - total**2 / (n + 2)) / (n + 2)
        half, z = _stats.Z * error, abs(centre) / error
        p = min(1.0, 2 * _stats.NORMAL.cdf(-z) * len(differ))
        return Step(k, total / n, max(-1.0, centre - half), min(1.0, centre + half), p)

    def splits(low: int, high: int) -> list[Step]:
        tried = [at(low, k, high) for k in differ if low < k < high]
        best = min(tried, key=lambda step: step.p, default=None)
        if best is None or best.p >= level:
            return []
        return [*splits(low, best.at), best, *splits(best.at, high)]

    return _held(splits(0, len(scores)), at, level, len(scores))


def _held(
    found: Sequence[Step], at: Callable[[int, int, int], Step], level: float, end: int
) -> list[Step]:
    """The steps that hold between their neighbours; the weakest that does not goes first."""
    places = [step.at for step in found]
    while places:
        ends = [0, *places, end]
        tested = [at(ends[i], place, ends[i + 2]) for i, place in enumerate(places)]
        weakest = max(tested, key=lambda step: step.p)
        if weakest.p < level:
            return tested
        places.remove(weakest.at)
    return []


class _Search:
    """The search for steps in one series."""

    def __init__(self, series: Series, sessions: Sessions, least: float) -> None:
        import numpy as np

        self._sessions, self._least = sessions, math.log1p(least)
        logs, variances = np.array(series.logs), np.array(series.variances)
        self._spread = _spread(logs, variances, series.told)
        self._logs = logs
        weights = 1 / (variances + _disturbed(logs, variances, self._spread, series.told))
        self._weights = np.concatenate([[0.0], np.cumsum(weights)])
        self._sums = np.concatenate([[0.0], np.cumsum(weights * logs)])
        count = len(logs)
        self._told = np.array(series.told, bool)
        self._loose = np.array(series.loose or [False] * count, bool)
        others = sum(
            not told and LASTING <= k <= count - LASTING for k, told in enumerate(series.told) if k
        )
        told = sum(series.told[1:])
        share = (TOLD if others else 1.0) if told else 0.0
        self._factors = (
            told / share if told else math.inf,
            others / (1 - share) if others else math.inf,
        )

    def splits(self, low: int, high: int, level: float) -> list[Step]:
        """The steps between two places, from the strongest on."""
        import numpy as np

        k = np.arange(low + 1, high)
        told = self._told[k]
        lasts = (k - low >= LASTING) & (high - k >= LASTING)
        k = k[told | lasts]
        if not len(k):
            return []
        z = np.abs(self._steps(low, k, high)) / self._errors(low, k, high)
        for kind in (True, False):  # what is known to have changed explains a step first
            of_kind = self._told[k] == kind
            if of_kind.any():
                best = self.at(low, int(k[of_kind][np.argmax(z[of_kind])]), high, False)
                if best.p < level:
                    return [
                        *self.splits(low, best.at, level),
                        best,
                        *self.splits(best.at, high, level),
                    ]
        return []

    def at(self, low: int, k: int, high: int, shared: bool = True) -> Step:
        """The step at a place, between the ones beside it; p = 1 if it is too small, or is one of a
        few runs only."""
        import numpy as np

        place = np.array([k])
        step = float(self._steps(low, place, high)[0])
        error = float(self._errors(low, place, high)[0])
        ratio = _stats.ratio(step, error, self._sessions.dof)
        p = _stats.p_different(ratio) * self._factors[0 if self._told[k] else 1]
        if abs(step) < self._least or (shared and not self._is_shared(low, k, high)):
            p = 1.0
        return Step(k, ratio.value, ratio.low, ratio.high, min(1.0, p))

    def _is_shared(self, low: int, k: int, high: int) -> bool:
        """Whether most runs of both sides lie on their side of the middle between them: of a side
        with one run far off, few do."""
        before, after = self._mean(low, k), self._mean(k, high)
        middle, up = (before + after) / 2, after > before
        sides = (self._logs[low:k] < middle) == up, (self._logs[k:high] > middle) == up
        return all(float(side.mean()) >= MOST for side in sides)

    def _mean(self, low: int, high: int) -> float:
        weight = self._weights[high] - self._weights[low]
        return float((self._sums[high] - self._sums[low]) / weight)

    def _steps(self, low: int, k: NDArray[np.int64], high: int) -> Numbers:
        sums, weights = self._sums, self._weights
        before = (sums[k] - sums[low]) / (weights[k] - weights[low])
        after = (sums[high] - sums[k]) / (weights[high] - weights[k])
        return after - before  # type: ignore[no-any-return]

    def _errors(self, low: int, k: NDArray[np.int64], high: int) -> Numbers:
        import numpy as np

        weights = self._weights
        own = 1 / (weights[k] - weights[low]) + 1 / (weights[high] - weights[k])
        days = self._sessions.together**2 * (1 / (k - low) + 1 / (high - k))
        return np.sqrt(self._spread**2 * own + np.where(self._loose[k], days, 0.0))  # type: ignore[no-any-return]


def _spread(logs: Numbers, variances: Numbers, told: Sequence[bool]) -> float:
    """How many times as far apart neighbours lie as their variances let expect, 1 at least: by the
    middle one, which steps do not move."""
    import numpy as np

    same = ~np.array(told[1:], bool)
    off = np.diff(logs) / np.sqrt(variances[1:] + variances[:-1])
    off = off[same] if same.sum() >= LASTING else off
    if len(off) < LASTING:
        return 1.0
    seen = (_NORMAL_MEDIAN * float(np.median(np.abs(off)))) ** 2
    return max(1.0, math.sqrt((PRIOR + len(off) * seen) / (PRIOR + len(off))))


def _disturbed(logs: Numbers, variances: Numbers, spread: float, told: Sequence[bool]) -> Numbers:
    """What to add to the variances of runs that lie far off on the same side of both runs beside
    them, unless something changed before them and was changed again after them."""
    import numpy as np

    added = np.zeros(len(logs))
    for i in range(1, len(logs) - 1):
        off = logs[i] - logs[i - 1], logs[i] - logs[i + 1]
        nearest = min(map(abs, off))
        limit = FAR * spread * math.sqrt(2 * float(variances[i]))
        if off[0] * off[1] > 0 and nearest > limit and not (told[i] and told[i + 1]):
            added[i] = nearest**2
    return added
