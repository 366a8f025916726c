"""What of a machine makes times noisy: each thing that can be seen, what it does, how to change it.

Nothing is changed here, and what cannot be read is said to be unknown. What the system is set to
be is in `_doctor_settings.py`; here is what happens on it within a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from paretomark.devices import _machine
from paretomark.devices._machine import Moment, Tree, Unreadable, told
from paretomark.devices.measure import _doctor_settings
from paretomark.devices.measure._doctor_settings import Finding, State
from paretomark.suites.spec._suite import Suite

SECONDS = 1.0
FOREIGN = Suite.foreign_load_cores  # from which on visits are flagged
QUIET = 0.1  # cores in use by others that matter little
SPINNING = 0.05  # of a core
NAMED = 5  # processes
STOLEN = 0.01  # share of the time
PRESSED = 1.0  # percent of the time that something waits for memory

_Look = Callable[[Tree, Moment, Moment], Finding]


def look(
    root: Path = Path("/"),
    pause: Callable[[float], None] = time.sleep,
    me: int | None = None,
) -> list[Finding]:
    """Look at the machine whose /proc and /sys lie in `root`, for a second, which `pause` waits.

    `me` is the number of the process that does not count as a neighbour: by default this one.
    Never raises for what the files hold.
    """
    tree, me = Tree(root), os.getpid() if me is None else me
    before = _machine.moment(tree)
    pause(SECONDS)
    after = _machine.moment(tree)
    lively: dict[str, _Look] = {
        "load of others": partial(_load, me),
        "neighbours": partial(_neighbours, me),
        "steal": _steal,
        "quota": _quota,
        "stops by a quota": _stops,
        "memory pressure": _pressure,
        "swap": _swap,
        "heat": _heat,
    }
    happening = [
        _doctor_settings.found(name, partial(of, tree, before, after))
        for name, of in lively.items()
    ]
    return [*happening, *_doctor_settings.look(tree)]


def _passed(before: Moment, after: Moment) -> list[int]:
    """The ticks of all processors between two moments: user, nice, system, idle, ..., steal."""
    passed = [b - a for a, b in zip(told(before.ticks), told(after.ticks), strict=True)]
    if sum(passed) <= 0 or min(passed) < 0:
        raise Unreadable("/proc/stat: no time has passed between two looks")
    return passed


def _used(before: Moment, after: Moment) -> dict[int, tuple[str, int]]:
    """Names and ticks of the processes that used any between two moments, by number."""
    old = told(before.processes)
    return {
        pid: (name, used)
        for pid, (name, ticks) in told(after.processes).items()
        if pid in old and (used := ticks - old[pid][1]) > 0
    }


def _load(me: int, tree: Tree, before: Moment, after: Moment) -> Finding:
    passed = _passed(before, after)
    idle = passed[3] + passed[4]
    own = 0 if isinstance(after.processes, str) else _used(before, after).get(me, ("", 0))[1]
    tick = sum(passed) / _machine.processors(tree)  # ticks of a core
    cores = max(0.0, (sum(passed) - idle - own) / tick)
    return Finding(
        "load of others",
        "warn" if cores > FOREIGN else "note" if cores > QUIET else "ok",
        f"{cores:.2f} cores in use by others over a second",
        f"more than {FOREIGN:g} in nearly all slices of a visit flag it; what runs beside a call "
        "takes its caches and its clock",
        "top -o %CPU   (stop what need not run while you measure)",
    )


def _neighbours(me: int, tree: Tree, before: Moment, after: Moment) -> Finding:
    tick = sum(_passed(before, after)) / _machine.processors(tree)
    used = {pid: it for pid, it in _used(before, after).items() if pid != me}
    busy = sorted((-ticks / tick, name) for name, ticks in used.values() if ticks > SPINNING * tick)
    named = ", ".join(f"{name[:40]} {-share:.0%}" for share, name in busy[:NAMED])
    more = f", and {len(busy) - NAMED} more" if len(busy) > NAMED else ""
    total = -sum(share for share, _ in busy)
    state: State = "ok" if not busy else "warn" if total > FOREIGN else "note"
    return Finding(
        "neighbours",
        state,
        f"{named}{more} of a core" if busy else f"no process uses over {SPINNING:.0%} of a core",
        "they take turns with what is timed",
        "top -o %CPU   (stop them while you measure: kill -STOP PID, later kill -CONT PID)",
    )


def _steal(tree: Tree, before: Moment, after: Moment) -> Finding:
    passed = _passed(before, after)
    share = passed[7] / sum(passed)
    return Finding(
        "steal",
        "warn" if share > STOLEN else "note" if share else "ok",
        f"{share:.1%} of the time went to other virtual machines",
        "the machine below runs others: calls stand still, and nothing here can see which",
        "none from inside; measure at another time, or on a machine of its own",
    )


def _quota(tree: Tree, before: Moment, after: Moment) -> Finding:
    limits = []
    for folder in _machine.groups(tree):
        limits += [cores for cores in (_limit(tree, folder),) if cores is not None]
    if not limits:
        return Finding("quota", "unknown", "no control group of this process tells a limit")
    cores = min(limits)
    if cores == float("inf"):
        return Finding("quota", "ok", "no limit of processor time")
    processors = _machine.processors(tree)
    return Finding(
        "quota",
        "warn" if cores < processors else "note",
        f"{cores:g} of {processors} processors' time may be used",
        "threads that use it up stand still for the rest of each period, some 100 ms",
        "docker update --cpu-quota -1 CONTAINER, or systemctl set-property UNIT CPUQuota=",
    )


def _limit(tree: Tree, folder: str) -> float | None:
    """The processors that a control group may use; infinite without a limit, None if untold."""
    try:
        quota, period = tree.text(f"{folder}/cpu.max").split()
    except (Unreadable, ValueError):
        try:
            quota, period = (
                tree.word(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period")
            )
        except Unreadable:
            return None
    if quota in ("max", "-1"):
        return float("inf")
    try:
        numbers = [_machine.whole(word, folder) for word in (quota, period)]
    except Unreadable:
        return None
    return numbers[0] / numbers[1] if min(numbers) > 0 else None


def _stops(tree: Tree, before: Moment, after: Moment) -> Finding:
    (_, start_us), (times, end_us) = told(before.throttled), told(after.throttled)
    now = end_us > start_us
    return Finding(
        "stops by a quota",
        "warn" if now else "note" if times else "ok",
        f"{times} times so far, {end_us / 1e6:.1f} s" + (", and right now" if now else ""),
        "a slice that a quota has stopped counts as disturbed; visits are flagged",
        "docker update --cpu-quota -1 CONTAINER, or systemctl set-property UNIT CPUQuota=",
    )


def _pressure(tree: Tree, before: Moment, after: Moment) -> Finding:
    path = "proc/pressure/memory"
    for line in tree.text(path).splitlines():
        kind, *pairs = line.split()[:5] or [""]
        values = dict(pair.partition("=")[::2] for pair in pairs)
        if kind == "some":
            try:
                recent, minutes = float(values["avg10"]), float(values["avg300"])
            except (KeyError, ValueError):
                break
            if not (0 <= recent <= 100 and 0 <= minutes <= 100):
                break
            most = max(recent, minutes)
            return Finding(
                "memory pressure",
                "warn" if recent > PRESSED else "note" if most else "ok",
                f"something waited for it {recent:g} % of the last 10 s, {minutes:g} % of 5 min",
                "memory is reclaimed while calls are timed, and files are read again",
                "free -h; ps aux --sort=-rss | head   (end what holds memory)",
            )
    raise Unreadable(f"/{path}: tells no averages")


def _swap(tree: Tree, before: Moment, after: Moment) -> Finding:
    sizes = [_machine.table(tree, "proc/meminfo", f"Swap{name}") for name in ("Total", "Free")]
    used = max(0, sizes[0] - sizes[1]) / 1024
    pages = 0
    if not isinstance(before.swapped, str) and not isinstance(after.swapped, str):
        pages = after.swapped - before.swapped
    return Finding(
        "swap",
        "warn" if pages > 0 else "note" if used else "ok",
        f"{used:.0f} MiB in use" + (f", {pages} pages came back in a second" if pages > 0 else ""),
        "a page that has to come back from disk is a call a thousand times as slow",
        "sudo swapoff -a   (with enough memory free)",
    )


def _heat(tree: Tree, before: Moment, after: Moment) -> Finding:
    hottest = _doctor_settings.hottest(tree)
    if isinstance(after.hot, str) or isinstance(before.hot, str):
        if hottest is None:
            raise Unreadable("neither thermal zones nor throttle counts are told")
        counted, now, times = "", False, 0
    else:
        times, now = after.hot, after.hot > before.hot
        counted = f"; slowed for heat {times} times so far" + (", and right now" if now else "")
    degrees, near = hottest or (None, False)
    seen = "temperature not told" if degrees is None else f"{degrees:.0f} °C at most"
    return Finding(
        "heat",
        "warn" if now or near else "note" if times else "ok",
        f"{seen}{counted}",
        "a processor that is hot runs slower: drift, and unequal runs",
        "cool it, or fix a lower clock: sudo cpupower frequency-set -u 2.0GHz",
    )
