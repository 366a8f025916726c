"""What came of a visit: what its child has told, as far as that can be believed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paretomark.devices.measure._inputs import VisitSpec
from paretomark.suites.spec._scenario import COLD, SERVER

# Of what a child tells, no field of a record: status, reason and flags say it.
NO_FIELDS = ("home", "fell_back", "throttled", "rounds")
LONGEST_NS = 10**13


@dataclass(frozen=True)
class Visit:
    """What came of one visit: `status` ok, fallback or failed, and what was measured."""

    status: str
    stage: str = ""
    reason: str = ""
    flags: tuple[str, ...] = ()
    measured: dict[str, Any] = field(default_factory=dict)


def of(told: Mapping[str, Any], spec: VisitSpec, flags: tuple[str, ...]) -> Visit:
    """Make a visit of all that a child has told, and of the flags that the parent has seen."""
    try:
        why = _why_invalid(told, spec)
    except (KeyError, TypeError, AttributeError) as error:
        why = f"it lacks what a visit must tell, or it is not of its kind: {error}"
    if why:
        return Visit("failed", "answer", why)
    measured = dict(told)
    if not measured["fell_back"]:
        return Visit("ok", flags=flags, measured=measured)
    units = ", ".join(f"{unit} ({n})" for unit, n in measured["placement"].items() if n)
    reason = f"runs on {units}, not on {measured['home']}"
    return Visit("fallback", "load", reason, flags, measured)


def _why_invalid(told: Mapping[str, Any], spec: VisitSpec) -> str:
    """What is wrong with an answer; "" if nothing is."""
    slices = told.get("slices_ns")
    if told.get("simulated") == "predicted":
        predicted = told.get("predicted_s")
        if not isinstance(predicted, float) or not 0 < predicted < 1e4 or slices:
            return "a predicted latency is not a duration, or comes with samples"
    elif not slices and spec.scenario in (SERVER, COLD):
        slices = ()  # it has others, which its record checks
    elif not slices or not all(slices):
        return "a slice of it holds no sample"
    elif not all(isinstance(s, int) and 0 < s < LONGEST_NS for s in itertools.chain(*slices)):
        return "a latency sample is not a positive number of nanoseconds"
    for name in ("load_s", "first_s"):
        value = told.get(name)
        if not isinstance(value, float) or not math.isfinite(value) or value < 0:
            return f"{name} is not a duration"
    if spec.score and spec.labels and not (told.get("outcomes") or told.get("scores")):
        return "no scores, though it was asked to score"
    return ""
