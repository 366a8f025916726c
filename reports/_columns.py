"""The one table of what is known of a cell: every column of every table that has a line per row.

Terminal, page, leaderboard, CSV and JSON are derived from it. A new metric is a line here, and a
field of `Row` or a function of the row as its `get`; what only a task knows, its own file says.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from paretomark.reports._ways import (
    BYTES,
    COUNT,
    DELTA,
    DEVICE,
    FRONT,
    JOULES,
    LATENCY,
    PLACEMENT,
    RATE,
    SECONDS,
    SHARE,
    SPEEDUP,
    SPENT,
    STATUS,
    TEXT,
    VISITS,
    WIDE,
    Value,
    Way,
)
from paretomark.suites.records._row import Row
from paretomark.suites.tasks import _task


@dataclass(frozen=True, eq=False)
class Place:
    """A table; `first` and `last` name the columns that stand elsewhere than in COLUMNS."""

    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()


TERMINAL = Place(last=("front_probability",))
EVERY = Place()
FRONTS = Place(last=("front_probability",))
BOARD = Place(first=("device", "model", "recipe", "front_probability"))
ZEROS = Place(first=("model", "recipe", "device", "sparsity", "file_sparsity"))
RESULTS = (TERMINAL, EVERY, FRONTS, BOARD)


@dataclass(frozen=True)
class Column:
    """What is known of a cell under one name: its key in CSV and JSON, which hold all columns.

    `unit` is one of the SI or "B", "1" for counts, shares and ratios, and "" for what is no number;
    `better` says which numbers are, if any. `at` are the tables that show it, written in its `way`.
    `interval` are the names of the ends of its 95 % interval, which are fields of `Row`, and keys
    too. `get` takes the value from the row, by default the field or property of that name. A
    terminal, which is narrow, has the title `short`; where the title depends on the rows of a
    table, `among` gives it. What is `rare` stands in a table only where one of its rows has it.
    """

    name: str
    title: str
    unit: str
    better: Literal["lower", "higher", ""]
    description: str
    way: Way = TEXT
    at: tuple[Place, ...] = ()
    interval: tuple[str, str] | tuple[()] = ()
    get: Callable[[Row], Any] | None = None
    short: str = ""
    among: Callable[[Sequence[Row]], str] | None = None
    rare: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys in CSV and JSON."""
        return (self.name, *self.interval)

    def of(self, row: Row) -> Value:
        """Take the value of a row, and its interval."""
        middle = self.get(row) if self.get else getattr(row, self.name)
        return Value(middle, *(getattr(row, end) for end in self.interval))

    def head(self, rows: Sequence[Row]) -> str:
        """Return the title in a table of these rows."""
        return self.among(rows) if self.among else self.title

    def reach(self, rows: Sequence[Row]) -> float:
        """Tell how far the intervals of these rows reach from 0; 1 where none does."""
        ends = [abs(end) for row in rows for end in self.of(row)[1:] if end is not None]
        return max(ends, default=0.0) or 1.0


def quality(rows: Sequence[Row]) -> str:
    """Name what the accuracies of these rows are: "accuracy", or "PCK, mean IoU"."""
    return ", ".join(sorted({row.metric or _task.metric(row.task) for row in rows})) or "accuracy"


