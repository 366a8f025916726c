"""Which commit changed a cell: halve the commits between two revisions, by building and measuring.

Of each round the revision in the middle is built beside the good one and the bad one. If its file
is that of one of them, by the same runtime and code, that is the answer, and nothing is timed. Else
all three are timed in the same crews, and it goes to the side that it is nearer to, by more than
chance. What cannot be built, or told, is skipped. At last the commit that is left is measured
against its parent.

Which commit is in the middle is told by git's own bisection, so merges are no trouble.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from paretomark.devices.measure import _sides
from paretomark.devices.measure._sides import Side
from paretomark.devices.measure._trees import Unbuilt
from paretomark.reports import _compared
from paretomark.reports._beside import MEMORY
from paretomark.reports._compared import Compared
from paretomark.reports._verdicts import Verdict
from paretomark.suites.records import _commits, _scenarios, _stats
from paretomark.suites.records._row import Row
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import summarise
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from paretomark.devices.measure._side import Asked
    from paretomark.devices.measure._work import Progress

Kind = Literal["fails", "latency", "accuracy", "size", "memory"]
KINDS: tuple[Kind, ...] = ("fails", "latency", "accuracy", "size", "memory")
LEAST_SIZE = 0.001
TRIES = 3  # times that a revision is timed, until it can be told which side it is on
UNSURE = 0.01  # p value of being on the other side, above which it cannot be told
GOOD, BAD, SKIPPED = "good", "bad", "skipped"


class Undecided(UserError):
    """Two revisions between which nothing is proven to have changed."""


@dataclass(frozen=True)
class Tried:
    """A revision that was looked at, what it was taken for, and why."""

    commit: str
    answer: str
    why: str


@dataclass(frozen=True)
class Found:
    """What changed, the commits that may have done it (one, if all could be told), what was tried,
    and the last comparison: of the commit and its parent."""

    cell: str
    kind: Kind
    commits: tuple[str, ...]
    tried: tuple[Tried, ...]
    compared: Compared | None = None
    why: str = ""

    @property
    def verdict(self) -> Verdict | None:
        """What the last comparison says of the cell."""
        verdicts = self.compared.comparison.verdicts if self.compared else ()
        return next((v for v in verdicts if v.cell == self.cell), None)

    @property
    def confirmed(self) -> bool:
        """Whether one commit is left, and differs from its parent in the same respect."""
        if len(self.commits) != 1:
            return False
        return self.kind == "fails" or bool(self.compared and self.kind in kinds(self.compared))


@dataclass
class Search:
    """The search of the commit that changed a cell, between two revisions."""

    asked: Asked
    folder: Path  # of the runs that it makes
    progress: Progress
    setup: str = ""
    told: Callable[[str], None] = lambda line: None
    _count: int = 0
    _tried: list[Tried] = field(default_factory=list)

    def find(self, cell: str, good: str, bad: str, of: Kind | None = None) -> Found:
        """Find it. `of` is what is looked for; else the first of KINDS that is proven.

        Raises UserError if good is no ancestor of bad, or cannot be built, and Undecided if nothing
        is proven to have changed between them.
        """
        good, bad = _commits.resolve(good), _commits.resolve(bad)
        _commits.between(good, bad)  # or it tells that they are in the wrong order
        self.told(f"{_name(good)} and {_name(bad)}: what changed?")
        kind, why = self._kind(cell, good, bad, of)
        self.told(f"{cell}: {kind} is another")
        goods, skipped, first = [good], set[str](), bad
        while True:
            left = _commits.halves(bad, goods)
            open_ = [commit for commit in left if commit != bad and commit not in skipped]
            if not open_:
                break
            rounds = math.ceil(math.log2(len(open_) + 1))
            self.told(f"{len(left)} commits may be it, about {rounds} rounds: {_name(open_[0])}")
            answer, told = self._side_of(open_[0], cell, kind, good, first)
            self._tried.append(Tried(open_[0], answer, told))
            self.told(f"{_name(open_[0])}: {answer}: {told}")
            if answer == GOOD:
                goods.append(open_[0])
            elif answer == BAD:
                bad = open_[0]
                why = told if kind == "fails" else why
            else:
                skipped.add(open_[0])
        commits = tuple(reversed([bad, *(c for c in left if c != bad)]))
        compared = None
        if len(commits) == 1 and kind != "fails":
            parent = _commits.resolve(f"{bad}^")
            self.told(f"{_name(bad)} against its parent")
            with contextlib.suppress(Unbuilt), self._built([parent, bad]) as sides:
                compared = self._timed(sides)
        return Found(cell, kind, commits, tuple(self._tried), compared, why)

    def _kind(self, cell: str, good: str, bad: str, of: Kind | None) -> tuple[Kind, str]:
        """What changed between both ends, and why where one fails."""
        try:
            with self._built([good, bad]) as sides:
                if cell not in _cells(sides[0]):
                    raise UserError(f"{_name(good)} has no cell {cell}: `history` lists cells")
                if why := _unbuilt(sides[1], cell):
                    if of not in (None, "fails"):
                        raise UserError(f"{_name(bad)} has no file of {cell}: {why}")
                    return "fails", why
                compared = self._timed(sides)
        except Unbuilt as error:
            if error.commit != bad or of not in (None, "fails"):
                raise
            return "fails", str(error)
        found = kinds(compared)
        if found and of in (None, *found):
            return of or found[0], compared.rows[1][cell].reason
        raise Undecided(_nothing(compared, cell, of))

    def _timed(self, sides: Sequence[Side]) -> Compared:
        """Both revisions, side by side."""
        one, other = map(summarise, _sides.timed(sides, self.progress))
        return _compared.of(one, other, by_name=True)

    def _built(self, commits: Sequence[str]) -> AbstractContextManager[list[Side]]:
        self._count += 1
        names = [f"{i}-{commit[: _commits.SHORT]}" for i, commit in enumerate(commits)]
        folders = [self.folder / str(self._count) / name for name in names]
        return _sides.built(
            [commit[: _commits.SHORT] for commit in commits],
            self.asked,
            folders,
            self.progress,
            setup=self.setup,
            told=self.told,
        )

    def _side_of(self, commit: str, cell: str, kind: Kind, good: str, bad: str) -> tuple[str, str]:
        """Tell whether a revision is like the good one or the bad one, and how that is known."""
        try:
            if kind == "fails":
                return self._works(commit, cell, good)
            with self._built([good, commit, bad]) as sides:
                return self._nearer(sides, cell, kind)
        except Unbuilt as error:
            if error.commit != commit:
                raise
            return (BAD if kind == "fails" else SKIPPED), str(error)

    def _works(self, commit: str, cell: str, good: str) -> tuple[str, str]:
        with self._built([good, commit]) as sides:
            if why := _unbuilt(sides[1], cell):
                return BAD, why
            if _sides.is_same(cell, *sides):
                return GOOD, "the same file"
            row = _row(_sides.timed(sides, self.progress)[1], cell)
            return (GOOD, "it works") if row.status == "ok" else (BAD, row.reason)

    def _nearer(self, sides: Sequence[Side], cell: str, kind: Kind) -> tuple[str, str]:
        good, middle, bad = sides
        if why := _unbuilt(middle, cell):
            return SKIPPED, why
        for answer, end in ((GOOD, good), (BAD, bad)):
            if _sides.is_same(cell, end, middle):
                return answer, "the same file"
        if kind == "size":
            sizes = [float(side.planned.built[cell].bytes) for side in sides]
            return _by_half(sizes, "bytes")
        if kind == "latency":
            return self._by_time(sides, cell)
        rows = [_row(run, cell) for run in _sides.timed(sides, self.progress)]
        values = [r.accuracy if kind == "accuracy" else r.peak_memory_bytes for r in rows]
        if None in values:
            return SKIPPED, rows[1].reason or "it was not measured"
        return _by_half([float(value or 0) for value in values], kind)

    def _by_time(self, sides: Sequence[Side], cell: str) -> tuple[str, str]:
        """By its latency: timed again where that is not enough."""
        estimates: list[tuple[float, float, float]] = []
        for attempt in range(TRIES):
            again = [
                dataclasses.replace(
                    side, folder=side.folder.with_name(f"{side.folder.name}.{attempt}")
                )
                for side in sides
            ]
            summaries = [summarise(run) for run in _sides.timed(again, self.progress)]
            pools = {str(i): s.visits[cell].pool for i, s in enumerate(summaries)}
            levels = _scenarios.levels(pools)
            if len(levels) < len(sides):
                return SKIPPED, "it has no valid visit"
            good, middle, bad = (levels[str(i)] for i in range(3))
            way = 1 if bad.log > good.log else -1
            off = way * (middle.log - (good.log + bad.log) / 2)
            variance = middle.variance + (good.variance + bad.variance) / 4
            estimates.append((off, variance, middle.dof + good.dof + bad.dof))
            weight = sum(1 / v for _, v, _ in estimates)
            mean = sum(value / v for value, v, _ in estimates) / weight
            dof = sum(freedom for *_, freedom in estimates)
            ratio = _stats.ratio(mean, math.sqrt(1 / weight), max(1.0, dof))
            step = 100 * math.expm1(middle.log - good.log)
            whole = 100 * math.expm1(bad.log - good.log)
            told = f"{step:+.1f} % where the bad one is {whole:+.1f} %".replace("-", "−")
            if _stats.p_different(ratio) / 2 < UNSURE:
                return (BAD if mean > 0 else GOOD), told
        return SKIPPED, f"it cannot be told: {told}"


def kinds(compared: Compared) -> list[Kind]:
    """Return what is proven to be another in the only cell of a comparison."""
    found: list[Kind] = []
    for v in compared.comparison.verdicts:
        row = compared.rows[1].get(v.cell)
        if v.state in ("failing", "gone") or (row is not None and row.status == "failed"):
            found.append("fails")
        if v.answer in ("slower", "faster"):
            found.append("latency")
        if v.accuracy_answer:
            found.append("accuracy")
        if v.bytes_a and v.bytes_b and abs(v.bytes_b / v.bytes_a - 1) >= LEAST_SIZE:
            found.append("size")
    if any(change.kind == MEMORY and change.answer for change in compared.beside):
        found.append("memory")
    return found


def _nothing(compared: Compared, cell: str, of: Kind | None) -> str:
    """What to say where nothing is proven to have changed."""
    verdict = next(iter(compared.comparison.verdicts), None)
    if verdict is not None and verdict.same_file:
        return f"{cell}: both revisions make the same file, so no commit between changed it"
    what = f"{of} is" if of else "latency, accuracy, file size and memory are"
    told = f"{cell}: {what} not proven to be another: nothing to find"
    if verdict is not None and verdict.answer == "not compared":
        return f"{cell}: cannot be compared: {verdict.reason}"
    if verdict is not None and verdict.detectable is not None and of in (None, "latency"):
        told += f" (a latency that is {100 * verdict.detectable:.1f} % other would be seen; "
        told += "--effort publish sees more)"
    return told


def _by_half(values: Sequence[float], what: str) -> tuple[str, str]:
    """By which end a number is nearer to."""
    good, middle, bad = values
    answer = GOOD if abs(middle - good) <= abs(middle - bad) else BAD
    return answer, f"{middle:g} {what}, between {good:g} and {bad:g}"


def _cells(side: Side) -> set[str]:
    return {cell.key for cell in side.planned.cells}


def _unbuilt(side: Side, cell: str) -> str:
    """Why a side has no file for a cell; "" if it has one."""
    if cell not in _cells(side):
        return "the suite does not have it"
    refused = side.planned.refused.get(cell)
    absent = "its device is not available here"
    return "" if cell in side.planned.built else refused.reason if refused else absent


def _row(run: Run, cell: str) -> Row:
    return next(row for row in summarise(run).rows if row.cell == cell)


@functools.cache
def _name(commit: str) -> str:
    subject = _commits.subject(commit)
    return f"{commit[: _commits.SHORT]}{f' ({subject})' if subject else ''}"
