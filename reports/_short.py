"""What a run says in short: what to ship in each place, and what compression brought."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from paretomark.reports import _picked, _text
from paretomark.reports._html import esc
from paretomark.reports._picked import Candidate, Choice
from paretomark.suites.records import _sparsity
from paretomark.suites.records._row import NOT_RUN, Row
from paretomark.suites.records._summary import Summary, of_suite
from paretomark.suites.spec import _pick, _suite
from paretomark.suites.spec._pick import Limits, Pick

NEARLY_SURE = 0.995


def limits(summary: Summary) -> Limits:
    """What the suite of a run asks of a net to be shipped."""
    return _pick.limits(of_suite(summary.run, _suite.pick, Pick()))


def section(summary: Summary) -> str:
    """Write it for a page: a card for each place, and then what holds for all; "" of a run that
    measured nothing."""
    asked = limits(summary)
    cards = [_card(choice, asked) for choice in _picked.choices(summary, asked)]
    rest = [f"<li>{esc(line, 800)}</li>" for line in _of_all(summary.rows)]
    if not cards and not rest:
        return ""
    head = f"<p class=soft>What to ship on each device, with {esc(words(asked))}.</p>"
    return (
        f"<h2>In short</h2>{head if cards else ''}<div class=picks>{''.join(cards)}</div>"
        f"<ul class=short>{''.join(rest)}</ul>"
    )


def _card(choice: Choice, asked: Limits) -> str:
    """A place, what to ship there, and each of its figures on a line."""
    where = f"<div class=soft>{esc(place(choice))}</div>"
    chosen = choice.chosen
    if chosen is None:
        return (
            f"<div class=card>{where}<b class=off>none</b><p>{esc(answer(choice, asked))}</p></div>"
        )
    told = [*_figures(chosen, choice.float_net), f"{sure(chosen)} that it keeps to the limits"]
    if bolder := choice.bolder:
        latency = _text.seconds(bolder.row.latency_s)
        told.append(f"{named(bolder.row)} ({latency}) is only {sure(bolder)}")
    lines = "".join(f"<div>{esc(line)}</div>" for line in told)
    return f"<div class=card>{where}<b>{esc(named(chosen.row))}</b>{lines}</div>"


def lines(summary: Summary) -> list[str]:
    """Say it, a sentence a line: of each place what to ship, and then what holds for all."""
    asked = limits(summary)
    told = []
    for choice in _picked.choices(summary, asked):
        told.append(f"{place(choice)}: {answer(choice, asked)}")
    return [*told, *_of_all(summary.rows)]


def _of_all(rows: Sequence[Row]) -> list[str]:
    return [*_brought(rows), *_failed(rows)]


def place(choice: Choice) -> str:
    """Name the place, and the data."""
    data = f" on {_text.clean(choice.group.data)}" if choice.group.data else ""
    return f"{_text.place_label(choice.group)}{data}"


def answer(choice: Choice, asked: Limits) -> str:
    """Say what to ship, how sure that is, and what it costs; or why there is nothing."""
    if choice.chosen is None:
        nearest = choice.nearest[0]
        beyond = ", ".join(nearest.breaks) or "not sure enough"
        return (
            f"none of {choice.of} nets keeps to {words(asked)}; the nearest is "
            f"{named(nearest.row)} ({_text.seconds(nearest.row.latency_s)}, "
            f"{_text.percent(nearest.row.accuracy)}, {_text.size(nearest.row.artifact_bytes)}): "
            f"{beyond}."
        )
    told = f"ship {named(choice.chosen.row)}: {figures(choice.chosen, choice.float_net)}. "
    told += f"It keeps to {words(asked)}: {sure(choice.chosen)}"
    if choice.bolder:
        told += f"; {named(choice.bolder.row)} would be better "
        told += f"({figures(choice.bolder, choice.float_net)}), but is only {sure(choice.bolder)}"
    return told + "."


def figures(candidate: Candidate, float_net: Row) -> str:
    """Latency, accuracy and size of a net, and what it costs against the float net."""
    return "; ".join(_figures(candidate, float_net))


def _figures(candidate: Candidate, float_net: Row) -> list[str]:
    row = candidate.row
    time = _text.seconds(row.latency_s) + _text.spread(row.latency_low_s, row.latency_high_s)
    if row.speedup is not None and row.speedup_low and row.speedup_high:
        ends = f"[{_text.number(row.speedup_low)}, {_text.number(row.speedup_high)}]"
        time += f", {_text.number(row.speedup)} times as fast {ends} as its dense float net"
    score = f"{row.metric or 'accuracy'} {_text.percent(row.accuracy)}"
    if row is float_net:
        score += ", the most accurate float net here"
    elif candidate.drop is not None:
        value, low, high, _ = candidate.drop
        score += (
            f", {_text.points(value)} points [{_text.points(low)}, {_text.points(high)}] to "
            f"{named(float_net)}, the most accurate float net here"
        )
    return [time, score, f"a file of {_text.size(row.artifact_bytes)}"]


def sure(candidate: Candidate) -> str:
    """Say with which probability it keeps to the limits."""
    if candidate.chance >= NEARLY_SURE:
        return "over 99 % sure"
    return f"{100 * candidate.chance:.0f} % sure"


def words(asked: Limits) -> str:
    """Name the limits."""
    told = []
    if asked.drop is not None:
        told.append(f"a loss of {100 * asked.drop:.3g} points at most")
    if asked.latency_s is not None:
        told.append(_text.seconds(asked.latency_s))
    if asked.size_bytes is not None:
        told.append(f"a file of {_text.size(asked.size_bytes)}")
    if asked.memory_bytes is not None:
        told.append(f"{_text.size(asked.memory_bytes)} of memory")
    return ", ".join(told) or "no limit"


def named(row: Row) -> str:
    """Name a net and its recipe."""
    return _text.clean(f"{row.model}/{row.recipe}")


def _brought(rows: Sequence[Row]) -> Iterator[str]:
    """The largest speed-up and the smallest file without a loss that matters, and what pruning
    brought."""
    safe = [
        row
        for row in rows
        if row.sound and not row.guesses and row.delta_low is not None and row.delta_low >= -SAFE
    ]
    faster = max(safe, key=lambda row: row.speedup_low or 0, default=None)
    if faster and (faster.speedup_low or 0) > 1:
        low, high = (_text.number(end or 0) for end in (faster.speedup_low, faster.speedup_high))
        yield (
            "The largest speed-up that surely loses less than half a point: "
            f"{_text.number(faster.speedup or 0)}× [{low}, {high}], by {named(faster)} on "
            f"{_text.clean(faster.device)}."
        )
    smaller = min(safe, key=lambda row: row.artifact_bytes or math.inf, default=None)
    if smaller and smaller.artifact_bytes:
        yield (
            f"The smallest file that does so: {_text.size(smaller.artifact_bytes)}, "
            f"{named(smaller)} for {_text.clean(smaller.device)}."
        )
    if not safe and any(row.delta is not None for row in rows):
        yield "No compressed net is known to lose less than half a point: score more examples."
    if found := Counter(row.zeros for row in rows if row.zeros):
        told = [f"{found[verdict]} {WORDS[verdict]}" for verdict in WORDS if found[verdict]]
        why = next((row.zeros_why for row in rows if row.zeros == _sparsity.NOTHING), "")
        example = f" ({_text.clean(why)})" if why else ""
        yield f"Pruning, of {found.total()} cells: {', '.join(told)}{example}."


SAFE = 0.005  # of accuracy
WORDS = {
    _sparsity.FASTER: "faster than the same net with all its weights",
    _sparsity.SIZE_ONLY: "smaller only",
    _sparsity.NOTHING: "no gain",
    _sparsity.UNPROVEN: "not shown",
}


def _failed(rows: Sequence[Row]) -> Iterator[str]:
    lost = [row for row in rows if row.status in ("failed", "fallback", NOT_RUN)]
    absent = [row for row in rows if row.status in ("unavailable", "unsupported")]
    if lost:
        yield f"{len(lost)} of {len(rows)} cells failed or were not run: why is below."
    if absent:
        devices = ", ".join(sorted({_text.clean(row.device) for row in absent}))
        yield f"{len(absent)} cells could not be run here ({devices})."


def as_json(choice: Choice) -> dict[str, object]:
    """Give a choice as plain JSON values; probabilities from 0 to 1, accuracies too."""
    return {
        "place": choice.group._asdict(),
        "by": choice.by,
        "nets": choice.of,
        "float_net": choice.float_net.cell,
        "chosen": _candidate(choice.chosen),
        "bolder": _candidate(choice.bolder),
        "nearest": [_candidate(candidate) for candidate in choice.nearest],
    }


def _candidate(candidate: Candidate | None) -> dict[str, object] | None:
    if candidate is None:
        return None
    row, drop = candidate.row, candidate.drop
    return {
        "cell": row.cell,
        "model": row.model,
        "recipe": row.recipe,
        "chance": candidate.chance,
        "breaks": list(candidate.breaks),
        "latency_s": row.latency_s,
        "latency_low_s": row.latency_low_s,
        "latency_high_s": row.latency_high_s,
        "accuracy": row.accuracy,
        "drop": drop and {"value": drop.value, "low": drop.low, "high": drop.high},
        "artifact_bytes": row.artifact_bytes,
        "peak_memory_bytes": row.peak_memory_bytes,
        "speedup": row.speedup,
        "sha256": row.sha256,
    }


def limits_as_json(asked: Limits) -> dict[str, object]:
    """Give limits as plain JSON values."""
    return dataclasses.asdict(asked)
