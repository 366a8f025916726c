"""The row of a report: one planned cell, summarised over its visits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from paretomark.suites._tasks import CLASSIFICATION

NOT_RUN = "not run"
TIE = 0.05  # off the front, but with at least this probability on it: that is called a tie
SIGNIFICANT = 0.05  # false discovery rate among the differences of one report


def _col(label: str, unit: str = "", better: str = "") -> Any:
    return {"label": label, "unit": unit, "better": better}


class Group(NamedTuple):
    """What may share a front."""

    data: str
    device: str
    batch: int
    threads: int
    simulated: str
    task: str = CLASSIFICATION


@dataclass(frozen=True, kw_only=True)
class Row:
    """One planned cell. Times in seconds, accuracies from 0 to 1; None is `not known`.

    `accuracy` is the mean over the examples of the measure of the task, which `metric` names.

    `latency_s` is the geometric mean of the visits' medians: of the valid visits, or if there are
    none, of all. `_low` and `_high` bound a 95 % interval. Differences and speed-ups are to the
    dense fp32 net in the same place.
    """

    cell: str = field(metadata=_col("cell"))
    model: str = field(metadata=_col("model"))
    recipe: str = field(metadata=_col("recipe"))
    steps: str = field(default="", metadata=_col("steps"))
    precision: str = field(default="", metadata=_col("precision"))
    device: str = field(default="", metadata=_col("device"))
    batch: int = field(default=0, metadata=_col("batch"))
    threads: int = field(default=0, metadata=_col("threads"))
    data: str = field(default="", metadata=_col("data"))
    simulated: str = field(default="", metadata=_col("simulated"))
    status: str = field(default=NOT_RUN, metadata=_col("status"))
    stage: str = field(default="", metadata=_col("stage"))
    reason: str = field(default="", metadata=_col("reason"))
    flags: tuple[str, ...] = field(default=(), metadata=_col("validity flags"))
    visits: int = field(default=0, metadata=_col("visits"))
    valid_visits: int = field(default=0, metadata=_col("valid visits"))
    dense: bool = field(default=False, metadata=_col("dense baseline"))
    latency_s: float | None = field(default=None, metadata=_col("latency", "s", "lower"))
    latency_low_s: float | None = field(default=None, metadata=_col("latency from", "s", "lower"))
    latency_high_s: float | None = field(default=None, metadata=_col("latency to", "s", "lower"))
    p90_s: float | None = field(default=None, metadata=_col("p90 latency", "s", "lower"))
    speedup: float | None = field(default=None, metadata=_col("speed-up", "x", "higher"))
    speedup_low: float | None = field(default=None, metadata=_col("speed-up from", "x", "higher"))
    speedup_high: float | None = field(default=None, metadata=_col("speed-up to", "x", "higher"))
    examples: int = field(default=0, metadata=_col("examples"))
    accuracy: float | None = field(default=None, metadata=_col("accuracy", "", "higher"))
    accuracy_low: float | None = field(default=None, metadata=_col("accuracy from", "", "higher"))
    accuracy_high: float | None = field(default=None, metadata=_col("accuracy to", "", "higher"))
    top5: float | None = field(default=None, metadata=_col("top-5 accuracy", "", "higher"))
    task: str = field(default=CLASSIFICATION, metadata=_col("task"))
    metric: str = field(default="", metadata=_col("what accuracy is"))
    pooled_iou: float | None = field(default=None, metadata=_col("pooled mean IoU", "", "higher"))
    keypoint_error: float | None = field(default=None, metadata=_col("keypoint error", "", "lower"))
    delta: float | None = field(default=None, metadata=_col("Δ to dense", "", "higher"))
    delta_low: float | None = field(default=None, metadata=_col("Δ from", "", "higher"))
    delta_high: float | None = field(default=None, metadata=_col("Δ to", "", "higher"))
    delta_p: float | None = field(default=None, metadata=_col("Δ p"))
    delta_q: float | None = field(default=None, metadata=_col("Δ adjusted p"))
    artifact_bytes: int | None = field(default=None, metadata=_col("file", "B", "lower"))
    parameters: int | None = field(default=None, metadata=_col("parameters", "", "lower"))
    nonzeros: int | None = field(default=None, metadata=_col("nonzeros", "", "lower"))
    sparsity: float | None = field(default=None, metadata=_col("sparsity", "", "higher"))
    file_sparsity: float | None = field(
        default=None, metadata=_col("zeros in the file", "", "higher")
    )
    macs: int | None = field(default=None, metadata=_col("MACs", "", "lower"))
    encoded_bytes: int | None = field(default=None, metadata=_col("weights, encoded", "B", "lower"))
    steps_s: float | None = field(default=None, metadata=_col("compressed in", "s", "lower"))
    sparse_path: str = field(default="", metadata=_col("verdict on the file"))
    zeros: str = field(default="", metadata=_col("what zeros bring"))
    zeros_why: str = field(default="", metadata=_col("why"))
    load_s: float | None = field(default=None, metadata=_col("load", "s", "lower"))
    first_s: float | None = field(default=None, metadata=_col("first inference", "s", "lower"))
    peak_memory_bytes: int | None = field(default=None, metadata=_col("peak memory", "B", "lower"))
    added_memory_bytes: int | None = field(
        default=None, metadata=_col("model memory", "B", "lower")
    )
    parity_max_abs: float | None = field(default=None, metadata=_col("parity max", "", "lower"))
    parity_mean_abs: float | None = field(default=None, metadata=_col("parity mean", "", "lower"))
    parity_top1: float | None = field(default=None, metadata=_col("parity top-1", "", "higher"))
    placement: dict[str, int] = field(default_factory=dict, metadata=_col("placement"))
    placement_costs: dict[str, float] = field(
        default_factory=dict, metadata=_col("share of estimated cost")
    )
    sha256: str = field(default="", metadata=_col("artifact"))
    lineage: str = field(default="", metadata=_col("lineage"))
    on_front: bool = field(default=False, metadata=_col("on the front"))
    front_probability: float | None = field(default=None, metadata=_col("front probability"))

    @property
    def valid(self) -> bool:
        """Whether its latency may be compared, and stand on a front."""
        return self.status == "ok" and self.valid_visits > 0

    @property
    def group(self) -> Group:
        """The rows that it may share a front with."""
        place = self.data, self.device, self.batch, self.threads
        return Group(*place, self.simulated, self.task)

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
