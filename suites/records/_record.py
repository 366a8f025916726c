"""A record: the flat, frozen row of one visit, and the header of the run it belongs to.

Derived values (speed-up, on the front or not) are never stored. The fields are the schema: whoever
changes them raises SCHEMA, so that an older version can say that it is too old, and reads what
older versions wrote.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from paretomark.suites.records import _levels
from paretomark.suites.records._trials import Reading, Start, Trial
from paretomark.suites.spec import _schema
from paretomark.suites.spec._scenario import COLD, SERVER, SINGLE, SUSTAINED, Scenario
from paretomark.suites.spec._suite import BOUNDARIES
from paretomark.suites.tasks._task import CLASSIFICATION

SCHEMA = 5
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
# What a latency is of: a whole call, as a program waits for it, with inputs handed over and answers
# fetched; or the inference alone, as the runtimes' own tools time it.
CALL, INFERENCE = BOUNDARIES
# The least that a number may be, where that is not 0. Of a call that draws next to nothing, what is
# left when idle is taken off lies on either side of it.
MAY_BE = {"temperature_c": -273, "energy_j": -1e6}
STATUSES = ("ok", "fallback", "failed", "unavailable", "unsupported")
Status = Literal["ok", "fallback", "failed", "unavailable", "unsupported"]


class Malformed(ValueError):
    """A record or header that does not have the shape it must have."""


@dataclass(frozen=True, kw_only=True)
class _Row:
    """Reads itself from untrusted JSON: every field present, of its type, and nothing else."""

    @classmethod
    def from_json(cls, table: object) -> Self:
        """The row that `to_json` wrote. Raises Malformed with the field to blame."""
        try:
            return _schema.typed(cls, table)
        except _schema.Invalid as error:
            raise Malformed(str(error)) from None

    def to_json(self) -> dict[str, Any]:
        """A plain table for json.dumps."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Record(_Row):
    """One visit (or the reason why there was none). Times are wall clock of one inference call."""

    # which cell
    cell: str
    model: str
    recipe: str
    steps: str  # "magnitude(sparsity=0.9)"; "" for the net as trained
    precision: str
    device: str
    batch: int
    threads: int
    length: int = 0  # of its inputs, where one is declared; 0: they have none
    scenario: Scenario = SINGLE
    block: int
    started: str  # UTC
    # what came of it
    status: Status
    stage: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    simulated: str = ""
    imported: str = ""  # the tool that measured it, where that was not this one
    # the artifact
    identity: str = ""  # digest of what it is, see `Artifact`; "" where there is none
    data: str = ""
    classes: tuple[str, ...] = ()  # of the data, in the order of the net's outputs, where it says
    sha256: str = ""
    lineage: str = ""
    artifact_bytes: int | None = None
    parameters: int | None = None
    nonzeros: int | None = None
    macs: int | None = None
    steps_s: float | None = None  # processor time that compression took
    file_weights: int | None = None
    file_zeros: int | None = None
    sparse_path: str = ""  # whether XNNPACK skips the zeros of the file
    encoded_bytes: int | None = None
    asked: dict[str, float] = field(default_factory=dict)  # of the steps: "magnitude sparsity"
    reached: dict[str, float] = field(default_factory=dict)  # the same, as it is in the net
    # where and how fast it ran
    placement: dict[str, int] = field(default_factory=dict)  # operators by unit
    placement_costs: dict[str, float] = field(default_factory=dict)  # shares, as estimated
    load_s: float | None = None
    compile_s: float | None = None
    first_s: float | None = None
    warmup_runs: int | None = None
    slices_ns: tuple[tuple[int, ...], ...] = ()  # the calls of each slice; others ran in between
    slices_at_s: tuple[float, ...] = ()  # when each of them began, in seconds since 1970
    inference_ns: tuple[tuple[int, ...], ...] = ()  # the inference alone, of some calls of a slice
    predicted_s: float | None = None
    trials: tuple[Trial, ...] = ()  # of the scenario server
    p99_bound_s: float | None = None  # of its search for the highest rate
    cold: Start | None = None  # of the scenario cold
    readings: tuple[Reading, ...] = ()  # of the scenario sustained: after each slice
    phases_ns: dict[str, int] = field(default_factory=dict)  # medians by the device's clock
    clock_mhz: int | None = None
    temperature_c: int | None = None
    device_memory_bytes: int | None = None
    peak_memory_bytes: int | None = None  # of the worker
    before_load_bytes: int | None = None
    foreign_load_cores: float | None = None
    # what a call costs beside time, see `_metered.py`; nothing where nothing tells
    counters: dict[str, float] = field(default_factory=dict)  # of the processor: instructions, ...
    energy_j: float | None = None  # without what the machine draws idle
    energy_source: str = ""  # what told it
    energy_why: str = ""  # why that told nothing of this visit
    idle_w: float | None = None
    # how well it answered: only the first block's visit scores
    task: str = CLASSIFICATION
    examples: int = 0
    outcomes: str = ""  # of a classification, 1 where the top answer is right, per example
    scores: tuple[float, ...] = ()  # of other tasks, in place of outcomes
    metric: str = ""  # what the mean of these is called
    measures: dict[str, float] = field(default_factory=dict)  # further numbers of the task
    parity_max_abs: float | None = None  # difference to the float net's answers
    parity_mean_abs: float | None = None
    parity_top1: float | None = None
    answers: str = ""  # what the scored output was taken for, as "probabilities"
    # how far it is to be believed
    warnings: tuple[str, ...] = ()  # what a reader has to know of the data, the net, or the file
    broken: str = ""  # why the answers mean nothing, so that no front may have them; "" if they do

    @property
    def samples_ns(self) -> tuple[int, ...]:
        """All calls that were timed, in the order they were made."""
        return tuple(itertools.chain(*self.slices_ns))

    def within(self, boundary: str) -> Record:
        """Return it with the times of this boundary, one of BOUNDARIES, in place of its calls'."""
        if boundary == CALL or not self.slices_ns:
            return self
        if self.inference_ns:
            return dataclasses.replace(self, slices_ns=self.inference_ns)
        return dataclasses.replace(
            self,
            status="unsupported",
            stage="timing",
            reason=f'{self.device} does not tell the inference alone: set boundary = "call"',
            slices_ns=(),
            slices_at_s=(),
            readings=(),
        )

    @functools.cached_property  # several figures are made of it
    def floor_s(self) -> float:
        """The floor of its calls in seconds, see `_levels.py`; it must have slices."""
        return _levels.floor(self.slices_ns) / 1e9

    @property
    def sequential(self) -> bool:
        """Whether it was timed in one stretch, as visits were before schema 4."""
        return len(self.slices_ns) == 1 and not self.imported

    @property
    def aggregate(self) -> bool:
        """Whether its one time is what another tool made of many calls, so no sample of one."""
        return bool(self.imported) and len(self.samples_ns) == 1

    @property
    def timed(self) -> bool:
        """Whether it was measured or predicted."""
        return self.clocked or bool(self.trials)

    @property
    def clocked(self) -> bool:
        """Whether it has one time: a server has a time for each rate instead."""
        measured = self.slices_ns or self.cold or self.predicted_s is not None
        return bool(measured) and self.scenario != SERVER

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise Malformed(f"status '{self.status}' is none of {', '.join(STATUSES)}")
        if self.predicted_s is not None and (
            self.slices_ns or not self.predicted_s or not self.simulated
        ):
            raise Malformed("a predicted latency is zero, not marked so, or comes with samples")
        if self.status == "ok" and not self.timed:
            raise Malformed("status is ok, but there are no samples")
        if self.status != "ok" and not self.reason:
            raise Malformed(f"status is {self.status}, but no reason is given")
        for slices_ns in (self.slices_ns, self.inference_ns):
            if not all(slices_ns) or any(min(part) <= 0 for part in slices_ns):
                raise Malformed("a latency sample is not positive, or a slice has none")
        for scenario, own in ((SERVER, self.trials), (COLD, self.cold), (SUSTAINED, self.readings)):
            if own and self.scenario != scenario:
                raise Malformed(f"what only a visit of scenario {scenario} has is in another")
        if self.readings and len(self.readings) != len(self.slices_ns):
            raise Malformed("there is not one reading for each slice")
        self._check_answers()

    def _check_answers(self) -> None:
        if not NAME.fullmatch(self.task):
            raise Malformed("task is no name of a task")
        if self.scores and self.outcomes:
            raise Malformed("there are outcomes and scores: a task has one of them")
        if self.outcomes.strip("01") or len(self.outcomes or self.scores) != self.examples:
            raise Malformed("outcomes are not one 0 or 1 per example")
        if any(not 0 <= score <= 1 for score in self.scores):
            raise Malformed("a score is not between 0 and 1")
        for name, value in vars(self).items():
            if isinstance(value, int | float) and not value >= MAY_BE.get(name, 0):
                raise Malformed(f"{name} is negative, or no number")
        if any(not value >= 0 for value in self.counters.values()):
            raise Malformed("a counter is negative, or no number")
        if self.nonzeros is not None and self.nonzeros > (self.parameters or 0):
            raise Malformed("there are more nonzeros than parameters")
        if (self.parity_top1 or 0) > 1:
            raise Malformed("parity_top1 is above 1")


