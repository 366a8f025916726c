"""The tables of a page that have a line for every cell, or for every pruned one."""

from __future__ import annotations

from collections.abc import Sequence

from paretomark.reports import _html, _table
from paretomark.reports._html import Cell
from paretomark.reports._row import SIGNIFICANT, Row
from paretomark.suites import _tasks


def quality(rows: Sequence[Row]) -> str:
    """What the accuracies of these rows are called: "accuracy", or "mean IoU, PCK"."""
    return ", ".join(sorted({_tasks.metric(r.task) for r in rows})) or "accuracy"


def reach(rows: Sequence[Row]) -> float:
    """How far the pictures of Δ reach to each side."""
    ends = [abs(v) for r in rows for v in (r.delta_low, r.delta_high) if v is not None]
    return max(ends, default=0) or 0.01


def every(rows: Sequence[Row]) -> str:
    """Every cell, and all that is known of it."""
    columns = (
        "model", "recipe", "device", "status", quality(rows), "Δ to dense, points", "latency",
        "speed-up", "front", "p90", "top-5", "mean IoU of all pixels", "keypoint error", "file",
        "weights encoded", "parameters", "sparsity", "MACs", "load",
        "first call", "model memory", "peak memory", "same answer as float", "off float, mean",
        "off float, max", "placement",
        "visits valid", "data", "steps", "compressed in",
    )  # fmt: skip
    widest = reach(rows)
    table = [
        (
            _html.text(r.model), _html.text(r.recipe), _html.device(r), _html.status(r),
            _html.accuracy(r), _html.delta(r, widest), _html.latency(r), _html.speedup(r),
            _html.standing(r), _html.number(r.p90_s, _table.seconds),
            _html.number(r.top5, _table.percent), _html.number(r.pooled_iou, _table.percent),
            _html.number(r.keypoint_error, _table.percent),
            _html.number(r.artifact_bytes, _table.size),
            _html.number(r.encoded_bytes, _table.size), _html.number(r.parameters, _table.count),
            _html.number(r.sparsity, _table.percent), _html.number(r.macs, _table.count),
            _html.number(r.load_s, _table.seconds), _html.number(r.first_s, _table.seconds),
            _html.number(r.added_memory_bytes, _table.size),
            _html.number(r.peak_memory_bytes, _table.size),
            _html.number(r.parity_top1, _table.percent),
            _html.number(r.parity_mean_abs, _table.count),
            _html.number(r.parity_max_abs, _table.count), _html.text(_placement(r)),
            Cell(f"{r.valid_visits} of {r.visits}", r.valid_visits, "n"), _html.text(r.data),
            _html.text(r.steps), _html.number(r.steps_s or None, _table.seconds),
        )
        for r in rows
    ]  # fmt: skip
    return (
        "<h2>Every cell</h2><p class=soft>In the order of the plan; click a column to sort. ▼ "
        "marks a loss of accuracy that is more than chance, counting how many differences this "
        f"page tests (false discovery rate {SIGNIFICANT * 100:.0f} %). Compressed in: processor "
        "time of the steps on the building machine, training included.</p>"
        + _html.card(_html.table(columns, table, [not r.valid for r in rows]))
    )


def zeros(rows: Sequence[Row]) -> str:
    """What pruning brought, cell by cell; "" if nothing was pruned."""
    columns = (
        "model", "recipe", "device", "zeros", "of the file's weights", "file", "weights encoded",
        "they bring", "why",
    )  # fmt: skip
    table = [
        (
            _html.text(r.model), _html.text(r.recipe), _html.device(r),
            _html.number(r.sparsity, _table.percent), _html.number(r.file_sparsity, _table.percent),
            _html.number(r.artifact_bytes, _table.size),
            _html.number(r.encoded_bytes, _table.size), _html.text(r.zeros),
            _html.text(r.zeros_why, "wide"),
        )
        for r in rows
        if r.zeros
    ]  # fmt: skip
    if not table:
        return ""
    return (
        "<h2>What zeros bring</h2><p class=soft>Faster is only what the interval of its speed-up "
        "over the same net with all its weights shows, by 5 % or more. Zeros are counted among the "
        "parameters of the net, and among the weights that the file itself holds. Encoded: run "
        "lengths, codebooks and Huffman codes, without loss.</p>"
        + _html.card(_html.table(columns, table))
    )


def _placement(row: Row) -> str:
    costs = {unit: f" ({_table.percent(c)} of the cost)" for unit, c in row.placement_costs.items()}
    return ", ".join(f"{u} {count}{costs.get(u, '')}" for u, count in row.placement.items())
