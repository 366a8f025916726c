"""The row of a report: one planned cell, summarised over its visits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from paretomark.suites.records._record import CALL
from paretomark.suites.spec._scenario import SINGLE
from paretomark.suites.tasks._task import CHANCE, CLASSIFICATION

NOT_RUN = "not run"
TIE = 0.05  # off the front, but with at least this probability on it: that is called a tie
SIGNIFICANT = 0.05  # false discovery rate among the differences of one report


class Group(NamedTuple):
    """What may share a front."""

    data: str
    device: str
    batch: int
    threads: int
    simulated: str
    task: str = CLASSIFICATION
    length: int = 0
    boundary: str = CALL
    scenario: str = SINGLE
    imported: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One planned cell. Times in seconds, accuracies from 0 to 1; None is `not known`.

    `accuracy` is the mean over the examples of the measure of the task, which `metric` names.

    `latency_s` is the level of the visits' floors, see `_levels.py`: of the valid visits, or if
    there are none, of all. It is that of the call or of the inference alone, as `boundary` says;
    so are all figures made of it. `typical_s` and the percentiles are over all as they came. `_low`
    and `_high` bound a 95 % interval. Differences and speed-ups are to the dense fp32 net in the
    same place.
    """

    cell: str
    model: str
    recipe: str
    steps: str = ""
    precision: str = ""
    device: str = ""
    batch: int = 0
    threads: int = 0
    length: int = 0
    scenario: str = SINGLE
    data: str = ""
    simulated: str = ""
    imported: str = ""  # the tool that measured it, where that was not this one
    status: str = NOT_RUN
    stage: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    broken: str = ""
    visits: int = 0
    valid_visits: int = 0
    dense: bool = False
    latency_s: float | None = None
    latency_low_s: float | None = None
    latency_high_s: float | None = None
    boundary: str = CALL
    call_s: float | None = None
    call_low_s: float | None = None
    call_high_s: float | None = None
    inference_s: float | None = None
    inference_low_s: float | None = None
    inference_high_s: float | None = None
    typical_s: float | None = None
    p90_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None
    disturbed: float | None = None  # share of slices that others have slowed, or the net itself
    sequential: bool = False  # visits were timed in one stretch, not in slices
    visits_apart: int = 0  # that lie too far above the others to count
    throughput: float | None = None  # inputs per second, where a call takes several
    throughput_low: float | None = None
    throughput_high: float | None = None
    queries: dict[str, int] = field(default_factory=dict)  # of a server, by rate; likewise:
    server_median_s: dict[str, float] = field(default_factory=dict)
    server_p90_s: dict[str, float] = field(default_factory=dict)
    server_p99_s: dict[str, float] = field(default_factory=dict)
    p99_bound_s: float | None = None
    best_rate: float | None = None  # the highest under that bound, queries per second
    best_rate_low: float | None = None
    best_rate_high: float | None = None
    interpreter_s: float | None = None
    import_s: float | None = None
    burst_s: float | None = None
    slowdown: float | None = None  # last third over burst
    slowdown_low: float | None = None
    slowdown_high: float | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    examples: int = 0
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    task: str = CLASSIFICATION
    classes: tuple[str, ...] = ()
    answers: str = ""
    metric: str = ""
    measures: dict[str, float] = field(default_factory=dict)  # further numbers of the task
    delta: float | None = None
    delta_low: float | None = None
    delta_high: float | None = None
    delta_p: float | None = None
    delta_q: float | None = None
    artifact_bytes: int | None = None
    parameters: int | None = None
    nonzeros: int | None = None
    sparsity: float | None = None
    file_sparsity: float | None = None
    macs: int | None = None
    encoded_bytes: int | None = None
    asked: dict[str, float] = field(default_factory=dict)
    reached: dict[str, float] = field(default_factory=dict)
    steps_s: float | None = None
    sparse_path: str = ""
    zeros: str = ""
    zeros_why: str = ""
    load_s: float | None = None
    compile_s: float | None = None
    first_s: float | None = None
    instructions: float | None = None  # these are of one call
    cycles: float | None = None
    ipc: float | None = None
    cache_misses: float | None = None
    branch_misses: float | None = None
    counted: float | None = None
    energy_j: float | None = None
    energy_low_j: float | None = None
    energy_high_j: float | None = None
    energy_source: str = ""
    energy_why: str = ""
    idle_w: float | None = None
    peak_memory_bytes: int | None = None
    added_memory_bytes: int | None = None
    parity_max_abs: float | None = None
    parity_mean_abs: float | None = None
    parity_top1: float | None = None
    placement: dict[str, int] = field(default_factory=dict)
    placement_costs: dict[str, float] = field(default_factory=dict)
    identity: str = ""
    sha256: str = ""
    lineage: str = ""
    on_front: bool = False
    front_probability: float | None = None

    @property
    def valid(self) -> bool:
        """Whether its latency may be compared, and stand on a front."""
        return self.status == "ok" and self.valid_visits > 0

    @property
    def sound(self) -> bool:
        """Whether it is valid, and its answers mean something."""
        return self.valid and not self.broken

    @property
    def group(self) -> Group:
        """The rows that it may share a front with."""
        place = self.data, self.device, self.batch, self.threads
        what = self.task, self.length, self.boundary, self.scenario
        return Group(*place, self.simulated, *what, self.imported)

    @property
    def measured(self) -> bool:
        """Whether it says how long something takes: of a server, at each rate."""
        return self.latency_s is not None or bool(self.queries) or self.p99_bound_s is not None

    def measure(self, name: str) -> float | None:
        """A further number of the task; None where it gives none of that name."""
        return self.measures.get(name)

    @property
    def guesses(self) -> bool:
        """Whether it is no better than answers that look at no input, for all one knows."""
        chance = self.measure(CHANCE)
        if chance is None and self.task == CLASSIFICATION and len(self.classes) > 1:
            chance = 1 / len(self.classes)
        return chance is not None and self.accuracy_low is not None and self.accuracy_low <= chance

    @property
    def mark(self) -> str:
        """Either "front", or "tie" if chance alone may keep it off the front, or ""."""
        if self.on_front:
            return "front"
        return "tie" if (self.front_probability or 0) >= TIE else ""

    @property
    def loss(self) -> bool:
        """Whether it is less accurate than the dense net, by more than chance."""
        return (self.delta or 0) < 0 and (self.delta_q or 0) < SIGNIFICANT
