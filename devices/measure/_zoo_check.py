"""Whether nets run on the runtimes that are here: exported with random weights, and compared.

A net works on a runtime if its answers differ from the float net's by no more than LIMIT of their
spread (the standard deviation over pictures and classes). What came of it is kept, by the artifact
and the versions of the runtime, so that a check that was stopped goes on; the files are removed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from paretomark.devices import _device
from paretomark.devices.measure import _run
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.models import _cache
from paretomark.models.build import _artifact, _build
from paretomark.models.build._artifact import Artifact, BuildSpec, Refused
from paretomark.suites.records._record import Probe
from paretomark.suites.spec import _schema
from paretomark.suites.spec._model import RANDOM, Model, Recipe

DEVICES = (
    "pytorch:eager",
    "onnxruntime:cpu",
    "openvino:cpu",
    "litert:xnnpack",
    "executorch:xnnpack",
)
LIMIT = 1e-3
DEADLINE_S = 1800.0


@dataclass(frozen=True)
class Checked:
    """One net on one runtime: `error` is the largest difference in spreads; None if it has none."""

    net: str
    device: str
    works: bool
    error: float | None
    reason: str


def check(
    nets: Sequence[str], report: Callable[[Checked], None], kept_only: bool = False
) -> list[Checked]:
    """Check every net on every runtime that is here. `report` is called as results come.

    With `kept_only` nothing is built: the results are those of earlier checks that still hold.
    """
    probes = {d: p for d, p in _run.probe(DEVICES).items() if p.available}
    checked: list[Checked] = []
    for net in nets:
        specs = {device: build_spec(net, device) for device in probes}
        files = {device: _file(specs[device], probes[device]) for device in probes}
        results = {
            device: _schema.typed(Checked, json.loads(file.read_text()))
            for device, file in files.items()
            if file.exists()
        }
        missing = {d: specs[d] for d in probes if d not in results and not kept_only}
        for device, result in (_tried(net, missing) if missing else {}).items():
            files[device].parent.mkdir(parents=True, exist_ok=True)
            files[device].write_text(json.dumps(asdict(result)))
            results[device] = result
        for result in results.values():
            report(result)
        checked += results.values()
    return checked


def _tried(net: str, specs: Mapping[str, BuildSpec]) -> dict[str, Checked]:
    try:
        built = _build.build(list(specs.values()), DEADLINE_S, lambda spec, result: None)
        return {
            device: _compared(net, device, built[_build.key(spec)])
            for device, spec in specs.items()
        }
    finally:
        for spec in specs.values():
            shutil.rmtree(_artifact.folder(spec), ignore_errors=True)


def _compared(net: str, device: str, built: Artifact | Refused) -> Checked:
    if isinstance(built, Refused):
        return Checked(net, device, False, None, f"not exported: {built.reason}")
    spec = VisitSpec.of(built, device, seconds=0.01, max_samples=20, score=True)
    visit = _run.visit(spec, DEADLINE_S, float("inf"))
    if visit.status != "ok":
        return Checked(net, device, False, None, f"{visit.stage}: {visit.reason}")
    spread = float(np.load(built.reference).std())
    error = visit.measured["parity_max_abs"] / spread
    reason = "" if error <= LIMIT else "answers differ from the float net's"
    return Checked(net, device, error <= LIMIT, error, reason)


def build_spec(net: str, device: str) -> BuildSpec:
    """Say what is built of a net for a device: random weights, in float32."""
    model = Model(name=net, net=net, weights=RANDOM)
    return BuildSpec(model, Recipe("fp32"), _device.formats()[device], batch=1, examples=1, seed=0)


def _file(spec: BuildSpec, probe: Probe) -> Path:
    about = [_artifact.folder(spec).name, json.dumps(probe.versions, sort_keys=True)]
    digest = hashlib.sha256("\n".join(about).encode()).hexdigest()[:32]
    return _cache.folder() / "zoo" / f"{digest}.json"
