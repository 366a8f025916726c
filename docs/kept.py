#!/usr/bin/env python3
"""Runs as Markdown tables, and those of them that are kept for the documents in docs/runs/.

    python docs/kept.py RUN                       prints the table of a run
    python docs/kept.py RUN --times               with latency: only where the machine was idle
    python docs/kept.py RUN --as NAME             keeps it as docs/runs/NAME
    python docs/kept.py RUN --control pruned=trained-on    beside the net that was trained as long

A kept run is cells.csv, what a report writes of every cell, with differences to the controls, and
run.json, a `Kept`. Between `<!-- run_NAME: begin -->` and `<!-- run_NAME: end -->` docs/tables.py
writes its table. A difference is paired on the same pictures and comes with its 95 % interval.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomark.reports import _columns
from paretomark.reports._text import count, number, percent, points, seconds, size
from paretomark.suites.records import _scores, _store
from paretomark.suites.records._row import Row
from paretomark.suites.records._summary import Summary, summarise
from paretomark.suites.spec import _schema
from paretomark.suites.spec._errors import UserError

FOLDER = Path(__file__).parent / "runs"
CELLS, HEADER = "cells.csv", "run.json"
FLOAT_BYTES = 4
CONTROL = ("control", "control_delta", "control_low", "control_high")
TOO_LONG = ("lineage", "classes")
OF_TIME = (
    *("speedup", "front_probability", "on_front", "mark", "load_s", "first_s", "typical_s"),
    *("p90_s", "p95_s", "p99_s", "disturbed", "sequential", "visits_apart"),
)
Line = Mapping[str, str]  # of cells.csv


@dataclass(frozen=True)
class Kept:
    """Where the figures of a kept run come from."""

    suite: str
    title: str
    started: str  # UTC
    commit: str
    dirty: bool  # with changes that were not committed
    version: str
    chip: str
    times: bool  # whether latency is told: the machine was idle
    note: str = ""


def names() -> list[str]:
    """List the runs that are kept."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{HEADER}"))


def table(name: str) -> str:
    """Make the table of a kept run, with a line that says where it is from."""
    header = _schema.typed(Kept, json.loads((FOLDER / name / HEADER).read_text("utf-8")))
    cells = (FOLDER / name / CELLS).read_text("utf-8")
    commit = header.commit[:7] + (" with uncommitted changes" if header.dirty else "")
    told = f"`docs/runs/{name}`: suite `{header.suite}` at commit {commit}, on {header.chip}, "
    told += header.started[:10] + ("" if header.times else "; accuracy and size only, untimed")
    note = f" {header.note}" if header.note else ""
    return f"*{told}.{note}*\n\n{markdown(cells, header.times)}"


def keep(run: Path, name: str, times: bool, controls: Mapping[str, str], note: str) -> Path:
    """Keep a run under a name, and return its folder. Raises UserError as `cells` does."""
    summary = summarise(_store.read(run))
    header, out = summary.run.header, FOLDER / name
    text = cells(summary, times, controls)
    kept = Kept(
        **{key: getattr(header, key) for key in ("suite", "title", "started", "commit", "dirty")},
        version=header.version,
        chip=header.host.chip,
        times=times,
        note=note,
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / CELLS).write_text(text, "utf-8")
    (out / HEADER).write_text(json.dumps(dataclasses.asdict(kept), indent=1) + "\n", "utf-8")
    return out


def cells(summary: Summary, times: bool, controls: Mapping[str, str]) -> str:
    """Write cells.csv: without what no cell has, and without times where these are not told.

    `controls` names recipes by recipes: beside whose net each is put. Raises UserError for one that
    the run does not have.
    """
    recipes = {row.recipe for row in summary.rows}
    for name in (*controls, *controls.values()):
        if name not in recipes:
            raise UserError(f"the run has no recipe '{name}', only {', '.join(sorted(recipes))}")
    lines = [_columns.values(row) | _control(row, summary, controls) for row in summary.rows]
    left_out = {*TOO_LONG, *(key for key in lines[0] if not times and _is_time(key))}
    said = [k for k in lines[0] if k not in left_out and any(line[k] for line in lines)]

    from paretomark.reports import _csv

    return _csv.text([{key: line[key] for key in said} for line in lines])


def _is_time(key: str) -> bool:
    return key in OF_TIME or key.startswith(("latency_", "speedup_"))


