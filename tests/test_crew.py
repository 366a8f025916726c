"""Visits side by side: who runs when, and what is left of whom."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paretomark.devices.measure import _crew, _process
from paretomark.devices.measure._crew import Rules, Task
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._outcome import Visit
from paretomark.suites.spec._model import Preprocess
from paretomark.tests._files import net_of_fake
from paretomark.tests.conftest import gone

RULES = Rules(deadline_s=60.0, foreign_load_cores=1e9)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., VisitSpec]:
    file = net_of_fake(tmp_path_factory.mktemp("net"))

    def make(variant: str = "ok", seconds: float = 0.05, threads: int = 1) -> VisitSpec:
        return VisitSpec(
            device=f"fake:{variant}", file=str(file), threads=threads, batch=1, seconds=seconds,
            max_samples=2000, images="", labels="", reference="",
            preprocess=Preprocess((0, 0)), label_offset=0, score=False, parity_limit=None, seed=0,
        )  # fmt: skip

    return make


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine visits have more slices than planned, until the quietest agree."""
    monkeypatch.setattr("paretomark.suites.records._levels.settled", lambda slices: True)


def tasks(*specs: VisitSpec, **more: object) -> list[Task]:
    return [Task(str(i), spec, **more) for i, spec in enumerate(specs)]  # type: ignore[arg-type]


def test_slices_of_a_crew_alternate(spec: Callable[..., VisitSpec]) -> None:
    """No visit is timed in one stretch: between two of its slices others have theirs."""
    visits = [v.measured for _, v in _crew.visits(tasks(*[spec()] * 4), RULES)]
    turns = sorted((at, i) for i, v in enumerate(visits) for at in v["slices_at_s"])
    order = [i for _, i in turns]
    rounds = [order[at : at + 4] for at in range(0, len(order), 4)]
    assert all(sorted(turn) == [0, 1, 2, 3] for turn in rounds)
    assert len({tuple(turn) for turn in rounds}) > 3  # an order of its own in each round
    assert len({len(v["slices_ns"]) for v in visits}) == 1  # equal numbers on every side


def test_the_order_of_turns_is_that_of_the_seed(spec: Callable[..., VisitSpec]) -> None:
    orders = []
    for seed in ("a", "a", "b"):
        rules = Rules(60.0, 1e9, seed=seed)
        found = _crew.visits(tasks(*[spec()] * 4), rules)
        turns = sorted((at, task.key) for task, v in found for at in v.measured["slices_at_s"])
        orders.append([key for _, key in turns])
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("variant", ["load-crash", "crash", "abort", "absent"])
def test_one_that_fails_does_not_hold_up_the_others(
    spec: Callable[..., VisitSpec], variant: str
) -> None:
    found = dict(_results(tasks(spec(), spec(variant), spec())))
    assert [found[key].status for key in "012"] == ["ok", "failed", "ok"]
    assert found["1"].reason


def test_one_that_hangs_is_late_by_its_own_time_not_by_that_of_the_others(
    spec: Callable[..., VisitSpec],
) -> None:
    rules = Rules(deadline_s=4.0, foreign_load_cores=1e9)
    found = {t.key: v for t, v in _crew.visits(tasks(spec(), spec("hang"), spec()), rules)}
    assert [found[key].status for key in "012"] == ["ok", "failed", "ok"]
    assert "did not finish within" in found["1"].reason


def test_an_obstacle_is_asked_just_before(spec: Callable[..., VisitSpec]) -> None:
    blocked = Task("0", spec(), obstacle=lambda: "the file is another by now")
    found = dict(_results([blocked, Task("1", spec())]))
    assert (found["0"].status, found["0"].reason) == ("failed", "the file is another by now")
    assert found["1"].status == "ok"


