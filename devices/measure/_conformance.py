"""Are the attached devices fit to be measured, and would a bad one be found out?

`verify` runs the conformance checks of `_verify.py` on every device that is here, with a small net
of the zoo. `self_test` runs a visit and the checks on each variant of the fake device, which
misbehave on purpose, and says what caught it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paretomark.devices import _device, fake
from paretomark.devices.measure import _crew, _parity, _run
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._outcome import Visit
from paretomark.models.build import _build
from paretomark.models.build._artifact import Artifact, BuildSpec, Refused
from paretomark.suites.records._record import Probe
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Model, Recipe

PRECISIONS = ("fp32", "int8")
INT8_PARITY = 0.25  # of the spread of the float net's answers; rounding costs about a tenth
SAVED_BYTES = 2.5  # of the 4 of a float32; float16 would save 2
NET, FAKE_NET = "scenes_mobilenet", "digits_mlp"
LARGER_NET = "scenes_resnet"  # beside whose weights the rest of a file is little
DEADLINE_S = 180.0
VISITS = 3
WELL_BEHAVED = ("ok", "slow")


@dataclass(frozen=True)
class Result:
    """One check of one device."""

    device: str
    precision: str
    check: str
    rule: str
    held: bool
    detail: str


@dataclass(frozen=True)
class Caught:
    """A misbehaving variant and what caught it; `by` is "" if nothing did."""

    variant: str
    by: str
    reason: str


def verify(targets: Sequence[str]) -> list[Result]:
    """Run the checks of every target that is here. Raise UserError if none is."""
    here = [target for target, probe in _run.probe(targets).items() if probe.available]
    if not here:
        raise UserError(f"none of {', '.join(targets)} is available; see `bench.py devices`")
    return [result for target in here for result in _verify(target)]


def _verify(target: str) -> Iterator[Result]:
    """The checks of one target, in float32 and int8 as far as it runs them."""
    for precision in PRECISIONS:
        if precision not in (_device.precisions(target) or PRECISIONS):
            continue
        built = _artifact(target, precision)
        if isinstance(built, Artifact):
            for check in _run.verify(_spec(target, built, precision), DEADLINE_S):
                yield Result(target, precision, *check)
            if precision == "int8":
                yield Result(target, precision, *_holds_bytes(target))
        elif built.status != "unsupported":
            yield Result(target, precision, "build", "It can be built.", False, built.reason)


def _holds_bytes(target: str) -> tuple[str, str, bool, str]:
    """Whether a file called int8 is smaller than its float32 one by some 3 bytes a parameter."""
    exact, small = (_artifact(target, precision, LARGER_NET) for precision in PRECISIONS)
    check, rule = "weights", "An int8 file holds int8 weights."
    if isinstance(exact, Refused) or isinstance(small, Refused):
        return check, rule, False, f"{LARGER_NET} cannot be built"
    saved = (exact.bytes - small.bytes) / (exact.parameters or 1)
    return check, rule, saved > SAVED_BYTES, f"saves {saved:.1f} bytes a parameter"


def self_test(deadline_s: float = 10.0) -> list[Caught]:
    """Try each variant of the fake device, and say what catches it: nothing must a good one.

    Raise UserError if there is nothing that it could run.
    """
    built = _artifact("fake:ok", "fp32")
    if isinstance(built, Refused):
        raise UserError(f"the fake device's model cannot be built: {built.reason}")
    probes = _run.probe([f"fake:{v}" for v in fake.VARIANTS])
    return [_catch(v, probes[f"fake:{v}"], built, deadline_s) for v in fake.VARIANTS]


def _catch(variant: str, probe: Probe, built: Artifact, deadline_s: float) -> Caught:
    if not probe.available:
        return Caught(variant, "probe", probe.reason)
    spec = _spec(f"fake:{variant}", built, "fp32")
    flags: set[str] | None = None
    for _ in range(VISITS):  # a flag may be the machine's doing once; the device's is there again
        visit = _run.visit(dataclasses.replace(spec, score=True), deadline_s, 1e9)
        if visit.status != "ok":
            return Caught(variant, f"visit, {visit.stage}", visit.reason)
        seen = {*visit.flags, *_modes(visit)}
        flags = seen & (seen if flags is None else flags)
        if not flags:
            break
    if flags:
        return Caught(variant, "visit, flags", ", ".join(sorted(flags)))
    for name, _, held, detail in _run.verify(spec, DEADLINE_S):
        if not held:
            return Caught(variant, f"verify, {name}", detail)
    return Caught(variant, "", "")


def _modes(visit: Visit) -> set[str]:
    """That its calls take two different times, where they do."""
    return {_crew.MODES} & set(visit.measured.get("warnings", ()))


def _artifact(target: str, precision: str, net: str = NET) -> Artifact | Refused:
    form = _device.formats()[target]
    net = FAKE_NET if form == fake.FORMAT else net
    order = BuildSpec(Model(name=net, net=net), Recipe(precision=precision), form, 1, 64, 0)
    return _build.build([order], 900.0, lambda _, result: None)[_build.key(order)]


def _spec(target: str, built: Artifact, precision: str) -> VisitSpec:
    return VisitSpec.of(
        built,
        target,
        seconds=0.1,
        max_samples=1000,
        score=False,
        parity_limit=_parity.LIMITS.get(precision, INT8_PARITY),
    )
