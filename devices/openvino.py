"""OpenVINO, on the device asked for and in the precision of the file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.devices._device import Arrays, Chip, Placement, Port, Unavailable, require

FORMAT = "xml"
VARIANTS = ("cpu", "gpu", "npu")


class _OpenVINO:
    def __init__(self, variant: str) -> None:
        self._target = variant.upper()
        self._request: Any = None

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
        import openvino

        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # Without this, processors that can compute in bfloat16 do, and a file called fp32 is
            # measured in another precision: three times faster, and less exact.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        if self._target == "CPU":
            options |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        compiled = openvino.Core().compile_model(model, self._target, options)
        self._request = compiled.create_infer_request()
        used = [name.partition(".")[0] for name in compiled.get_property("EXECUTION_DEVICES")]
        nodes = Counter(used[:1] * len(compiled.get_runtime_model().get_ops()))
        return Placement(
            home=self._target,
            operators=nodes,
            inputs=[_port(port) for port in compiled.inputs],
            outputs=[_port(port) for port in compiled.outputs],
        )

    def run(self, inputs: Arrays) -> Arrays:
        # The inputs are read where they lie. The outputs are copied out of the request, for the
        # next call overwrites them there.
        outputs = self._request.infer(inputs, share_inputs=True)
        return [outputs[i] for i in range(len(outputs))]


def _port(port: Any) -> Port:
    dtype = np.dtype(port.get_element_type().to_dtype())
    return Port(port.any_name, tuple(port.get_shape()), dtype.name)


def device(variant: str) -> _OpenVINO:
    """A variant names a device of OpenVINO."""
    return _OpenVINO(variant)
