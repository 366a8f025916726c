"""ONNX Runtime with the execution provider asked for; what runs elsewhere is counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Chip, Operator, Placement, Port, Unavailable, require
from paretomark.devices.profilers import _onnxruntime_profile

FORMAT = "onnx"
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "pip install 'paretomark[onnxruntime]'"),
    "cuda": ("CUDAExecutionProvider", "pip install onnxruntime-gpu, with an NVIDIA GPU"),
    "tensorrt": ("TensorrtExecutionProvider", "pip install onnxruntime-gpu and TensorRT"),
    "coreml": ("CoreMLExecutionProvider", "run on macOS, where onnxruntime has it"),
    "xnnpack": ("XnnpackExecutionProvider", "build onnxruntime with --use_xnnpack"),
}
VARIANTS = tuple(PROVIDERS)
HOSTED = ("cpu", "xnnpack")
ALONE = ("cuda", "tensorrt", "coreml")
METERS = {"cuda": "nvidia", "tensorrt": "nvidia", "coreml": "host"}
# Not bf16 and tf32: it would compute in float32 under their names.
INTEGER = ("int8", "int8-dynamic", "int8-weights", "int4-weights")
PRECISIONS = dict.fromkeys(VARIANTS, ("fp32", "fp16", *INTEGER))
DTYPES = {"float": "float32", "double": "float64"}  # that NumPy calls otherwise


class _Provider:
    def __init__(self, variant: str) -> None:
        self._provider, self._remedy = PROVIDERS[variant]
        self._session: Any = None
        self._names: list[str] = []
        self._last: Arrays = []

    def probe(self) -> Chip:
        version = require("onnxruntime", "onnxruntime")
        import onnxruntime

        if self._provider not in onnxruntime.get_available_providers():
            raise Unavailable(f"this build of onnxruntime has no {self._provider}", self._remedy)
        return Chip(_host.chip_name(), {"onnxruntime": version})

    def load(self, model: Path, threads: int) -> Placement:
        options = _options(threads)
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        self._session = self._start(model, options)
        self._names = [port.name for port in self._session.get_inputs()]
        # ONNX Runtime gives to the CPU what the provider that was asked for cannot run, or all of
        # it when that provider fails to start, with no more than a warning. So ask for every node.
        operators = Counter[str]()
        for part in self._session.get_provider_graph_assignment_info():
            operators[part.ep_name] += len(part.get_nodes())
        return Placement(
            home=self._provider,
            operators=operators,
            inputs=[_port(port) for port in self._session.get_inputs()],
            outputs=[_port(port) for port in self._session.get_outputs()],
        )

    def run(self, inputs: Arrays) -> Arrays:
        self._last = inputs
        if len(inputs) == 1:  # a loop over one input alone would add 1 % to a call of 0.1 ms
            feed = {self._names[0]: inputs[0]}
        else:
            feed = dict(zip(self._names, inputs, strict=True))
        outputs: Arrays = self._session.run(None, feed)
        return outputs

    def profile(
        self, model: Path, threads: int, inputs: Sequence[Arrays], runs: int
    ) -> list[Operator]:
        """By the trace that a session writes; see _onnxruntime_profile.py."""
        return _onnxruntime_profile.profile(
            lambda: _options(threads), lambda options: self._start(model, options), inputs, runs
        )

    def _start(self, model: Path, options: Any) -> Any:
        import onnxruntime

        # CUDA multiplies float32 in TF32 unless told not to, and a file called fp32 is measured in
        # another precision.
        exact = {"use_tf32": 0} if self._provider == "CUDAExecutionProvider" else {}
        return onnxruntime.InferenceSession(
            str(model), options, providers=[(self._provider, exact)]
        )


class _Host(_Provider):
    """A provider whose memory is the host's, so that binding inputs and outputs copies nothing."""

    again = True

    def __init__(self, variant: str) -> None:
        super().__init__(variant)
        self._bound: Any = None

    def inference_ns(self) -> int:
        """Give what one more run of the last inputs takes, with inputs and outputs bound."""
        if self._bound is None:
            self._bound = self._session.io_binding()
            for output in self._session.get_outputs():
                self._bound.bind_output(output.name)
        for name, array in zip(self._names, self._last, strict=True):
            self._bound.bind_cpu_input(name, array)
        begin = time.perf_counter_ns()
        self._session.run_with_iobinding(self._bound)
        return time.perf_counter_ns() - begin


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return options


def _port(port: Any) -> Port:
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in port.shape)
    kind = port.type.removeprefix("tensor(").removesuffix(")")
    return Port(port.name, shape, DTYPES.get(kind, kind))


def device(variant: str) -> _Provider:
    """Open a variant, which names the execution provider."""
    return _Host(variant) if variant in HOSTED else _Provider(variant)
