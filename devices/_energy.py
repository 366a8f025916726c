"""What the machine, or a GPU, has used of energy so far: one source for each kind of meter.

    "host"     RAPL, the counters of Intel's and AMD's processors, as Linux shows them in
               /sys/class/powercap (docs.kernel.org/power/powercap): the packages, and memory where
               it is counted by itself. On macOS `powermetrics`: processor, GPU and Neural Engine.
    "nvidia"   NVML's total of a GPU, see `_nvidia.py`

A counter moves in steps, `period_s` apart: what is read from a stretch not much longer than that
is chance. The kernel's RAPL moves every millisecond; NVML's readings are renewed after 20 to 100 ms
(Yang, Adamek and Armour, SC24); `powermetrics` is told how often.

Written to these documents, and tried on recorded files: no such meter was there when it was made.
"""

from __future__ import annotations

import math
import os
import plistlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from paretomark.devices import _nvidia
from paretomark.devices._device import Unavailable

POWERCAP = Path("/sys/class/powercap")
POWERMETRICS = Path("/usr/bin/powermetrics")
RAPL_PERIOD_S, NVML_PERIOD_S, POWERMETRICS_PERIOD_S = 0.001, 0.1, 0.1
FIRST_S = 5.0  # that powermetrics may take until its first sample
GRACE_S = 2.0  # to end by itself
_UNITS_MW = ("cpu_power", "gpu_power", "ane_power")
_UNITS_MJ = ("cpu_energy", "gpu_energy", "ane_energy")


class Lost(Exception):
    """A meter that has told something tells nothing any more."""


@dataclass(frozen=True)
class Source:
    """A meter: what it is called, how often it moves, and how many joules were used so far, from
    anywhere on; that raises Lost."""

    name: str
    period_s: float
    joules: Callable[[], float]


def source(kind: str) -> AbstractContextManager[Source]:
    """Open the meter of a kind, "host" or "nvidia". Entering it raises Unavailable."""
    if kind == "nvidia":
        return _gpu()
    if kind != "host":
        return _unknown(kind)
    return _powermetrics() if sys.platform == "darwin" else _rapl()


@contextmanager
def _unknown(kind: str) -> Iterator[Source]:
    raise Unavailable(
        f"there is no meter '{kind}'", 'METERS of an adapter may say "host", "nvidia"'
    )
    yield


@contextmanager
def _gpu() -> Iterator[Source]:
    with _nvidia.energy() as told:
        last_j = 0.0

        def joules() -> float:
            nonlocal last_j
            used_j = told()
            if used_j is None or used_j < last_j:
                raise Lost("NVML does not tell the energy any more, or from 0 on again")
            last_j = used_j
            return used_j

        yield Source("NVML: GPU", NVML_PERIOD_S, joules)


@dataclass
class _Zone:
    """A counter of microjoules, which begins anew when it has reached its range."""

    folder: Path
    name: str
    range_uj: int
    last_uj: int
    used_uj: int = field(default=0)

    def advance(self) -> int:
        """Tell the microjoules since it was opened."""
        now_uj = _number(self.folder / "energy_uj")
        step_uj = now_uj - self.last_uj
        if step_uj < 0:
            step_uj += self.range_uj
        if step_uj < 0:
            raise Lost(f"{self.folder.name} runs backwards, and does not tell its range")
        self.last_uj, self.used_uj = now_uj, self.used_uj + step_uj
        return self.used_uj


@contextmanager
def _rapl() -> Iterator[Source]:
    try:
        zones = [zone for folder in _packages() for zone in _zones(folder)]
    except PermissionError:
        raise Unavailable(
            "only root may read the energy counters (Linux 5.10 and later)",
            f"sudo chmod a+r {POWERCAP}/intel-rapl:*/energy_uj, until the next start of the "
            "machine; on one that others use too it lets them see what yours computes "
            "(CVE-2020-8694)",
        ) from None
    except (OSError, ValueError, Lost) as error:
        why = f"the energy counters in {POWERCAP} cannot be read: {error}"
        raise Unavailable(why, "look at what the kernel's log says of intel_rapl") from None
    if not zones:
        why = f"there is no energy counter in {POWERCAP}"
        remedy = (
            "modprobe intel_rapl_msr (Intel from 2011, AMD from Zen on); virtual ones have none"
        )
        raise Unavailable(why, remedy)

    def joules() -> float:
        try:
            return sum(zone.advance() for zone in zones) / 1e6
        except (OSError, ValueError) as error:
            raise Lost(f"an energy counter cannot be read any more: {error}") from None

    yield Source(f"RAPL: {', '.join(zone.name for zone in zones)}", RAPL_PERIOD_S, joules)