def test_a_crew_takes_half_of_the_free_memory(
    spec: Callable[..., VisitSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is short, there are several crews, and all visits are made."""
    monkeypatch.setattr("paretomark.devices._host.free_bytes", lambda: 10_000)
    alone = tasks(*[spec()] * 3, peak_bytes=4_000)
    visits = [v.measured for _, v in _crew.visits(alone, RULES)]
    ends = [(v["slices_at_s"][0], v["slices_at_s"][-1]) for v in visits]
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ends))


def test_accelerators_are_loaded_one_at_a_time(
    spec: Callable[..., VisitSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paretomark.devices._device.alone", lambda target: True)
    visits = [v.measured for _, v in _crew.visits(tasks(spec(), spec()), RULES)]
    first, second = (v["slices_at_s"] for v in visits)
    assert first[-1] <= second[0] or second[-1] <= first[0]


def test_a_visit_in_which_others_are_always_busy_is_made_again(
    spec: Callable[..., VisitSpec],
) -> None:
    """No machine has less than no load."""
    rules = Rules(60.0, foreign_load_cores=-1.0)
    found = [(t.key, v.flags) for t, v in _crew.visits(tasks(spec(), spec()), rules)]
    assert sorted(key for key, _ in found) == ["0", "0", "1", "1"]
    assert all(flags == (_crew.FOREIGN,) for _, flags in found)


def test_a_visit_far_above_an_earlier_one_gets_more_slices(spec: Callable[..., VisitSpec]) -> None:
    plain = next(v for _, v in _crew.visits(tasks(spec()), RULES)).measured
    for best_ns, times in ((1e12, 1), (1.0, _crew.MORE)):
        task = tasks(spec(), best_ns=best_ns)
        found = next(v for _, v in _crew.visits(task, RULES)).measured
        assert len(found["slices_ns"]) == times * len(plain["slices_ns"])


def test_a_visit_whose_quietest_slices_do_not_agree_gets_more(
    spec: Callable[..., VisitSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = next(v for _, v in _crew.visits(tasks(spec()), RULES)).measured
    monkeypatch.setattr("paretomark.suites.records._levels.settled", lambda slices: False)
    found = next(v for _, v in _crew.visits(tasks(spec()), RULES)).measured
    assert len(found["slices_ns"]) == _crew.MORE * len(plain["slices_ns"])


def _results(work: list[Task]) -> list[tuple[str, Visit]]:
    return [(task.key, visit) for task, visit in _crew.visits(work, RULES)]


# -- of one child --------------------------------------------------------------------------------


def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_parent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is the process that is waited for, and what it has started is ended with it."""
    note = tmp_path / "grandchild"
    _stand_in(monkeypatch, tmp_path, f"""
        import os, subprocess, sys
        done = int(sys.argv[-1]); os.set_inheritable(done, True)
        child = subprocess.Popen(["sleep", "600"], close_fds=False)
        open({str(note)!r}, "w").write(str(child.pid))
        os._exit(3)
    """)  # fmt: skip
    start = time.monotonic()
    answer = _process.ask("_stand_in", "word", 30.0)
    assert time.monotonic() - start < 15
    assert answer.error.startswith("exited with 3 and no answer")
    assert gone(int(note.read_text()))


def test_nothing_is_left_after_success_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = tmp_path / "grandchild"
    _stand_in(monkeypatch, tmp_path, f"""
        import subprocess
        from paretomark.devices.measure import _worker
        def work(source, stage):
            child = subprocess.Popen(["sleep", "600"])
            open({str(note)!r}, "w").write(str(child.pid))
            return {{"well": 1}}
        _worker.work_on(work)
    """)  # fmt: skip
    assert _process.ask("_stand_in", "word", 30.0).table == {"well": 1}
    assert gone(int(note.read_text()))


@pytest.mark.parametrize(
    "answer", ["[" * 200_000, "NaN", "{", "[1]", '{"error": {"not": "text"}}', ""]
)
def test_whatever_a_child_answers_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str
) -> None:
    _stand_in(monkeypatch, tmp_path, f"""
        import os, sys
        open(sys.argv[-2], "w").write({answer!r})
        os.write(int(sys.argv[-1]), b".")
    """)  # fmt: skip
    found = _process.ask("_stand_in", "word", 30.0)
    assert found.table is None
    assert found.error


@pytest.mark.parametrize("variant", ["ok", "abort", "hang"])
def test_where_nothing_tells_of_the_end_of_a_process_one_looks(
    monkeypatch: pytest.MonkeyPatch, spec: Callable[..., VisitSpec], variant: str
) -> None:
    def missing(pid: int) -> int:
        raise OSError("no such system call")

    monkeypatch.setattr(os, "pidfd_open", missing)
    rules = Rules(deadline_s=4.0, foreign_load_cores=1e9)
    ((_, visit),) = _crew.visits(tasks(spec(variant)), rules)
    assert visit.status == ("ok" if variant == "ok" else "failed")


def test_children_die_with_their_parent(spec: Callable[..., VisitSpec], tmp_path: Path) -> None:
    """Also where that is killed, and cannot say goodbye."""
    code = (
        "import sys, time\n"
        "from paretomark.devices.measure import _process\n"
        f"child = _process.Child('_visit', {spec('hang')!r}, 600.0)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    imports = (
        "from paretomark.devices.measure._inputs import VisitSpec\n"
        "from paretomark.suites.spec._model import Preprocess, Reading\n"
    )
    parent = subprocess.Popen([sys.executable, "-P", "-c", imports + code])
    pid, deadline = 0, time.monotonic() + 30
    while not pid and time.monotonic() < deadline:
        time.sleep(0.1)
        if (tmp_path / "pid").exists():
            pid = int((tmp_path / "pid").read_text() or 0)
    time.sleep(1.0)  # so that it has asked the kernel for that
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert pid
    assert gone(pid)


def _stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
    """Let children run this code in place of a module of ours."""
    lines = code.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    script = folder / "stand_in.py"
    script.write_text("\n".join(line[indent:] for line in lines))
    popen = subprocess.Popen

    def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        assert command[2] == "-m"
        return popen([command[0], str(script), *command[4:]], **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "Popen", start)
