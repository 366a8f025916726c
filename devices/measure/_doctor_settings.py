"""What a machine is set to be, as far as it makes times noisy: clock, memory, power, place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from paretomark.devices import _machine
from paretomark.devices._machine import Tree, Unreadable

State = Literal["ok", "note", "warn", "unknown"]
HOT_BELOW = 5.0  # degrees below a trip point
HELD = 0.9  # of the highest clock, below which a governor for speed is held down
ALLOWED = 0.999
_CPU = "sys/devices/system/cpu"
_TRIPS = ("passive", "hot", "critical")
_CONTAINERS = ("docker", "kubepods", "containerd", "lxc", "libpod", "podman")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `seen`, what it means for times, and the command to change it.

    `warn`: numbers suffer; `note`: they may, or it is to be known; `unknown`: `seen` says why.
    """

    name: str
    state: State
    seen: str
    means: str = ""
    remedy: str = ""


def look(tree: Tree) -> list[Finding]:
    """Look at all settings. Never raises for what the files hold."""
    looks: dict[str, Callable[[Tree], Finding]] = {
        "governor": _governor,
        "turbo": _turbo,
        "clock": _clock,
        "hyper-threading": _siblings,
        "processors": _processors,
        "huge pages": _pages,
        "address layout": _layout,
        "power": _power,
        "place": _place,
    }
    return [found(name, partial(of, tree)) for name, of in looks.items()]


def found(name: str, look: Callable[[], Finding]) -> Finding:
    """Return what a look finds, or that it is unknown, and why."""
    try:
        return look()
    except Unreadable as error:
        return Finding(name, "unknown", str(error))


def hottest(tree: Tree) -> tuple[float, bool] | None:
    """Return the highest temperature in °C, and whether one is near a point at which its zone is
    slowed; None if no zone tells."""
    degrees, near = [], False
    for path in tree.files("sys/class/thermal/thermal_zone*/temp"):
        zone = path.rpartition("/")[0]
        try:
            now = tree.number(path) / 1000
        except Unreadable:
            continue
        if not -50 < now < 200:  # a sensor that is not there
            continue
        degrees.append(now)
        for trip in tree.files(f"{zone}/trip_point_*_type"):
            try:
                limit = tree.number(f"{trip.removesuffix('type')}temp") / 1000
                near |= tree.word(trip) in _TRIPS and 0 < limit - HOT_BELOW <= now
            except Unreadable:
                continue
    return (max(degrees), near) if degrees else None


def _words(tree: Tree, pattern: str) -> Counter[str]:
    """How many files that fit a pattern hold each word. Raise Unreadable if none does."""
    words: Counter[str] = Counter()
    why = f"/{pattern}: there is none; a virtual machine, or the system hides it"
    for path in tree.files(pattern):
        try:
            words[tree.word(path)[:40]] += 1
        except Unreadable as error:
            why = str(error)
    if not words:
        raise Unreadable(why)
    return words


