"""How a run was measured, in words on its page."""

from __future__ import annotations

from paretomark.reports import _text
from paretomark.reports._html import esc
from paretomark.suites.records import _front, _stats
from paretomark.suites.records._store import Run


def section(run: Run) -> str:
    """Say it, as HTML."""
    header = run.header
    if tools := dict.fromkeys(r.imported for r in run.records if r.imported):
        return (
            f"<h2>How this was measured</h2><p>By {esc(', '.join(tools))}, and imported: what a "
            "call is, how often it was made and what ran beside it is for that tool to tell. A "
            "repetition counts as a visit. Where the tool gives one figure of many calls, that is "
            "its latency, and no percentile is made of it; where it gives every call, the latency "
            "is the 2 % quantile. Rows of several tools, and those that were measured here, never "
            "share a front.</p>"
        )
    return (
        "<h2>How this was measured</h2><p>"
        f"{header.blocks} blocks, each of which visits every cell once; cells that were not known "
        f"to ±{_text.number(100 * header.precision)} % then got more visits. A visit is a fresh "
        "process that loads the file and warms up. The visits of a block live side by side, and "
        f"take turns in short slices, in random order (seed {header.seed}), of single calls with "
        f"changing inputs. Latency is of {_text.BOUNDARY[header.boundary]}, in quiet moments: a "
        "visit counts by its "
        "floor, the 5 % quantile of its slices and of the calls of each, and a cell by the mean of "
        "its visits without those far above the others; the variance of visits is shrunk towards "
        "that of all cells (Smyth 2004). Typical, p90 and further are of all calls as they came. "
        "Accuracy is scored through the timed file on the device itself, with Wilson's interval; "
        "Δ pairs the answers to the same examples with the dense fp32 net in the same place "
        "(Agresti and Min). Mean IoU and PCK are of each example: the mean over its classes, the "
        "share of its keypoints within a tenth of the size; their intervals are t intervals over "
        "examples. All intervals are at 95 %. Front probabilities come from "
        f"{_front.RESAMPLES} joint draws of examples and latencies, and so do the intervals of "
        "hypervolumes: the area that a front dominates, in accuracy times doublings of speed, up "
        f"to an accuracy of 0 and to {_front.BEYOND:g} times the slowest latency beside it. "
        "Percentiles are stated from "
        f"{_stats.NEEDED[90]} samples (p90) on. Machines, data sets, tasks, batch sizes, and "
        "measured and simulated numbers never share a front.</p>"
    )
