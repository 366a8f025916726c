"""ONNX Runtime with the execution provider asked for, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Chip, Placement, Port, Unavailable, require

FORMAT = "onnx"
VARIANTS = ("cpu",)
PROVIDERS = {"cpu": "CPUExecutionProvider"}
DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}


class _OnnxRuntime:
    def __init__(self, variant: str) -> None:
        self._provider = PROVIDERS[variant]
        self._session: Any = None
        self._names: list[str] = []

    def probe(self) -> Chip:
        version = require("onnxruntime", "onnxruntime")
        import onnxruntime

        if self._provider not in onnxruntime.get_available_providers():
            raise Unavailable(
                f"this build of onnxruntime has no {self._provider}",
                "install the build of onnxruntime that has it",
            )
        return Chip(_host.chip_name(), {"onnxruntime": version})

    def load(self, model: Path, threads: int) -> Placement:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(model), options, providers=[self._provider]
        )
        self._names = [port.name for port in self._session.get_inputs()]
        # The session was given one provider and reports which it runs on: a graph that this
        # provider cannot run fails to load, so there is no node to count elsewhere.
        used = self._session.get_providers()[0]
        return Placement(
            home=self._provider,
            operators={used: 1},
            inputs=[_port(port) for port in self._session.get_inputs()],
            outputs=[_port(port) for port in self._session.get_outputs()],
        )

    def run(self, inputs: Arrays) -> Arrays:
        outputs: Arrays = self._session.run(None, dict(zip(self._names, inputs, strict=True)))
        return outputs


def _port(port: Any) -> Port:
    shape = tuple(size if isinstance(size, int) else 1 for size in port.shape)
    return Port(port.name, shape, DTYPES.get(port.type, port.type))


def device(variant: str) -> _OnnxRuntime:
    """A variant names the execution provider."""
    return _OnnxRuntime(variant)
