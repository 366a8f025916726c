"""Where the time of one net on one device goes, operator by operator, as its runtime tells.

Writes index.html (self-contained), operators.csv, profile.json, and, as SVG and as PNG, the time by
layer and the roofline. A profiler slows what it watches: its times are never part of a run.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretomark.devices import _host
from paretomark.devices.measure._peak import Peaks
from paretomark.devices.measure._profile import Profile
from paretomark.reports import _csv, _figure, _html, _operator_table, _parts, _roofline, _table
from paretomark.reports._html import Cell, esc
from paretomark.reports._operator_table import Line

if TYPE_CHECKING:
    from rich.table import Table

SLOWEST, WIDE = 15, 24  # operators that the terminal shows, and letters of a name
RATES = ("MACs", "GFLOP/s", "GB/s", "FLOP/byte")
LEGEND = (
    "The share is of all operators. GFLOP/s counts a multiply-accumulate (MAC) as two operations, "
    "of integers too; bytes are those of inputs, weights and outputs, once each."
)


def write(profile: Profile, out: Path) -> list[Path]:
    """Write the profile into the folder `out`. Returns the files, index.html first.

    Raises UserError if `out` cannot be written.
    """
    lines, title = profile.lines, f"{_title(profile)} ({_tag(profile)})"
    plots = {"times": _roofline.times(lines, f"Time by layer · {title}")}
    if profile.peaks and not profile.no_roofline:
        precision = profile.cell.recipe.precision
        roofline = _roofline.roofline(lines, profile.peaks, f"Roofline · {title}", precision)
        plots |= {"roofline": roofline} if roofline else {}
    written = _parts.pictures(plots, out)
    found = as_json(profile)
    written.append(_html.save(out / "operators.csv", _csv.text(found["operators"])))
    written.append(_html.save(out / "profile.json", json.dumps(found, indent=1, allow_nan=False)))
    pictures = {name: _html.card(_figure.inline(plot.svg)) for name, plot in plots.items()}
    body = _body(profile, pictures) + _parts.files(written)
    return [_html.save(out / "index.html", _html.document(f"Profile: {title}", body)), *written]


def folder(profile: Profile) -> Path:
    """Where a profile goes unless the user says otherwise."""
    cell = profile.cell
    stamp = datetime.fromisoformat(profile.started).strftime("%Y%m%d-%H%M%S")
    name = f"{cell.model.name}-{cell.recipe.name}-{cell.device}-{stamp}"
    return Path("profiles") / re.sub(r"[^A-Za-z0-9_.-]+", "-", name)


def as_json(profile: Profile) -> dict[str, Any]:
    """All that is known, as plain JSON values: profile.json."""
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
        "runs": profile.runs,
        "started": profile.started,
        "paretomark": metadata.version("paretomark"),
        "host": dataclasses.asdict(_host.machine()),
        "chip": profile.probe["chip"],
        "versions": profile.probe["versions"],
        "sha256": artifact.sha256,
        "artifact_bytes": artifact.bytes,
        "lineage": json.loads(artifact.lineage),
        "status": profile.visit.status,
        "flags": profile.visit.flags,
        "remarks": profile.remarks,
        **measured,
        "no_roofline": profile.no_roofline,
        "latency_ns": profile.latency_ns,
        "operators_ns": profile.operators_ns,
        "gap_ns": profile.gap[1] if profile.gap else 0.0,
        "operators": [_operator_table.table(line, profile.peaks) for line in profile.lines],
        "kinds": [
            _operator_table.table(k, profile.peaks)
            for k in _operator_table.kinds(profile.operators)
        ],
    }


def _title(profile: Profile) -> str:
    cell = profile.cell
    return _table.clean(f"{cell.model.name} · {cell.recipe.name} · {cell.device}")


def show(profile: Profile) -> None:
    """Print the slowest operators, their kinds, and what the latency without a profiler is."""
    from rich.text import Text

    lines = sorted(profile.lines, key=lambda line: -line.ns)
    more = lines[SLOWEST:]
    slowest = _frame("#", "operator", "kind", "unit")
    for line in lines[:SLOWEST]:
        names = [Text(_operator_table.short(t, WIDE)) for t in (line.name, line.kind, line.unit)]
        slowest.add_row(str(line.position), *names, *_cells(line))
    if more:
        ns, share = sum(m.ns for m in more), sum(m.share for m in more)
        slowest.add_row("", f"{len(more)} more", "", "", _ns(ns), _table.percent(share))
    slowest.add_section()
    for name, ns in _sums(profile):
        slowest.add_row("", name, "", "", _ns(ns))
    by_kind = _frame("kind", "unit", "operators")
    for k in _operator_table.kinds(profile.operators):
        named = [Text(_table.clean(t)) for t in (k.kind, k.unit)]
        by_kind.add_row(*named, str(k.count), *_cells(k))
    notes = [_warning(profile), *profile.remarks, profile.no_roofline or _roofs(profile)]
    _table.show_all(
        Text(f"{_title(profile)}, {_place(profile)}", style="bold"), slowest, "", by_kind, "",
        *(Text(note) for note in notes), Text(LEGEND, style="dim"),
    )  # fmt: skip


def _frame(*names: str) -> Table:
    frame = _table.frame()
    for name in names:
        frame.add_column(name, overflow="fold")
    for name in ("time", "share", *RATES):
        frame.add_column(name, justify="right", no_wrap=True)
    return frame


def _cells(line: Line) -> list[str]:
    return [_ns(line.ns), _table.percent(line.share), *(write(v) for v, write in _rates(line))]


def _rates(line: Line) -> list[tuple[float | None, Callable[[float | None], str]]]:
    """The values of RATES, and how each is written."""
    return [
        (line.macs, _table.count),
        (line.flop_per_s, _giga),
        (line.byte_per_s, _giga),
        (line.flop_per_byte, lambda v: "–" if v is None else _table.number(v)),
    ]


def _giga(value: float | None) -> str:
    return "–" if value is None else _table.number(value / 1e9)


def _ns(ns: float) -> str:
    return ("−" if ns < 0 else "") + _table.seconds(abs(ns) / 1e9)


def _sums(profile: Profile) -> list[tuple[str, float]]:
    """The rows under the operators: their sum, what is left, and the latency, in ns."""
    latency = f"latency, {profile.simulated or 'unprofiled'}"
    gap = [profile.gap] if profile.gap else []
    return [("all operators", profile.operators_ns), *gap, (latency, profile.latency_ns)]


def _place(profile: Profile) -> str:
    cell = profile.cell
    batch = "" if cell.model.file else f"batch {cell.batch}, "
    return f"{batch}{cell.threads} thread{'s'[: cell.threads != 1]}"


def _roofs(profile: Profile) -> str:
    peaks = profile.peaks
    if peaks is None:
        return ""
    return (
        f"This machine's peaks with {peaks.threads} thread{'s'[: peaks.threads != 1]}: "
        f"{_giga(peaks.flop_per_s)} GFLOP/s (float32 matrix product, {peaks.blas}), "
        f"{_giga(peaks.byte_per_s)} GB/s (STREAM {peaks.kernel}, arrays of "
        f"{_table.size(peaks.array_bytes)})."
    )


def _body(profile: Profile, pictures: dict[str, str]) -> str:
    remarks = "".join(f"<p class=off>{esc(remark)}</p>" for remark in profile.remarks)
    sums = "".join(f"<div><dt>{esc(n)}</dt><dd>{_ns(ns)}</dd></div>" for n, ns in _sums(profile))
    roofline = pictures.get("roofline", "")
    why = f"<p class=soft>{esc(profile.no_roofline or _roofs(profile))}</p>"
    return (
        f"<h1>{esc(_title(profile))}</h1><p><span class=tag>{esc(_tag(profile))}</span> "
        f"{_warning(profile)}</p>"
        f"{_facts(profile)}<h2>Where the time goes</h2>{remarks}"
        f"{_html.card(f'<dl>{sums}</dl>')}{pictures['times']}"
        f"<h2>Roofline</h2>{why}{roofline}"
        f"<h2>By kind</h2><p class=soft>{LEGEND}</p>{_kinds(profile)}"
        f"<h2>By layer</h2><p class=soft>In order of running; click a column to sort.</p>"
        f"{_layers(profile)}"
    )


def _tag(profile: Profile) -> str:
    return _table.clean(profile.simulated or "profiled")


def _warning(profile: Profile) -> str:
    """Why these are no latencies."""
    if profile.simulated:
        return "By a model of the chip, which is not here: nothing of this was measured."
    return "Times under a profiler, which slows what it watches: good for shares, not for a run."


def _facts(profile: Profile) -> str:
    machine, cell, artifact = _host.machine(), profile.cell, profile.artifact
    versions = ", ".join(f"{k} {v}" for k, v in profile.probe["versions"].items())
    return _html.facts(
        [
            ("machine", f"{esc(machine.chip)}, {machine.cores} cores"),
            ("system", f"{esc(machine.system)}, Python {esc(machine.python)}"),
            ("device", f"{esc(cell.device)}: {esc(profile.probe['chip'])}, {esc(versions)}"),
            ("batch · threads · runs", f"{esc(_place(profile))}, {profile.runs} runs"),
            ("lineage", esc(_lineage(profile))),
            ("file", f"{_table.size(artifact.bytes)}, sha256 <code>{artifact.sha256[:16]}</code>"),
            ("started", esc(profile.started)),
            ("paretomark", esc(metadata.version("paretomark"))),
        ]
    )


def _lineage(profile: Profile) -> str:
    """From which weights the file came, by which steps and tools."""
    known, cell = json.loads(profile.artifact.lineage), profile.cell
    parent = known["parent"]
    steps = [parent.get("net") or parent["file"], cell.recipe.label, cell.recipe.precision]
    tools = ", ".join(f"{k} {v}" for k, v in known.get("versions", {}).items())
    made = f"; {tools}" if tools else ""
    return f"{' > '.join(filter(None, steps))} (from sha256 {parent['sha256'][:12]}{made})"


def _kinds(profile: Profile) -> str:
    rows = [
        [
            _html.text(k.kind),
            _html.text(k.unit),
            Cell(str(k.count), k.count, "n"),
            *_rated(k, profile.peaks),
        ]
        for k in _operator_table.kinds(profile.operators)
    ]
    if profile.gap:
        name, ns = profile.gap
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
        for line in profile.lines
    ]
    columns = ("#", "operator", "kind", "unit", *_columns(profile.peaks))
    return _html.card(_html.table(columns, rows))


def _columns(peaks: Peaks | None) -> tuple[str, ...]:
    return ("time", "share", *RATES, *(["of roof"] if peaks else []))


def _rated(line: Line, peaks: Peaks | None) -> list[Cell]:
    """The cells of `_columns`."""
    reached = [_html.number(line.of_roof(peaks), _table.percent)] if peaks else []
    return [
        Cell(_ns(line.ns), line.ns, "n"),
        _html.number(line.share, _table.percent),
        *(_html.number(value, write) for value, write in _rates(line)),
        *reached,
    ]
