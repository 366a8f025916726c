"""The child: one fresh process that loads one artifact on one device, times it, and scores it.

    python -P -m paretomark.devices.measure._visit SPEC ANSWER DONE   (JSON files, a descriptor)
    python -P -m paretomark.devices.measure._visit --probe TARGET ANSWER DONE

The answer appears as a whole or not at all. What the child was doing last is in ANSWER.stage, so
that the parent can name the stage in which it died. When all is done, the child writes a byte to
the descriptor, and stays until its stdin is closed: the parent reads its peak memory meanwhile.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import (
    Accelerator,
    Arrays,
    Closing,
    Device,
    Placement,
    Unavailable,
    open_device,
)
from paretomark.devices.measure import _scoring, _timing
from paretomark.models.data._data import Preprocess
from paretomark.models.training._score import Misfit
from paretomark.suites.spec._tasks import CLASSIFICATION

ROTATING_INPUTS = 8


class Wrong(Exception):
    """The device does not do what it must; the message says what."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a visit is to do. `parity_limit`: in standard deviations of the float net's answers."""

    device: str
    file: str
    threads: int
    batch: int
    seconds: float
    max_samples: int
    images: str
    labels: str
    reference: str
    preprocess: dict[str, Any]
    label_offset: int
    score: bool
    parity_limit: float | None
    seed: int
    task: str = CLASSIFICATION


def visit(spec: Spec, stage: Path) -> dict[str, Any]:
    """Load, run once, warm up, time, and, if asked for, score. Returns what the parent records."""
    stage.write_text("probe")
    device = open_device(spec.device)
    device.probe()
    before = _resident_bytes()
    stage.write_text("load")
    start = time.perf_counter()
    placement = device.load(Path(spec.file), spec.threads)
    load_s = time.perf_counter() - start
    answer = {
        "placement": dict(placement.operators),
        "placement_costs": dict(placement.costs),
        "fell_back": placement.fell_back,
        "home": placement.home,
        "load_s": load_s - (placement.compile_s or 0.0),
        "compile_s": placement.compile_s,
        "before_load_bytes": before,
    }
    stage.write_text("inputs")
    inputs = _inputs(spec, placement)
    stage.write_text("first inference")
    start = time.perf_counter()
    outputs = device.run(inputs[0])
    answer["first_s"] = time.perf_counter() - start
    _check(outputs, placement)
    stage.write_text("timing")
    answer |= _time(spec, device, placement, inputs)
    if spec.score and spec.images:
        stage.write_text("scoring")
        answer |= _score(spec, device, placement)
    if isinstance(device, Closing):
        device.close()
    return answer


def _time(spec: Spec, device: Device, placement: Placement, inputs: list[Arrays]) -> dict[str, Any]:
    """Latency by the host's clock; of an accelerator its own clock, and its state afterwards."""
    if placement.predicted_s is not None:
        return {"simulated": "predicted", "predicted_s": placement.predicted_s}
    timing = _timing.measure(device.run, inputs, spec.seconds, spec.max_samples)
    found: dict[str, Any] = {
        "simulated": placement.simulated,
        "warmup_runs": timing.warmup_runs,
        "samples_ns": timing.samples_ns,
    }
    if isinstance(device, Accelerator):
        state, count = device.state(), len(timing.samples_ns)
        phases = {name: spans[-count:] for name, spans in device.phases_ns().items()}
        found |= {
            "phases_ns": {name: int(statistics.median(s)) for name, s in phases.items()},
            "device_memory_bytes": state.peak_memory_bytes,
            "clock_mhz": state.clock_mhz,
            "temperature_c": state.temperature_c,
            "throttled": state.throttled,
        }
    return found


def _inputs(spec: Spec, placement: Placement) -> list[Arrays]:
    """A few real inputs to rotate through; seeded noise where the model has no data."""
    if not spec.images:
        rng = np.random.default_rng(spec.seed)
        return [
            [port.encode(rng.standard_normal(port.shape, np.float32)) for port in placement.inputs]
            for _ in range(ROTATING_INPUTS)
        ]
    batches = itertools.islice(_stream(spec.images, spec.batch), ROTATING_INPUTS)
    return [_encode(spec, placement, images) for images in batches if len(images) == spec.batch]


