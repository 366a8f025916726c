"""Hardware counters: read as the kernel lays them out, whatever it refuses."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable

import pytest

from paretomark.devices import _counters
from paretomark.devices._device import Unavailable
from paretomark.devices.measure import _crew, _visit
from paretomark.devices.measure._crew import Rules, Task
from paretomark.tests import test_crew
from paretomark.tests._kernel import Kernel

ALL = ("instructions", "cycles", "cache_misses", "branch_misses")
INHERIT, NO_KERNEL, NO_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
spec = test_crew.spec


def test_counts_are_per_call_and_the_median_of_stretches() -> None:
    kernel = Kernel()
    counters = _counters.opened(kernel)
    kernel.count(instructions=10**9, cycles=10**9)  # before the stretches: warming up
    for instructions in (2000, 2400, 90_000):  # others came in the last one
        counters.start()
        kernel.count(instructions=instructions, cycles=800, cache_misses=4, branch_misses=0)
        counters.stop(4)
        kernel.count(instructions=10**6)  # between them: nothing of theirs
    told = {"instructions": 600, "cycles": 200, "cache_misses": 1, "branch_misses": 0}
    assert counters.told() == {**told, "counted": 1.0}


def test_only_user_space_is_counted_and_what_starts_later() -> None:
    kernel = Kernel()
    _counters.opened(kernel)
    assert len(kernel.attributes) == 4
    for kind, size, _, _, _, form, flags, *_ in kernel.attributes:
        assert (kind, size) == (0, 64)  # PERF_TYPE_HARDWARE, the first version of the struct
        assert form == 3  # both times, and no group: older kernels do not inherit those
        assert flags == INHERIT | NO_KERNEL | NO_HYPERVISOR
    first, *rest = kernel.events.items()
    assert first[1].group == -1
    assert {event.group for _, event in rest} == {first[0]}  # counted at the same times


def test_what_is_counted_by_turns_is_scaled_and_says_so() -> None:
    kernel = Kernel()
    counters = _counters.opened(kernel)
    counters.start()
    kernel.count(share=0.25, instructions=8000)
    kernel.count(cycles=8000)
    counters.stop(8)
    told = counters.told()
    assert told["instructions"] == pytest.approx(1000)
    assert told["cycles"] == 1000
    assert told["counted"] == 0.25


def test_what_ran_uncounted_is_not_told() -> None:
    """No time running: the kernel had no counter for it in the stretch, and 0 is no count."""
    kernel = Kernel()
    counters = _counters.opened(kernel)
    counters.start()
    kernel.count(share=0.0, instructions=8000)
    kernel.count(cycles=8000)
    counters.stop(8)
    assert "instructions" not in counters.told()
    assert counters.told()["cycles"] == 1000


def test_a_short_read_is_no_count() -> None:
    kernel = Kernel()
    counters = _counters.opened(kernel)
    counters.start()
    kernel.count(instructions=8000)
    kernel.short = True
    counters.stop(8)
    assert counters.told() == {}


def test_threads_that_are_there_already_are_counted_too() -> None:
    kernel = Kernel(ids=(100, 101))
    counters = _counters.opened(kernel)
    counters.start()
    kernel.count(instructions=3000, thread=100)
    kernel.count(instructions=1000, thread=101, share=0.5)
    counters.stop(4)
    assert counters.told()["instructions"] == pytest.approx(1000)
    counters.close()
    assert kernel.events == {}


def test_a_thread_that_has_ended_since_is_passed_over() -> None:
    kernel = Kernel(lambda name, thread, group: errno.ESRCH * (thread == 101), ids=(100, 101))
    counters = _counters.opened(kernel)
    counters.start()
    kernel.count(instructions=4000)
    counters.stop(4)
    assert counters.told()["instructions"] == 1000


def test_an_event_that_one_thread_lacks_is_counted_in_none() -> None:
    kernel = Kernel(
        lambda name, thread, group: errno.ENOSPC * (name == "cycles" and thread == 101),
        ids=(100, 101, 102),
    )
    _counters.opened(kernel)
    assert {event.name for event in kernel.events.values()} == {*ALL} - {"cycles"}


def test_events_that_the_processor_lacks_are_left_out() -> None:
    kernel = Kernel(lambda name, thread, group: errno.ENOENT * ("misses" in name))
    counters = _counters.opened(kernel)
    counters.start()
    kernel.count(instructions=10, cycles=20)
    counters.stop(1)
    assert counters.told() == {"instructions": 10, "cycles": 20, "counted": 1}


def test_an_event_for_which_the_group_has_no_room_counts_alone() -> None:
    kernel = Kernel(lambda name, thread, group: errno.EINVAL * (len(name) > 12 and group > 0))
    _counters.opened(kernel)
    groups = {event.name: event.group for event in kernel.events.values()}
    assert groups["branch_misses"] == -1
    assert groups["cache_misses"] > 0


@pytest.mark.parametrize(
    ("code", "why", "remedy"),
    [
        (errno.EACCES, "refuses", "perf_event_paranoid=2"),
        (errno.EPERM, "refuses", "PERFMON"),
        (errno.ENOENT, "shows no hardware counters", "PMU"),
        (errno.ENOSYS, "this kernel", "CONFIG_PERF_EVENTS"),
        (errno.ENOSPC, "in use", "nmi_watchdog"),
        (errno.EMFILE, "no more files", "ulimit"),
        (errno.EIO, "Input/output error", "perf_event_open"),
    ],
)
def test_what_the_kernel_refuses_is_said_with_the_remedy(code: int, why: str, remedy: str) -> None:
    with pytest.raises(Unavailable, match=why) as caught:
        _counters.opened(Kernel(lambda *_: code))
    assert remedy in caught.value.remedy


def test_without_room_for_all_files_there_is_no_half_of_the_counters() -> None:
    kernel = Kernel(lambda name, thread, group: errno.EMFILE * (thread == 101), ids=(100, 101))
    with pytest.raises(Unavailable, match="no more files"):
        _counters.opened(kernel)
    assert kernel.events == {}


@pytest.mark.skipif(sys.platform != "linux", reason="perf_event_open is Linux's")
def test_this_kernel_reads_as_the_stand_in_does() -> None:
    """Page faults and processor time are counted by the kernel itself, wherever it lets us: in one
    group, in threads that are there and in those that come."""
    begin, end = threading.Event(), threading.Event()

    def busy() -> None:
        begin.wait()
        bytearray(64 * 4096)
        threading.Thread(target=bytearray, args=(64 * 4096,)).start()
        end.set()

    early = threading.Thread(target=busy)
    early.start()
    try:
        # PERF_TYPE_SOFTWARE: PERF_COUNT_SW_TASK_CLOCK and PERF_COUNT_SW_PAGE_FAULTS
        counters = _counters.opened(events={"cycles": (1, 1), "instructions": (1, 2)})
    except Unavailable as error:
        begin.set()
        pytest.skip(f"{error}: {error.remedy}")
    counters.start()
    begin.set()
    end.wait()
    late = threading.Thread(target=bytearray, args=(1024 * 4096,))
    late.start()
    late.join()
    early.join()
    counters.stop(1)
    told = counters.told()
    assert told["instructions"] > 1024  # a fault a page, most of them in a thread that came later
    assert 1000 < told["cycles"] < 10**10  # nanoseconds
    assert 0.5 < told["counted"] <= 1.0  # a member of a group joins it at the next switch


def test_a_visit_counts_its_slices_over_all_calls_that_lie_in_them(
    spec: Callable[..., object], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """Those that fill the caches again are counted, so they are calls as well."""
    kernel = Kernel()
    monkeypatch.setattr(_counters, "opened_or_none", lambda: _counters.opened(kernel))
    visit = _visit.Visit(spec(), tmp_path / "stage")  # type: ignore[operator, arg-type]
    visit.begin()
    visit.do("load")
    run = visit._watch._run

    def counted(inputs: object) -> object:
        kernel.count(instructions=500, cycles=1000)
        return run(inputs)

    monkeypatch.setattr(visit._watch, "_run", counted)
    told = [visit.do("slice", "0.01", "50") for _ in range(3)]
    assert all(t["calls"] > len(t["ns"]) > 0 for t in told)
    counters = visit.do("finish")["counters"]
    assert counters["instructions"] == pytest.approx(500)
    assert counters["cycles"] == pytest.approx(1000)


def test_without_counters_a_visit_tells_none(spec: Callable[..., object]) -> None:
    tasks = [Task("0", spec("slow"))]  # type: ignore[arg-type]
    ((_, visit),) = _crew.visits(tasks, Rules(60.0, 1e9))
    assert visit.status == "ok"
    told = visit.measured["counters"]
    assert told == {} or told["instructions"] > 0  # where this machine has them
