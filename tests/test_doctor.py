"""What the doctor sees in /proc and /sys: of good machines, of bad ones, and in hostile files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paretomark.devices.measure import _doctor
from paretomark.devices.measure._doctor_settings import Finding

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

Files = Mapping[str, str | bytes]
CPU = "sys/devices/system/cpu"
ME = 77


def process(name: str, ticks: int) -> str:
    return f"1 ({name}) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 5 0 0\n"


def stat(busy: int, idle: int, steal: int = 0) -> str:
    return f"cpu  {busy} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 1 1\ncpu1 1 1\nintr 5\n"


# A machine with two cores that does nothing, set up for measuring.
GOOD: Files = {
    "proc/stat": stat(1000, 5000),
    "proc/10/stat": process("sleeper", 50),
    f"proc/{ME}/stat": process("python", 50),
    "proc/vmstat": "nr_free_pages 1\npswpin 7\n",
    "proc/self/cgroup": "0::/user.slice\n",
    "proc/self/status": "Name:\tpython\nCpus_allowed_list:\t0-1\n",
    "proc/1/cgroup": "0::/init.scope\n",
    "proc/cpuinfo": "flags\t\t: fpu sse avx2\n",
    "proc/meminfo": "MemTotal: 1 kB\nSwapTotal:  1024000 kB\nSwapFree:  1024000 kB\n",
    "proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00\n",
    "proc/sys/kernel/randomize_va_space": "2\n",
    "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
    "sys/fs/cgroup/user.slice/cpu.stat": "usage_usec 5\nnr_throttled 0\nthrottled_usec 0\n",
    "sys/class/power_supply/AC/type": "Mains\n",
    "sys/class/thermal/thermal_zone0/temp": "45000\n",
    "sys/class/thermal/thermal_zone0/trip_point_0_temp": "95000\n",
    "sys/class/thermal/thermal_zone0/trip_point_0_type": "passive\n",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    f"{CPU}/intel_pstate/no_turbo": "1\n",
    f"{CPU}/smt/active": "0\n",
    **{
        f"{CPU}/cpu{n}/{name}": text
        for n in (0, 1)
        for name, text in {
            "cpufreq/scaling_governor": "performance\n",
            "cpufreq/scaling_cur_freq": "3000000\n",
            "cpufreq/cpuinfo_max_freq": "3000000\n",
            "cpufreq/scaling_max_freq": "3000000\n",
            "thermal_throttle/core_throttle_count": "0\n",
            "topology/core_id": f"{n}\n",
            "topology/physical_package_id": "0\n",
        }.items()
    },
}
SECOND_LATER: Files = {"proc/stat": stat(1001, 5199)}  # 100 ticks of each processor


def write(root: Path, files: Files) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def look(root: Path, before: Files, after: Files = SECOND_LATER) -> dict[str, Finding]:
    """What is found where files are so before, and so a second later."""
    write(root, before)
    found = _doctor.look(root, lambda seconds: write(root, after), ME)
    assert len({f.name for f in found}) == len(found)
    return {f.name: f for f in found}


def test_a_machine_that_is_set_up_well_is_told_to_be(tmp_path: Path) -> None:
    found = look(tmp_path, GOOD)
    assert {name: f.seen for name, f in found.items() if f.state != "ok"} == {}
    assert len(found) == 17


@pytest.mark.parametrize(
    ("name", "state", "before", "after", "seen"),
    [
        ("governor", "warn", {f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave"}, {},
         "powersave on 1"),
        ("turbo", "note", {f"{CPU}/intel_pstate/no_turbo": "0"}, {}, "on"),
        ("clock", "warn", {f"{CPU}/cpu1/cpufreq/scaling_cur_freq": "1200000"}, {}, "1.20 to 3.00"),
        ("clock", "note", {f"{CPU}/cpu0/cpufreq/scaling_max_freq": "2000000"}, {}, "2.00 allowed"),
        ("hyper-threading", "note", {f"{CPU}/smt/active": "1"}, {}, "share a core"),
        ("processors", "note", {"proc/self/status": "Cpus_allowed_list: 1"}, {}, "1 may be used"),
        ("load of others", "warn", {}, {"proc/stat": stat(1120, 5080)}, "1.20 cores"),
        ("load of others", "note", {}, {"proc/stat": stat(1030, 5170)}, "0.30 cores"),
        ("steal", "warn", {}, {"proc/stat": stat(1000, 5190, 10)}, "5.0%"),
        ("steal", "note", {}, {"proc/stat": stat(1000, 5199, 1)}, "0.5%"),
        ("neighbours", "warn", {}, {"proc/10/stat": process("spinner", 150)}, "spinner 100%"),
        ("neighbours", "note", {}, {"proc/10/stat": process("poller", 60)}, "poller 10%"),
        ("quota", "warn", {"sys/fs/cgroup/user.slice/cpu.max": "50000 100000"}, {}, "0.5 of 2"),
        ("quota", "note", {"sys/fs/cgroup/cpu.max": "400000 100000"}, {}, "4 of 2"),
        ("stops by a quota", "note",
         {"sys/fs/cgroup/user.slice/cpu.stat": "nr_throttled 3\nthrottled_usec 2500000\n"}, {},
         "3 times so far, 2.5 s"),
        ("stops by a quota", "warn", {},
         {"sys/fs/cgroup/user.slice/cpu.stat": "nr_throttled 1\nthrottled_usec 90000\n"},
         "right now"),
        ("memory pressure", "warn",
         {"proc/pressure/memory": "some avg10=12.50 avg60=1.00 avg300=0.10 total=9\n"}, {},
         "12.5 %"),
        ("memory pressure", "note",
         {"proc/pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.10 total=9\n"}, {},
         "0.1 %"),
        ("swap", "note", {"proc/meminfo": "SwapTotal: 20480 kB\nSwapFree: 10240 kB\n"}, {},
         "10 MiB"),
        ("swap", "warn", {}, {"proc/vmstat": "pswpin 19\n"}, "12 pages came back"),
        ("heat", "warn", {"sys/class/thermal/thermal_zone0/temp": "92000"}, {}, "92 °C"),
        ("heat", "warn", {}, {f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "4"},
         "right now"),
        ("heat", "note", {f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "4"}, {}, "4 times"),
        ("huge pages", "note",
         {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}, {}, "always"),
        ("address layout", "note", {"proc/sys/kernel/randomize_va_space": "0"}, {}, "the same"),
        ("power", "warn", {"sys/class/power_supply/BAT0/type": "Battery",
                           "sys/class/power_supply/BAT0/status": "Discharging"}, {}, "on battery"),
        ("place", "note", {"proc/cpuinfo": "flags : fpu hypervisor avx2\n"}, {}, "virtual machine"),
        ("place", "note", {"proc/1/cgroup": "0::/system.slice/docker-ab.scope"}, {}, "a container"),
        ("place", "note", {".dockerenv": ""}, {}, "a container"),
    ],
)  # fmt: skip
def test_each_thing_that_is_bad_is_told_and_nothing_else(
    tmp_path: Path, name: str, state: str, before: Files, after: Files, seen: str
) -> None:
    found = look(tmp_path, {**GOOD, **before}, {**SECOND_LATER, **after})
    assert found[name].state == state
    assert seen in found[name].seen
    assert found[name].means
    assert found[name].remedy
    assert {f.name for f in found.values() if f.state != "ok"} == {name}


def test_remedies_are_commands_for_what_was_seen(tmp_path: Path) -> None:
    found = look(tmp_path, {**GOOD, f"{CPU}/cpufreq/boost": "1\n"})
    assert found["governor"].remedy == "sudo cpupower frequency-set -g performance"
    assert found["turbo"].remedy == f"echo 1 | sudo tee /{CPU}/intel_pstate/no_turbo"
    (tmp_path / f"{CPU}/intel_pstate/no_turbo").unlink()
    amd = {f.name: f for f in _doctor.look(tmp_path, lambda seconds: None, ME)}["turbo"]
    assert (amd.state, amd.remedy) == ("note", f"echo 0 | sudo tee /{CPU}/cpufreq/boost")


def test_the_quota_of_a_group_of_the_older_kind(tmp_path: Path) -> None:
    old = {name: text for name, text in GOOD.items() if "cgroup" not in name}
    group = "sys/fs/cgroup/cpu,cpuacct/docker/ab"
    found = look(
        tmp_path,
        {
            **old,
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n",
            f"{group}/cpu.cfs_quota_us": "150000\n",
            f"{group}/cpu.cfs_period_us": "100000\n",
            f"{group}/cpu.stat": "nr_periods 9\nnr_throttled 2\nthrottled_time 3000000000\n",
        },
    )
    assert (found["quota"].state, found["quota"].seen[:8]) == ("warn", "1.5 of 2")
    assert found["stops by a quota"].seen == "2 times so far, 3.0 s"


def test_what_measures_is_no_neighbour_of_itself(tmp_path: Path) -> None:
    after = {"proc/stat": stat(1100, 5100), f"proc/{ME}/stat": process("python", 150)}
    found = look(tmp_path, GOOD, after)
    assert found["neighbours"].state == found["load of others"].state == "ok"


@pytest.mark.parametrize("root", ["nothing", "here"])
def test_where_nothing_is_told_all_is_unknown_with_a_reason(tmp_path: Path, root: str) -> None:
    """As on macOS and Windows."""
    found = _doctor.look(tmp_path / root if root == "nothing" else tmp_path, lambda seconds: None)
    assert {f.state for f in found} == {"unknown"}
    assert all(f.seen for f in found)


HOSTILE = {
    "empty": b"",
    "binary": bytes(range(256)) * 40,
    "huge": b"9" * 400_000,
    "long lines": b"cpu " + b"1 " * 200_000,
    "negative": b"-1\n",
    "words": b"some avg10=nan avg300=inf\ncpu  a b c d\n",
    "many brackets": b")" * 100_000 + b"(" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_told_never_raised(tmp_path: Path, text: bytes) -> None:
    found = look(tmp_path, dict.fromkeys(GOOD, text), {})
    assert "unknown" in {f.state for f in found.values()}
    assert all(len(f.seen) < 1000 for f in found.values())
    for name in GOOD:  # each alone among good ones
        write(tmp_path, {**GOOD, name: text})
        assert len(_doctor.look(tmp_path, lambda seconds: None, ME)) == len(found)


def test_pipes_and_folders_in_place_of_files_are_unknown(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    for name in ("proc/meminfo", "proc/stat"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
    (tmp_path / "proc/sys/kernel/randomize_va_space").unlink()
    (tmp_path / "proc/sys/kernel/randomize_va_space").mkdir()
    found = {f.name: f for f in _doctor.look(tmp_path, lambda seconds: None, ME)}
    for name in ("swap", "steal", "address layout"):
        assert found[name].state == "unknown"
        assert found[name].seen.startswith("/proc/")


def test_the_name_of_a_process_does_nothing_to_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., Called]
) -> None:
    write(tmp_path, GOOD)
    name = "\x1b[31mred\x07) ("
    later = {**SECOND_LATER, "proc/10/stat": process(name, 150)}
    seen = _doctor.look(tmp_path, lambda seconds: write(tmp_path, later), ME)
    monkeypatch.setattr(_doctor, "look", lambda: seen)
    result = call("doctor", "--look")
    assert result.code == 0
    assert "red" in result.out
    assert "\x1b" not in result.out
    assert "\x07" not in result.out


def test_it_looks_at_the_machine_that_it_is_on(call: Callable[..., Called]) -> None:
    result = call("doctor", "--no-aa", "--json")
    assert result.code == 0
    told = json.loads(result.out)
    assert told["equal_cells"] is None
    assert {f["state"] for f in told["findings"]} <= {"ok", "note", "warn", "unknown"}
    assert all(f["seen"] for f in told["findings"])
