"""The machine that runs the visits: what it is, and how busy others keep it."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import subprocess
import time
from pathlib import Path

from paretomark.suites.records._record import Host

# Instruction sets that change which kernels a runtime takes. Virtual machines often hide which
# processor they run on: two of the same name may differ in these, and by a factor in int8.
FEATURES = (
    *("avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_bf16", "amx_int8"),
    *("neon", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2", "sme"),
)


@functools.cache
def machine() -> Host:
    """Describe this machine."""
    chip, memory = chip_name(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = os.cpu_count() or 1
    system = f"{platform.system()} {platform.machine()}"
    # Memory is rounded: firmware and kernels keep a varying part of it.
    parts = f"{chip}|{' '.join(features())}|{cores}|{round(memory / 2**30)}|{system}"
    return Host(
        fingerprint=hashlib.sha256(parts.encode()).hexdigest()[:16],
        chip=chip,
        cores=cores,
        memory_bytes=memory,
        system=f"{system} {platform.release()}",
        python=platform.python_version(),
        features=features(),
    )


@functools.cache
def chip_name() -> str:
    """Name the processor, as its maker writes it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith(("model name", "Model", "Hardware")):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return platform.processor() or platform.machine()


@functools.cache
def features() -> tuple[str, ...]:
    """List the instruction sets of FEATURES that the kernel reports; () where it reports none."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return ()
    for line in info.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return tuple(f for f in FEATURES if f in value.split())
    return ()


def busy_s() -> float | None:
    """Tell the processor time of all processes since boot, in seconds; None where none can."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, *rest = map(int, fields)
    steal = rest[0] if rest else 0
    return (user + nice + system + irq + softirq + steal) / float(os.sysconf("SC_CLK_TCK"))


def throttled_s() -> float:
    """Tell for how many seconds a cgroup quota has stopped this process's group; 0 without one."""
    for path in ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat"):
        try:
            lines = Path(path).read_text().splitlines()
        except OSError:
            continue
        table = dict(line.split() for line in lines if len(line.split()) == 2)
        if "throttled_usec" in table:
            return int(table["throttled_usec"]) / 1e6
        return int(table.get("throttled_time", 0)) / 1e9
    return 0.0


def family_s(*, children: bool) -> float:
    """Tell the processor time of this process in seconds, and of its children that live if they are
    to count: to the tick of the system clock, or nothing where it does not tell."""
    own = time.process_time()
    if not children:
        return own
    me, ticks = os.getpid(), 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since
            continue
        if int(fields[1]) == me:
            ticks += int(fields[11]) + int(fields[12])
    return own + ticks / float(os.sysconf("SC_CLK_TCK"))


def free_bytes() -> int | None:
    """Tell how much memory can be had without swapping; None where it is not told."""
    try:
        info = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    free = re.search(r"^MemAvailable:\s+(\d+) kB", info, re.MULTILINE)
    return int(free[1]) * 1024 if free else None


def resident_bytes() -> int | None:
    """Tell the resident memory of this process; None where it is not told."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(pid: int) -> int | None:
    """Tell the largest resident memory that a live process has had; None where it is not told.

    Not `ru_maxrss`: on Linux that starts from what the parent had when it started the child.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(peak[1]) * 1024 if peak else None
