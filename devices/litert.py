"""LiteRT (TensorFlow Lite): ai-edge-litert, or tflite-runtime where only that is installed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Chip, Device, Operator, Placement, Unavailable
from paretomark.devices.formats import _tflite
from paretomark.devices.profilers import _litert_profile

FORMAT = "tflite"
VARIANTS = ("xnnpack", "reference", "xnnpack@aarch64", "gpu", "npu")
PACKAGES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}


class _LiteRT:
    def __init__(self, variant: str) -> None:
        self._variant = variant
        self._interpreter: Any = None
        self._inputs: list[int] = []
        self._outputs: list[int] = []

    def probe(self) -> Chip:
        package = _package()
        importlib.import_module(f"{PACKAGES[package]}.interpreter")
        return Chip(_host.chip_name(), {package: metadata.version(package)})

    def load(self, model: Path, threads: int) -> Placement:
        runtime = importlib.import_module(f"{PACKAGES[_package()]}.interpreter")
        kinds = runtime.OpResolverType
        kind = {"xnnpack": kinds.AUTO, "reference": kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES}
        interpreter = runtime.Interpreter(
            str(model), num_threads=threads, experimental_op_resolver_type=kind[self._variant]
        )
        interpreter.allocate_tensors()
        self._interpreter = interpreter
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        self._inputs = [port["index"] for port in inputs]
        self._outputs = [port["index"] for port in outputs]
        return Placement(
            home="xnnpack" if self._variant == "xnnpack" else "builtin",
            operators=_operators(interpreter),
            inputs=[_tflite.port(port) for port in inputs],
            outputs=[_tflite.port(port) for port in outputs],
        )

    def run(self, inputs: Arrays) -> Arrays:
        interpreter = self._interpreter
        for index, array in zip(self._inputs, inputs, strict=True):
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in self._outputs]

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[Operator]:
        """By the library's own profiler, in steps of 1 µs; see _litert_profile.py."""
        kernels = {"xnnpack": "xnnpack", "reference": "builtin"}
        return _litert_profile.profile(model, threads, kernels[self._variant], inputs, runs)


def _package() -> str:
    for package in PACKAGES:
        try:
            metadata.version(package)
            return package
        except metadata.PackageNotFoundError:
            continue
    raise Unavailable(
        "neither ai-edge-litert nor tflite-runtime is installed", "pip install 'paretomark[litert]'"
    )


def _operators(interpreter: Any) -> dict[str, int]:
    """Operators by unit. A DELEGATE node took all that lies between its inputs and outputs.

    The interpreter goes on listing the operators that a delegate has replaced, so they are
    found by walking back from the delegate's outputs to its inputs.
    """
    nodes = interpreter._get_ops_details()
    own = [node for node in nodes if node["op_name"] != "DELEGATE"]
    producer = {int(t): node["index"] for node in own for t in node["outputs"]}
    sources = {node["index"]: [int(t) for t in node["inputs"]] for node in own}
    taken: set[int] = set()
    for delegate in nodes:
        if delegate["op_name"] != "DELEGATE":
            continue
        border = {int(t) for t in delegate["inputs"]}
        open_tensors = [int(t) for t in delegate["outputs"]]
        while open_tensors:
            index = producer.get(open_tensors.pop())
            if index is not None and index not in taken:
                taken.add(index)
                open_tensors += [t for t in sources[index] if t not in border]
    return {"xnnpack": len(taken), "builtin": len(own) - len(taken)}


def device(variant: str) -> Device:
    """`xnnpack`: with the delegate that the runtime applies by itself; `reference`: without any;
    `xnnpack@aarch64`: the former, for Arm, in an emulator; `gpu`, `npu`: all of it there."""
    from paretomark.devices import _emulated, _litert_accelerator

    if variant in ("gpu", "npu"):
        return _litert_accelerator.Compiled(variant)
    return _emulated.Emulated() if variant == "xnnpack@aarch64" else _LiteRT(variant)
