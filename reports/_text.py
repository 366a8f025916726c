"""How numbers, foreign text and facts of rows are written, on a terminal and elsewhere."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import Protocol

from paretomark.suites.records._front import Hypervolume
from paretomark.suites.records._record import CALL, INFERENCE, Record
from paretomark.suites.records._row import Group, Row
from paretomark.suites.spec._scenario import BATCH, COLD, SERVER, SUSTAINED

MAX_TEXT = 400
WIDEST = 0.30  # half width of an interval
UNKNOWN = "not measured well enough"
SITUATIONS = {  # scenarios in words; the usual one needs none
    BATCH: "batches",
    SERVER: "server",
    COLD: "cold: from the start of a process to its first answer",
    SUSTAINED: "sustained: the last third of a visit",
}


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Make text from a record fit for a terminal, a page or a plot: one line, no control codes."""
    line = " ".join(text[: 4 * limit].split())
    safe = "".join("\N{REPLACEMENT CHARACTER}" if _is_control(c) else c for c in line)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def _is_control(character: str) -> bool:
    # C: control, format (which can reverse the reading direction), surrogate, private, unassigned
    return unicodedata.category(character).startswith("C")


def number(value: float, digits: int = 3) -> str:
    """Write `value` with that many significant digits, and never as 1e+03."""
    if abs(value) < 1e-12:  # of which that many places show nothing
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(0, min(places, 12))}f}".replace("-", "−")


def scaled(value: float | None, steps: Sequence[tuple[float, str]]) -> str:
    """Write `value` in the first unit of `steps` that it reaches; "–" for None."""
    if value is None:
        return "–"
    factor, unit = next((s for s in steps if abs(value) >= s[0] * 0.9995), steps[-1])
    return f"{number(value / factor)} {unit}".rstrip()


