"""JSON of google-benchmark: --benchmark_out=FILE --benchmark_out_format=json.

A benchmark is a cell, and a repetition a visit whose one time is the mean of its iterations. Where
only aggregates are reported, there is one visit with their mean. What it is called by, such as
`BM_Net/64/threads:2`, becomes net and recipe; keys of cells, as `bench.py export` writes them, are
read back.

https://github.com/google/benchmark/blob/main/docs/user_guide.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from paretomark.reports.readers import _foreign
from paretomark.reports.readers._foreign import Imported, Machine, Source
from paretomark.suites.records._record import Record
from paretomark.suites.spec._errors import UserError

TOOL = "google-benchmark"
UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_CELL = re.compile(r"([^/]+)/([^/]+)/([^/]+)/b(\d{1,9})/t(\d{1,9})(?:/l(\d{1,9}))?")


@dataclass(frozen=True)
class _Cache:
    type: str = ""
    level: int = 0
    size: int = 0
    num_sharing: int = 0


@dataclass(frozen=True)
class _Context:
    date: str = ""
    host_name: str = ""  # only to be left out of messages
    num_cpus: int = 0
    caches: tuple[dict[str, Any], ...] = ()
    library_version: str = ""
    library_build_type: str = ""


@dataclass(frozen=True)
class _Benchmark:
    name: str
    run_name: str = ""
    run_type: str = "iteration"
    threads: int = 1
    iterations: float = 1  # of aggregates that of a coefficient
    real_time: float = 0.0
    time_unit: str = "ns"
    aggregate_name: str = ""
    aggregate_unit: str = "time"
    error_occurred: bool = False
    error_message: str = ""
    skipped: bool = False
    skip_message: str = ""
    label: str = field(default="")


def reads(source: Source) -> bool:
    """Tell whether it is such a file: it has a context and a list of benchmarks."""
    context = source.table.get("context")
    return isinstance(context, dict) and isinstance(source.table.get("benchmarks"), list)


def read(source: Source) -> Imported:
    """Read it. Raises UserError with the field that does not fit."""
    context = _foreign.typed(_Context, source.table["context"], f"{source.path}: context")
    items = source.table["benchmarks"]
    if len(items) > _foreign.MAX_RECORDS:
        raise UserError(f"{source.path}: benchmarks: more than {_foreign.MAX_RECORDS} entries")
    wheres = [f"{source.path}: benchmarks: {i}" for i in range(len(items))]
    found = [_foreign.typed(_Benchmark, x, w) for x, w in zip(items, wheres, strict=True)]
    tool = f"{TOOL} {_foreign.name(context.library_version)}".strip()
    records = list(_records(tool, found, wheres, context.host_name))
    left_out = ["processor time", "counters"] if found else []
    if any(b.run_type == "aggregate" for b in found):
        left_out.append("aggregates other than the mean where there are no repetitions")
    caches = [_foreign.typed(_Cache, c, f"{source.path}: context: caches") for c in context.caches]
    return Imported(
        tool=tool,
        records=tuple(records),
        machine=Machine(
            cores=context.num_cpus,
            more=tuple(f"{c.type} {c.level} {c.size} {c.num_sharing}" for c in caches),
        ),
        versions={TOOL: _foreign.name(context.library_version)} if context.library_version else {},
        started=_foreign.utc(context.date),
        left_out=tuple(left_out),
    )


def _records(
    tool: str, found: Sequence[_Benchmark], wheres: Sequence[str], host: str
) -> Iterator[Record]:
    repeated = {b.run_name or b.name for b in found if b.run_type != "aggregate"}
    for b, where in zip(found, wheres, strict=True):
        run_name = b.run_name or b.name
        if b.run_type == "aggregate" and (run_name in repeated or b.aggregate_name != "mean"):
            continue
        what = "a repetition" if b.run_type != "aggregate" else "repetitions, which are not there"
        facts = _failure(b, host) or {
            "warnings": [f"its times are means over the iterations of {what}"]
        }
        if b.time_unit not in UNITS:
            raise UserError(f"{where}: time_unit must be one of {', '.join(UNITS)}")
        if b.threads < 0:
            raise UserError(f"{where}: threads must not be negative")
        values_s = () if "status" in facts else (b.real_time * UNITS[b.time_unit],)
        yield _foreign.visit(
            tool,
            values_s=values_s,
            where=f"{where}: real_time",
            **_named(run_name, b.threads),
            **facts,
        )


def _failure(benchmark: _Benchmark, host: str) -> dict[str, Any]:
    if benchmark.error_occurred:
        why = _foreign.without_paths(benchmark.error_message, host)
        return {"status": "failed", "stage": "run", "reason": why or "error_occurred"}
    if benchmark.skipped:
        why = _foreign.without_paths(benchmark.skip_message, host)
        return {"status": "unsupported", "stage": "run", "reason": why or "skipped"}
    return {}


def _named(run_name: str, threads: int) -> dict[str, Any]:
    if key := _CELL.fullmatch(run_name):
        model, recipe, device = (_foreign.name(part, "unnamed") for part in key.group(1, 2, 3))
        sizes = {"batch": int(key[4]), "threads": int(key[5]), "length": int(key[6] or 0)}
        return {"model": model, "recipe": recipe, "device": device, **sizes}
    first, *rest = run_name.split("/")
    more = " ".join(part for part in rest if not part.startswith("threads:"))
    return {
        "model": _foreign.name(first, "unnamed"),
        "recipe": _foreign.name(more, _foreign.AS_GIVEN),
        "device": TOOL,
        "threads": threads,
    }
