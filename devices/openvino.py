"""OpenVINO, on the device asked for and in the precision of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.devices._device import Arrays, Chip, Operator, Placement, Port, Unavailable, require
from paretomark.devices.formats._counts import Node, macs, stored_bytes

FORMAT = "xml"
LOADS = ("xml", "onnx")
VARIANTS = ("cpu", "gpu", "npu")
ALONE = ("gpu", "npu")


class _OpenVINO:
    again = False

    def __init__(self, variant: str) -> None:
        self._target = variant.upper()
        self.request: Any = None
        self._tensor: Any = None  # the type
        self._outputs: Arrays = []  # where they always lie; none if their sizes are open
        self._shapes: Sequence[tuple[int, ...]] = ()  # of inputs whose sizes are open in the file
        self._model, self._threads = Path(), 1

    def probe(self) -> Chip:
        version = require("openvino", "openvino")
        import openvino

        core = openvino.Core()
        if not any(name.partition(".")[0] == self._target for name in core.available_devices):
            raise Unavailable(
                f"OpenVINO sees no {self._target} here, only {', '.join(core.available_devices)}",
                f"run on a machine with an Intel {self._target} and its driver",
            )
        return Chip(core.get_property(self._target, "FULL_DEVICE_NAME"), {"openvino": version})

    def load(self, model: Path, threads: int) -> Placement:
        self._model, self._threads = model, threads
        return self._ready(self._compile(model, threads, {}))

    def fix(self, shapes: Sequence[tuple[int, ...]]) -> Placement:
        self._shapes = shapes
        return self._ready(self._compile(self._model, self._threads, {}))

    def _ready(self, compiled: Any) -> Placement:
        import openvino

        self._tensor = openvino.Tensor
        self.request = compiled.create_infer_request()
        fixed = not any(port.get_partial_shape().is_dynamic for port in compiled.outputs)
        self._outputs = [tensor.data for tensor in self.request.output_tensors] if fixed else []
        nodes = Counter([_unit(compiled)] * len(compiled.get_runtime_model().get_ops()))
        return Placement(
            home=self._target,
            operators=nodes,
            inputs=[_port(port) for port in compiled.inputs],
            outputs=[_port(port) for port in compiled.outputs],
        )

    def run(self, inputs: Arrays) -> Arrays:
        # The inputs are read where they lie. The outputs are copied, for the next call overwrites
        # them. `infer(inputs)` and asking for the outputs each time do the same 90 µs slower.
        request, tensor = self.request, self._tensor
        if len(inputs) == len(self._outputs) == 1:  # loops would add 1 % to a call of 0.1 ms
            request.set_input_tensor(0, tensor(inputs[0], shared_memory=True))
            request.infer()
            return [self._outputs[0].copy()]
        for i, array in enumerate(inputs):
            request.set_input_tensor(i, tensor(array, shared_memory=True))
        request.infer()
        outputs = self._outputs or [tensor.data for tensor in request.output_tensors]
        return [output.copy() for output in outputs]

    def inference_ns(self) -> int:
        """Give the time of the last run by OpenVINO's own clock, which benchmark_app prints too."""
        latency_ms: float = self.request.latency
        return round(1e6 * latency_ms)

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[Operator]:
        """By the counters of the nodes that have run, in whole µs: a node may seem 1 µs too fast.

        The CPU's counters are means since the model was loaded, from which the first inference is
        taken out; those of other devices are taken to be of the last inference. Never run on a GPU
        or NPU.
        """
        compiled = self._compile(model, threads, {"PERF_COUNT": True})
        self._ready(compiled)
        self.run(inputs[0])
        first, total_us = self._counters(), Counter[str]()
        for run in range(1, runs + 1):
            self.run(inputs[run % len(inputs)])
            if self._target != "CPU":
                total_us.update(self._counters())
        if self._target == "CPU":
            means = self._counters()
            total_us.update({name: us * (runs + 1) - first[name] for name, us in means.items()})
        unit, nodes = _unit(compiled), _nodes(compiled.get_runtime_model())
        operators = []
        for info in self.request.get_profiling_info():
            if (name := info.node_name) in total_us:
                node = nodes.get(name, Node(name, info.node_type, None, None))
                ns = max(0.0, 1000 * total_us[name] / runs)
                operators.append(Operator(name, info.node_type, unit, ns, node.macs, node.bytes))
        return operators

    def _counters(self) -> dict[str, int]:
        """Of the nodes that have run, by name, in µs."""
        return {
            info.node_name: round(info.real_time.total_seconds() * 1e6)
            for info in self.request.get_profiling_info()
            if info.status == info.Status.EXECUTED
        }

    def _compile(self, model: Path, threads: int, more: dict[str, Any]) -> Any:
        import openvino

        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # Without this, processors that can compute in bfloat16 do, and a file called fp32 is
            # measured in another precision: three times faster, and less exact.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if self._target == "CPU":
            options |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        if not self._shapes:
            return openvino.Core().compile_model(model, self._target, options | more)
        network = openvino.Core().read_model(model)
        network.reshape(dict(enumerate(self._shapes)))
        return openvino.Core().compile_model(network, self._target, options | more)


def _unit(compiled: Any) -> str:
    """The device of all nodes: one that splits a model between several is not asked for here."""
    name: str = compiled.get_property("EXECUTION_DEVICES")[0]
    return name.partition(".")[0]


def _nodes(graph: Any) -> dict[str, Node]:
    """The nodes of a runtime model by name. Shapes are logical, whatever the layout in memory."""
    nodes = {}
    for op in graph.get_ops():
        name, kind = op.get_friendly_name(), op.get_rt_info()["layerType"].astype(str)
        ports = [*op.inputs(), *op.outputs()]
        tensors = [(tuple(p.get_shape()), p.get_element_type().bitwidth) for p in ports]
        shapes = [shape for shape, _ in tensors]
        count: int | None = 0
        if kind == "Convolution":
            count = macs(shapes[-1], shapes[1], shapes[-1][1])
        elif kind == "Deconvolution":
            count = macs(shapes[0], shapes[1], shapes[0][1])
        elif kind.startswith(("FullyConnected", "MatMul")):
            count = macs(shapes[-1], shapes[1][-2:], shapes[-1][-1])
        elif any(word in kind for word in ("LSTM", "GRU", "RNN", "Attention")):
            count = None
        nodes[name] = Node(name, kind, count, stored_bytes(tensors))
    return nodes


def _port(port: Any) -> Port:
    dtype = np.dtype(port.get_element_type().to_dtype())
    sizes = port.get_partial_shape()
    if sizes.rank.is_dynamic:
        raise ValueError(f"{_name(port)} may have any number of axes, which cannot be measured")
    shape = tuple(-1 if size.is_dynamic else size.get_length() for size in sizes)
    return Port(_name(port), shape, dtype.name)


def _name(port: Any) -> str:
    name: str = next(iter(port.get_names()), f"port {port.get_index()}")
    return name


def device(variant: str) -> _OpenVINO:
    """Open a variant, which names a device of OpenVINO."""
    return _OpenVINO(variant)
