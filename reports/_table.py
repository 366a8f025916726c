"""The table at the end of a run, its JSON, and how numbers and foreign text are written."""

from __future__ import annotations

import dataclasses
import itertools
import math
import unicodedata
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from paretomark.reports._row import Group, Row
from paretomark.reports._store import Run
from paretomark.suites import _tasks

if TYPE_CHECKING:
    from rich.table import Table

MAX_TEXT = 400
LEGEND = (
    "±: 95 % interval. Δ: against the dense fp32 net, on the same examples, in points; "
    "▼ lost by more than chance. ● on the front of its device, ≈ perhaps off it by chance only, "
    "with the probability to be on it; ✗ not valid, so on no front."
)


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Text from a record, fit for a terminal, a page or a plot: one line, no control codes."""
    line = " ".join(text[: 4 * limit].split())
    safe = "".join("\N{REPLACEMENT CHARACTER}" if _is_control(c) else c for c in line)
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def _is_control(character: str) -> bool:
    # C: control, format (which can reverse the reading direction), surrogate, private, unassigned
    return unicodedata.category(character).startswith("C")


def number(value: float, digits: int = 3) -> str:
    """`value` with that many significant digits, and never as 1e+03."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(0, min(places, 12))}f}".replace("-", "−")


def scaled(value: float | None, steps: Sequence[tuple[float, str]]) -> str:
    """`value` in the first unit of `steps` that it reaches; "–" for None."""
    if value is None:
        return "–"
    factor, unit = next((s for s in steps if abs(value) >= s[0] * 0.9995), steps[-1])
    return f"{number(value / factor)} {unit}".rstrip()


