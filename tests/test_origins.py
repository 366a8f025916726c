"""Visits that are forked where their runtime is imported: as good as those that start alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paretomark.devices import _device
from paretomark.devices.measure import _crew, _origins, _process
from paretomark.devices.measure._crew import Rules, Task
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._process import HERE
from paretomark.suites.spec._model import Preprocess
from paretomark.tests._files import net_of_fake
from paretomark.tests.conftest import gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux adopts")

RULES = Rules(deadline_s=60.0, foreign_load_cores=1e9)


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., VisitSpec]:
    file = net_of_fake(tmp_path)

    def make(device: str = "fake:ok", threads: int = 1) -> VisitSpec:
        return VisitSpec(
            device=device, file=str(file), threads=threads, batch=1, seconds=0.05,
            max_samples=2000, images="", labels="", reference="",
            preprocess=Preprocess((0, 0)), label_offset=0, score=False, parity_limit=None, seed=0,
        )  # fmt: skip

    return make


@pytest.fixture
def parents(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules of children that are started in a fresh Python."""
    started: list[str] = []
    fresh = _process.fresh

    def start(
        command: list[str], ends: _process.Ends, threads: int, where: _process.Interpreter = HERE
    ) -> int:
        started.append(command[0].rpartition(".")[2])
        return fresh(command, ends, threads, where)

    monkeypatch.setattr(_process, "fresh", start)
    return started


def visits(*specs: VisitSpec, rules: Rules = RULES) -> list[tuple[str, str]]:
    """Status and reason of each."""
    tasks = [Task(str(i), spec) for i, spec in enumerate(specs)]
    found = {task.key: visit for task, visit in _crew.visits(tasks, rules)}
    return [(found[task.key].status, found[task.key].reason) for task in tasks]


def test_many_visits_have_one_origin(spec: Callable[..., VisitSpec], parents: list[str]) -> None:
    assert visits(*[spec()] * 4) == [("ok", "")] * 4
    assert "_visit" not in parents
    assert parents.count("_origin") == 2  # of this runtime, and of all


def test_visits_whose_loading_is_timed_start_by_themselves(
    spec: Callable[..., VisitSpec], parents: list[str]
) -> None:
    rules = Rules(deadline_s=60.0, foreign_load_cores=1e9, alone=True)
    assert visits(*[spec()] * 4, rules=rules) == [("ok", "")] * 4
    assert parents == ["_visit"] * 4


def test_few_visits_are_not_worth_an_origin(
    spec: Callable[..., VisitSpec], parents: list[str]
) -> None:
    assert visits(*[spec()] * 2) == [("ok", "")] * 2
    assert parents == ["_visit"] * 2


def test_an_accelerator_is_opened_by_the_process_that_uses_it(
    spec: Callable[..., VisitSpec], parents: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that is open does not live through a fork."""
    monkeypatch.setattr(_device, "alone", lambda target: True)
    assert visits(*[spec()] * 3) == [("ok", "")] * 3
    assert parents == ["_visit"] * 3


THREADED = """
import threading, time
from paretomark.devices import fake

FORMAT = "npz"
VARIANTS = ()

def device(variant):
    made = fake.device("ok")
    probe = made.probe
    def with_a_thread():
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        return probe()
    made.probe = with_a_thread
    return made
"""


def test_a_runtime_with_threads_is_imported_after_the_fork(
    spec: Callable[..., VisitSpec],
    parents: list[str],
    plugin: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the thread that forks lives on in the child."""
    plugin("devices/threaded.py", THREADED)
    monkeypatch.setattr(_origins, "_unforkable", set())
    assert visits(*[spec("threaded")] * 3) == [("ok", "")] * 3
    assert parents == ["_origin"] * 2  # the visits are forked of that of all
    assert _origins._unforkable == {"threaded"}
    assert visits(*[spec("threaded")] * 3) == [("ok", "")] * 3
    assert parents == ["_origin"] * 3  # its own is not tried again


@pytest.mark.parametrize("variant", ["load-crash", "crash", "abort", "absent", "hang"])
def test_a_forked_visit_fails_as_any_other(spec: Callable[..., VisitSpec], variant: str) -> None:
    rules = Rules(deadline_s=4.0, foreign_load_cores=1e9)
    forked = visits(*[spec(f"fake:{variant}")] * 3, spec(), rules=rules)
    [fresh] = visits(spec(f"fake:{variant}"), rules=rules)
    assert forked == [fresh] * 3 + [("ok", "")]
    assert fresh[0] == "failed"


def test_an_origin_that_is_lost_does_no_harm(
    spec: Callable[..., VisitSpec], parents: list[str]
) -> None:
    with _origins.opened([(spec(), HERE)] * 3) as origins:
        for origin in origins._ready.values():
            os.kill(origin.pid, signal.SIGKILL)
        start = origins.start(spec())
        with _process.Child("_visit", spec(), 30.0, start=start) as child:
            assert child.answer().table is not None
    assert parents[-1] == "_visit"


def test_a_forked_visit_is_a_child_of_ours_in_a_group_of_its_own(
    spec: Callable[..., VisitSpec],
) -> None:
    with _origins.opened([(spec(), HERE)] * 3) as origins:
        child = _process.Child("_visit", spec(), 30.0, start=origins.start(spec()))
    with child:  # its origin is gone by now
        assert child.answer().table is not None
        assert child.ask("load", 30.0).table is not None
        stat = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(stat[1]) == os.getpid()
        assert os.getpgid(child.pid) == os.getsid(child.pid) == child.pid
    assert gone(child.pid)


def test_a_forked_visit_dies_with_its_parent(
    spec: Callable[..., VisitSpec], tmp_path: Path
) -> None:
    code = (
        "import time\n"
        "from paretomark.devices.measure import _origins, _process\n"
        "from paretomark.devices.measure._process import HERE\n"
        "from paretomark.devices.measure._inputs import VisitSpec\n"
        "from paretomark.suites.spec._model import Preprocess, Reading\n"
        f"spec = {spec('fake:hang')!r}\n"
        "with _origins.opened([(spec, HERE)] * 3) as origins:\n"
        "    child = _process.Child('_visit', spec, 60.0, start=origins.start(spec))\n"
        "    child.answer()\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-P", "-c", code])
    pid, deadline = 0, time.monotonic() + 30
    while not pid and time.monotonic() < deadline:
        time.sleep(0.1)
        if (tmp_path / "pid").exists():
            pid = int((tmp_path / "pid").read_text() or 0)
    parent.kill()
    parent.wait()
    assert pid
    assert gone(pid)


def test_no_child_of_ours_is_left(spec: Callable[..., VisitSpec]) -> None:
    before = _children()
    visits(*[spec()] * 3, spec("fake:abort"))
    assert _children() <= before


def _children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())
