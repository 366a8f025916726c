"""Conformance: what every adapter must do, tried on the device that is attached.

    python -P -m paretomark.devices.measure._verify SPEC ANSWER DONE

The checks run in a child, as visits do, for a bad adapter may crash or hang in any of them.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Device, Placement, open_device
from paretomark.devices.measure import _inputs, _worker
from paretomark.devices.measure._inputs import VisitSpec
from paretomark.devices.measure._wrong import Wrong
from paretomark.suites.spec._errors import explained

SETTLE_S = 0.05
BUSY_S = 0.3
LOADS = 5
CALLS = 24
ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A device with a model, and distinct real inputs for it."""

    spec: VisitSpec
    device: Device
    placement: Placement
    inputs: list[Arrays]

    def answer(self, inputs: Arrays) -> NDArray[np.float32]:
        """Give the meaning of the first output, as a copy."""
        return self.placement.outputs[0].decode(self.device.run(inputs)[0]).copy()


def parity(it: Loaded) -> str:
    """Its answers are those of the float net."""
    batches = _inputs.rows(it.spec.reference, it.spec.batch)
    reference = np.concatenate([batch for batch, _ in zip(batches, it.inputs, strict=False)])
    answers = np.concatenate([it.answer(x) for x in it.inputs]).reshape(reference.shape)
    error, spread = float(np.abs(answers - reference).mean()), float(reference.std())
    if error > (it.spec.parity_limit or 0.05) * spread:
        raise Wrong(f"off by {error:.3g} on average, where the answers spread over {spread:.3g}")
    return f"off by {error:.2g} on average"


def placement(it: Loaded) -> str:
    """It runs where its name says."""
    units = ", ".join(f"{unit} {count}" for unit, count in it.placement.operators.items() if count)
    if it.placement.fell_back:
        raise Wrong(f"most operators are not on {it.placement.home}: {units}")
    return units


def own_answers(it: Loaded) -> str:
    """Other inputs give other answers, also when they come in the same array."""
    first, second = it.inputs[0], it.inputs[1]
    expected = it.answer(second)
    if np.array_equal(it.answer(first), expected):
        raise Wrong("two different pictures have the very same answer")
    buffer = [array.copy() for array in first]
    it.device.run(buffer)
    for array, new in zip(buffer, second, strict=True):
        array[:] = new
    if not np.allclose(it.answer(buffer), expected, rtol=1e-3, atol=1e-4):
        raise Wrong("an array that was changed in place has its old answer")
    return "rotating inputs, rotating answers"


def own_memory(it: Loaded) -> str:
    """An answer stays what it was when the next one is computed."""
    kept = it.device.run(it.inputs[0])[0]
    before = kept.copy()
    it.device.run(it.inputs[1])
    if not np.array_equal(kept, before, equal_nan=True):
        raise Wrong("the next call overwrites the answer of the last one")
    return "answers are not overwritten"


def finished(it: Loaded) -> str:
    """When it returns, the work is done."""
    out = it.device.run(it.inputs[0])[0]
    at_once = out.copy()
    time.sleep(SETTLE_S)
    if not np.array_equal(out, at_once, equal_nan=True):
        raise Wrong("the answer changes after the call has returned")
    return "answers are complete when they return"


def linear(it: Loaded) -> str:
    """Twice the calls take about twice the time."""
    start = time.perf_counter()
    it.device.run(it.inputs[0])
    count = max(10, int(0.05 / max(1e-6, time.perf_counter() - start)))
    turns = [(_duration(it, count), _duration(it, 2 * count)) for _ in range(7)]
    # The shortest of several: others on the machine make a turn longer, never shorter. Where they
    # leave not one turn alone, the time of the processor still tells.
    ratios = []
    for clock in (0, 1):
        once, twice = (min(times[clock] for times in side) for side in zip(*turns, strict=True))
        ratios.append(twice / max(once, 1e-9))
    wall, cpu = ratios
    if not (1.5 < wall < 2.7 or 1.5 < cpu < 2.7):
        raise Wrong(f"{2 * count} calls take {wall:.2f} times as long as {count}")
    return f"2N / N = {wall:.2f}"


