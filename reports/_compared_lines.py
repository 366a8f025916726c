"""A comparison as lines of text, which the terminal, Markdown and the page share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from paretomark.reports import _text
from paretomark.reports._compared import ORDER, Compared
from paretomark.reports._outcome import Finding
from paretomark.reports._verdicts import Verdict
from paretomark.suites.records._moved import Moved, Point

TITLES = (
    "verdict",
    "cell",
    "latency",
    "change [95 %]",
    "detectable",
    "tail",
    "Δ accuracy",
    "file",
)
SAME_FILE = "same file"
MOST_POINTS = 5  # of a front, that are named


def ordered(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Give the cells that are compared, what changed first: latency, or what else is a claim."""
    compared = [v for v in verdicts if v.answer != "not compared"]
    return sorted(
        compared,
        key=lambda v: (
            v.answer not in ORDER[:2],
            not (v.accuracy_answer or v.tail_answer),
            v.same_file,
            ORDER.index(v.answer),
            -abs(math.log(v.ratio or 1)),
        ),
    )


def is_change(v: Verdict) -> bool:
    """Tell whether something of a cell is proven to have changed."""
    return bool(v.answer in ("slower", "faster") or v.accuracy_answer or v.tail_answer)


def line(v: Verdict) -> tuple[str, ...]:
    """Write a verdict in the columns of TITLES."""
    change = accuracy = tail = "–"
    if v.ratio is not None:
        change = f"{_text.points(v.ratio - 1)} %"
    if v.ratio_low and v.ratio_high:
        change += f" [{_text.points(v.ratio_low - 1)}, {_text.points(v.ratio_high - 1)}]"
    if v.accuracy_change is not None:
        accuracy = _text.points(v.accuracy_change) + _text.half(v.accuracy_low, v.accuracy_high)
        accuracy = " ".join(filter(None, (accuracy, v.accuracy_answer, v.metric)))
    if v.tail is not None:
        tail = f"{_text.points(v.tail, 0)} % {v.tail_answer}".strip()
    size = _text.size(v.bytes_b)
    return (
        SAME_FILE if v.same_file else v.answer,
        _text.clean(_named(v) + (f" ({origin})" if (origin := _text.origin(v)) else "")),
        f"{_text.seconds(v.latency_a_s)} → {_text.seconds(v.latency_b_s)}",
        change,
        "–" if v.detectable is None else f"{_text.number(v.detectable * 100, 2)} %",
        tail,
        accuracy,
        size if v.bytes_a == v.bytes_b else f"{_text.size(v.bytes_a)} → {size}",
    )


def _named(v: Verdict) -> str:
    return f"{v.cell} → {v.cell_b}" if v.cell_b else v.cell


def headline(compared: Compared) -> str:
    """Say in one line what it comes to."""
    outcome = compared.outcome
    if outcome.worse:
        cells = dict.fromkeys(finding.cell for finding in outcome.worse)
        return f"worse, proven: {len(cells)} cell{'s'[: len(cells) != 1]}"
    if outcome.undecided:
        cells = dict.fromkeys(finding.cell for finding in outcome.undecided)
        return f"nothing is proven worse; not ruled out in {len(cells)}"
    return "nothing is worse"


def finding(found: Finding) -> str:
    """Write what is worse, or open, of a cell."""
    return _text.clean(f"{found.cell}: {found.kind}: {found.told}")


def front(moved: Moved) -> str:
    """Say how a front moved, and what it encloses."""
    ends = ""
    if moved.low is not None and moved.high is not None:
        ends = f" [{_signed(moved.low)}, {_signed(moved.high)}]"
    corner = moved.before.reference
    told = [
        f"{_text.place_label(moved.group)}: hypervolume {_text.number(moved.before.value)} → "
        f"{_text.number(moved.after.value)}, {_signed(moved.change)}{ends}"
        f"{f' {moved.answer}' if moved.answer else ''} (from {_text.seconds(corner.latency_s)})"
    ]
    joined, left = moved.surely
    told += [f"joined: {_points(joined)}"] if joined else []
    told += [f"left: {_points(left)}"] if left else []
    return "; ".join(told)


def has_moved(moved: Moved) -> bool:
    """Tell whether points joined or left a front, or its hypervolume is proven to have changed."""
    return bool(any(moved.surely) or moved.answer)


def fronts(compared: Compared) -> list[str]:
    """Say of each front that moved how, and of how many that they did not."""
    told = [front(moved) for moved in compared.fronts if has_moved(moved)]
    still = [moved for moved in compared.fronts if not has_moved(moved)]
    if still:
        places = ", ".join(_text.place_label(moved.group) for moved in still[:MOST_POINTS])
        more = f" and {len(still) - MOST_POINTS} more" if len(still) > MOST_POINTS else ""
        told.append(f"not moved: {places}{more}")
    return told


def _points(points: Sequence[Point]) -> str:
    named = [f"{_text.clean(p.cell)} ({_text.percent(p.probability, 0)})" for p in points]
    more = [f"and {len(named) - MOST_POINTS} more"] if len(named) > MOST_POINTS else []
    return ", ".join([*named[:MOST_POINTS], *more])


def _signed(value: float) -> str:
    text = _text.number(abs(value), 2)
    return f"{'−' if value < 0 else '+'}{text}" if text != "0" else "0"