def _encode(spec: Spec, placement: Placement, images: NDArray[np.uint8]) -> Arrays:
    """Pictures as the model wants them: normalised, in its layout and numbers."""
    values = Preprocess(**spec.preprocess).normalise(images)
    if len(placement.inputs) != 1:
        raise Wrong(f"the model has {len(placement.inputs)} inputs; pictures fill exactly one")
    port = placement.inputs[0]
    for layout in (values, values.transpose(0, 3, 1, 2)):
        if layout.shape == port.shape:
            return [port.encode(layout)]
    raise Wrong(
        f"the model wants an input of shape {port.shape}, the data gives pictures "
        f"{values.shape} (N, H, W, C): declare preprocess.size and batch as the model has them"
    )


def _check(outputs: Arrays, placement: Placement) -> None:
    for array, port in zip(outputs, placement.outputs, strict=True):
        if array.shape != port.shape:
            raise Wrong(f"output {port.name} has shape {array.shape}, declared is {port.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise Wrong(f"output {port.name} is not finite")


def _score(spec: Spec, device: Device, placement: Placement) -> dict[str, Any]:
    """Run every test picture. The data is streamed, lest it count as memory of the model.

    References may be fewer than the pictures: the first ones of them. Without labels there is
    nothing to be right about, and answers are only compared.
    """
    truths = _stream(spec.labels, spec.batch) if spec.labels else itertools.repeat(None)
    references = _stream(spec.reference, spec.batch) if spec.reference else iter(())
    scorer: _scoring.Scorer | None = None
    parity = _scoring.Parity()
    for images, truth in zip(_stream(spec.images, spec.batch), truths, strict=bool(spec.labels)):
        count = len(images)
        if count < spec.batch:  # fill the last batch up; the filling is not scored
            images = np.concatenate([images, np.repeat(images[-1:], spec.batch - count, axis=0)])
        outputs = device.run(_encode(spec, placement, images))
        _check(outputs, placement)
        scorer = scorer or _scoring.scorer(spec.task, spec.label_offset, images.shape[1:3])
        raw = placement.outputs[0].decode(outputs[0])
        raw = raw if len(raw) == spec.batch else raw.reshape(spec.batch, -1)
        try:
            answers = scorer.read(raw[:count])
            if truth is not None:
                scorer.add(answers, truth)
            if (wanted := next(references, None)) is not None:
                reference = scorer.read(wanted.astype(np.float32))
                answers = answers[: len(reference)]
                if answers.shape != reference.shape:
                    pair = f"answers of shape {answers.shape}, the float net's {reference.shape}"
                    raise Wrong(pair)
                parity.add(answers, reference, scorer)
        except Misfit as error:
            raise Wrong(str(error)) from None
    assert scorer is not None
    return (scorer.result() if spec.labels else {}) | _parity(parity, spec.parity_limit)


def _parity(parity: _scoring.Parity, limit: float | None) -> dict[str, Any]:
    """What is recorded of it; nothing without a float net. Raises Wrong if it is off too far."""
    if not parity.values:
        return {}
    if limit is not None and parity.mean > limit * parity.spread:
        raise Wrong(
            f"wrong answers: they differ from the float net's by {parity.mean:.3g} on average, "
            f"whose own spread is {parity.spread:.3g}"
        )
    return parity.result()


def _stream(path: str, count: int) -> Iterator[NDArray[Any]]:
    """The rows of an .npy file, `count` at a time, without mapping the file into memory."""
    with Path(path).open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        row = int(np.prod(shape[1:]))
        for start in range(0, shape[0], count):
            rows = min(count, shape[0] - start)
            yield np.fromfile(file, dtype, rows * row).reshape(rows, *shape[1:])


def _resident_bytes() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _probe(target: str) -> dict[str, Any]:
    try:
        chip = open_device(target).probe()
    except Unavailable as error:
        return {"available": False, "reason": str(error), "remedy": error.remedy}
    return {"available": True, "chip": chip.name, "versions": dict(chip.versions)}


def main(work: Callable[[Spec, Path], dict[str, Any]] = visit) -> int:
    """Do the work that the command line names, and leave its answer. Returns the exit code."""
    source, out, done = sys.argv[-3], Path(sys.argv[-2]), int(sys.argv[-1])
    stage = out.with_name(out.name + ".stage")
    try:
        if sys.argv[1] == "--probe":
            answer = _probe(source)
        else:
            answer = work(Spec(**json.loads(Path(source).read_text())), stage)
    except Exception as error:
        traceback.print_exc()
        text = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"
        answer = {"error": " ".join(text.split())[:500]}
    part = out.with_name(out.name + ".part")
    part.write_text(json.dumps(answer))
    part.replace(out)
    os.write(done, b".")
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The answer is on disk; a runtime that crashes while it is torn down shall not undo it.
    os._exit(status)