# fmt: off
COLUMNS: tuple[Column, ...] = (
    Column("cell", "cell", "", "", "key of the cell: model, recipe, device, sizes"),
    Column("model", "model", "", "", "the net, as the suite names it", TEXT, (*RESULTS, ZEROS)),
    Column("recipe", "recipe", "", "", "how it is compressed, as the suite names it",
           TEXT, (*RESULTS, ZEROS)),
    Column("device", "device", "", "", "the runtime and its target", DEVICE, (EVERY, BOARD, ZEROS)),
    Column("batch", "batch", "1", "", "pictures per call"),
    Column("threads", "threads", "1", "", "threads that the runtime may use"),
    Column("length", "length", "1", "", "of declared inputs; 0: they have none"),
    Column("scenario", "scenario", "", "", "how it is called: single, batch, server, cold, ..."),
    Column("simulated", "simulated", "", "", "what the latency is, where it is not measured"),
    Column("imported", "imported", "", "", "the tool that measured it, where that was another"),
    Column("precision", "precision", "", "", "of weights and arithmetic, as the recipe has it"),
    Column("status", "status", "", "", "ok, or what kept it from that", STATUS, (EVERY,)),
    Column("stage", "stage", "", "", "where it failed"),
    Column("reason", "reason", "", "", "why it failed, or was not run"),
    Column("flags", "flags", "", "", "why some or all visits do not count"),
    Column("warnings", "warnings", "", "", "what to know before the row is believed"),
    Column("broken", "broken", "", "", "why the answers mean nothing; such a row is on no front"),
    Column("dense", "dense", "", "", "whether it is the net as trained, in fp32"),
    Column("task", "task", "", "", "what kind of answer the net gives"),
    Column("metric", "metric", "", "", "what accuracy means in the task"),
    Column("answers", "answers taken for", "", "", "what the scored output is: logits, ...",
           TEXT, (EVERY,)),
    Column("classes", "classes", "", "", "of the data, in the order of the net's outputs"),
    Column("accuracy", "accuracy", "1", "higher", "mean over the examples of what metric says",
           SHARE, RESULTS, ("accuracy_low", "accuracy_high"), among=quality),
    Column("delta", "Δ to dense, points", "1", "higher",
           "accuracy less that of the dense net on the same examples",
           DELTA, RESULTS, ("delta_low", "delta_high"), short="Δ"),
    Column("delta_p", "p of Δ", "1", "", "p value of the difference in accuracy"),
    Column("delta_q", "adjusted p of Δ", "1", "", "the same, corrected for all of the report"),
    Column("latency_s", "latency", "s", "lower",
           "time in quiet moments: the level of the visits' floors",
           LATENCY, RESULTS, ("latency_low_s", "latency_high_s")),
    Column("boundary", "latency of", "", "", "whether of the call, or of the inference alone"),
    Column("call_s", "call", "s", "lower",
           "latency from handing over the inputs to having the answers",
           LATENCY, (EVERY,), ("call_low_s", "call_high_s")),
    Column("inference_s", "inference alone", "s", "lower",
           "latency of the inference alone, where the runtime tells it",
           LATENCY, (EVERY,), ("inference_low_s", "inference_high_s")),
    Column("throughput", "throughput", "1/s", "higher", "inputs per second: batch over latency",
           RATE, (TERMINAL, EVERY), ("throughput_low", "throughput_high")),
    Column("queries", "queries", "", "", "of a server: that arrived, by queries per second"),
    Column("server_median_s", "server median", "", "", "from arrival to answer, by rate"),
    Column("server_p90_s", "server p90", "", "", "likewise, the 90th percentile"),
    Column("server_p99_s", "server p99", "", "", "likewise, the 99th percentile"),
    Column("p99_bound_s", "bound of p99", "s", "", "of a server: what the highest rate keeps to"),
    Column("best_rate", "highest rate", "1/s", "higher", "queries per second with p99 in its bound",
           RATE, (EVERY,), ("best_rate_low", "best_rate_high")),
    Column("interpreter_s", "interpreter", "s", "lower", "of a cold start: until the first line",
           SECONDS),
    Column("import_s", "imports", "s", "lower", "of a cold start: NumPy and the runtime", SECONDS),
    Column("burst_s", "burst", "s", "lower", "of a sustained visit: a call in the first slices",
           SECONDS),
    Column("slowdown", "slow-down", "1", "lower", "a sustained call in the last third over burst",
           COUNT, (), ("slowdown_low", "slowdown_high")),
    Column("speedup", "speed-up", "1", "higher", "latency of the dense net over this",
           SPEEDUP, RESULTS, ("speedup_low", "speedup_high")),
    Column("front_probability", "front", "1", "higher", "probability of truly being on the front",
           FRONT, RESULTS),
    Column("on_front", "on the front", "", "", "whether no other is both faster and more accurate"),
    Column("mark", "mark", "", "", "front, or tie: perhaps off the front by chance only"),
    Column("valid", "valid", "", "", "whether it is ok, with a visit that counts"),
    Column("typical_s", "typical", "s", "lower", "median of all calls, as they came",
           SECONDS, (EVERY, FRONTS)),
    Column("p90_s", "p90", "s", "lower", "90th percentile of calls", SECONDS, (EVERY,)),
    Column("p95_s", "p95", "s", "lower", "95th percentile of calls", SECONDS, (EVERY,)),
    Column("p99_s", "p99", "s", "lower", "99th percentile of calls", SECONDS, (EVERY,)),
    Column("disturbed", "slices disturbed", "1", "lower",
           "share of slices whose median call is a tenth above the latency", SHARE, (EVERY,)),
    Column("sequential", "sequential", "", "", "timed in one stretch, by an older version"),
    Column("visits_apart", "visits apart", "1", "lower",
           "visits too far above the others to count"),
    Column("artifact_bytes", "file", "B", "lower", "size of the file", BYTES, (*RESULTS, ZEROS)),
    Column("encoded_bytes", "weights encoded", "B", "lower",
           "weights by run lengths, codebooks and Huffman codes", BYTES, (EVERY, ZEROS)),
    Column("parameters", "parameters", "1", "lower", "numbers that make the net", COUNT, (EVERY,)),
    Column("nonzeros", "nonzeros", "1", "lower", "parameters that are not zero"),
    Column("sparsity", "sparsity", "1", "higher", "share of the parameters that is zero",
           SHARE, (EVERY, ZEROS)),
    Column("file_sparsity", "zeros in the file", "1", "higher",
           "share of the weights in the file that is zero", SHARE, (ZEROS,)),
    Column("zeros", "zeros bring", "", "", "what pruning brought: speed, size, or nothing",
           TEXT, (TERMINAL, ZEROS), short="zeros"),
    Column("zeros_why", "why", "", "", "why zeros bring that", WIDE, (ZEROS,)),
    Column("sparse_path", "sparse path", "", "", "whether XNNPACK skips the zeros of the file"),
    Column("macs", "MACs", "1", "lower", "multiply-accumulates of one call", COUNT, (EVERY,)),
    Column("instructions", "instructions", "1", "lower",
           "in user space, of a call: the median of slices", COUNT, (TERMINAL, EVERY), rare=True),
    Column("ipc", "IPC", "1", "higher", "instructions per cycle", COUNT, (EVERY,), rare=True),
    Column("cycles", "cycles", "1", "lower", "of the processor, in user space, of a call"),
    Column("cache_misses", "cache misses", "1", "lower",
           "of the last cache, of a call: the median of slices", COUNT, (EVERY,), rare=True),
    Column("branch_misses", "branch misses", "1", "lower",
           "branches foretold wrongly, of a call", COUNT, (EVERY,), rare=True),
    Column("counted", "counted", "1", "higher",
           "share of the time that hardware counters ran; below 1, counts are scaled"),
    Column("energy_j", "energy", "J", "lower",
           "of a call, without what the machine draws idle: the mean of visits",
           JOULES, (TERMINAL, EVERY), ("energy_low_j", "energy_high_j"), rare=True),
    Column("energy_source", "energy by", "", "", "what told the energy"),
    Column("energy_why", "no energy", "", "", "why that told none"),
    Column("idle_w", "idle", "W", "", "what the meter told before: all loaded, nothing running"),
    Column("load_s", "load", "s", "lower", "from file to ready, not compiling", SECONDS, (EVERY,)),
    Column("compile_s", "compile", "s", "lower", "compiling, the part of loading that is told",
           SECONDS),
    Column("first_s", "first call", "s", "lower", "the first call", SECONDS, (EVERY,)),
    Column("added_memory_bytes", "model memory", "B", "lower",
           "peak memory less that before loading", BYTES, (EVERY,)),
    Column("peak_memory_bytes", "peak memory", "B", "lower", "peak memory of the process",
           BYTES, (EVERY,)),
    Column("parity_top1", "same answer as float", "1", "higher",
           "share of examples with the top answer of the float net", SHARE, (EVERY,)),
    Column("parity_mean_abs", "off float, mean", "1", "lower",
           "mean difference of outputs to the float net's", COUNT, (EVERY,)),
    Column("parity_max_abs", "off float, max", "1", "lower",
           "largest difference of outputs to the float net's", COUNT, (EVERY,)),
    Column("placement", "placement", "", "", "operators by the unit that ran them",
           PLACEMENT, (EVERY,)),
    Column("placement_costs", "cost by unit", "", "", "shares, as the runtime estimates them"),
    Column("valid_visits", "visits valid", "1", "", "visits without a flag", VISITS, (EVERY,)),
    Column("visits", "visits", "1", "", "fresh processes that were to load and time it"),
    Column("examples", "examples", "1", "", "examples that were scored"),
    Column("data", "data", "", "", "the data set that was scored", TEXT, (EVERY,)),
    Column("steps", "steps", "", "", "compression, step by step", TEXT, (EVERY,)),
    Column("asked", "asked", "", "", "of the steps: the sparsity or size that the recipe asks for"),
    Column("reached", "reached", "", "", "the same, as it is in the net"),
    Column("steps_s", "compressed in", "s", "lower", "processor time of the steps, with training",
           SPENT, (EVERY,)),
    Column("identity", "identity", "", "", "digest of what the artifact is"),
    Column("sha256", "artifact", "", "", "digest of its file"),
    Column("lineage", "lineage", "", "", "how the artifact came to be, as JSON"),
)
# fmt: on


