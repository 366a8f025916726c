"""Visits side by side: each is a process of its own, loaded and warm, and all but one are idle.

A neighbour on the machine slows what runs at the moment, for milliseconds or for seconds. So the
visits of a crew take turns: in each round every one of them is timed for one short slice, in an
order drawn anew, and no burst can cover a whole visit. What a visit takes is read from its quiet
moments, see `suites/records/_levels.py`.

Nothing else runs meanwhile: workers are started before the first round, and score after the last.
"""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from paretomark.devices import _device, _host
from paretomark.devices.measure import _origins, _outcome, _power, _process, _timing
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._origins import Origins
from paretomark.devices.measure._outcome import Visit
from paretomark.devices.measure._process import HERE, Interpreter
from paretomark.suites.records import _levels

MOST = 64  # workers at once
TOGETHER = 8  # of them start before they are loaded
SHARE = 0.5  # of the memory that is free, for all of them
UNKNOWN_BYTES = 600_000_000  # that a worker may need, before one is known
REPEATS = 1  # of a visit that others have disturbed in nearly all of its slices
NEARLY_ALL = 0.8
MORE, NEAR = 3, 1.015  # times the planned slices at most, for a visit that is not so near its best
MODES = (
    f"two modes: in nearly every slice a fifth of the calls or more take over {_timing.MODE} times "
    "as long as the others; latency is that of the fast ones, see typical"
)
FOREIGN, QUOTA, THROTTLED = "foreign load", "quota", "throttled"


@dataclass(frozen=True)
class Task:
    """A visit to make. `peak_bytes` and `best_ns` are what earlier ones needed, if any did."""

    key: str
    spec: VisitSpec
    peak_bytes: int | None = None
    best_ns: float | None = None  # the least floor of earlier visits
    obstacle: Callable[[], str] = lambda: ""  # why it cannot be made, asked just before
    where: Interpreter = HERE


@dataclass(frozen=True)
class Rules:
    """What holds for all visits of a block."""

    deadline_s: float
    foreign_load_cores: float  # a slice is disturbed if others keep more cores busy
    seed: str = ""  # of the order of turns
    alone: bool = False  # load one after the other, as the times that loading takes need


