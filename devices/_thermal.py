"""How fast and how warm the processor is at this moment, where Linux says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys")
# Parts of the names of the zones that are the processor's own, as its drivers call them.
OWN = ("cpu", "pkg", "core", "soc", "k10temp", "tctl")
LIKELY_C = range(-40, 151)  # a sensor that is not connected tells other numbers


def clock_mhz(root: Path = ROOT) -> int | None:
    """Tell the clock of the fastest processor, in MHz; None where it is not told, as in most
    virtual machines. The others may be idle."""
    files = root.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    return max((khz // 1000 for khz in _numbers(files)), default=None)


def temperature_c(root: Path = ROOT) -> int | None:
    """Tell the temperature of the processor in °C, of several sensors the highest; None where no
    zone is plainly its own."""
    zones = (
        zone / "temp"
        for zone in root.glob("class/thermal/thermal_zone*")
        if any(part in _text(zone / "type").lower() for part in OWN)
    )
    return max((c for m in _numbers(zones) if (c := m // 1000) in LIKELY_C), default=None)


def _numbers(files: Iterator[Path]) -> Iterator[int]:
    for file in files:
        text = _text(file)
        if text.removeprefix("-").isdecimal():
            yield int(text)


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError):  # a sensor may be off
        return ""
