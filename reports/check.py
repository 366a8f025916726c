"""Tell within a minute what would go wrong in a run, and show what each net is given.

Every cell is built and visited for a moment, on a few pictures. Of every model it tells what its
data holds and what it says of the first pictures, and saves a contact sheet of them: MODEL.png.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretomark.devices.measure import _check
from paretomark.devices.measure._check import Check
from paretomark.devices.measure._look import VOID, ModelLook
from paretomark.devices.measure._request import RunRequest
from paretomark.reports import _console, _html, _json, _progress, _sheet, _text
from paretomark.reports._command import ALL_WELL, SOME_FAILED
from paretomark.reports._sheet import Said
from paretomark.suites.records._record import Record
from paretomark.suites.tasks import _task

if TYPE_CHECKING:
    from rich.table import Table

CLASSES, CELLS, NAME = 24, 6, 40  # that are named, and letters of a name
WOULD_RUN = ("ok", "fallback")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("suite", help="name or path of a suite (TOML)")
    for part, which in (("device", ""), ("model", ", of the suite or the zoo"), ("recipe", "")):
        some = f"only this {part}{which}, or those like it: 'a*' (repeatable)"
        parser.add_argument(f"--{part}", action="append", default=[], help=some)
    sheets = "folder of the contact sheets (default: runs/check-SUITE)"
    parser.add_argument("--out", type=Path, help=sheets)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Check, draw and print. Raises UserError for a suite that cannot be planned."""
    chosen = arguments.device, arguments.model, arguments.recipe
    request = RunRequest.of(arguments.suite, *chosen)
    with _progress.show(to_stderr=arguments.json) as progress:
        check = _check.check(request, progress)
    sheets = write(check, arguments.out or Path("runs") / f"check-{request.name}")
    if arguments.json:
        print(_json.text(as_json(check, sheets)))
    else:
        show(check, sheets)
    return SOME_FAILED if check.failed else ALL_WELL


def write(check: Check, out: Path) -> dict[str, Path]:
    """Draw the contact sheets into the folder `out`: by model, where it has pictures.

    Raises UserError if `out` cannot be written.
    """
    sheets: dict[str, Path] = {}
    for look in check.models:
        if look.seen is not None:
            stem = re.sub(r"[^A-Za-z0-9_.@-]+", "-", look.model)
            while out / f"{stem}.png" in sheets.values():
                stem += "-2"
            picture = _sheet.png(look, look.seen, words(look))
            sheets[look.model] = _html.save(out / f"{stem}.png", picture)
    return sheets


def words(look: ModelLook) -> list[Said]:
    """Say of each of the first pictures what it is, what it was told to be, and whether rightly."""
    seen, said = look.seen, []
    for i in range(0 if seen is None else len(seen.values)):
        score = look.scores[i] if i < len(look.scores) else None
        if look.task != _task.CLASSIFICATION:
            said.append(Said("", "", None, score))
            continue
        label = "" if look.labels is None else _class(look, int(look.labels[i]))
        told = "" if seen is None or seen.classes is None else _class(look, int(seen.classes[i]))
        said.append(Said(label, told, None if score is None else bool(score), score))
    return said


def as_json(check: Check, sheets: dict[str, Path]) -> dict[str, Any]:
    """The result as plain values."""
    return {
        "suite": check.suite,
        "cells": [
            {
                "cell": record.cell,
                "status": record.status,
                "stage": record.stage,
                "reason": record.reason,
                "broken": record.broken,
                "warnings": record.warnings,
                "answers": record.answers,
                "examples": record.examples,
                "score": _share(record),
            }
            for record in check.records
        ],
        "models": [_model_json(look, sheets) for look in check.models],
    }


def _model_json(look: ModelLook, sheets: dict[str, Path]) -> dict[str, Any]:
    return {
        "model": look.model,
        "task": look.task,
        "data": look.data,
        "splits": {
            split: {"pictures": held.pictures, "notes": held.notes}
            for split, held in look.splits.items()
        },
        "reason": look.reason,
        "pictures": look.pictures,
        "classes": look.classes,
        "counts": {_class(look, number): times for number, times in look.counts.items()},
        "cell": look.cell,
        "input": "" if look.seen is None else _sheet.caption(look, look.seen),
        "first": [said._asdict() for said in words(look)],
        "sheet": str(sheets.get(look.model, "")),
    }


