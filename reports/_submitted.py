"""Whether a run that somebody sends can be what it says: its form, its owner's traces, its numbers.

Nothing here proves that a run is honest. It finds what cannot be: files that were changed, times
that no such processor reaches, samples without noise, answers that are not those of the same file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from paretomark.reports import _text
from paretomark.suites.records._record import Record
from paretomark.suites.records._row import Row
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary

# Multiply-accumulates a core and second that no processor of today reaches: 6 GHz, and a cycle two
# vector units of 16 float32, or a matrix unit of 1,024 pairs of narrower numbers.
WIDE, NARROW = 6e9 * 32, 6e9 * 1024
ON_PROCESSORS = ("onnxruntime:cpu", "openvino:cpu", "litert", "pytorch:eager", "pytorch:compile",
                 "pytorch:channels_last", "pytorch:int8", "executorch")  # fmt: skip
SHORTEST_S = 50e-9  # a call of Python takes longer
NOISELESS = 20  # calls of which not one differs
OTHER = 0.02  # of the answers to the same examples by the same file
AHEAD = timedelta(days=1)  # of a clock that is wrong


def problems(summary: Summary, known: Sequence[Summary] = ()) -> list[str]:
    """Say what speaks against a run, a sentence each; `known` are runs that are believed."""
    found = [*_header(summary.run), *_plan(summary)]
    for row in summary.rows:
        found += [f"{_text.clean(row.cell)}: {why}" for why in _row(row, summary)]
    found += _answers(summary, known)
    return found


def _header(run: Run) -> Iterator[str]:
    header = run.header
    if header.dirty:
        yield "its checkout had changes that were not committed"
    if not header.host.fingerprint or not header.host.chip:
        yield "tells no machine"
    if header.request.get("folder"):
        yield "tells a folder of its owner: make a copy by `bench.py publish`"
    if tools := sorted({_text.clean(r.imported) for r in run.records if r.imported}):
        yield f"was imported from {', '.join(tools)}: it cannot be checked"
    started = _time(header.started)
    times = [time for record in run.records if (time := _time(record.started))]
    if started is None or started > datetime.now(UTC) + AHEAD:
        yield "started at no time, or in the future"
    elif times and min(times) < started - AHEAD:
        yield "has visits from before it started"


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _plan(summary: Summary) -> Iterator[str]:
    planned = {*summary.run.header.cells}
    if more := sorted({r.cell for r in summary.run.records} - planned):
        yield f"has {len(more)} cells that it did not plan, such as {_text.clean(more[0])}"
    double = Counter((r.cell, r.block) for r in summary.run.records if r.status == "ok")
    if again := [cell for (cell, _), count in double.items() if count > 1]:
        yield f"has a visit more than once: {_text.clean(again[0])}"


def _row(row: Row, summary: Summary) -> Iterator[str]:
    if row.latency_s is None or row.simulated:
        return
    if row.latency_s < SHORTEST_S:
        yield f"takes {_text.seconds(row.latency_s)}: no call is so short"
    device = row.device
    if row.macs and any(device == name or device.startswith(f"{name}:") for name in ON_PROCESSORS):
        cores = min(row.threads or 1, summary.run.header.host.cores or 1)
        peak = cores * (WIDE if row.precision == "fp32" else NARROW)
        rate = row.macs * max(1, row.batch) / row.latency_s
        if rate > peak:
            yield (
                f"{_text.count(rate)} multiply-accumulates a second on {_text.cores(cores)}: no "
                f"processor does more than {_text.count(peak)}"
            )
    for record in summary.visits[row.cell].records:
        if len(record.samples_ns) >= NOISELESS and len({*record.samples_ns}) == 1:
            yield f"{len(record.samples_ns)} calls took the same number of nanoseconds"
            return


def _answers(summary: Summary, known: Sequence[Summary]) -> Iterator[str]:
    """What the same file answered elsewhere, to the same examples."""
    before: dict[tuple[object, ...], tuple[Record, str]] = {}
    for other in known:
        for record in other.run.records:
            if record.outcomes and record.sha256:
                before.setdefault(_same(record), (record, other.run.header.run))
    for record in summary.run.records:
        if not record.outcomes or _same(record) not in before:
            continue
        theirs, name = before[_same(record)]
        pairs = zip(record.outcomes, theirs.outcomes, strict=True)
        off = sum(a != b for a, b in pairs) / len(record.outcomes)
        if off > OTHER:
            yield (
                f"{_text.clean(record.cell)}: {_text.percent(off)} of its answers are right where "
                f"those of the same file in {_text.clean(name)} are wrong, or the other way round"
            )


def _same(record: Record) -> tuple[object, ...]:
    return record.sha256, record.device, record.data, record.task, record.examples