def _duration(it: Loaded, count: int) -> tuple[float, float]:
    """Seconds by the clock on the wall, and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    for i in range(count):
        it.device.run(it.inputs[i % len(it.inputs)])
    return time.perf_counter() - wall, time.process_time() - cpu


def threads(it: Loaded) -> str:
    """It uses no more processors than it was given threads."""
    before, cpu, wall = _thread_ticks(), time.process_time(), time.perf_counter()
    while time.perf_counter() - wall < BUSY_S:
        it.device.run(it.inputs[0])
    used = (time.process_time() - cpu) / (time.perf_counter() - wall)
    if used > it.spec.threads + 0.3:
        raise Wrong(f"uses {used:.1f} processors with {it.spec.threads} thread(s)")
    # On a busy machine many threads share one processor, and betray themselves by sharing alike.
    # One more than asked for may work: the caller, which hands over and waits.
    sharing = _equal_shares([n - before.get(t, 0) for t, n in _thread_ticks().items()])
    if sharing > it.spec.threads + 1.3:
        raise Wrong(f"the work is done by {sharing:.1f} threads, {it.spec.threads} were given")
    return f"{used:.2f} processors with {it.spec.threads} thread(s)"


def _thread_ticks() -> dict[str, int]:
    """Processor time of each thread of this process, in clock ticks; {} where none can be read."""
    ticks = {}
    for file in Path("/proc/self/task").glob("*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since
            continue
        ticks[file.parent.name] = int(fields[11]) + int(fields[12])
    return ticks


def _equal_shares(amounts: list[int]) -> float:
    """The inverse Simpson index: of [1, 1] it is 2, of [9, 1] 1.2."""
    squares = sum(n * n for n in amounts)
    return sum(amounts) ** 2 / squares if squares else 0.0


def refuses(it: Loaded) -> str:
    """An input of a wrong shape is an error, not an answer."""
    wrong = [np.concatenate([array, array], axis=-1) for array in it.inputs[0]]
    try:
        it.device.run(wrong)
    except Exception as error:
        return type(error).__name__
    raise Wrong(f"accepts an input of shape {wrong[0].shape}")


def again(it: Loaded) -> str:
    """It can be loaded again, and again, without keeping the memory of the last time."""
    expected = it.answer(it.inputs[0])
    size = Path(it.spec.file).stat().st_size
    grown: list[int] = []
    for _ in range(LOADS):
        before = _host.resident_bytes() or 0
        device = open_device(it.spec.device)
        device.load(Path(it.spec.file), it.spec.threads)
        answer = it.placement.outputs[0].decode(device.run(it.inputs[0])[0])
        if not np.allclose(answer, expected, rtol=1e-3, atol=1e-4):
            raise Wrong("answers otherwise when it is loaded again")
        del device
        grown.append((_host.resident_bytes() or 0) - before)
    typical = sorted(grown)[LOADS // 2]
    if typical > 4 * size + 5_000_000:
        raise Wrong(f"keeps {typical / 1e6:.0f} MB at each load of a file of {size / 1e6:.1f} MB")
    return f"keeps {max(0, typical) / 1e6:.1f} MB a load"


def first(it: Loaded) -> str:
    """What has to be prepared is prepared when the model is loaded, or in the first inference."""
    device = open_device(it.spec.device)
    device.load(Path(it.spec.file), it.spec.threads)
    times = []
    for i in range(CALLS):
        start = time.perf_counter()
        device.run(it.inputs[i % len(it.inputs)])
        times.append(time.perf_counter() - start)
    # The shortest of a few, for others on the machine make a call longer, never shorter.
    early, steady = min(times[1:4]), statistics.median(times[CALLS // 2 :])
    if early > 2 * steady:
        raise Wrong(f"the second to fourth call take {early / steady:.1f} times as long as later")
    if times[0] < 0.5 * min(times[1:]):
        raise Wrong(f"the first call takes {times[0] / steady:.2f} of later ones")
    return f"the first call takes {times[0] / steady:.1f} times as long as later ones"


CHECKS: tuple[Callable[[Loaded], str], ...] = (
    parity,
    placement,
    own_answers,
    own_memory,
    finished,
    linear,
    threads,
    refuses,
    first,
    again,
)
# What others on the machine can spoil, for a moment: only a device that fails each time has failed.
TIMED = (linear, threads, first)


def verify(spec: VisitSpec, stage: Path) -> dict[str, Any]:
    """Run every check: `checks` is a list of name, what is asked, whether it held, and a detail."""
    return {"checks": [list(result) for result in _results(spec, stage)]}


def _results(spec: VisitSpec, stage: Path) -> Iterator[tuple[str, str, bool, str]]:
    stage.write_text("load")
    device = open_device(spec.device)
    device.probe()
    loaded = device.load(Path(spec.file), spec.threads)
    it = Loaded(spec, device, loaded, _inputs.rotating(spec, loaded))
    for check in CHECKS:
        stage.write_text(check.__name__)
        rule = (check.__doc__ or "").strip()
        for _ in range(ATTEMPTS if check in TIMED else 1):
            held, detail = _outcome(check, it)
            if held:
                break
        yield check.__name__, rule, held, detail


def _outcome(check: Callable[[Loaded], str], it: Loaded) -> tuple[bool, str]:
    try:
        return True, check(it)
    except Wrong as error:
        return False, str(error)
    except Exception as error:
        return False, explained(error)


if __name__ == "__main__":
    _worker.work_on_spec(verify)
