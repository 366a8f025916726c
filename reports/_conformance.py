"""Are the attached devices fit to be measured, and would a bad one be found out?

`verify` runs the conformance checks of `paretomark.devices._verify` on every device that is here,
with a small net of the zoo. `zoo` runs a visit and the checks on each variant of the fake device,
which misbehave on purpose, and says what caught it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from paretomark.devices import _device, _run, fake
from paretomark.devices._visit import Spec
from paretomark.models import _build
from paretomark.models._artifact import Artifact, Order, Refused
from paretomark.suites._errors import UserError
from paretomark.suites._suite import Model, Recipe

NET, FAKE_NET = "scenes_mobilenet", "digits_mlp"
DEADLINE_S = 180.0
WELL_BEHAVED = ("ok", "slow")


@dataclass(frozen=True)
class Result:
    """One check of one device."""

    device: str
    check: str
    asked: str
    held: bool
    detail: str


@dataclass(frozen=True)
class Caught:
    """A misbehaving variant and what caught it; `by` is "" if nothing did."""

    variant: str
    by: str
    reason: str


def verify(targets: Sequence[str]) -> list[Result]:
    """The checks of every target that is here. Raises UserError if none is."""
    here = [t for t, probe in _run.probe(targets).items() if probe["available"]]
    if not here:
        raise UserError(f"none of {', '.join(targets)} is available; see `bench.py devices`")
    found = []
    for target in here:
        built = _artifact(target)
        if isinstance(built, Refused):
            found.append(Result(target, "build", "A model can be built.", False, built.reason))
            continue
        found += [Result(target, *c) for c in _run.verify(_spec(target, built), DEADLINE_S)]
    return found


def zoo(deadline_s: float = 10.0) -> list[Caught]:
    """What catches each variant of the fake device; a well-behaved one must not be caught."""
    built = _artifact("fake:ok")
    if isinstance(built, Refused):
        raise UserError(f"the fake device's model cannot be built: {built.reason}")
    probes = _run.probe([f"fake:{v}" for v in fake.VARIANTS])
    return [_catch(v, probes[f"fake:{v}"], built, deadline_s) for v in fake.VARIANTS]


def _catch(variant: str, probe: dict[str, object], built: Artifact, deadline_s: float) -> Caught:
    if not probe["available"]:
        return Caught(variant, "probe", str(probe["reason"]))
    spec = _spec(f"fake:{variant}", built)
    visit = _run.visit(dataclasses.replace(spec, score=True), deadline_s, foreign_load_cores=1e9)
    if visit.status != "ok":
        return Caught(variant, f"visit, {visit.stage}", visit.reason)
    if visit.flags:
        return Caught(variant, "visit, flags", ", ".join(visit.flags))
    for name, _, held, detail in _run.verify(spec, DEADLINE_S):
        if not held:
            return Caught(variant, f"verify, {name}", detail)
    return Caught(variant, "", "")


def _artifact(target: str) -> Artifact | Refused:
    form = _device.formats()[target]
    net = FAKE_NET if form == fake.FORMAT else NET
    order = Order(Model(name=net, net=net), Recipe(), form, 1, 64, 0)
    return _build.build([order], 900.0, lambda _, result: None)[_build.key(order)]


def _spec(target: str, built: Artifact) -> Spec:
    return Spec(
        device=target,
        file=built.file,
        threads=1,
        batch=1,
        seconds=0.1,
        max_samples=1000,
        images=built.images,
        labels=built.labels,
        reference=built.reference,
        preprocess=built.preprocess,
        label_offset=0,
        score=False,
        parity_limit=_run.PARITY_LIMITS["fp32"],
        seed=0,
    )
