"""The child that loads one artifact on one device, times it, and scores it.

    python -P -m paretomark.devices.measure._visit SPEC ANSWER DONE

What these are is said in `_worker`.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.devices import _host
from paretomark.devices._device import (
    Accelerator,
    Arrays,
    Closing,
    Device,
    Placement,
    open_device,
)
from paretomark.devices.measure import _answers, _inputs, _reference, _timing, _worker
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._kept import Keeper
from paretomark.devices.measure._parity import Parity
from paretomark.devices.measure._wrong import Wrong
from paretomark.models.data import _full_masks
from paretomark.suites.tasks import _task
from paretomark.suites.tasks._task import FullScorer, Misfit, Scorer


def visit(spec: VisitSpec, stage: Path) -> dict[str, Any]:
    """Load, run once, warm up, time, and, if asked for, score. Return what the parent records."""
    stage.write_text("probe")
    device = open_device(spec.device)
    device.probe()
    before = _host.resident_bytes()
    stage.write_text("load")
    start = time.perf_counter()
    placement = _inputs.ready(spec, device)
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
    inputs = _inputs.rotating(spec, placement)
    stage.write_text("first inference")
    start = time.perf_counter()
    outputs = device.run(inputs[0])
    answer["first_s"] = time.perf_counter() - start
    _inputs.check_outputs(outputs, placement)
    stage.write_text("timing")
    answer |= latency(spec, device, placement, inputs)
    # Scoring has memory of its own, such as masks at their own sizes, which is not the model's.
    answer["peak_memory_bytes"] = _host.peak_bytes(os.getpid())
    said = {"warnings": [*placement.warnings, *_answers.notes(spec, placement)]}
    if spec.score and spec.images:
        stage.write_text("scoring")
        said = _told(said, _score(spec, device, placement))
    elif spec.score and spec.reference:
        parities = _reference.parities(spec, device, placement, inputs)
        said = _told(said, *(_parity(parity, spec.parity_limit) for parity in parities))
    stage.write_text("first input again")
    answer |= _told({"broken": _answers.unsteady(device, inputs[0], outputs)}, said)
    if isinstance(device, Closing):
        device.close()
    return answer


def latency(
    spec: VisitSpec, device: Device, placement: Placement, inputs: list[Arrays]
) -> dict[str, Any]:
    """Time a device by the host's clock; of an accelerator, add its own clock and its state then.

    Return fields of a record. What is only predicted is not timed.
    """
    if placement.predicted_s is not None:
        return {"simulated": "predicted", "predicted_s": placement.predicted_s}
    timing = _timing.measure(device.run, inputs, spec.seconds, spec.max_samples)
    fields: dict[str, Any] = {
        "simulated": placement.simulated,
        "warmup_runs": timing.warmup_runs,
        "samples_ns": timing.samples_ns,
    }
    if isinstance(device, Accelerator):
        state, count = device.state(), len(timing.samples_ns)
        phases = {name: spans[-count:] for name, spans in device.phases_ns().items()}
        fields |= {
            "phases_ns": {name: int(statistics.median(s)) for name, s in phases.items()},
            "device_memory_bytes": state.peak_memory_bytes,
            "clock_mhz": state.clock_mhz,
            "temperature_c": state.temperature_c,
            "throttled": state.throttled,
        }
    return fields


def _score(spec: VisitSpec, device: Device, placement: Placement) -> dict[str, Any]:
    """Run every test picture. The data is streamed, lest it count as memory of the model.

    References may be fewer than the pictures: the first ones of them. Without labels there is
    nothing to be right about, and answers are only compared.
    """
    truths = _inputs.rows(spec.labels, spec.batch) if spec.labels else itertools.repeat(None)
    references = _inputs.rows(spec.reference, spec.batch) if spec.reference else iter(())
    full = _full_masks.read(Path(spec.full)) if spec.full else iter(())
    at = _answers.chosen(spec, placement)
    scorer: Scorer | None = None
    parity, keeper = Parity(), Keeper(spec, placement)
    batches = _inputs.rows(spec.images, spec.batch)
    try:
        for images, truth in zip(batches, truths, strict=bool(spec.labels)):
            count = len(images)  # the last batch is filled up; the filling is not scored
            encoded = _inputs.encode(spec, placement, _inputs.filled(images, spec.batch))
            keeper.given(encoded, count)
            outputs = device.run(encoded)
            _inputs.check_outputs(outputs, placement)
            scorer = scorer or _answers.scorer(spec, placement.outputs[at], images.shape[1:3])
            raw = placement.outputs[at].decode(outputs[at])
            answers = scorer.read(_answers.rows(raw, spec.batch)[:count])
            keeper.told(answers)
            if truth is not None:
                scorer.add(answers, truth)
            if isinstance(scorer, FullScorer):
                scorer.add_full(answers, list(itertools.islice(full, len(answers))))
            if (floats := next(references, None)) is not None:
                reference = scorer.read(floats.astype(np.float32))
                answers = answers[: len(reference)]
                if answers.shape != reference.shape:
                    pair = f"answers of shape {answers.shape}, the float net's {reference.shape}"
                    raise Wrong(pair)
                parity.add(answers, reference, scorer)
        assert scorer is not None
        keeper.done(scorer)
        scored = {"metric": _task.metric(spec.task), **scorer.result()} if spec.labels else {}
    except Misfit as error:
        raise Wrong(str(error)) from None
    return _told(scored, _parity(parity, spec.parity_limit))


def _told(*parts: dict[str, Any]) -> dict[str, Any]:
    """Fields of a record of several parts, with the warnings of all, and the first fault."""
    whole: dict[str, Any] = {}
    for part in parts:
        warnings = [*whole.get("warnings", ()), *part.get("warnings", ())]
        broken = whole.get("broken") or part.get("broken", "")
        whole |= {**part, "warnings": warnings, "broken": broken}
    return whole


def _parity(parity: Parity, limit: float | None) -> dict[str, Any]:
    """What is recorded of it; nothing without a float net. Raise Wrong if it is off too far."""
    if not parity.values:
        return {}
    if limit is None:
        return parity.result() | parity.quantized()
    if parity.mean > limit * parity.spread:
        raise Wrong(
            f"wrong answers: they differ from the float net's by {parity.mean:.3g} on average, "
            f"whose own spread is {parity.spread:.3g}"
        )
    return parity.result()


if __name__ == "__main__":
    _worker.work_on_spec(visit)