def _packages() -> list[Path]:
    """The zones of whole processors: not `psys`, which holds them, nor intel-rapl-mmio, which
    counts them a second time."""
    try:
        folders = sorted(p for p in POWERCAP.iterdir() if p.name.startswith("intel-rapl:"))
    except OSError:
        return []
    tops = [folder for folder in folders if folder.name.count(":") == 1]
    return [folder for folder in tops if _text(folder / "name").startswith("package")]


def _zones(package: Path) -> Iterator[_Zone]:
    """A package, and its memory, which it does not hold; cores and graphics it does."""
    name = _text(package / "name")
    yield _zone(package, name)
    for part in sorted(POWERCAP.glob(f"{package.name}:*")):
        if _text(part / "name") == "dram":
            yield _zone(part, f"dram of {name}")


def _zone(folder: Path, name: str) -> _Zone:
    try:
        range_uj = _number(folder / "max_energy_range_uj")
    except (FileNotFoundError, Lost):
        range_uj = 0
    return _Zone(folder, name, range_uj, _number(folder / "energy_uj"))


def _text(file: Path) -> str:
    return file.read_text().strip()


def _number(file: Path) -> int:
    number = int(_text(file))
    if number < 0:
        raise Lost(f"{file} holds {number}")
    return number


@contextmanager
def _powermetrics() -> Iterator[Source]:
    if not POWERMETRICS.exists():
        raise Unavailable("there is no powermetrics on this machine", "it comes with macOS")
    if os.geteuid() != 0:
        raise Unavailable("only root may run powermetrics", "start bench.py with sudo")
    period_ms = str(round(1000 * POWERMETRICS_PERIOD_S))
    command = [str(POWERMETRICS), "--samplers", "cpu_power,gpu_power,ane_power"]
    command += ["--sample-rate", period_ms, "--format", "plist", "--buffer-size", "0"]
    # A file takes what a pipe, which nobody empties while a visit runs, would not.
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        try:
            samples = Samples(out)
            until = time.monotonic() + FIRST_S
            while not samples.joules() and process.poll() is None and time.monotonic() < until:
                time.sleep(POWERMETRICS_PERIOD_S)
            if not samples.joules():
                raise Unavailable("powermetrics tells no power", f"see: {' '.join(command)}")
            yield Source("powermetrics: CPU, GPU, ANE", POWERMETRICS_PERIOD_S, samples.joules)
        finally:
            process.terminate()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Samples:
    """What `powermetrics --format plist` writes: property lists, with a zero byte between them."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at, self._rest, self._used_j = file, 0, b"", 0.0

    def joules(self) -> float:
        """Tell the joules of all samples that are written as a whole."""
        # The writer has the same place in the file, so that is not moved.
        while part := os.pread(self._file.fileno(), 1 << 20, self._at):
            self._at += len(part)
            self._rest += part
        *whole, last = self._rest.split(b"\0")
        if last.rstrip().endswith(b"</plist>"):
            whole, last = [*whole, last], b""
        self._rest = last
        self._used_j += sum(sample_j(text) for text in whole if text.strip())
        return self._used_j


def sample_j(text: bytes) -> float:
    """Return the joules of one sample of powermetrics. Raise Lost if it does not tell them."""
    try:
        told = plistlib.loads(text)
        processor, elapsed_s = told["processor"], float(told["elapsed_ns"]) / 1e9
        if powers := [float(processor[unit]) for unit in _UNITS_MW if unit in processor]:
            used_j = sum(powers) / 1e3 * elapsed_s
        elif "package_watts" in processor:  # of Intel's
            used_j = float(processor["package_watts"]) * elapsed_s
        else:
            used_j = sum(float(processor[unit]) for unit in _UNITS_MJ) / 1e3
    except Exception as error:  # plistlib raises what its parsers raise
        raise Lost(f"powermetrics wrote what is no sample: {error}") from None
    if not math.isfinite(used_j) or used_j < 0:
        raise Lost(f"powermetrics tells {used_j} J")
    return used_j
