"""The child that loads one artifact on one device, is timed slice by slice, and scores it.

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

from paretomark.devices import _counters, _host
from paretomark.devices._device import (
    Accelerator,
    Closing,
    Device,
    Inside,
    Placement,
    State,
    open_device,
)
from paretomark.devices.measure import _answers, _inputs, _reference, _serving, _timing, _worker
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._kept import Keeper
from paretomark.devices.measure._parity import Parity
from paretomark.devices.measure._wrong import Wrong
from paretomark.models.data import _full_masks
from paretomark.suites.tasks import _task
from paretomark.suites.tasks._task import FullScorer, Misfit, Scorer

SETTLE_S, SETTLE_IDLE, SETTLE_MOST_S = 0.005, 0.1, 0.5  # s, of a processor, s


class Visit:
    """One model on one device: made ready, then timed slice by slice, then scored."""

    def __init__(self, spec: VisitSpec, stage: Path) -> None:
        self._spec, self._stage = spec, stage

    def begin(self) -> dict[str, Any]:
        """Import the runtime."""
        self._counters = _counters.opened_or_none()  # before the runtime starts its threads
        self._stage.write_text("probe")
        self._device = open_device(self._spec.device)
        self._device.probe()
        return {"before_load_bytes": _host.resident_bytes()}

    def _load(self) -> dict[str, Any]:
        """Load, run once, and warm up. Return what the parent records of that."""
        spec, device = self._spec, self._device
        self._stage.write_text("load")
        start = time.perf_counter()
        self._placement = placement = _inputs.ready(spec, device)
        load_s = time.perf_counter() - start
        answer: dict[str, Any] = {
            "placement": dict(placement.operators),
            "placement_costs": dict(placement.costs),
            "fell_back": placement.fell_back,
            "home": placement.home,
            "load_s": load_s - (placement.compile_s or 0.0),
            "compile_s": placement.compile_s,
            "simulated": placement.simulated,
        }
        self._stage.write_text("inputs")
        self._inputs = inputs = _inputs.rotating(spec, placement)
        self._stage.write_text("first inference")
        start = time.perf_counter()
        self._outputs = device.run(inputs[0])
        answer["first_s"] = time.perf_counter() - start
        _inputs.check_outputs(self._outputs, placement)
        if placement.predicted_s is not None:  # what is only predicted is not timed
            return answer | {"simulated": "predicted", "predicted_s": placement.predicted_s}
        self._stage.write_text("timing")
        inside = device.inference_ns if isinstance(device, Inside) else None
        self._watch = _timing.Stopwatch(device.run, inputs, inside)
        self._clock = _DeviceClock(device, self._watch)
        answer["warmup_runs"] = self._watch.warm_up(spec.seconds)
        answer["rounds"] = self._watch.rounds
        return answer

    def do(self, word: str, *arguments: str) -> dict[str, Any]:
        """`load`; then time a `slice` of so many seconds and calls at most, `serve` queries as they
        arrive, or tell the `state` of the chip; then `finish`."""
        if word == "load":
            return self._load()
        if word == "slice":
            return self._slice(float(arguments[0]), int(arguments[1]))
        if word == "serve":
            return _serving.trial(self._device, self._inputs, *arguments)
        if word == "state":
            return _serving.state(self._device)
        return self._finish()

    def _slice(self, seconds: float, most: int) -> dict[str, Any]:
        children = isinstance(self._device, Closing)  # it works in a process of its own
        before_s, at_s = _host.family_s(children=children), time.time()
        calls = self._watch.calls
        self._counters.start()
        samples_ns = self._watch.slice(seconds, most)
        calls = self._watch.calls - calls
        if isinstance(self._device, Inside) and self._device.again:
            calls += len(self._watch.inference_ns)
        self._counters.stop(calls)
        if self._spec.threads > 1:
            _settle()
        cpu_s = _host.family_s(children=children) - before_s
        self._clock.look(len(samples_ns))
        inside_ns = self._watch.inference_ns
        return {
            "at_s": round(at_s, 5),
            "ns": samples_ns,
            "inside_ns": inside_ns,
            "cpu_s": cpu_s,
            "calls": calls,
        }

    def _finish(self) -> dict[str, Any]:
        """Score, if that is asked for, and look whether the first input is answered as before."""
        spec, placement = self._spec, self._placement
        # Scoring has memory of its own, such as masks at their own sizes, which is not the model's.
        answer: dict[str, Any] = {"peak_memory_bytes": _host.peak_bytes(os.getpid())}
        if placement.predicted_s is None:
            answer |= self._clock.told()
            if not placement.simulated:  # else they are those of the emulator
                answer["counters"] = self._counters.told()
        said = {"warnings": [*placement.warnings, *_answers.notes(spec, placement)]}
        if spec.score and spec.images:
            self._stage.write_text("scoring")
            said = _told(said, _score(spec, self._device, placement))
        elif spec.score and spec.reference:
            parities = _reference.parities(spec, self._device, placement, self._inputs)
            said = _told(said, *(_parity(parity, spec.parity_limit) for parity in parities))
        self._stage.write_text("first input again")
        again = _answers.unsteady(self._device, self._inputs[0], self._outputs)
        answer |= _told({"broken": again}, said)
        if isinstance(self._device, Closing):
            self._device.close()
        return answer


def _settle() -> None:
    """Wait until no thread looks for more work: pools do for a while, ONNX Runtime's for 40 ms, and
    would take the processor from the visit whose turn is next."""
    until = time.monotonic() + SETTLE_MOST_S
    while time.monotonic() < until:
        before = time.process_time()
        time.sleep(SETTLE_S)
        if time.process_time() - before < SETTLE_IDLE * SETTLE_S:
            return


class _DeviceClock:
    """What an accelerator tells of the calls that are timed; nothing of other devices."""

    def __init__(self, device: Device, watch: _timing.Stopwatch) -> None:
        self._device, self._watch = device, watch
        self._spans: dict[str, list[float]] = {}  # of a slice, in the middle
        self._state = State()
        self._throttled: list[str] = []

    def look(self, calls: int) -> None:
        """Take what is told of the last calls, and how the device is after them."""
        if isinstance(self._device, Accelerator):
            for name, spans in self._device.phases_ns().items():
                if part := spans[-calls:]:
                    self._spans.setdefault(name, []).append(statistics.median(part))
            self._state = self._device.state()
            self._throttled += self._state.throttled

    def told(self) -> dict[str, Any]:
        """Give fields of a record."""
        if not isinstance(self._device, Accelerator):
            return {}
        return {
            "phases_ns": {n: int(statistics.median(s)) for n, s in self._spans.items()},
            "device_memory_bytes": self._state.peak_memory_bytes,
            "clock_mhz": self._state.clock_mhz,
            "temperature_c": self._state.temperature_c,
            "throttled": list(dict.fromkeys(self._throttled)),
        }


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
    _worker.serve(Visit)
