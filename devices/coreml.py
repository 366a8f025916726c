"""Core ML, on the units that it is allowed to use. Written from coremltools' documentation:
no part of it that needs macOS has been run.

Where operators run is what Core ML plans (MLComputePlan, macOS 14.4), not what it was seen to do.
An fp32 program cannot run on the Neural Engine, so `coreml:ane` is a fallback with it. Core ML
takes no number of threads. The time to load includes asking for the plan, and what Core ML
compiles for a unit when it loads.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Chip, Placement, Port, Unavailable, require

FORMAT = "mlpackage"
VARIANTS = ("cpu", "gpu", "ane", "all")
ALONE = ("gpu", "ane", "all")
METERS = {"gpu": "host", "ane": "host", "all": "host"}
ALLOWED = {"cpu": "CPU_ONLY", "gpu": "CPU_AND_GPU", "ane": "CPU_AND_NE", "all": "ALL"}
NAMES = {"cpu": "CPU", "gpu": "GPU", "ane": "Neural Engine"}
FIRST_MACOS = (14, 4)
REMEDY = "run on a Mac with macOS 14.4 or later, with pip install 'paretomark[coreml]'"
# ArrayFeatureType.ArrayDataType of Core ML's FeatureTypes.proto.
DTYPES = {65552: "float16", 65568: "float32", 65600: "float64", 131080: "int8", 131104: "int32"}


class _CoreML:
    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._folder: Any = None
        self._model: Any = None
        self._inputs: list[str] = []
        self._outputs: list[str] = []

    def probe(self) -> Chip:
        if platform.system() != "Darwin":
            raise Unavailable(
                "Core ML runs on macOS only; here models are converted and compressed but not run",
                REMEDY,
            )
        version = require("coremltools", "coreml")
        macos = platform.mac_ver()[0]
        if tuple(int(part) for part in macos.split(".")[:2]) < FIRST_MACOS:
            raise Unavailable(f"macOS {macos} does not tell where operators run", REMEDY)
        try:
            from coremltools import libcoremlpython  # noqa: F401
        except ImportError as error:
            raise Unavailable(
                f"coremltools is here without its link to Core ML: {error}",
                "install a wheel of coremltools for macOS and this version of Python",
            ) from None
        from coremltools.models.compute_device import MLComputeDevice

        units = {_unit(device) for device in MLComputeDevice.get_all_compute_devices()}
        if self._variant in NAMES and self._variant not in units:
            raise Unavailable(
                f"Core ML sees no {NAMES[self._variant]} here, only {', '.join(sorted(units))}",
                "run on a Mac with Apple silicon, and not in a virtual machine",
            )
        return Chip(_host.chip_name(), {"coremltools": version, "macOS": macos})

    def load(self, model: Path, threads: int) -> Placement:
        import coremltools as ct
        from coremltools.models.compute_plan import MLComputePlan

        allowed = ct.ComputeUnit[ALLOWED[self._variant]]
        # The compiled model must stay where it is: its weights are read from there.
        self._folder = tempfile.TemporaryDirectory(prefix="paretomark-")
        start = time.perf_counter()
        program = str(Path(self._folder.name) / "model.mlmodelc")
        program = ct.models.utils.compile_model(str(model), program)
        compile_s = time.perf_counter() - start
        self._model = ct.models.CompiledMLModel(program, compute_units=allowed)
        plan = MLComputePlan.load_from_path(program, compute_units=allowed)
        operators, costs = _operators(plan)
        ports = ct.utils.load_spec(str(model)).description
        inputs, outputs = [_port(p) for p in ports.input], [_port(p) for p in ports.output]
        self._inputs, self._outputs = [p.name for p in inputs], [p.name for p in outputs]
        return Placement(
            home=self._variant if self._variant in NAMES else _most(costs or operators),
            operators=operators,
            costs=costs,
            inputs=inputs,
            outputs=outputs,
            compile_s=compile_s,
        )

    def run(self, inputs: Arrays) -> Arrays:
        answers = self._model.predict(dict(zip(self._inputs, inputs, strict=True)))
        return [np.asarray(answers[name]) for name in self._outputs]


def _operators(plan: Any) -> tuple[dict[str, int], dict[str, float]]:
    """Operators by the unit that Core ML prefers, and shares of the cost that it estimates."""
    program = plan.model_structure.program
    if program is None:
        raise ValueError("this is no ML program: convert it with convert_to='mlprogram'")
    operators: Counter[str] = Counter()
    costs: dict[str, float] = defaultdict(float)
    for operation in _walk(function.block for function in program.functions.values()):
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is not None:
            operators[unit := _unit(usage.preferred_compute_device)] += 1
            if cost := plan.get_estimated_cost_for_mlprogram_operation(operation):
                costs[unit] += cost.weight
        # Constants, and what unpacks them (constexpr_*), are run nowhere.
        elif not operation.operator_name.rpartition(".")[2].startswith("const"):
            operators["unknown"] += 1
    total = sum(costs.values())
    return dict(operators), {unit: cost / total for unit, cost in costs.items()} if total else {}


def _walk(blocks: Iterable[Any]) -> Iterator[Any]:
    for block in blocks:
        for operation in block.operations:
            yield operation
            yield from _walk(operation.blocks)


def _unit(device: Any) -> str:
    kinds = {"MLCPU": "cpu", "MLGPU": "gpu", "MLNeuralEngine": "ane"}
    return kinds.get(type(device).__name__.removesuffix("ComputeDevice"), "unknown")


def _most(shares: Mapping[str, float]) -> str:
    """The unit that `all` is judged by: it promises none, but that it is known where it runs."""
    units = {unit: share for unit, share in shares.items() if unit != "unknown"}
    return max(units, key=lambda unit: units[unit], default="cpu")


def _port(port: Any) -> Port:
    array = port.type.multiArrayType
    if port.type.WhichOneof("Type") != "multiArrayType" or array.dataType not in DTYPES:
        raise ValueError(f"{port.name} is not an array of numbers: {port.type}")
    return Port(port.name, tuple(array.shape), DTYPES[array.dataType])


def device(variant: str) -> _CoreML:
    """Open the unit that Core ML may use beside the CPU; `all`: whichever it likes."""
    return _CoreML(variant)
