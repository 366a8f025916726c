"""A record: the flat, frozen row of one visit, and the header of the run it belongs to.

Name, type, unit and direction of every number live on its dataclass field; columns, writers
and comparisons are derived from there. Derived values (speed-up, on the front or not) are
never stored.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from paretomark.suites._tasks import CLASSIFICATION, METRICS

SCHEMA = 1
STATUSES = ("ok", "fallback", "failed", "unavailable", "unsupported")
Status = Literal["ok", "fallback", "failed", "unavailable", "unsupported"]


def _is(label: str, unit: str = "", better: str = "") -> Any:
    """Describe a field: its column title, its unit, and 'lower' or 'higher' if one is better."""
    return {"label": label, "unit": unit, "better": better}


class Malformed(ValueError):
    """A record or header that does not have the shape it must have."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """Reads itself from untrusted JSON: every field present, of its type, and nothing else."""

    @classmethod
    def from_json(cls, table: object) -> Self:
        """The row that `to_json` wrote. Raises Malformed with the field to blame."""
        if not isinstance(table, dict):
            raise Malformed(f"{cls.__name__} is not an object")
        hints = get_type_hints(cls)
        if extra := set(table) - set(hints):
            raise Malformed(f"{cls.__name__} has unknown fields {sorted(extra)[:5]}")
        values: dict[str, Any] = {}
        for f in dataclasses.fields(cls):
            if f.name not in table:
                if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
                    raise Malformed(f"{cls.__name__} lacks '{f.name}'")
                continue
            values[f.name] = _read(hints[f.name], table[f.name], f"{cls.__name__}.{f.name}")
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """A plain table for json.dumps."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Record(_Row):
    """One visit (or the reason why there was none). Times are wall clock of one inference call."""

    # which cell
    cell: str = field(metadata=_is("cell"))
    model: str = field(metadata=_is("model"))
    recipe: str = field(metadata=_is("recipe"))
    steps: str = field(
        metadata=_is("steps")
    )  # "magnitude(sparsity=0.9)"; "" for the net as trained
    precision: str = field(metadata=_is("precision"))
    device: str = field(metadata=_is("device"))
    batch: int = field(metadata=_is("batch"))
    threads: int = field(metadata=_is("threads"))
    block: int = field(metadata=_is("block"))
    started: str = field(metadata=_is("started", "UTC"))
    # what came of it
    status: Status = field(metadata=_is("status"))
    stage: str = field(default="", metadata=_is("stage"))
    reason: str = field(default="", metadata=_is("reason"))
    flags: tuple[str, ...] = field(default=(), metadata=_is("validity flags"))
    simulated: str = field(default="", metadata=_is("simulated"))
    # the artifact
    data: str = field(default="", metadata=_is("data"))
    sha256: str = field(default="", metadata=_is("artifact"))
    lineage: str = field(default="", metadata=_is("lineage"))
    artifact_bytes: int | None = field(default=None, metadata=_is("file", "B", "lower"))
    parameters: int | None = field(default=None, metadata=_is("parameters", "", "lower"))
    nonzeros: int | None = field(default=None, metadata=_is("nonzeros", "", "lower"))
    macs: int | None = field(default=None, metadata=_is("MACs", "", "lower"))
    steps_s: float | None = field(
        default=None, metadata=_is("compression, processor time", "s", "lower")
    )
    file_weights: int | None = field(default=None, metadata=_is("weights in the file"))
    file_zeros: int | None = field(default=None, metadata=_is("zeros in the file"))
    sparse_path: str = field(
        default="", metadata=_is("whether XNNPACK skips the zeros of the file")
    )
    encoded_bytes: int | None = field(
        default=None, metadata=_is("weights, losslessly encoded", "B", "lower")
    )
    # where and how fast it ran
    placement: dict[str, int] = field(default_factory=dict, metadata=_is("placement", "operators"))
    placement_costs: dict[str, float] = field(
        default_factory=dict, metadata=_is("share of the cost that the runtime estimates")
    )
    load_s: float | None = field(default=None, metadata=_is("load", "s", "lower"))
    compile_s: float | None = field(default=None, metadata=_is("compile", "s", "lower"))
    first_s: float | None = field(default=None, metadata=_is("first inference", "s", "lower"))
    warmup_runs: int | None = field(default=None, metadata=_is("warm-up runs"))
    samples_ns: tuple[int, ...] = field(default=(), metadata=_is("latency", "ns", "lower"))
    predicted_s: float | None = field(default=None, metadata=_is("predicted latency", "s", "lower"))
    phases_ns: dict[str, int] = field(
        default_factory=dict, metadata=_is("median by the device's clock", "ns", "lower")
    )
    clock_mhz: int | None = field(default=None, metadata=_is("clock", "MHz"))
    temperature_c: int | None = field(default=None, metadata=_is("temperature", "°C"))
    device_memory_bytes: int | None = field(
        default=None, metadata=_is("peak memory of the device", "B", "lower")
    )
    peak_memory_bytes: int | None = field(
        default=None, metadata=_is("peak memory of the worker", "B", "lower")
    )
    before_load_bytes: int | None = field(
        default=None, metadata=_is("memory of the worker before load", "B", "lower")
    )
    foreign_load_cores: float | None = field(
        default=None, metadata=_is("load by other processes", "cores", "lower")
    )
    # how well it answered: only the first block's visit scores
    examples: int = field(default=0, metadata=_is("examples"))
    outcomes: str = field(default="", metadata=_is("1 where the top answer is right, per example"))
    top5_right: int | None = field(default=None, metadata=_is("top-5 right", "", "higher"))
    parity_max_abs: float | None = field(
        default=None, metadata=_is("largest difference to the float net", "logit", "lower")
    )
    parity_mean_abs: float | None = field(
        default=None, metadata=_is("mean difference to the float net", "logit", "lower")
    )
    parity_top1: float | None = field(
        default=None, metadata=_is("same top answer as the float net", "", "higher")
    )
    # of other tasks than classification, in place of outcomes
    task: str = field(default=CLASSIFICATION, metadata=_is("task"))
    scores: tuple[float, ...] = field(
        default=(), metadata=_is("mean IoU or PCK, per example", "", "higher")
    )
    pooled_iou: float | None = field(
        default=None, metadata=_is("mean IoU over the pixels of all examples", "", "higher")
    )
    keypoint_error: float | None = field(
        default=None, metadata=_is("mean error of keypoints", "sizes", "lower")
    )

    @property
    def timed(self) -> bool:
        """Whether it has a latency, measured or predicted."""
        return bool(self.samples_ns) or self.predicted_s is not None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise Malformed(f"status '{self.status}' is none of {', '.join(STATUSES)}")
        if self.predicted_s is not None and (
            self.samples_ns or not self.predicted_s or not self.simulated
        ):
            raise Malformed("a predicted latency is zero, not marked so, or comes with samples")
        if self.status == "ok" and not self.timed:
            raise Malformed("status is ok, but there are no samples")
        if self.status != "ok" and not self.reason:
            raise Malformed(f"status is {self.status}, but no reason is given")
        if any(sample <= 0 for sample in self.samples_ns):
            raise Malformed("a latency sample is not positive")
        self._check_answers()

    def _check_answers(self) -> None:
        if self.task not in METRICS:
            raise Malformed(f"task is none of {', '.join(METRICS)}")
        if self.scores if self.task == CLASSIFICATION else self.outcomes:
            raise Malformed(f"the scores are not those of {self.task}")
        if self.outcomes.strip("01") or len(self.outcomes or self.scores) != self.examples:
            raise Malformed("outcomes are not one 0 or 1 per example")
        if any(not 0 <= score <= 1 for score in (*self.scores, self.pooled_iou or 0)):
            raise Malformed("a score is not between 0 and 1")
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, int | float) and value < 0:
                raise Malformed(f"{f.name} is negative")
        if self.nonzeros is not None and self.nonzeros > (self.parameters or 0):
            raise Malformed("there are more nonzeros than parameters")
        if (self.top5_right or 0) > self.examples:
            raise Malformed("more examples are right than there are")
        if (self.parity_top1 or 0) > 1:
            raise Malformed("parity_top1 is above 1")


