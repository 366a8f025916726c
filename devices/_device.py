"""The seam of a device: what an adapter file in this folder must offer.

    FORMAT = "onnx"                        the files that nets are exported to for it
    LOADS = ("onnx", "ort")                optional: what it loads, where that is more
    VARIANTS = ("cpu",)                    targets are `file:variant`; () if there is only `file`
    PRECISIONS = {"cpu": ("int8",)}        optional: what a variant runs, where that is not all
    ALONE = ("cuda",)                      optional: variants with an accelerator of their own, of
                                           which one visit at a time is loaded; ("",) for the file
    METERS = {"cuda": "nvidia"}            optional: what tells the energy of a variant, see
                                           `_energy.py`; else "host", and "" for one that is ALONE
    def device(variant: str) -> Device

A runtime is imported only inside the methods, for the parent process imports these files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import unknown

Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class Chip:
    """What runs the model: its name, and the versions of driver and runtime."""

    name: str
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Port:
    """An input or output of a loaded model. Integers q mean (q - zero_point) * scale.

    A size of -1 in `shape` is open: the file leaves it to whoever runs it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0

    def encode(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """Turn real numbers into those of this port, rounded and clipped if these are integers."""
        dtype = np.dtype(self.dtype)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            if self.scale:
                values = values / self.scale + self.zero_point
            values = np.clip(np.rint(values), limits.min, limits.max)
        return np.ascontiguousarray(values.astype(dtype))

    def decode(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Turn numbers of this port into the real ones that they mean."""
        if values.dtype.kind in "iu" and self.scale:
            return (values.astype(np.float32) - self.zero_point) * np.float32(self.scale)
        return values.astype(np.float32)


@dataclass(frozen=True)
class Placement:
    """Where the operators of a loaded model run, and its ports.

    `operators` counts them by unit. `home` is the unit that the target's name promises;
    when most operators run elsewhere, or most of the cost that the runtime estimates is spent
    elsewhere, the visit is a fallback.
    """

    home: str
    operators: Mapping[str, int]
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    compile_s: float | None = None  # the part of loading that a compiler took, where it is known
    # Latency that a model of an absent chip predicts. Such a visit is not timed, and is marked.
    predicted_s: float | None = None
    simulated: str = ""  # "emulated" if another machine only pretends to be this one
    costs: Mapping[str, float] = field(default_factory=dict)  # by unit, share of estimated cost
    warnings: Sequence[str] = ()  # what a reader has to know before believing the figures

    @property
    def fell_back(self) -> bool:
        """Whether most of it runs somewhere else than the target's name says."""
        shares: Mapping[str, float] = self.costs or self.operators
        return 2 * shares.get(self.home, 0) < sum(shares.values())


@dataclass(frozen=True)
class State:
    """How an accelerator is at this moment; None or () where it does not say."""

    clock_mhz: int | None = None
    temperature_c: int | None = None
    throttled: tuple[str, ...] = ()  # why the clock is held down, in the words of the driver
    peak_memory_bytes: int | None = None  # of the device's own memory, since the model was loaded


@dataclass(frozen=True)
class Operator:
    """One operator of a profiled model, or several that the runtime has fused, in order of running.

    `ns` is the mean time of one inference that it takes. `macs` are its multiply-accumulates (0 if
    it has none, None if unknown), `bytes` the sizes of its inputs, weights and outputs, each
    counted once, as they are stored.
    """

    name: str
    kind: str
    unit: str
    ns: float
    macs: int | None = None
    bytes: int | None = None


class Unavailable(Exception):
    """This device is not here: why, and how to get it."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.remedy = remedy


class Device(Protocol):
    """What every adapter offers. One is opened for each model, in a process of its own."""

    def probe(self) -> Chip:
        """Say what is here, and import its runtime, lest `load` do. Raise Unavailable."""
        ...

    def load(self, model: Path, threads: int) -> Placement:
        """Make ready to run, with `threads` processors. Any exception fails this visit only."""
        ...

    def run(self, inputs: Arrays) -> Arrays:
        """Run one inference. Return new arrays, only when the outputs are on the host."""
        ...


@runtime_checkable
class Inside(Protocol):
    """What a device offers that can tell the inference alone from the whole of a call."""

    again: bool  # whether being asked runs one more inference

    def inference_ns(self) -> int:
        """Give what the inference alone took in the last `run`, or takes in one more of its inputs.

        That is: without handing over inputs, and without fetching answers. Asked for after a call,
        whose time is not touched by it.
        """
        ...


@runtime_checkable
class Accelerator(Protocol):
    """What a device with a clock and memory of its own offers besides."""

    def phases_ns(self) -> Mapping[str, Sequence[int]]:
        """Give the phases of each `run` since `load`, by the device's clock: h2d, compute, d2h."""
        ...

    def state(self) -> State:
        """Say how it is now."""
        ...


@runtime_checkable
class Fixing(Protocol):
    """What a device offers that has to be told open sizes of the inputs before it runs."""

    def fix(self, shapes: Sequence[tuple[int, ...]]) -> Placement:
        """Make the loaded model ready for inputs of these shapes, in the order of the ports."""
        ...


@runtime_checkable
class Closing(Protocol):
    """What a device offers that runs a process of its own."""

    def close(self) -> None:
        """End that process and wait for it, so that its work counts as the visit's, not others'."""
        ...


@runtime_checkable
class Profiler(Protocol):
    """What a device offers whose runtime tells the time of single operators."""

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[Operator]:
        """Load the model anew, with profiling on; run it `runs` times, over the rotating inputs.

        The first inference, which a runtime may use to prepare, is not counted.
        """
        ...


def names() -> list[str]:
    """List the adapters there are."""
    return _plugins.names("devices")


def formats() -> dict[str, str]:
    """Give the format that nets are exported to for each target, by target."""
    return {target: forms[0] for target, forms in loads().items()}


def loads() -> dict[str, tuple[str, ...]]:
    """Give the formats of files that each target loads, by target; that of its exports is first."""
    adapters = {name: _plugins.module("devices", name) for name in names()}
    return {
        f"{name}:{variant}" if variant else name: tuple(
            dict.fromkeys((adapter.FORMAT, *getattr(adapter, "LOADS", ())))
        )
        for name, adapter in adapters.items()
        for variant in adapter.VARIANTS or ("",)
    }


def targets(only: Sequence[str] = ()) -> list[str]:
    """List the targets to look at: these, or all. Raise UserError for a name that is none."""
    every = formats()
    # The fake device's other variants misbehave on purpose, for tests.
    usual = [t for t in every if not t.startswith("fake:") or t == "fake:ok"]
    for target in only:
        if target not in every:
            raise unknown("device", target, usual, "--device")
    return list(only) or usual


def precisions(target: str) -> tuple[str, ...]:
    """List what a target runs; () if it runs whatever its format is written in."""
    name, _, variant = target.partition(":")
    adapter = _plugins.module("devices", name)
    runs: tuple[str, ...] = getattr(adapter, "PRECISIONS", {}).get(variant, ())
    return runs


def alone(target: str) -> bool:
    """Tell whether a target has an accelerator, where no second visit may be loaded meanwhile."""
    name, _, variant = target.partition(":")
    return variant in getattr(_plugins.module("devices", name), "ALONE", ())


def meter(target: str) -> str:
    """Name what tells the energy of a target, as `_energy.source` takes it; "" if nothing does."""
    name, _, variant = target.partition(":")
    told: dict[str, str] = getattr(_plugins.module("devices", name), "METERS", {})
    return told.get(variant, "" if alone(target) else "host")


def open_device(target: str) -> Device:
    """Open the device of a target. Raise UserError if there is no such adapter."""
    name, _, variant = target.partition(":")
    device: Device = _plugins.module("devices", name).device(variant)
    return device


def require(package: str, extra: str) -> str:
    """Give the version of an installed package. Raise Unavailable that says how to install it."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise Unavailable(
            f"the package {package} is not installed", f"pip install 'paretomark[{extra}]'"
        ) from None