def seconds(value: float | None) -> str:
    """A time: `3.13 ms`."""
    return scaled(value, ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")))


def size(value: float | None) -> str:
    """Bytes: `2.83 MB`, decimal."""
    return scaled(value, ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")))


def count(value: float | None) -> str:
    """A number of things: `2.78 M`."""
    return scaled(value, ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")))


def percent(share: float | None, places: int = 1) -> str:
    """A share of one: `89.0 %`."""
    return "–" if share is None else f"{share * 100:.{places}f} %"


def points(difference: float | None, places: int = 1) -> str:
    """A difference of shares, in percentage points, with its sign: `−1.3`."""
    if difference is None:
        return "–"
    text = f"{difference * 100:+.{places}f}".replace("-", "−")
    return text[1:] if text.strip("+−0.") == "" else text


def spread(low: float | None, high: float | None) -> str:
    """The half width of an interval that is symmetric on a log scale: ` ±2.1%`, or ""."""
    if low is None or high is None or low <= 0:
        return ""
    share = math.sqrt(high / low) - 1
    return f" ±{number(share * 100, 2 if share >= 0.01 else 1)}%" if share < 10 else " ±?"


def half(low: float | None, high: float | None) -> str:
    """The half width of an interval of shares, in points: ` ±1.9`, or ""."""
    return "" if low is None or high is None else f" ±{(high - low) * 50:.1f}"


def place(group: Group) -> str:
    """Device, batch and threads, and whether it is no measurement."""
    text = f"{group.device}, batch {group.batch}, {group.threads} thread{'s'[: group.threads != 1]}"
    return clean(f"{text} ({group.simulated})" if group.simulated else text)


def standing(row: Row) -> str:
    """On the front, tied with it, or why it cannot be on one; "" if it is plainly beaten."""
    if not row.valid:
        return clean("✗ " + (", ".join(row.flags) or row.status))
    chance = "" if row.front_probability is None else f" {row.front_probability * 100:.0f} %"
    return {"front": "●" + chance, "tie": "≈" + chance}.get(row.mark, "")


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    show_all(table(rows))


def show_all(*parts: object) -> None:
    """Print to the terminal, or to a file as if it were 120 columns wide."""
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(*parts, sep="\n")


_NAMES = (attrgetter("model"), attrgetter("recipe"))


def table(rows: Sequence[Row]) -> Table:
    """What was measured, grouped by device, and below it what was not and why."""
    from rich.table import Table
    from rich.text import Text

    page = Table.grid()
    timed = sorted(
        (r for r in rows if r.latency_s is not None),
        key=lambda r: (r.simulated, r.group, r.latency_s),
    )
    if not timed:
        page.add_row(Text("Nothing was measured."))
    widths = [max((len(clean(name(r))) for r in timed), default=0) for name in _NAMES]
    for group, members in itertools.groupby(timed, key=lambda r: r.group):
        scored = clean(group.data) or f"no {_tasks.metric(group.task)}"
        page.add_row(Text(f"{place(group)} · {scored}", style="bold"))
        page.add_row(_timed(list(members), widths))
        page.add_row("")
    page.add_row(Text(LEGEND, style="dim"))
    if rest := [r for r in rows if r.status not in ("ok", "fallback") or r.latency_s is None]:
        page.add_row("")
        page.add_row(_not_measured(rest))
    return page


def _timed(rows: Sequence[Row], widths: Sequence[int]) -> Table:
    from rich.text import Text

    body = frame()
    for title, width in zip(("model", "recipe"), widths, strict=True):
        body.add_column(title, overflow="fold", min_width=min(width, 12))
    quality = f"{_tasks.metric(rows[0].task)} %"
    for title, width in ((quality, 10), ("Δ", 11), ("latency", 13), ("speed-up", 11)):
        body.add_column(title, justify="right", min_width=width)
    body.add_column("file", justify="right", min_width=7)
    zeros = any(row.zeros for row in rows)
    if zeros:
        body.add_column("zeros", overflow="fold", min_width=9)
    body.add_column("front", overflow="fold", min_width=8)
    for row in rows:
        gain = "–" if row.speedup is None else number(row.speedup) + "×"
        cells = (
            Text(clean(row.model)),
            Text(clean(row.recipe)),
            Text(_accuracy(row)),
            Text(_delta(row), style="red" if row.loss else ""),
            Text(seconds(row.latency_s) + spread(row.latency_low_s, row.latency_high_s)),
            Text("dense" if row.dense else gain + spread(row.speedup_low, row.speedup_high)),
            Text(size(row.artifact_bytes)),
            *([Text(row.zeros)] if zeros else []),
            Text(standing(row), style="green" if row.on_front else ""),
        )
        body.add_row(*cells, style="" if row.valid else "dim")
    return body


def frame() -> Table:
    """An empty table in the style of all."""
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)


def _accuracy(row: Row) -> str:
    if row.accuracy is None:
        return "–"
    return f"{row.accuracy * 100:.1f}{half(row.accuracy_low, row.accuracy_high)}"


def _delta(row: Row) -> str:
    if row.delta is None:
        return "–"
    return points(row.delta) + half(row.delta_low, row.delta_high) + (" ▼" if row.loss else "")


def reasons(rows: Sequence[Row]) -> list[tuple[str, str, str, list[str]]]:
    """Status, stage, reason and the cells that share them, in the order of the plan."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        group = (row.status, clean(row.stage), clean(row.reason))
        found.setdefault(group, []).append(clean(row.cell))
    return [(*group, cells) for group, cells in found.items()]


def _not_measured(rows: Sequence[Row]) -> Table:
    from rich.text import Text

    body = frame()
    for title in ("not measured", "stage", "cells", "reason"):
        body.add_column(title, overflow="fold")
    for status, stage, reason, cells in reasons(rows):
        named = "\n".join(cells[:6]) + (f"\nand {len(cells) - 6} more" if len(cells) > 6 else "")
        body.add_row(Text(status, style="red"), Text(stage), Text(named), Text(reason))
    return body


def as_json(run: Run, rows: Sequence[Row]) -> dict[str, Any]:
    """The run and its rows as plain JSON values: what --json prints."""
    return {
        "run": run.header.to_json(),
        "rows": [dataclasses.asdict(r) | {"valid": r.valid, "mark": r.mark} for r in rows],
    }
