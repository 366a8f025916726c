"""Tell where the time of a net goes, operator by operator.

Writes index.html (self-contained), operators.csv, profile.json, and, as SVG and as PNG, the time by
layer and the roofline. A profiler slows what it watches: its times are never part of a run.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import re
import sys
from collections.abc import Callable
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretomark.devices import _host
from paretomark.devices.measure import _profile
from paretomark.devices.measure._peak import Peaks
from paretomark.devices.measure._profile import Profile, ProfileRequest
from paretomark.reports import (
    _console,
    _csv,
    _figure,
    _html,
    _json,
    _parts,
    _progress,
    _roofline,
    _text,
)
from paretomark.reports import _profile_words as words
from paretomark.reports._command import ALL_WELL, SOME_FAILED, positive
from paretomark.reports._html import Cell, esc
from paretomark.reports._operator_lines import Line, kinds, lines, plain, short
from paretomark.reports._profile_words import giga

if TYPE_CHECKING:
    from rich.table import Table

SLOWEST, WIDE = 15, 24  # operators that the terminal shows, and letters of a name
RATES = ("MACs", "GFLOP/s", "GB/s", "FLOP/byte")
LEGEND = (
    "The share is of all operators. GFLOP/s counts a multiply-accumulate (MAC) as two operations, "
    "of integers too; bytes are those of inputs, weights and outputs, once each."
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("model", help="a net of the zoo, a model of the suite, or file:PATH")
    parser.add_argument("--recipe", help="of the suite (default: the net as trained, in fp32)")
    parser.add_argument("--device", required=True)
    parser.add_argument("--suite", default="quick", help="where recipes are (default: quick)")
    parser.add_argument("--threads", type=positive, default=1)
    parser.add_argument("--batch", type=positive, help="default 1; a file has its own")
    parser.add_argument("--runs", type=positive, default=50, help="under the profiler")
    parser.add_argument("--out", type=Path, help="default: profiles/MODEL-RECIPE-DEVICE-DATE")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def command(arguments: argparse.Namespace) -> int:
    """Profile, write and print. Raises UserError for what does not exist, is not here, or fails."""
    fields = [field.name for field in dataclasses.fields(ProfileRequest)]
    request = ProfileRequest(**{name: getattr(arguments, name) for name in fields})
    say = functools.partial(print, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    with _progress.show(to_stderr=arguments.json) as progress:
        profile = _profile.collect(request, progress, say)
    page, *_ = write(profile, arguments.out or folder(profile))
    if arguments.json:
        print(_json.text(as_json(profile)))
    else:
        show(profile)
        print(f"profile: {page}")
    return SOME_FAILED if profile.visit.status == "fallback" else ALL_WELL


def write(profile: Profile, out: Path) -> list[Path]:
    """Write the profile into the folder `out`. Returns the files, index.html first.

    Raises UserError if `out` cannot be written.
    """
    operators, title = lines(profile.operators), f"{words.title(profile)} ({words.tag(profile)})"
    plots = {"times": _roofline.times(operators, f"Time by layer · {title}")}
    if profile.peaks and not words.no_roofline(profile):
        precision = profile.cell.recipe.precision
        roofline = _roofline.roofline(operators, profile.peaks, f"Roofline · {title}", precision)
        plots |= {"roofline": roofline} if roofline else {}
    written = _parts.pictures(plots, out)
    table = as_json(profile)
    written.append(_html.save(out / "operators.csv", _csv.text(table["operators"])))
    written.append(_html.save(out / "profile.json", _json.text(table)))
    pictures = {name: _html.card(_figure.inline(plot.svg)) for name, plot in plots.items()}
    body = _body(profile, pictures) + _parts.files(written)
    return [_html.save(out / "index.html", _html.document(f"Profile: {title}", body)), *written]


def folder(profile: Profile) -> Path:
    """Choose where a profile goes unless the user says otherwise."""
    cell = profile.cell
    stamp = datetime.fromisoformat(profile.started).strftime("%Y%m%d-%H%M%S")
    name = f"{cell.model.name}-{cell.recipe.name}-{cell.device}-{stamp}"
    return Path("profiles") / re.sub(r"[^A-Za-z0-9_.-]+", "-", name)


def as_json(profile: Profile) -> dict[str, Any]:
    """Give all that is known as plain JSON values: profile.json."""
    cell, artifact, measured = profile.cell, profile.artifact, dict(profile.visit.measured)
    del measured["operators"]
    return {
        "profiled": True,
        "note": "under a profiler: not for comparison with runs",
        "model": cell.model.name,
        "recipe": cell.recipe.name,
        "steps": cell.recipe.label,
        "precision": cell.recipe.precision,
        "device": cell.device,
        "batch": None if cell.model.file else cell.batch,
        "threads": cell.threads,
        "length": cell.length,
        "runs": profile.runs,
        "started": profile.started,
        "paretomark": metadata.version("paretomark"),
        "host": dataclasses.asdict(_host.machine()),
        "chip": profile.probe.chip,
        "versions": profile.probe.versions,
        "sha256": artifact.sha256,
        "artifact_bytes": artifact.bytes,
        "lineage": json.loads(artifact.lineage),
        "status": profile.visit.status,
        "flags": profile.visit.flags,
        "remarks": words.remarks(profile),
        **measured,
        "no_roofline": words.no_roofline(profile),
        "latency_ns": profile.latency_ns,
        "operators_ns": profile.operators_ns,
        "gap_ns": profile.gap_ns,
        "operators": [plain(line, profile.peaks) for line in lines(profile.operators)],
        "kinds": [plain(kind, profile.peaks) for kind in kinds(profile.operators)],
    }


def show(profile: Profile) -> None:
    """Print the slowest operators, their kinds, and what the latency without a profiler is."""
    from rich.text import Text

    by_time = sorted(lines(profile.operators), key=lambda line: -line.ns)
    more = by_time[SLOWEST:]
    slowest = _frame("#", "operator", "kind", "unit")
    for line in by_time[:SLOWEST]:
        names = [Text(short(t, WIDE)) for t in (line.name, line.kind, line.unit)]
        slowest.add_row(str(line.position), *names, *_cells(line))
    if more:
        ns, share = sum(m.ns for m in more), sum(m.share for m in more)
        slowest.add_row("", f"{len(more)} more", "", "", _ns(ns), _text.percent(share))
    slowest.add_section()
    for name, ns in _sums(profile):
        slowest.add_row("", name, "", "", _ns(ns))
    by_kind = _frame("kind", "unit", "operators")
    for k in kinds(profile.operators):
        named = [Text(_text.clean(t)) for t in (k.kind, k.unit)]
        by_kind.add_row(*named, str(k.count), *_cells(k))
    notes = [words.warning(profile), *words.remarks(profile), words.roofs(profile)]
    _console.show(
        Text(f"{words.title(profile)}, {words.place(profile)}", style="bold"),
        *(slowest, "", by_kind, ""),
        *map(Text, notes),
        Text(LEGEND, style="dim"),
    )


def _frame(*names: str) -> Table:
    frame = _console.frame()
    for name in names:
        frame.add_column(name, overflow="fold")
    for name in ("time", "share", *RATES):
        frame.add_column(name, justify="right", no_wrap=True)
    return frame


def _cells(line: Line) -> list[str]:
    return [_ns(line.ns), _text.percent(line.share), *(write(v) for v, write in _rates(line))]


def _rates(line: Line) -> list[tuple[float | None, Callable[[float | None], str]]]:
    """The values of RATES, and how each is written."""
    return [
        (line.macs, _text.count),
        (line.flop_per_s, giga),
        (line.byte_per_s, giga),
        (line.flop_per_byte, lambda v: "–" if v is None else _text.number(v)),
    ]


def _ns(ns: float) -> str:
    return ("−" if ns < 0 else "") + _text.seconds(abs(ns) / 1e9)


def _sums(profile: Profile) -> list[tuple[str, float]]:
    """The rows under the operators: their sum, what is left, and the latency, in ns."""
    latency = f"latency, {profile.simulated or 'unprofiled'}"
    gap = [(name, profile.gap_ns)] if (name := words.gap(profile)) else []
    return [("all operators", profile.operators_ns), *gap, (latency, profile.latency_ns)]


def _body(profile: Profile, pictures: dict[str, str]) -> str:
    remarks = "".join(f"<p class=off>{esc(remark)}</p>" for remark in words.remarks(profile))
    sums = "".join(f"<div><dt>{esc(n)}</dt><dd>{_ns(ns)}</dd></div>" for n, ns in _sums(profile))
    return (
        f"<h1>{esc(words.title(profile))}</h1><p><span class=tag>{esc(words.tag(profile))}</span> "
        f"{words.warning(profile)}</p>"
        f"{_facts(profile)}<h2>Where the time goes</h2>{remarks}"
        f"{_html.card(f'<dl>{sums}</dl>')}{pictures['times']}"
        f"<h2>Roofline</h2><p class=soft>{esc(words.roofs(profile))}</p>"
        f"{pictures.get('roofline', '')}"
        f"<h2>By kind</h2><p class=soft>{LEGEND}</p>{_kinds(profile)}"
        f"<h2>By layer</h2><p class=soft>In order of running; click a column to sort.</p>"
        f"{_layers(profile)}"
    )


def _facts(profile: Profile) -> str:
    machine, cell, artifact = _host.machine(), profile.cell, profile.artifact
    versions = ", ".join(f"{k} {v}" for k, v in profile.probe.versions.items())
    return _html.facts(
        [
            ("machine", f"{esc(machine.chip)}, {machine.cores} cores"),
            ("system", f"{esc(machine.system)}, Python {esc(machine.python)}"),
            ("device", f"{esc(cell.device)}: {esc(profile.probe.chip)}, {esc(versions)}"),
            ("batch · threads · runs", f"{esc(words.place(profile))}, {profile.runs} runs"),
            ("lineage", esc(words.lineage(profile))),
            ("file", f"{_text.size(artifact.bytes)}, sha256 <code>{artifact.sha256[:16]}</code>"),
            ("started", esc(profile.started)),
            ("paretomark", esc(metadata.version("paretomark"))),
        ]
    )


def _kinds(profile: Profile) -> str:
    rows = [
        [
            _html.text(k.kind),
            _html.text(k.unit),
            Cell(str(k.count), k.count, "n"),
            *_rated(k, profile.peaks),
        ]
        for k in kinds(profile.operators)
    ]
    if name := words.gap(profile):
        ns = profile.gap_ns
        nothing = [Cell("–", None, "n")] * (len(rows[0]) - 4)
        rows.append([Cell(name, name), Cell("–"), nothing[0], Cell(_ns(ns), ns, "n"), *nothing])
    columns = ("kind", "unit", "operators", *_columns(profile.peaks))
    return _html.card(_html.table(columns, rows))


def _layers(profile: Profile) -> str:
    rows = [
        [
            Cell(str(line.position), line.position, "n"),
            _html.text(line.name, "wide"),
            _html.text(line.kind),
            _html.text(line.unit),
            *_rated(line, profile.peaks),
        ]
        for line in lines(profile.operators)
    ]
    columns = ("#", "operator", "kind", "unit", *_columns(profile.peaks))
    return _html.card(_html.table(columns, rows))


def _columns(peaks: Peaks | None) -> tuple[str, ...]:
    return ("time", "share", *RATES, *(["of roof"] if peaks else []))


def _rated(line: Line, peaks: Peaks | None) -> list[Cell]:
    """The cells of `_columns`."""
    reached = [_html.number(line.of_roof(peaks), _text.percent)] if peaks else []
    return [
        Cell(_ns(line.ns), line.ns, "n"),
        _html.number(line.share, _text.percent),
        *(_html.number(value, write) for value, write in _rates(line)),
        *reached,
    ]
