"""What a profile says in words: what it is of, and what a reader must know of its numbers."""

from __future__ import annotations

import json

from paretomark.devices.measure._profile import Profile
from paretomark.reports import _operator_lines
from paretomark.reports._text import clean, number, percent, seconds, size

BEYOND = 1.2  # of the peak in float32: more than its own error
NOTICEABLE = 0.10  # of the latency: a gap of more than that is put into words


def title(profile: Profile) -> str:
    """Name what was profiled."""
    cell = profile.cell
    return clean(f"{cell.model.name} · {cell.recipe.name} · {cell.device}")


def tag(profile: Profile) -> str:
    """Say in a word what kind of numbers these are."""
    return clean(profile.simulated or "profiled")


def warning(profile: Profile) -> str:
    """Say why these are no latencies."""
    if profile.simulated:
        return "By a model of the chip, which is not here: nothing of this was measured."
    return "Times under a profiler, which slows what it watches: good for shares, not for a run."


def place(profile: Profile) -> str:
    """Name batch, threads and length; a file has the batch that it has."""
    cell = profile.cell
    batch = "" if cell.model.file else f"batch {cell.batch}, "
    length = f", length {cell.length}" if cell.length else ""
    return f"{batch}{cell.threads} thread{'s'[: cell.threads != 1]}{length}"


def lineage(profile: Profile) -> str:
    """Say from which weights the file came, by which steps and tools."""
    table, recipe = json.loads(profile.artifact.lineage), profile.cell.recipe
    parent = table["parent"]
    steps = [parent.get("net") or parent["file"], recipe.label, recipe.precision]
    tools = ", ".join(f"{k} {v}" for k, v in table.get("versions", {}).items())
    made = f"; {tools}" if tools else ""
    return f"{' > '.join(filter(None, steps))} (from sha256 {parent['sha256'][:12]}{made})"


def gap(profile: Profile) -> str:
    """Name what lies between the latency and the sum of the operators; "" if nothing does."""
    ns = profile.gap_ns
    return "outside operators" if ns > 0 else "profiling overhead" if ns else ""


def roofs(profile: Profile) -> str:
    """Say what the machine does at best, or why there is no roofline."""
    peaks = profile.peaks
    if peaks is None or no_roofline(profile):
        return no_roofline(profile)
    return (
        f"This machine's peaks with {peaks.threads} thread{'s'[: peaks.threads != 1]}: "
        f"{giga(peaks.flop_per_s)} GFLOP/s (float32 matrix product, {peaks.blas}), "
        f"{giga(peaks.byte_per_s)} GB/s (STREAM {peaks.kernel}, arrays of "
        f"{size(peaks.array_bytes)})."
    )


def no_roofline(profile: Profile) -> str:
    """Say why there is no roofline; "" if there is one."""
    measured, device = profile.visit.measured, profile.cell.device
    if not measured["on_host"]:
        return f"No roofline: it is drawn for this machine's processor, and {device} is not it."
    if profile.peaks is None:
        return f"No roofline: this machine's peaks were not measured: {measured['no_peaks']}"
    lines = _operator_lines.lines(profile.operators)
    if not any(line.flop_per_s and line.flop_per_byte for line in lines):
        return f"No roofline: {device} tells of no operator both its multiplications and bytes."
    return ""


def remarks(profile: Profile) -> list[str]:
    """Say what a reader must know of these numbers, in sentences."""
    cell, measured, said = profile.cell, profile.visit.measured, []
    if profile.visit.status == "fallback":
        units = ", ".join(f"{unit} ({n})" for unit, n in measured["placement"].items() if n)
        said.append(f"Not as {cell.device} says: runs on {units}, not on {measured['home']}.")
    if profile.visit.flags:
        said.append(f"These times are not to be trusted: {', '.join(profile.visit.flags)}.")
    if profile.peaks and cell.recipe.precision == "fp32":
        lines = _operator_lines.lines(profile.operators)
        fastest = max((line.flop_per_s or 0 for line in lines), default=0)
        if fastest > BEYOND * profile.peaks.flop_per_s:
            said.append(
                "Operators are faster than the flat roof: the machine was busy when that was "
                "measured, or they are too short for the profiler's clock."
            )
    if abs(profile.gap_ns) > NOTICEABLE * profile.latency_ns:
        said.append(_about_gap(profile.gap_ns, profile.latency_ns))
    return said


def _about_gap(ns: float, latency_ns: float) -> str:
    much = f"{seconds(abs(ns) / 1e9)}, {percent(abs(ns) / latency_ns)} of the latency"
    if ns > 0:
        return f"{much}, is outside operators: in copies, and in the runtime between operators."
    return (
        f"Under the profiler, operators take {much}, more than the whole call without it: that is "
        "the profiler's own time, unless operators ran side by side or the machine was busy."
    )


def giga(value: float | None) -> str:
    """Write a rate in billions, such as GFLOP/s; "–" for None."""
    return "–" if value is None else number(value / 1e9)