def visits(
    tasks: Iterable[Task], rules: Rules, turn: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[tuple[Task, Visit]]:
    """Make every visit, and give it as soon as its crew is done.

    A visit that others have disturbed is repeated once, behind all the others. `turn` is
    called after each round of a crew. Never raises for what a child does.
    """
    waiting, repeated = deque(tasks), dict[str, int]()
    number = 0
    while waiting:
        number += 1
        again = []
        with _Crew(rules, number) as crew:
            crew.gather(waiting)
            crew.take_turns(turn)
            for task, visit in crew.finish():
                if FOREIGN in visit.flags or QUOTA in visit.flags or THROTTLED in visit.flags:
                    again.append(task)
                yield task, visit
        for task in again:
            repeated[task.key] = repeated.get(task.key, 0) + 1
            if repeated[task.key] <= REPEATS:
                waiting.append(task)


@dataclass
class _Member:
    task: Task
    child: _process.Child
    spent_s: float = 0.0
    peak_bytes: int | None = None
    told: dict[str, Any] = field(default_factory=dict)
    slices: list[dict[str, Any]] = field(default_factory=list)
    others: list[float] = field(default_factory=list)  # cores in use by others, of each slice
    held: list[bool] = field(default_factory=list)  # whether a quota has stopped it, of each slice
    failed: Visit | None = None
    energy: _power.Account = field(default_factory=_power.Account)

    @property
    def timed(self) -> bool:
        return self.failed is None and "predicted_s" not in self.told

    @property
    def rounds(self) -> int:
        return int(self.told["rounds"])

    @property
    def needs_bytes(self) -> int | None:
        known = [n for n in (self.peak_bytes, self.task.peak_bytes) if n is not None]
        return max(known) if known else None


class _Crew(ExitStack):
    """Its members are ended with it."""

    def __init__(self, rules: Rules, number: int) -> None:
        super().__init__()
        self._rules = rules
        self._random = random.Random(f"{rules.seed}/{number}")
        self._members: list[_Member] = []
        self._refused: list[tuple[Task, Visit]] = []
        free = _host.free_bytes()
        self._room = float("inf") if free is None else SHARE * free
        self._cores = os.cpu_count() or 1
        self._power = self.enter_context(_power.Power(rules.foreign_load_cores))

    def gather(self, waiting: deque[Task]) -> None:
        """Start workers for the tasks at the front, as many as there is room for, and load them.

        They import their runtimes side by side. How much memory they need is known only when they
        are loaded, so a few are loaded before the next ones start.
        """
        with _origins.opened(
            [] if self._rules.alone else [(task.spec, task.where) for task in waiting]
        ) as origins:
            self._gather(waiting, origins)

    def _gather(self, waiting: deque[Task], origins: Origins) -> None:
        while waiting and self._has_room(waiting[0]):
            opened, starting = deque[_Member](), list[_Member]()
            while True:
                while waiting and len(opened) + len(starting) < TOGETHER:
                    if not (self._fits(waiting[0], starting) and self._has_room(waiting[0])):
                        break
                    starting += self._started(waiting.popleft(), origins)
                if not starting:
                    break
                for member, answer in self._answers(starting):
                    member.told = answer.table or {}
                    opened += [] if member.failed else [member]
            for member, answer in self._told("load", opened, alone=self._rules.alone):
                member.told |= answer.table or {}
                member.peak_bytes = answer.peak_bytes

    def take_turns(self, turn: Callable[[int, int], None]) -> None:
        """Time a slice of every member, in an order drawn anew, round after round."""
        total = max((member.rounds for member in self._members if member.timed), default=0)
        self._power.rest(member.task.spec.device for member in self._members if member.timed)
        for member in self._members:
            member.energy = self._power.account(member.task.spec.device)
        for done in range(MORE * total):
            members = [member for member in self._members if self._wants(member)]
            if not members:
                break
            self._random.shuffle(members)
            for member in members:
                self._slice(member)
            turn(min(done + 1, total), total)
        for member in self._members:
            left_s = self._rules.deadline_s - member.spent_s
            if member.timed and 0 < 2 * member.energy.lacks_s < left_s:
                self._slice(member, member.energy.lacks_s)

    def _wants(self, member: _Member) -> bool:
        """Whether a member is to have another slice: the planned ones; and more if it has not had a
        few quiet ones yet, as one sees by how they agree, and by what an earlier visit took."""
        if not member.timed or len(member.slices) >= MORE * member.rounds:
            return False
        if len(member.slices) < member.rounds:
            return True
        slices, best_ns = [part["ns"] for part in member.slices], member.task.best_ns
        above = best_ns is not None and _levels.floor(slices) > NEAR * best_ns
        return above or not _levels.settled(slices)

    def finish(self) -> Iterator[tuple[Task, Visit]]:
        """Let the members score, as many at once as there are cores, and give what came of all."""
        yield from self._refused
        for member in self._members:
            if member.failed:
                yield member.task, member.failed
        waiting = deque(member for member in self._members if not member.failed)
        for member, answer in self._told("finish", waiting):
            member.child.end()
            yield member.task, member.failed or self._visit(member, answer)

    def _told(
        self, word: str, waiting: deque[_Member], alone: bool = False
    ) -> Iterator[tuple[_Member, _process.Answer]]:
        """Tell all of them, as many at once as there are cores, and give their answers."""
        busy: list[_Member] = []
        while waiting or busy:
            while waiting and not (alone and busy) and self._fits(waiting[0].task, busy):
                busy.append(member := waiting.popleft())
                self._tell(member, word)
            yield from self._answers(busy)

    def _answers(self, busy: list[_Member]) -> Iterator[tuple[_Member, _process.Answer]]:
        """Wait until some have answered, which then are busy no more."""
        ready = _process.await_one([member.child for member in busy])
        for member in [m for m in busy if m.child in ready]:
            busy.remove(member)
            yield member, self._answered(member)

    def _has_room(self, task: Task) -> bool:
        """Whether one more may be loaded beside those that are."""
        if not self._members:
            return True
        if len(self._members) >= MOST:
            return False
        # An accelerator does not idle for free: it holds the model in memory of its own, and two
        # models in it may share its clock and caches in ways that the host cannot see.
        if _device.alone(task.spec.device) and any(
            _device.alone(member.task.spec.device) for member in self._members
        ):
            return False
        known = [n for member in self._members if (n := member.needs_bytes) is not None]
        most = max(known, default=UNKNOWN_BYTES)
        used = sum(most if (n := m.needs_bytes) is None else n for m in self._members)
        return used + (task.peak_bytes or most) <= self._room

    def _fits(self, task: Task, busy: list[_Member]) -> bool:
        """Whether there are cores for it beside those that are at work."""
        threads = sum(member.task.spec.threads for member in busy)
        return not busy or threads + task.spec.threads <= self._cores

    def _started(self, task: Task, origins: Origins) -> list[_Member]:
        """A member that is starting; none if there is an obstacle, which fails the visit."""
        if why := task.obstacle():
            self._refused.append((task, Visit("failed", "load", why)))
            return []
        start = origins.start(task.spec, task.where)
        child = _process.Child("_visit", task.spec, self._rules.deadline_s, start=start)
        member = _Member(task, self.enter_context(child))
        self._members.append(member)
        return [member]

    def _tell(self, member: _Member, word: str) -> None:
        member.child.tell(word, max(0.0, self._rules.deadline_s - member.spent_s))

    def _answered(self, member: _Member) -> _process.Answer:
        start = time.monotonic()
        answer = member.child.answer()
        member.spent_s += time.monotonic() - start
        if answer.table is None:
            member.failed = Visit("failed", answer.stage, answer.error)
        return answer

    def _slice(self, member: _Member, for_energy_s: float = 0.0) -> None:
        """Time a slice; or, for its energy alone, calls that enter no latency."""
        spec, rounds = member.task.spec, member.rounds
        size = spec.seconds / rounds, -(-spec.max_samples // rounds)
        seconds, most = (for_energy_s, _power.STRETCH_CALLS) if for_energy_s else size
        busy_s, quota_s, start = _host.busy_s(), _host.throttled_s(), time.monotonic()
        member.energy.start()
        self._tell(member, f"slice {seconds} {most}")
        answer = self._answered(member)
        wall_s = time.monotonic() - start
        if answer.table is None:
            return
        others = 0.0
        if busy_s is not None:
            used_s = (_host.busy_s() or busy_s) - busy_s - float(answer.table["cpu_s"])
            others = max(0.0, used_s / wall_s)
        member.energy.stop(answer.table.get("calls"), others <= self._rules.foreign_load_cores)
        if for_energy_s:
            return
        member.slices.append(answer.table)
        member.held.append(_host.throttled_s() > quota_s)
        if busy_s is not None:
            member.others.append(others)

    def _visit(self, member: _Member, answer: _process.Answer) -> Visit:
        if not member.timed:
            return _outcome.of({**member.told, **(answer.table or {})}, member.task.spec, ())
        told = {
            **member.told,
            **(answer.table or {}),
            "slices_ns": [part["ns"] for part in member.slices],
            "slices_at_s": [part["at_s"] for part in member.slices],
            "inference_ns": [part["inside_ns"] for part in member.slices if part["inside_ns"]],
            **({} if member.told.get("simulated") else member.energy.told()),
        }
        if told.get("peak_memory_bytes") is None:  # it is not told from inside
            told["peak_memory_bytes"] = member.child.most_bytes
        if _timing.two_modes(told["slices_ns"]):
            told["warnings"] = [*told.get("warnings", ()), MODES]
        if member.others:
            told["foreign_load_cores"] = sum(member.others) / len(member.others)
        limit = self._rules.foreign_load_cores
        flags = {
            FOREIGN: nearly_all([cores > limit for cores in member.others]),
            QUOTA: nearly_all(member.held),
            THROTTLED: bool(told.get("throttled")),
            "drift": _timing.drifted([_levels.floor([part]) for part in told["slices_ns"]]),
        }
        seen = tuple(flag for flag, is_so in flags.items() if is_so)
        return _outcome.of(told, member.task.spec, seen)


def nearly_all(slices: list[bool]) -> bool:
    """Whether so many slices are disturbed that the quiet ones cannot make up for it."""
    return bool(slices) and sum(slices) >= NEARLY_ALL * len(slices)