def _class(look: ModelLook, number: int) -> str:
    """The number and the name of a class, or of a point."""
    if look.task == "segmentation" and number == VOID:
        return "void"
    name = look.classes[number] if 0 <= number < len(look.classes) else ""
    return str(number) if name in ("", str(number)) else f"{number} {_text.clean(name, NAME)}"


def _share(record: Record) -> float | None:
    """How much of what was scored is right."""
    scores = [float(c) for c in record.outcomes] or record.scores
    return sum(scores) / len(scores) if scores else None


def show(check: Check, sheets: dict[str, Path]) -> None:
    """Print cells, what is to be known of them, and models."""
    parts: list[Any] = [_cells(check.records)]
    if told := _text.warnings(check.records):
        parts += ["", _table(("to know", "cells"), [(w, _text.some(c, CELLS)) for w, c in told])]
    for look in check.models:
        parts += ["", *_model(look, sheets.get(look.model), {warning for warning, _ in told})]
    bad = sum(record.status not in WOULD_RUN or bool(record.broken) for record in check.records)
    verdict = f"{len(check.records) - bad} of {len(check.records)} cells would run"
    _console.show(*parts, "", f"{verdict}; latencies are measured by `run` only.")


def _cells(records: Sequence[Record]) -> Table:
    rows = []
    for record in records:
        if record.status == "ok":
            state = "broken" if record.broken else "ok"
            why = record.broken or _scored(record)
        else:
            state, why = f"{record.status} ({record.stage})", record.reason
        rows.append((_text.clean(record.cell), state, _text.clean(why)))
    return _table(("cell", "check", "what comes of it"), rows)


def _scored(record: Record) -> str:
    share = _share(record)
    if share is None:
        return "runs, and is not scored"
    score = f"{record.metric} {_text.percent(share, 0)} of {record.examples} pictures"
    return f"{score}; answers: {record.answers}" if record.answers else score


def _model(look: ModelLook, sheet: Path | None, said: Collection[str]) -> list[Any]:
    """What is to be told of a model, but for what is `said` already."""
    parts: list[Any] = [_text.clean(f"{look.model} · {look.data} · {look.task}")]
    held = [f"{split} {each.pictures}" for split, each in look.splits.items()]
    if held:
        parts.append(f"  the data has pictures: {', '.join(held)}")
    if look.reason:
        parts.append(f"  {_text.clean(look.reason)}")
    if look.pictures:
        parts.append(f"  a run scores {look.pictures} pictures")
    if look.counts:
        parts.append(f"  {_held(look)}")
    notes = [_text.clean(note) for each in look.splits.values() for note in each.notes]
    parts += [f"  {note}" for note in dict.fromkeys(notes) if note not in said]
    if look.seen is not None:
        parts.append(f"  {_sheet.caption(look, look.seen)}")
        parts.append(_first(look))
        parts.append(f"  contact sheet: {sheet}")
    return parts


def _held(look: ModelLook) -> str:
    """How many pictures there are of each class."""
    what = {"keypoints": "points, and pictures with each"}.get(look.task, "classes, and pictures")
    counts = [f"{_class(look, n)}: {times}" for n, times in look.counts.items()]
    more = f" and {len(counts) - CLASSES} more" if len(counts) > CLASSES else ""
    none = [_class(look, n) for n, times in look.counts.items() if not times]
    without = f"; no picture of {', '.join(none[:CLASSES])}" if none else ""
    return f"{len(counts)} {what}: {', '.join(counts[:CLASSES])}{more}{without}"


def _first(look: ModelLook) -> Any:
    """The first pictures, with label and answer, or with their scores."""
    by = f"told by {_text.clean(look.cell)}" if look.cell else "told"
    said = words(look)
    if look.task == _task.CLASSIFICATION:
        rows = [(str(i), s.label, s.told, _sheet.MARKS[s.right]) for i, s in enumerate(said, 1)]
        return _table(("", "label", by, ""), rows)
    scores = ", ".join(_text.percent(each.score, 0) for each in said)
    return f"  {_task.metric(look.task)} of the first pictures, {by}: {scores}"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.text import Text

    body = _console.frame()
    for title in titles:
        body.add_column(title, overflow="fold")
    for row in rows:
        body.add_row(*map(Text, row))
    return body
