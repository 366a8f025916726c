"""The interpreter of LiteRT (TensorFlow Lite), and what runs a model by it on the processor."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Chip, Operator, Placement, Unavailable
from paretomark.devices.formats import _tflite
from paretomark.devices.profilers import _litert_profile

# By the name under which it is installed, the name under which it is imported; best first.
PACKAGES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}


class Loaded:
    """A model in an interpreter that is ready to run, with its ports."""

    def __init__(self, interpreter: Any, shapes: Sequence[tuple[int, ...]] = ()) -> None:
        for port, shape in zip(interpreter.get_input_details(), shapes, strict=False):
            interpreter.resize_tensor_input(port["index"], shape, strict=True)
        interpreter.allocate_tensors()
        self._interpreter = interpreter
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        self._sources = [port["index"] for port in inputs]
        self._results = [port["index"] for port in outputs]
        # Loops over one input and one output alone would add 1 % to a call of 0.1 ms.
        self._plain = len(inputs) == len(outputs) == 1
        self.inputs = [_tflite.port(port) for port in inputs]
        self.outputs = [_tflite.port(port) for port in outputs]
        self.inference_ns = 0  # of the last run: what `invoke` took

    def nodes(self) -> Sequence[Mapping[str, Any]]:
        """List what the interpreter runs, for `_tflite.operators_by_unit`."""
        nodes: Sequence[Mapping[str, Any]] = self._interpreter._get_ops_details()
        return nodes

    def run(self, inputs: Arrays) -> Arrays:
        """Run one inference."""
        interpreter, clock = self._interpreter, time.perf_counter_ns
        if self._plain:
            (array,) = inputs
            interpreter.set_tensor(self._sources[0], array)
        else:
            for index, array in zip(self._sources, inputs, strict=True):
                interpreter.set_tensor(index, array)
        begin = clock()
        interpreter.invoke()
        self.inference_ns = clock() - begin
        if self._plain:
            return [interpreter.get_tensor(self._results[0])]
        return [interpreter.get_tensor(index) for index in self._results]


class Cpu:
    """The processor, by `kernels` "xnnpack", which LiteRT takes by itself, or "builtin"."""

    again = False

    def __init__(self, kernels: str) -> None:
        self._kernels = kernels
        self._model: Any = None
        self._file, self._threads = Path(), 1

    def probe(self) -> Chip:
        """Name the processor. Raise Unavailable where neither package is installed."""
        package = installed()
        module(package)
        return Chip(_host.chip_name(), {package: metadata.version(package)})

    def load(self, model: Path, threads: int) -> Placement:
        """Make ready to run, with as many threads."""
        self._file, self._threads = model, threads
        return self._ready(())

    def fix(self, shapes: Sequence[tuple[int, ...]]) -> Placement:
        """Make ready again, for inputs of these shapes."""
        return self._ready(shapes)

    def _ready(self, shapes: Sequence[tuple[int, ...]]) -> Placement:
        model, threads = self._file, self._threads
        runtime = module(installed())
        kinds = runtime.OpResolverType
        kind = {"xnnpack": kinds.AUTO, "builtin": kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES}
        self._model = Loaded(
            runtime.Interpreter(
                str(model), num_threads=threads, experimental_op_resolver_type=kind[self._kernels]
            ),
            shapes,
        )
        operators = _tflite.operators_by_unit(self._model.nodes())
        return Placement(self._kernels, operators, self._model.inputs, self._model.outputs)

    def run(self, inputs: Arrays) -> Arrays:
        """Run one inference."""
        outputs: Arrays = self._model.run(inputs)
        return outputs

    def inference_ns(self) -> int:
        """Give what `invoke` took in the last run."""
        return int(self._model.inference_ns)

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[Operator]:
        """Profile by the library's own profiler, in steps of 1 µs; see _litert_profile.py."""
        return _litert_profile.profile(model, threads, self._kernels, inputs, runs)


def installed() -> str:
    """Name the package to use. Raise Unavailable if there is none."""
    for package in PACKAGES:
        try:
            metadata.version(package)
            return package
        except metadata.PackageNotFoundError:
            continue
    raise Unavailable(
        "neither ai-edge-litert nor tflite-runtime is installed", "pip install 'paretomark[litert]'"
    )


def module(package: str) -> Any:
    """Import the interpreter of a package."""
    return importlib.import_module(f"{PACKAGES[package]}.interpreter")
