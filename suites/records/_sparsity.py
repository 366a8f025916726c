"""What zeros brought: proven by the time of the same net without them, not assumed.

A pruned cell is compared with the cell of the same net, precision and place whose weights are all
there. Only an interval that lies above 1 by a margin is a gain in speed: among the many cells of
a report, chance alone puts some just above it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from paretomark.suites.records._row import Row
from paretomark.suites.records._stats import Ratio

PRUNED = 0.05  # less of a net than this is not worth a word
SMALLER, GAIN = 0.95, 1.05
FASTER, SIZE_ONLY, NOTHING, UNPROVEN = "faster", "size only", "no gain", "not shown"
# Kernels that multiply every weight, zero or not. Of the devices that are not here, nothing is
# known that would hold for every model.
DENSE_KERNELS = ("onnxruntime", "openvino", "pytorch", "executorch")


def with_verdict(row: Row, twin: Row | None, ratio: Ratio | None, features: Sequence[str]) -> Row:
    """Write into a row what its zeros brought, and why. `twin`: the same without pruning; `ratio`:
    its time over that of the row, paired; `features`: instruction sets of the machine."""
    share = row.file_sparsity if row.sparsity is None else row.sparsity  # of a file of the user's
    pruned = (share or 0) - (twin.sparsity or 0 if twin else 0) > PRUNED
    if not pruned or row.status != "ok":
        return row
    path = _path(row, features)
    if twin is None or ratio is None or not row.valid or not twin.valid:
        lacks = "no valid visits of the same net with all its weights to compare with"
        return dataclasses.replace(
            row, zeros=UNPROVEN, zeros_why="; ".join(filter(None, [lacks, path]))
        )
    smaller = (row.artifact_bytes or 0) < SMALLER * (twin.artifact_bytes or 0)
    verdict = FASTER if ratio.low > GAIN else SIZE_ONLY if smaller else NOTHING
    measured = (
        f"{ratio.value:.2f} times as fast [{ratio.low:.2f}, {ratio.high:.2f}] as {twin.recipe}"
    )
    why = [measured, path if verdict != FASTER else ""]
    return dataclasses.replace(row, zeros=verdict, zeros_why="; ".join(filter(None, why)))


def _path(row: Row, features: Sequence[str]) -> str:
    """Why this device can skip zeros in this file, or cannot, as far as it is known."""
    runtime, _, variant = row.device.partition(":")
    if runtime in DENSE_KERNELS:
        return "its kernels multiply zeros too"
    if runtime != "litert":
        return ""
    if variant == "reference":
        return "without XNNPACK, its kernels multiply zeros too"
    if not row.sparse_path:
        return 'stored dense, so XNNPACK multiplies zeros too: storage = "sparse"'
    if variant == "xnnpack" and any(f.startswith("avx") for f in features):
        return f"XNNPACK runs nothing sparse on x86 with AVX (elsewhere: {row.sparse_path})"
    return row.sparse_path
