"""An A/A: several cells that hold the same file, measured as any, in two runs one after the other.

Whatever differs between them is noise. The visits are those of a run: crews, slices, flags, and
visits that are made again.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from paretomark.devices import _device, _host
from paretomark.devices.measure import _collect, _run, _work
from paretomark.devices.measure._request import RunRequest
from paretomark.models.build._artifact import Artifact
from paretomark.models.nets import _zoo
from paretomark.suites.records import _levels, _store
from paretomark.suites.records._record import SCHEMA, Header, Probe, Record
from paretomark.suites.records._store import Run
from paretomark.suites.spec._errors import UserError, unknown

CELLS = _levels.FEW  # as many as it takes to know what all cells of a run have in common
LEAST_BLOCKS = 4  # two of each run
MOST_BLOCKS = 400
USUAL = (
    *("litert:xnnpack", "onnxruntime:cpu", "pytorch:eager", "openvino:cpu"),
    *("executorch:xnnpack", "coreml:cpu"),
)
NET, NETS = "scenes_mobilenet", {"npz": "digits_mlp"}  # by what the format can hold
# As in suites/quick.toml, whose file it shares.
SUITE = "seconds = 0.3\nexamples = 1000\n"

Told = Callable[[str], None]


@dataclass(frozen=True)
class Pair:
    """Two runs of equal cells. `wall_s` is how long all blocks of both took, without building."""

    device: str
    model: str
    first: Run
    second: Run
    blocks: int
    wall_s: float


def present(wanted: str = "") -> Probe:
    """Return the device to measure on: the one that is wanted, or the first of the usual ones that
    is here. Raise UserError if there is none."""
    targets = _device.targets([wanted]) if wanted else USUAL
    probes = [probe for target, probe in _run.probe(targets).items() if target in targets]
    here = next((probe for probe in probes if probe.available), None)
    if here is None:
        why = "; ".join(f"{p.device}: {p.reason} ({p.remedy})" for p in probes)
        raise UserError(f"no device is available: {why}; --look looks at the machine only")
    return here


def measure(probe: Probe, time_s: float, model: str = "", told: Told = lambda line: None) -> Pair:
    """Measure equal cells on a device for about so long, in two blocks of each run at least.

    `model` is a net of the zoo; `told` hears what goes on. Raise UserError if it cannot be
    measured, with the reason.
    """
    device = probe.device
    model = model or NETS.get(_device.formats()[device], NET)
    if model not in _zoo.names():
        raise unknown("model", model, _zoo.names(), "--model")
    recipes = "".join(f"[recipe.equal{number}]\n" for number in range(1, CELLS + 1))
    text = f"devices = {json.dumps([device])}\n{SUITE}[model.{model}]\n{recipes}"
    suite, cells = RunRequest(text, "doctor", ".").plan()
    if why := _collect.obstacle(cells[0], {}):
        raise UserError(f"{device} cannot measure {model}: {why.reason}; choose another --device")
    told(f"building {model} for {device}: minutes the first time, afterwards it is in the cache")
    built = _collect.build_artifacts(suite, cells, _work.Progress())
    artifact = built[cells[0].key]
    if not isinstance(artifact, Artifact):
        raise UserError(f"{model} cannot be built for {device}: {artifact.reason}")
    with tempfile.TemporaryDirectory(prefix="paretomark-doctor-") as name:
        out = Path(name) / "run"
        header = _header([cell.key for cell in cells], probe, suite.precision, suite.seed)
        _store.create(out, header)
        blocks, start = 0, time.monotonic()
        spent_s = 0.0
        with _store.Writer(out) as writer:
            work = _work.Work(suite, cells, built, writer, _work.Progress(), ())
            while blocks < MOST_BLOCKS and len(work.ended) < len(cells):
                if blocks >= LEAST_BLOCKS and spent_s + spent_s / blocks > time_s:
                    break
                blocks += 1  # from 1: the block 0 of a run also scores
                work.visit(blocks, cells)
                spent_s = time.monotonic() - start
                told(f"block {blocks} of equal cells: {spent_s:.0f} of {time_s:.0f} s")
        records = _store.read(out).records
    _check(device, model, records)
    half = (blocks + 1) // 2
    first = Run(Path("first half"), header, tuple(r for r in records if r.block <= half))
    second = Run(Path("second half"), header, tuple(r for r in records if r.block > half))
    return Pair(device, model, first, second, blocks, spent_s)


def _check(device: str, model: str, records: Sequence[Record]) -> None:
    """Raise UserError if nothing was timed."""
    if any(record.slices_ns and record.status == "ok" for record in records):
        return
    worst = next((r for r in records if r.status != "ok"), None)
    why = f"{worst.status}: {worst.reason}" if worst else "its latency is predicted, not measured"
    raise UserError(f"{device} does not time {model}: {why}; choose another --device")


def _header(cells: Sequence[str], probe: Probe, precision: float, seed: int) -> Header:
    return Header(
        schema=SCHEMA,
        run="doctor",
        suite="doctor",
        title="equal cells",
        started=_work.utc_now(),
        commit="",
        dirty=False,
        version=metadata.version("paretomark"),
        host=_host.machine(),
        probes=(probe,),
        cells=tuple(cells),
        blocks=LEAST_BLOCKS,
        precision=precision,
        seed=seed,
        request={},
    )