def seconds(value: float | None) -> str:
    """Write a time: `3.13 ms`."""
    return scaled(value, ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")))


def joules(value: float | None) -> str:
    """Write an energy: `3.13 mJ`."""
    return scaled(value, ((1, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")))


def size(value: float | None) -> str:
    """Write a number of bytes: `2.83 MB`, decimal."""
    return scaled(value, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")))


def count(value: float | None) -> str:
    """Write a number of things: `2.78 M`."""
    return scaled(value, ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")))


def cores(number: int) -> str:
    """Write a number of cores; runs that were imported may not tell it."""
    return f"{number} core{'s'[: number != 1]}" if number else "cores not told"


def percent(share: float | None, places: int = 1) -> str:
    """Write a share of one: `89.0 %`."""
    return "–" if share is None else f"{share * 100:.{places}f} %"


def points(difference: float | None, places: int = 1) -> str:
    """Write a difference of shares, in percentage points, with its sign: `−1.3`."""
    if difference is None:
        return "–"
    text = f"{difference * 100:+.{places}f}".replace("-", "−")
    return text[1:] if text.strip("+−0.") == "" else text


def known(low: float | None, high: float | None) -> bool:
    """Tell whether an interval is narrow enough to print what it is of: ±30 % at most.

    Where there is none, as of a single visit, there is no claim that it would be of.
    """
    return low is None or high is None or (low > 0 and math.sqrt(high / low) - 1 <= WIDEST)


def precision(rows: Sequence[Row], wanted: float) -> str:
    """Say how many latencies are not known as they were to be, and whether they are old; "" if
    there is nothing to say."""
    measured = [row for row in rows if row.latency_low_s and row.latency_high_s]
    ends = [(row.latency_low_s or 1, row.latency_high_s or 1) for row in measured]
    wide = sum(math.sqrt(high / low) - 1 > wanted for low, high in ends)
    told = []
    if wide:
        told.append(
            f"{wide} of {len(measured)} latencies are not known to ±{number(wanted * 100, 2)} %: "
            "give the run more time (--time 10m), or the machine less else to do."
        )
    if any(row.sequential for row in rows):
        told.append("Sequential: visits were timed in one stretch each, by an older version.")
    return " ".join(told)


def spread(low: float | None, high: float | None) -> str:
    """Write the half width of an interval that is symmetric on a log scale: ` ±2.1%`, or ""."""
    if low is None or high is None or low <= 0:
        return ""
    share = math.sqrt(high / low) - 1
    return f" ±{number(share * 100, 2 if share >= 0.01 else 1)}%" if share < 10 else " ±?"


def about(low: float | None, high: float | None) -> str:
    """Write the half width of an interval that is symmetric, as a share of its middle, or ""."""
    if low is None or high is None or low + high <= 0:
        return ""
    share = (high - low) / (high + low)
    return f" ±{number(share * 100, 2 if share >= 0.01 else 1)}%"


def half(low: float | None, high: float | None) -> str:
    """Write the half width of an interval of shares, in points: ` ±1.9`, or ""."""
    return "" if low is None or high is None else f" ±{(high - low) * 50:.1f}"


BOUNDARY = {
    CALL: "the call, from handing over the inputs to having the answers",
    INFERENCE: "the inference alone, without handing over inputs and fetching answers",
}


def hypervolume(found: Hypervolume) -> str:
    """Write the area that a front dominates, its interval, and from which corner it is measured."""
    ends = (
        ""
        if found.low is None or found.high is None
        else (f" [{number(found.low)}, {number(found.high)}]")
    )
    corner = f"{seconds(found.reference.latency_s)} and {percent(found.reference.accuracy, 0)}"
    return f"hypervolume {number(found.value)}{ends}, accuracy × doublings of speed from {corner}"


class Marked(Protocol):
    """What says of a latency where it is from: a row, a group, a verdict."""

    @property
    def simulated(self) -> str: ...
    @property
    def imported(self) -> str: ...


def origin(row: Marked) -> str:
    """Say what a latency is that was not measured here: predicted, or imported; "" for others."""
    by = f"imported from {row.imported}" if row.imported else ""
    return clean(", ".join(filter(None, (row.simulated, by))))


def place_label(group: Group) -> str:
    """Name a place: device, batch, threads, length and scenario, and whether it is no
    measurement."""
    threads = f"{group.threads} thread{'s'[: group.threads != 1]}"
    text = (
        f"{group.device}, batch {group.batch}, {threads if group.threads else 'threads not told'}"
    )
    text += f", length {group.length}" if group.length else ""
    text += f", {group.boundary} alone" if group.boundary != CALL else ""
    text += f", {SITUATIONS[group.scenario]}" if group.scenario in SITUATIONS else ""
    return clean(f"{text} ({origin(group)})" if origin(group) else text)


def served(row: Row) -> str:
    """Write what a server reached: its p99 at each rate, and its highest rate."""
    told = [f"p99 {seconds(s)} at {rate}/s" for rate, s in row.server_p99_s.items()]
    told += [f"highest rate {count(row.best_rate)}/s"] if row.best_rate else []
    return ", ".join(told) or "no rate"


def front_note(row: Row) -> str:
    """Say "on the front", "tied with it", or why it cannot be on one; "" if plainly beaten."""
    if not row.valid:
        return clean("✗ " + (", ".join(row.flags) or row.status))
    if row.broken:
        return "✗ broken"
    chance = "" if row.front_probability is None else f" {row.front_probability * 100:.0f} %"
    return {"front": "●" + chance, "tie": "≈" + chance}.get(row.mark, "")


def reasons(rows: Sequence[Row]) -> list[tuple[str, str, str, list[str]]]:
    """Group cells by what kept them from a result: status, stage, reason, and the cells."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        why = (row.status, clean(row.stage), clean(row.reason))
        groups.setdefault(why, []).append(clean(row.cell))
    return [(*why, cells) for why, cells in groups.items()]


GUESS = (
    "no better than answers that look at no input (chance), for all one knows: on no front, and no "
    "speed-up of it is worth a word"
)


def warnings(rows: Sequence[Row | Record]) -> list[tuple[str, list[str]]]:
    """Group cells by what has to be known of them: a warning, and the cells that it is of."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        guess = (GUESS,) if isinstance(row, Row) and row.guesses else ()
        for warning in (*filter(None, [row.broken]), *guess, *row.warnings):
            groups.setdefault(clean(warning), []).append(clean(row.cell))
    return list(groups.items())


def some(cells: Sequence[str], most: int) -> str:
    """List cells, one a line, at most so many."""
    more = [f"and {len(cells) - most} more"] if len(cells) > most else []
    return "\n".join([*cells[:most], *more])
