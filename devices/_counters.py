"""Hardware counters of a process: instructions, cycles, misses of caches and of branch prediction.

The kernel's `perf_event_open` (Linux) is asked by ctypes; nothing has to be installed. Only what
runs in user space is counted, which `kernel.perf_event_paranoid` allows up to 2, and what threads
and children do that start later: so counters are opened before a runtime starts its pools.

Each event has a descriptor of its own: kernels before 4.13 refuse inherited ones that are read as
a group (PERF_FORMAT_GROUP). They are in one group all the same, so that the processor counts them
at the same times, wherever it has room for all of them; an event that does not fit counts alone.
Where there are more events than counters, the kernel counts them by turns and tells for how long:
such counts are scaled, and `COUNTED` says for which share of the time they ran.

Written to perf_event_open(2); layout and inheritance are tried on the kernel's software events, for
the machine that it was written on shows no hardware counter.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

from paretomark.devices._device import Unavailable
from paretomark.suites.records._metered import COUNTED, COUNTERS

# PERF_TYPE_HARDWARE, PERF_COUNT_HW_*; by the names that records have for them.
_HARDWARE = 0
EVENTS = {name: (_HARDWARE, number) for name, number in zip(COUNTERS, (1, 0, 3, 5), strict=True)}
_ATTRIBUTE = struct.Struct("=IIQQQQQIIQ")  # perf_event_attr as of its first version, 64 bytes
_TIMES = 1 | 2  # PERF_FORMAT_TOTAL_TIME_ENABLED and _RUNNING
_INHERIT, _NO_KERNEL, _NO_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
_READ = struct.Struct("=QQQ")
_CLOEXEC = 8
# Of perf_event_open, by machine and bits of a pointer.
_CALLS = {
    ("x86_64", 64): 298,
    ("x86_64", 32): 336,
    ("i686", 32): 336,
    ("aarch64", 64): 241,
    ("aarch64", 32): 364,
    ("armv7l", 32): 364,
    ("riscv64", 64): 241,
    ("ppc64le", 64): 319,
    ("s390x", 64): 331,
}
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")


class Kernel(Protocol):
    """What is asked of the kernel. Every method raises OSError."""

    def threads(self) -> Sequence[int]:
        """List the threads of this process that there are already."""
        ...

    def open(self, attribute: bytes, thread: int, group: int) -> int:
        """Count the event of a perf_event_attr in a thread; with those of a group, unless -1."""
        ...

    def read(self, descriptor: int) -> bytes:
        """Read value, time enabled and time running, of 8 bytes each."""
        ...

    def close(self, descriptor: int) -> None:
        """Count no more."""
        ...


class Linux:
    """The kernel of this machine. Raise Unavailable where its call is not known."""

    def __init__(self) -> None:
        number = _CALLS.get((platform.machine(), 8 * struct.calcsize("P")))
        if sys.platform != "linux" or number is None:
            where = f"{platform.system()} on {platform.machine()}"
            remedy = "run on Linux, on x86, Arm, RISC-V, POWER or Z"
            raise Unavailable(f"hardware counters are not read on {where}", remedy)
        self._number = ctypes.c_long(number)
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        self._call.restype = ctypes.c_long

    def threads(self) -> Sequence[int]:
        """List the threads of this process that there are already."""
        return sorted(int(task.name) for task in Path("/proc/self/task").iterdir())

    def open(self, attribute: bytes, thread: int, group: int) -> int:
        """Count an event in a thread, on whichever processor it runs."""
        attr = ctypes.create_string_buffer(attribute, len(attribute))
        place = [ctypes.c_int(thread), ctypes.c_int(-1), ctypes.c_int(group)]
        descriptor = int(self._call(self._number, attr, *place, ctypes.c_ulong(_CLOEXEC)))
        if descriptor < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return descriptor

    def read(self, descriptor: int) -> bytes:
        """Read value, time enabled and time running."""
        return os.read(descriptor, _READ.size)

    def close(self, descriptor: int) -> None:
        """Count no more."""
        os.close(descriptor)


class _Reading(NamedTuple):
    value: int
    enabled_ns: int
    running_ns: int


class Counters:
    """Counts events of this process from `start` to `stop`: those of each descriptor, by event."""

    def __init__(self, kernel: Kernel | None = None, **descriptors: list[int]) -> None:
        self._kernel, self._descriptors = kernel, descriptors
        self._before: dict[str, list[_Reading] | None] = {}
        self._per_call: dict[str, list[float]] = {}
        self._times_ns: dict[str, tuple[int, int]] = {}  # enabled and running, of all stretches

    def start(self) -> None:
        """Begin a stretch of calls."""
        self._before = {name: self._read(name) for name in self._descriptors}

    def stop(self, calls: int) -> None:
        """End a stretch, in which there were so many calls: all of them, whether timed or not."""
        for name in self._descriptors:
            before, after = self._before.get(name), self._read(name)
            if before is None or after is None or calls <= 0:
                continue
            spans = [
                _Reading(*(b - a for a, b in zip(one, other, strict=True)))
                for one, other in zip(before, after, strict=True)
            ]
            enabled, running = (sum(times) for times in list(zip(*spans, strict=True))[1:])
            old = self._times_ns.get(name, (0, 0))
            self._times_ns[name] = old[0] + enabled, old[1] + running
            # What ran without being counted at all cannot be scaled.
            if running > 0 and not any(s.enabled_ns > 0 >= s.running_ns for s in spans):
                counts = [s.value * s.enabled_ns / s.running_ns for s in spans if s.running_ns > 0]
                self._per_call.setdefault(name, []).append(sum(counts) / calls)

    def told(self) -> dict[str, float]:
        """Give the median of all stretches per call, by event; and `COUNTED`, the least share of
        the time for which one of them was counted. Nothing where nothing was."""
        told = {name: median(values) for name, values in self._per_call.items()}
        shares = [self._times_ns[name] for name in told]
        least = min((running / enabled for enabled, running in shares), default=0.0)
        return {**told, COUNTED: round(min(1.0, least), 4)} if told else {}

    def close(self) -> None:
        """Count no more."""
        if self._kernel is not None:
            _close(self._kernel, [d for ds in self._descriptors.values() for d in ds])
        self._descriptors = {}

    def _read(self, name: str) -> list[_Reading] | None:
        """The readings of an event, one a thread; None if one cannot be had as a whole."""
        assert self._kernel is not None
        try:
            answers = [self._kernel.read(d) for d in self._descriptors[name]]
            return [_Reading(*_READ.unpack(answer)) for answer in answers]
        except (OSError, struct.error):
            return None


def opened(
    kernel: Kernel | None = None, events: dict[str, tuple[int, int]] | None = None
) -> Counters:
    """Open the counters of this process: of all threads that it has, and will have.

    Events that the processor does not have are left out. Raise Unavailable if it has none, or if
    they are refused.
    """
    kernel = kernel or Linux()
    wanted = dict(EVENTS if events is None else events)
    found: dict[str, list[int]] = {}
    failed: OSError | None = None
    for thread in kernel.threads():
        group = -1
        for name, (kind, number) in list(wanted.items()):
            try:
                descriptor = _open(kernel, kind, number, thread, group)
            except OSError as error:
                if error.errno == errno.ESRCH:  # the thread has ended since
                    break
                failed = failed or error
                if error.errno in (errno.EMFILE, errno.ENFILE):  # of some threads only is a lie
                    _close(kernel, [d for ds in found.values() for d in ds])
                    raise _unavailable(error) from None
                # Counted in one thread and not in another it would be a part of the whole.
                _close(kernel, found.pop(name, []))
                del wanted[name]
                continue
            found.setdefault(name, []).append(descriptor)
            group = descriptor if group < 0 else group
    if not found:
        raise _unavailable(failed or OSError(errno.ESRCH, "no thread to count in"))
    return Counters(kernel, **found)


def opened_or_none() -> Counters:
    """Open the counters of this process; where there are none, one that counts nothing."""
    try:
        return opened()
    except Unavailable:
        return Counters()


def _open(kernel: Kernel, kind: int, number: int, thread: int, group: int) -> int:
    flags = _INHERIT | _NO_KERNEL | _NO_HYPERVISOR
    attribute = _ATTRIBUTE.pack(kind, _ATTRIBUTE.size, number, 0, 0, _TIMES, flags, 0, 0, 0)
    try:
        return kernel.open(attribute, thread, group)
    except OSError as error:
        if group < 0 or error.errno not in (errno.EINVAL, errno.ENOSPC):
            raise
        return kernel.open(attribute, thread, -1)  # the group is full


def _close(kernel: Kernel, descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        try:
            kernel.close(descriptor)
        except OSError:  # it counts no more either way
            continue


def _unavailable(error: OSError) -> Unavailable:
    """Why there are no counters, and how to get them, by what the kernel answered."""
    code = error.errno
    if code in (errno.EACCES, errno.EPERM):
        try:
            level = f"; kernel.perf_event_paranoid is {int(PARANOID.read_text())}"
        except (OSError, ValueError):
            level = ""
        return Unavailable(
            f"the kernel refuses hardware counters{level}",
            "sudo sysctl kernel.perf_event_paranoid=2; start a container with --cap-add PERFMON",
        )
    if code in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV, errno.ENXIO):
        why = "this processor, or the virtual machine, shows no hardware counters"
        return Unavailable(why, "use a machine of metal, or let the virtual one have a PMU")
    if code == errno.ENOSYS:
        why = "this kernel has no hardware counters"
        return Unavailable(why, "use one with CONFIG_PERF_EVENTS, and no sandbox before it")
    if code in (errno.ENOSPC, errno.EBUSY):
        why = "all hardware counters are in use"
        return Unavailable(why, "end other profilers; sudo sysctl kernel.nmi_watchdog=0")
    if code in (errno.EMFILE, errno.ENFILE):
        return Unavailable("no more files can be opened for hardware counters", "ulimit -n 4096")
    why = f"the kernel gives no hardware counters: {error.strerror}"
    return Unavailable(why, "see perf_event_open(2)")
