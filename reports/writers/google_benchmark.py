"""JSON of google-benchmark, for its tools/compare.py and what else reads that.

A cell is a benchmark, and each visit that counts a repetition, whose time is that of the visit in
quiet moments. The format wants a processor time, which is not measured: it is the same time, and
the context says so. A cell that failed has `error_occurred`, with the reason.

https://github.com/google/benchmark/blob/main/docs/tools.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from paretomark.reports import _json, _text
from paretomark.reports.writers import _cells
from paretomark.suites.records._row import Row
from paretomark.suites.records._scenarios import visit_s
from paretomark.suites.records._summary import Summary
from paretomark.suites.spec._errors import UserError

SUFFIX = "json"


def write(summaries: Sequence[Summary]) -> str:
    """Write a benchmark per visit. Raises UserError for runs of several machines, which have one
    context, and for a cell that two runs have."""
    headers = [summary.run.header for summary in summaries]
    if len({header.host.fingerprint for header in headers}) > 1:
        raise UserError("these runs are of several machines: export them into a file each")
    host = headers[0].host
    context: dict[str, Any] = {
        "date": _text.clean(headers[0].started),
        "host_name": "",
        "executable": "paretomark",
        "num_cpus": host.cores,
        "caches": [],
        "load_avg": [],
        "library_build_type": "release",
        "json_schema_version": 1,
        "paretomark": _text.clean(headers[0].version),
        "machine": _text.clean(f"{host.chip} ({host.fingerprint})"),
        "cpu_time": "not measured, and the same as real_time",
    }
    found = [
        {"name": _cells.name(row), "run_name": _cells.name(row), "family_index": i} | entry
        for i, (summary, row) in enumerate(_cells.rows(summaries))
        for entry in _visits(summary, row)
    ]
    return _json.text({"context": context, "benchmarks": found}) + "\n"


def _visits(summary: Summary, row: Row) -> Iterator[dict[str, Any]]:
    common = {
        "per_family_instance_index": 0,
        "run_type": "iteration",
        "threads": row.threads,
        "time_unit": "ns",
    }
    valid = [r for r in summary.visits[row.cell].valid if r.clocked] if row.valid else []
    for i, record in enumerate(valid):
        time_ns = visit_s(record) * 1e9
        yield common | {
            "repetitions": len(valid),
            "repetition_index": i,
            "iterations": max(1, len(record.samples_ns)),
            "real_time": time_ns,
            "cpu_time": time_ns,
            "label": _text.origin(row) or "in quiet moments",
        }
    if not valid:
        why = _cells.why_not(row) or "has no time of a call"
        yield common | {
            "repetitions": 1,
            "repetition_index": 0,
            "error_occurred": True,
            "error_message": why,
            "iterations": 1,
            "real_time": 0.0,
            "cpu_time": 0.0,
        }