def _control(row: Row, summary: Summary, controls: Mapping[str, str]) -> dict[str, Any]:
    """How much better a row answers than the control of its recipe, in the same place."""
    name = controls.get(row.recipe)
    others = [
        r for r in summary.rows if (r.model, r.recipe, r.group) == (row.model, name, row.group)
    ]
    for other in others:
        mine, its = (summary.visits[r.cell].outcomes for r in (row, other))
        if difference := _scores.difference(its, mine):
            return dict(zip(CONTROL, (name, *difference[:3]), strict=True))
    return dict.fromkeys(CONTROL)


def markdown(cells: str, times: bool) -> str:
    """Make the table of a cells.csv: a line for each net and recipe, and for devices where they
    differ in more than the size of their files. Columns that say nothing are left out."""
    rows = list(csv.DictReader(io.StringIO(cells)))
    dense = {r["model"]: r.get("parameters", "") for r in rows if r.get("dense") == "True"}
    lines: dict[tuple[str, ...], list[Line]] = {}
    for row in rows:
        facts = [write(row, dense) for write in COLUMNS.values()] + [_time(row)] * times
        lines.setdefault((row["model"], row["recipe"], *facts), []).append(row)
    titles = ["net", "recipe", *COLUMNS, *["latency, speed-up"] * times, "file", "device"]
    whole = [
        [*facts, ", ".join(dict.fromkeys(map(_file, of))), ", ".join(r["device"] for r in of)]
        for facts, of in lines.items()
    ]
    useful = [i for i in range(len(titles)) if any(line[i] not in ("", "–") for line in whole)]
    table = (titles, ["---"] * len(titles), *whole)
    return "\n".join(f"| {' | '.join(line[i] for i in useful)} |" for line in table)


def _number(row: Line, key: str) -> float | None:
    return float(row[key]) if row.get(key) else None


def _share(row: Line, dense: Line) -> str:
    if row["status"] != "ok":
        return f"{row['status']}: {row.get('reason', '')}".replace("|", r"\|")
    ends = (_number(row, "accuracy_low"), _number(row, "accuracy_high"))
    return percent(_number(row, "accuracy")) + _between(*ends, lambda v: f"{100 * v:.1f}")


def _points(key: str, low: str, high: str) -> Callable[[Line, Line], str]:
    def write(row: Line, dense: Line) -> str:
        value = _number(row, key)
        text = points(value) + _between(_number(row, low), _number(row, high), points)
        return f"{text} to {row['control']}" if key == CONTROL[1] and value is not None else text

    return write


def _encoded(row: Line, dense: Line) -> str:
    bytes_, parameters = _number(row, "encoded_bytes"), dense.get(row["model"])
    if not bytes_ or not parameters:
        return "–"
    return f"{number(FLOAT_BYTES * float(parameters) / bytes_)}×"


def _file(row: Line) -> str:
    return size(_number(row, "artifact_bytes"))


def _time(row: Line) -> str:
    """Latency, and speed-up with its interval; a cross where no visit counts."""
    text, gain = seconds(_number(row, "latency_s")), _number(row, "speedup")
    if gain is not None:
        ends = (_number(row, "speedup_low"), _number(row, "speedup_high"))
        text += f", {number(gain)}×" + _between(*ends, number)
    return text if row.get("valid") == "True" else f"{text} ✗"


def _between(low: float | None, high: float | None, write: Callable[[float], str]) -> str:
    return "" if low is None or high is None else f" [{write(low)}, {write(high)}]"


COLUMNS: Mapping[str, Callable[[Line, Line], str]] = {
    "accuracy": _share,
    "points to dense, as it came": _points("delta", "delta_low", "delta_high"),
    "points to control, trained as long": _points(*CONTROL[1:]),
    "parameters": lambda row, _: count(_number(row, "parameters")),
    "zeros": lambda row, _: percent(_number(row, "sparsity"), 0),
    "MACs": lambda row, _: count(_number(row, "macs")),
    "encoded": _encoded,
}


def _pairs(words: Iterable[str]) -> dict[str, str]:
    pairs = dict(word.partition("=")[::2] for word in words)
    if not all(pairs.values()):
        raise UserError("write a control as RECIPE=CONTROL")
    return pairs


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a run, or keep it. Returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--as", dest="name", help="keep it in docs/runs under this name")
    parser.add_argument("--times", action="store_true", help="tell latency too")
    parser.add_argument("--control", action="append", default=[], metavar="RECIPE=CONTROL")
    parser.add_argument("--note", default="", help="what a reader has to know of a kept run")
    chosen = parser.parse_args(arguments)
    try:
        controls = _pairs(chosen.control)
        if chosen.name:
            print(keep(chosen.run, chosen.name, chosen.times, controls, chosen.note))
        else:
            text = cells(summarise(_store.read(chosen.run)), chosen.times, controls)
            print(markdown(text, chosen.times))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
