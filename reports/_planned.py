"""What a run would do and take, before it is started: for people, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paretomark.devices.measure import _foresee
from paretomark.devices.measure._foresee import Foreseen
from paretomark.devices.measure._request import RunRequest
from paretomark.reports import _console, _json, _listing, _progress, _text
from paretomark.reports._command import ALL_WELL
from paretomark.suites.records import _archive
from paretomark.suites.spec._plan import Cell

MOST = 8  # artifacts to build that are named


def present(request: RunRequest, out: Path | None, as_json: bool) -> int:
    """Print what a run would do. Raises UserError for what cannot be planned."""
    with _progress.counting("asking the devices, and looking into the cache"):
        foreseen = _foresee.foresee(request, out.parent if out else _archive.FOLDER)
    if as_json:
        print(_json.text({"schema": "paretomark/plan/1", **table(foreseen)}))
    else:
        print("\n".join(lines(foreseen, _console.width())))
    return ALL_WELL


def lines(it: Foreseen, width: int) -> list[str]:
    """Say it in lines, the cells last."""
    suite, found = it.suite, []
    here = len(it.cells) - len(it.obstacles)
    title = f"{suite.title or suite.name}: {_count(len(it.cells), 'cell')}, {here} of them here"
    found += _listing.wrapped(_text.clean(title), width, 0)
    counts = Counter(cell.device for cell in it.cells)
    titles = ("device", "here", "cells", "what it is, or why it is not here and how to get it")
    rows = [
        (
            probe.device,
            "yes" if probe.available else "no",
            str(counts[probe.device]),
            probe.chip if probe.available else f"{probe.reason}; {probe.remedy}",
        )
        for probe in it.probes
    ]
    found += ["", *_listing.lines(titles, rows, width)]
    models = [(m, str(n), f"{len(r)}: {', '.join(r)}") for m, n, r in _models(it)]
    found += ["", *_listing.lines(("model", "cells", "recipes"), models, width), ""]
    for name, told in _facts(it):
        first, *more = _listing.wrapped(told, width, 11)
        found += [f"{name:9}  {first.strip()}", *more]
    found += ["", "cells:"]
    for cell in it.cells:
        why = it.obstacles.get(cell.key)
        note = f": {why.status}: {why.reason}" if why else ""
        found += _listing.wrapped(_text.clean(cell.key + note), width, 2)
    return found


def _models(it: Foreseen) -> Iterator[tuple[str, int, list[str]]]:
    """Each model, how many cells it has, and the recipes that it meets."""
    cells: dict[str, list[Cell]] = {}
    for cell in it.cells:
        cells.setdefault(cell.model.name, []).append(cell)
    for model, own in cells.items():
        yield model, len(own), list(dict.fromkeys(cell.recipe.name for cell in own))


def _facts(it: Foreseen) -> Iterator[tuple[str, str]]:
    suite, missing = it.suite, it.missing
    built = len(it.artifacts) - len(missing)
    told = f"{len(it.artifacts)} needed, {built} of them in the cache, {len(missing)} to be built"
    if missing:
        more = f" and {len(missing) - MOST} more" if len(missing) > MOST else ""
        told += f": {', '.join(each.name for each in missing[:MOST])}{more}"
    yield "artifacts", _text.clean(told, 1000)
    known = f"cells that are not known to ±{_text.number(suite.precision * 100, 2)} %"
    again = f"; then {known} again, for up to {_duration(it.time_s or 0)}"
    if it.more_visits is not None:
        again = f", and up to {it.more_visits} more, of {known}" if it.more_visits else ""
    yield "visits", f"{it.visits}, {suite.blocks} of each cell{again}"
    time = f"about {_duration(it.visits_s)} for visits" if it.visits_s is not None else "not known"
    yield "time", _text.clean(f"{time}. It rests on {it.visits_rest_on}. {_building(it)}", 1000)
    free = f"{_text.size(it.free_bytes)} are free for the cache"
    size = f"about {_text.size(it.disk_bytes)}" if it.disk_bytes else "nothing"
    yield "disk", _text.clean(f"{size} more; {free}. It rests on {it.disk_rests_on}.", 1000)


def _building(it: Foreseen) -> str:
    if not it.missing:
        return "Nothing is to be built."
    train = sum(each.trains for each in it.missing)
    training = f", {train} of which may train" if train else ""
    limit = _duration(it.suite.build_deadline_s)
    return (
        f"How long building takes is not estimated: {len(it.missing)} artifacts{training}, each "
        f"in {limit} at most."
    )


def table(it: Foreseen) -> dict[str, Any]:
    """Give it as plain JSON values; null is what is not known."""
    return {
        "suite": it.suite.name,
        "title": it.suite.title,
        "cells": [_cell(it, cell) for cell in it.cells],
        "devices": [
            probe.to_json() | {"cells": sum(cell.device == probe.device for cell in it.cells)}
            for probe in it.probes
        ],
        "models": [
            {"model": model, "cells": cells, "recipes": recipes}
            for model, cells, recipes in _models(it)
        ],
        "artifacts": {
            "needed": len(it.artifacts),
            "in_cache": len(it.artifacts) - len(it.missing),
            "to_build": [asdict(each) for each in it.missing],
        },
        "visits": {"planned": it.visits, "more_at_most": it.more_visits, "more_s": it.time_s},
        "time": {
            "visits_s": it.visits_s,
            "build_s": None if it.missing else 0.0,
            "rests_on": it.visits_rest_on,
        },
        "disk": {
            "bytes": it.disk_bytes,
            "free_bytes": it.free_bytes,
            "rests_on": it.disk_rests_on,
        },
    }


def _cell(it: Foreseen, cell: Cell) -> dict[str, Any]:
    why = it.obstacles.get(cell.key)
    return {
        "cell": cell.key,
        "model": cell.model.name,
        "recipe": cell.recipe.name,
        "device": cell.device,
        "batch": cell.batch,
        "threads": cell.threads,
        "length": cell.length,
        "scenario": cell.scenario,
        "status": why.status if why else "",
        "reason": why.reason if why else "",
    }


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s'[: number != 1]}"