@dataclass(frozen=True, kw_only=True)
class Probe(_Row):
    """What a device said of itself when the run started."""

    device: str
    available: bool
    chip: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Host(_Row):
    """The machine. `fingerprint` names the hardware and system, not the owner."""

    fingerprint: str
    chip: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    features: tuple[str, ...] = ()  # instruction sets that decide which kernels run


@dataclass(frozen=True, kw_only=True)
class Header(_Row):
    """What all records of a run share; written once, when the run starts."""

    schema: int
    run: str
    suite: str
    title: str
    started: str
    commit: str  # of the checkout that ran; "" outside a git checkout
    dirty: bool
    version: str
    host: Host
    probes: tuple[Probe, ...]
    cells: tuple[str, ...]
    blocks: int
    seed: int
    request: dict[str, Any]  # what `run --resume` needs to plan the same cells again


def _read(hint: Any, value: Any, where: str) -> Any:
    """`value`, checked against the type `hint`; lists become tuples. Raises Malformed."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if isinstance(hint, type) and issubclass(hint, _Row):
        return hint.from_json(value)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _read(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise Malformed(f"{where} is not a list")
        return tuple(_read(arguments[0], item, where) for item in value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise Malformed(f"{where} is not an object")
        return {str(k): _read(arguments[1], v, where) for k, v in value.items()}
    if origin is Literal:
        if value not in arguments:
            raise Malformed(f"{where} is none of {', '.join(map(str, arguments))}")
        return value
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if isinstance(value, int) and abs(value) >= 2**63:
        raise Malformed(f"{where} is out of range")
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise Malformed(f"{where} is not finite")
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise Malformed(f"{where} is not {getattr(hint, '__name__', hint)}")
    return value
