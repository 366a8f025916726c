"""The energy of visits: what is made of a meter, over slices and over crews."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from paretomark.devices import _energy
from paretomark.devices._energy import Lost, Source
from paretomark.devices.measure import _crew, _power
from paretomark.devices.measure._crew import Rules, Task
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._power import Account, Idle
from paretomark.tests import test_crew, test_energy
from paretomark.tests.test_energy import PACKAGE, linux

spec, zones = test_crew.spec, test_energy.zones
RULES = Rules(60.0, 1e9)


class Clock:
    """A machine that draws so many watts from time to time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s, self.used_j, self.lost = 0.0, 100.0, False
        monkeypatch.setattr("time.monotonic", lambda: self.now_s)

    def run(self, seconds: float, watts: float) -> None:
        self.now_s += seconds
        self.used_j += watts * seconds

    def joules(self) -> float:
        if self.lost:
            raise Lost("the cable is out")
        return self.used_j

    def account(self, period_s: float, idle_w: float = 10.0) -> Account:
        return Account(Idle(Source("played", period_s, self.joules), idle_w))


def test_energy_is_what_slices_draw_beyond_idle_over_their_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    account = clock.account(period_s=0.001)
    for calls, watts in ((10, 30.0), (30, 50.0)):
        account.start()
        clock.run(0.1, watts)
        account.stop(calls, quiet=True)
        clock.run(5.0, 900.0)  # the others' turns
    account.start()
    clock.run(0.1, 700.0)
    account.stop(10, quiet=False)  # in which somebody else was busy
    told = account.told()
    assert told["energy_j"] == pytest.approx((0.1 * 20 + 0.1 * 40) / 40)
    assert (told["energy_source"], told["idle_w"]) == ("played", 10.0)
    assert account.lacks_s == 0


def test_a_slice_too_short_for_its_meter_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    account = clock.account(period_s=0.1)
    account.start()
    clock.run(0.05, 30.0)
    account.stop(10, quiet=True)
    assert account.lacks_s == pytest.approx(2.2)
    assert "energy_j" not in account.told()
    assert account.told()["energy_why"] == (
        "too short: a slice takes 50 ms, where played moves every 100 ms"
    )
    slow = clock.account(period_s=1.0)
    slow.start()
    slow.stop(10, quiet=True)
    assert slow.lacks_s == 0  # nobody waits so long


@pytest.mark.parametrize("calls", [None, 0, -3, 2.5, "many"])
def test_a_worker_that_tells_no_calls_has_no_energy(
    monkeypatch: pytest.MonkeyPatch, calls: object
) -> None:
    clock = Clock(monkeypatch)
    account = clock.account(period_s=0.001)
    account.start()
    clock.run(0.1, 30.0)
    account.stop(calls, quiet=True)
    assert account.told()["energy_why"] == "the worker does not tell its calls"


def test_a_meter_may_be_lost_and_chance_may_be_below_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    account = clock.account(period_s=0.001)
    account.start()
    clock.run(0.1, 9.0)
    account.stop(10, quiet=True)
    assert account.told()["energy_j"] == pytest.approx(-0.01)
    lost = clock.account(period_s=0.001)
    clock.lost = True
    lost.start()
    lost.stop(10, quiet=True)
    assert lost.told()["energy_why"] == "the cable is out"


@contextmanager
def drawing(folder: Path, watts: float) -> Iterator[None]:
    """Let the counter of package-0 move as if so much was drawn, until the end."""
    stop, start = threading.Event(), time.monotonic()

    def move() -> None:
        part = folder / "part"
        while not stop.wait(0.001):
            part.write_text(str(5_000_000 + int(1e6 * watts * (time.monotonic() - start))))
            part.replace(folder / "intel-rapl:0" / "energy_uj")

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@linux
def test_a_crew_measures_idle_once_and_the_energy_of_each_visit(
    zones: Callable[..., Path], spec: Callable[..., VisitSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counter draws the same all the time, so what is left is idle, or next to nothing; it was
    idle that was taken off."""
    monkeypatch.setattr(_power, "IDLE_S", 0.3)
    monkeypatch.setattr(_power, "PERIODS", 1)
    with drawing(zones(rapl_0=PACKAGE), watts=40.0):
        tasks = [Task(str(i), spec(seconds=0.3)) for i in range(2)]
        told = [visit.measured for _, visit in _crew.visits(tasks, RULES)]
    for measured in told:
        assert measured["energy_source"] == "RAPL: package-0"
        assert measured["idle_w"] == pytest.approx(40, rel=0.3)
        assert abs(measured["energy_j"]) < 0.01
    assert told[0]["idle_w"] == told[1]["idle_w"]


@linux
def test_a_machine_that_others_keep_busy_has_no_idle_draw_to_take_off(
    zones: Callable[..., Path], spec: Callable[..., VisitSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No machine has less than no load. It is tried some times, and then let be."""
    zones(rapl_0=PACKAGE)
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    with _power.Power(limit_cores=-1.0) as power:
        power.rest(["fake:ok", "fake:slow"])
        account = power.account("fake:ok")
    assert slept == [_power.IDLE_S] * _power.IDLE_TRIES
    account.start()
    account.stop(10, quiet=True)
    assert "others kept the machine busy" in account.told()["energy_why"]
    assert account.lacks_s == 0


@linux
def test_a_visit_whose_slices_are_too_short_gets_a_stretch_that_is_not_timed(
    zones: Callable[..., Path], spec: Callable[..., VisitSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_power, "IDLE_S", 0.1)
    monkeypatch.setattr(_energy, "RAPL_PERIOD_S", 0.02)
    folder = zones(rapl_0=PACKAGE)
    rest = _power.Power.rest

    def then_more(power: _power.Power, targets: Any) -> None:
        rest(power, targets)
        moving.enter_context(drawing(folder, watts=25.0))

    monkeypatch.setattr(_power.Power, "rest", then_more)
    with ExitStack() as moving:
        ((_, visit),) = _crew.visits([Task("0", spec("slow"))], RULES)
    measured = visit.measured
    assert measured["idle_w"] == 0  # the counter stood still
    # Slices of some milliseconds, and a call of two and more: 25 W for two of them are 50 mJ.
    assert 0.05 < measured["energy_j"] < 0.5
    assert sum(map(sum, measured["slices_ns"])) < 0.4e9  # the stretch is not among the slices


def test_without_a_meter_no_time_is_spent(
    spec: Callable[..., VisitSpec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_energy, "POWERCAP", tmp_path / "none")
    monkeypatch.setattr(_energy, "POWERMETRICS", tmp_path / "none")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it sleeps"))
    ((_, visit),) = _crew.visits([Task("0", spec())], RULES)
    assert visit.status == "ok"
    assert not [name for name in visit.measured if name.startswith(("energy", "idle"))]


@linux
def test_devices_say_which_meters_there_are(
    zones: Callable[..., Path], call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    zones(rapl_0=PACKAGE)
    out = " ".join(call("devices", "--device", "fake:ok").out.split())
    assert "energy yes RAPL: package-0" in out
    assert "hardware counters" in out
    monkeypatch.setattr(_energy, "POWERCAP", Path("/nowhere"))
    out = " ".join(call("devices", "--device", "fake:ok").out.split())
    assert "energy no there is no energy counter in /nowhere" in out
    assert json.loads(call("devices", "--device", "fake:ok", "--json").out).keys() == {"fake:ok"}
