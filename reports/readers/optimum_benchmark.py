"""Reports of optimum-benchmark: benchmark_report.json, or benchmark.json with its configuration.

What it times, such as `forward`, `prefill` or `decode`, is a cell, in one visit with every call
that the report lists. The configuration comes from the same file, or from benchmark_config.json
beside it.

https://github.com/huggingface/optimum-benchmark
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paretomark.reports.readers import _foreign
from paretomark.reports.readers._foreign import Imported, Machine, Source
from paretomark.suites.records._record import Record
from paretomark.suites.spec._errors import UserError

TOOL = "optimum-benchmark"
CONFIG = "benchmark_config.json"
LOAD = "load"  # its time is how long a model takes to load
WHOLE = ("forward", "call", "generate", "train")  # what is timed is the net itself
UNITS = {"s": 1.0, "ms": 1e-3}
MEMORY = {"MB": 10**6, "MiB": 2**20}


@dataclass(frozen=True)
class _Latency:
    unit: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class _Memory:
    unit: str = "MB"
    max_ram: float | None = None


@dataclass(frozen=True)
class _Backend:
    name: str = ""
    version: str | None = None
    model: str | None = None
    device: str | None = None
    torch_dtype: str | None = None
    dtype: str | None = None
    quantization_scheme: str | None = None
    inter_op_num_threads: int | None = None
    intra_op_num_threads: int | None = None


@dataclass(frozen=True)
class _Environment:
    cpu: str | None = None
    cpu_count: int | None = None
    cpu_ram_mb: float | None = None
    system: str | None = None
    machine: str | None = None
    python_version: str | None = None
    gpu: tuple[str, ...] | None = None
    optimum_benchmark_version: str | None = None


@dataclass(frozen=True)
class _Shapes:
    batch_size: int = 1
    sequence_length: int = field(default=0)


def reads(source: Source) -> bool:
    """Tell whether it is such a report: of everything that it times, it has a latency or memory."""
    report = source.table.get("report", source.table)
    return (
        isinstance(report, dict)
        and bool(report)
        and all(isinstance(t, dict) and {"latency", "memory"} <= t.keys() for t in report.values())
    )


def read(source: Source) -> Imported:
    """Read it. Raises UserError with the field that does not fit."""
    report = source.table.get("report", source.table)
    config, where = source.table.get("config"), f"{source.path}: config"
    if config is None:
        beside = source.sibling(CONFIG)
        if beside is None or not beside.table:
            raise UserError(f"{source.path}: does not tell its net: put {CONFIG} beside it")
        config, where = beside.table, str(beside.path)
    backend = _foreign.typed(_Backend, config.get("backend", {}), f"{where}: backend")
    environment = _foreign.typed(_Environment, config.get("environment", {}), f"{where}: env")
    shapes = _of(config.get("scenario", {}), "input_shapes", f"{where}: scenario")
    tool = f"{TOOL} {_foreign.name(environment.optimum_benchmark_version or '')}".strip()
    load_s = next(iter(_values(report.get(LOAD), f"{source.path}: {LOAD}")), None)
    records = [
        _record(tool, target, table, backend, shapes, load_s, f"{source.path}: {target}")
        for target, table in report.items()
        if target != LOAD and isinstance(table["latency"], dict)
    ]
    if not records:
        raise UserError(f"{source.path}: has no latency of anything but loading")
    return Imported(
        tool=tool,
        records=tuple(records),
        machine=_machine(environment),
        versions={backend.name: _foreign.name(backend.version)} if backend.version else {},
        left_out=("throughput, energy and efficiency", "memory of the graphics processor"),
    )


def _record(
    tool: str,
    target: str,
    table: Mapping[str, Any],
    backend: _Backend,
    shapes: _Shapes,
    load_s: float | None,
    where: str,
) -> Record:
    memory = _foreign.typed(_Memory, table["memory"] or {}, f"{where}: memory")
    peak = memory.max_ram and memory.max_ram * MEMORY.get(memory.unit, 0)
    values_s = _values(table, where)
    if not values_s:
        raise UserError(f"{where}: latency: values must not be empty")
    model = _foreign.name(_foreign.last(backend.model or ""), "unnamed")
    if shapes.batch_size < 1 or shapes.sequence_length < 0 or (peak or 0) < 0:
        raise UserError(f"{where}: batch_size, sequence_length or max_ram is negative")
    return _foreign.visit(
        tool,
        values_s=values_s,
        where=f"{where}: latency: values",
        model=model if target in WHOLE else f"{model}:{_foreign.name(target, 'unnamed')}",
        recipe=_foreign.name(backend.quantization_scheme or "", _foreign.AS_GIVEN),
        precision=_foreign.name(backend.torch_dtype or backend.dtype or ""),
        device=_foreign.name(f"{backend.name}:{backend.device or 'cpu'}"),
        threads=max(0, backend.intra_op_num_threads or 0),
        batch=shapes.batch_size,
        length=shapes.sequence_length,
        load_s=load_s,
        peak_memory_bytes=round(peak) if peak else None,
    )


def _values(table: object, where: str) -> Sequence[float]:
    """The times in seconds; none where nothing was timed."""
    if not isinstance(table, Mapping) or table.get("latency") is None:
        return ()
    latency = _foreign.typed(_Latency, table["latency"], f"{where}: latency")
    if latency.unit not in UNITS:
        raise UserError(f"{where}: latency: unit must be one of {', '.join(UNITS)}")
    if len(latency.values) > _foreign.MAX_RECORDS:
        raise UserError(f"{where}: latency: more than {_foreign.MAX_RECORDS} values")
    return [value * UNITS[latency.unit] for value in latency.values]


def _of(table: object, key: str, where: str) -> _Shapes:
    shapes = table.get(key) if isinstance(table, Mapping) else None
    return _foreign.typed(_Shapes, shapes or {}, f"{where}: {key}")


def _machine(environment: _Environment) -> Machine:
    system = " ".join(filter(None, (environment.system, environment.machine)))
    return Machine(
        chip=_foreign.name(environment.cpu or ""),
        cores=max(0, environment.cpu_count or 0),
        memory_bytes=max(0, round((environment.cpu_ram_mb or 0) * 10**6)),
        system=_foreign.name(system),
        python=_foreign.name(environment.python_version or ""),
        more=tuple(map(_foreign.name, environment.gpu or ())),
    )