def columns() -> tuple[Column, ...]:
    """COLUMNS, and a column for each further number that a task gives."""
    return (*COLUMNS, *(_of_task(*item) for item in _task.measures().items()))


def _of_task(name: str, measure: _task.Measure) -> Column:
    title, unit, better, description = measure
    unit, way = _UNITS[unit]
    get = operator.methodcaller("measure", name)
    return Column(name, title, unit, better, description, way, (EVERY,), get=get)


_UNITS = {"%": ("1", SHARE), "s": ("s", SECONDS), "B": ("B", BYTES), "": ("1", COUNT)}


def named(name: str) -> Column:
    """Return the column of that name, which must be one."""
    return {column.name: column for column in columns()}[name]


def at(place: Place, rows: Sequence[Row]) -> list[Column]:
    """List the columns that a table of these rows shows, in its order."""
    order = {name: i - len(place.first) for i, name in enumerate(place.first)}
    order |= dict.fromkeys(place.last, 1)
    shown = [
        c
        for c in columns()
        if place in c.at and not (c.rare and all(c.of(row).middle is None for row in rows))
    ]
    return sorted(shown, key=lambda c: order.get(c.name, 0))


def values(row: Row) -> dict[str, Any]:
    """Give all that is known of a row, by column: a line of the CSV, an object of the JSON."""
    return table([row])[0]


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Give likewise all that is known of rows."""
    every = columns()
    return [
        {
            key: value
            for column in every
            for key, value in zip(column.keys, column.of(row), strict=False)
        }
        for row in rows
    ]