def _governor(tree: Tree) -> Finding:
    words = _words(tree, f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor")
    fast = set(words) == {"performance"}
    return Finding(
        "governor",
        "ok" if fast else "warn",
        ", ".join(f"{name} on {count} processors" for name, count in words.most_common(4)),
        "the clock follows the load: how fast a call is depends on what ran before it",
        "sudo cpupower frequency-set -g performance",
    )


def _turbo(tree: Tree) -> Finding:
    for path, off, write in (
        (f"{_CPU}/intel_pstate/no_turbo", 1, 1),
        (f"{_CPU}/cpufreq/boost", 0, 0),
    ):
        try:
            value = tree.number(path)
        except Unreadable:
            continue
        return Finding(
            "turbo",
            "ok" if value == off else "note",
            "off" if value == off else "on",
            "the highest clock lasts as long as the processor is cool and few cores work; off, "
            "times are longer, and repeat better",
            f"echo {write} | sudo tee /{path}",
        )
    raise Unreadable("neither intel_pstate/no_turbo nor cpufreq/boost is there")


def _clock(tree: Tree) -> Finding:
    folder = f"{_CPU}/cpu[0-9]*/cpufreq"
    now = tree.numbers(f"{folder}/scaling_cur_freq")
    most = max(tree.numbers(f"{folder}/cpuinfo_max_freq").values())
    least, highest = min(now.values()), max(now.values())
    try:
        allowed = min(tree.numbers(f"{folder}/scaling_max_freq").values())
    except Unreadable:
        allowed = most
    if min(least, most) <= 0:
        raise Unreadable("the clock is told as 0")
    seen = f"{least / 1e6:.2f} to {highest / 1e6:.2f} of {most / 1e6:.2f} GHz now"
    state: State = "ok"
    if allowed < ALLOWED * most:
        state, seen = "note", f"{seen}, {allowed / 1e6:.2f} allowed"
    elif least < HELD * most:
        eager = set(_words(tree, f"{folder}/scaling_governor")) == {"performance"}
        state = "warn" if eager else "note"
    return Finding(
        "clock",
        state,
        seen,
        "a clock that rises with the load makes first calls slow; one that is held down, for heat "
        "or power, makes all of them slow",
        f"sudo cpupower frequency-set -u {most}",
    )


def _siblings(tree: Tree) -> Finding:
    on = tree.number(f"{_CPU}/smt/active") == 1
    return Finding(
        "hyper-threading",
        "note" if on else "ok",
        "on: two processors share a core" if on else "off, or the processor has none",
        "what runs on the other half of a core takes up to half of its speed",
        f"echo off | sudo tee /{_CPU}/smt/control",
    )


def _processors(tree: Tree) -> Finding:
    there = _machine.processors(tree)
    cores = {
        (_word(tree, f"{folder}/physical_package_id"), _word(tree, f"{folder}/core_id"))
        for folder in tree.files(f"{_CPU}/cpu[0-9]*/topology")
    }
    listed = re.search(r"^Cpus_allowed_list:\s*(\S{1,4000})", tree.text("proc/self/status"), re.M)
    if not listed:
        raise Unreadable("/proc/self/status: tells no Cpus_allowed_list")
    allowed = min(there, _count(listed[1]))
    whole = f", {len(cores)} cores" if cores else ", how many cores is not told"
    most = min(allowed, len(cores) or allowed)
    return Finding(
        "processors",
        "note" if allowed < there else "ok",
        f"{there} processors{whole}, {allowed} may be used: up to {most} threads have a core each",
        "more threads than that share cores, and wait for each other",
        f"bench.py run SUITE --threads {most}"
        + (f"; taskset -cp 0-{there - 1} $$   (to use all)" if allowed < there else ""),
    )


def _word(tree: Tree, path: str) -> str:
    """The word of a file, or its path where that cannot be read, which is unlike any other."""
    try:
        return tree.word(path)
    except Unreadable:
        return path


def _count(ranges: str) -> int:
    """How many numbers a list such as 0-3,8 has. Raise Unreadable."""
    total = 0
    for part in ranges.split(","):
        ends = [_machine.whole(end, "proc/self/status") for end in part.split("-")]
        if not 1 <= len(ends) <= 2 or ends[-1] < ends[0]:
            raise Unreadable("/proc/self/status: tells no list of processors")
        total += ends[-1] - ends[0] + 1
    return total


def _pages(tree: Tree) -> Finding:
    path = "sys/kernel/mm/transparent_hugepage/enabled"
    chosen = re.search(r"\[(\w{1,20})\]", tree.text(path))
    if not chosen:
        raise Unreadable(f"/{path}: tells no choice")
    return Finding(
        "huge pages",
        "note" if chosen[1] == "always" else "ok",
        chosen[1],
        "which memory gets a huge page is chance: one process may be faster than the next",
        f"echo madvise | sudo tee /{path}",
    )


def _layout(tree: Tree) -> Finding:
    on = tree.number("proc/sys/kernel/randomize_va_space") > 0
    return Finding(
        "address layout",
        "ok" if on else "note",
        "random in each process" if on else "the same in each process",
        "where memory lies changes times, and averages out over visits, which are fresh processes; "
        "with one layout for all it is an error that no repetition shows",
        "sudo sysctl kernel.randomize_va_space=2",
    )


def _power(tree: Tree) -> Finding:
    kinds: dict[str, str] = {}
    for path in tree.files("sys/class/power_supply/*/type"):
        kinds[path.rpartition("/")[0]] = _word(tree, path)
    batteries = [folder for folder, kind in kinds.items() if kind == "Battery"]
    scopes = [_word(tree, f"{folder}/scope") for folder in batteries]
    if all(scope == "Device" for scope in scopes):  # of a mouse
        if not (tree.root / "sys" / "class").exists():
            raise Unreadable("/sys/class/power_supply is not there")
        return Finding("power", "ok", "no battery")
    discharging = any(_word(tree, f"{f}/status") == "Discharging" for f in batteries)
    return Finding(
        "power",
        "warn" if discharging else "ok",
        "on battery" if discharging else "on mains",
        "on battery the clock is held down",
        "plug it in; then: powerprofilesctl set performance",
    )


def _place(tree: Tree) -> Finding:
    guest = bool(re.search(r"^flags\s*:.*\bhypervisor\b", tree.text("proc/cpuinfo"), re.M))
    guest |= bool(tree.files("sys/hypervisor/type"))
    places = ["a virtual machine"] if guest else []
    marks = any((tree.root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))
    try:
        named = any(name in tree.text("proc/1/cgroup") for name in _CONTAINERS)
    except Unreadable:
        named = False
    places += ["a container"] if marks or named else []
    return Finding(
        "place",
        "note" if places else "ok",
        "in " + ", in ".join(places) if places else "neither virtual machine nor container is seen",
        "what the machine below does to others is not seen here, and cannot be changed from here",
        "none from inside; repeat runs at other times, or measure on a machine of its own",
    )