def upgraded(table: object, schema: int) -> object:
    """A record that was written in an older schema, as one of this."""
    if schema >= SCHEMA or not isinstance(table, dict):
        return table
    table = dict(table)
    samples = table.pop("samples_ns", None)  # one stretch, until schema 4
    if samples is not None:
        table["slices_ns"] = [samples] if isinstance(samples, list) and samples else samples
    return table if schema >= 2 else _of_1(table)  # what else is new has defaults


def _of_1(table: dict[str, Any]) -> dict[str, Any]:
    measures = {name: table.pop(name, None) for name in ("pooled_iou", "keypoint_error")}
    if (right := table.pop("top5_right", None)) is not None and table.get("examples"):
        measures["top5"] = right / table["examples"]
    table["measures"] = {name: value for name, value in measures.items() if value is not None}
    table["metric"] = _METRICS.get(str(table.get("task")), "accuracy")
    return table


_METRICS = {"segmentation": "mean IoU", "keypoints": "PCK"}  # what schema 1 left unsaid


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
    meters: tuple[Probe, ...] = ()  # what there is to tell more than time, or why there is not
    precision: float = 0.02  # half width of the latencies' intervals that the run was to reach
    boundary: str = CALL  # what its latencies are of
    together: str = ""  # the same in runs that were timed in the same crews, slice by slice

    def __post_init__(self) -> None:
        if self.boundary not in BOUNDARIES:
            raise Malformed(f"boundary '{self.boundary}' is none of {', '.join(BOUNDARIES)}")
