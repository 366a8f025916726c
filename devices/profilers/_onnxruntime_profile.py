"""What the profiler of ONNX Runtime says of the nodes of a model.

It writes a trace with one event per node and inference, in whole µs
(https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html). Run with the CPU
provider of onnxruntime 1.31; never with another.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomark.devices._device import Arrays, Operator
from paretomark.devices.formats._counts import Shape, macs, stored_bytes

# What these take is told by the nodes inside them as well.
CONTAINERS = ("If", "Loop", "Scan")
# Which input has the weight, of nodes whose multiply-accumulates can be told from shapes.
CONV = {"Conv": 1, "FusedConv": 1, "NhwcFusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
TRANSPOSED = {"ConvTranspose": 1}
PRODUCT = {"MatMul": 1, "FusedMatMul": 1, "MatMulInteger": 1, "MatMulIntegerToFloat": 1}
PRODUCT |= {"DynamicQuantizeMatMul": 1, "QLinearMatMul": 3, "Gemm": 1, "FusedGemm": 1, "QGemm": 3}
UNKNOWN = ("Attention", "LSTM", "GRU", "RNN", "Einsum", "MatMul", "Gemm", "Conv")
BITS = {"float": 32, "float16": 16, "bfloat16": 16, "double": 64, "bool": 8, "int4": 4, "uint4": 4}
BITS |= {f"{sign}int{bits}": bits for sign in ("", "u") for bits in (8, 16, 32, 64)}

BLOCK = 16  # channels of NCHWc are a multiple of that, or of less

OpenSession = Callable[[Any], Any]  # SessionOptions to InferenceSession


def profile(
    options: Callable[[], Any], start: OpenSession, inputs: Sequence[Arrays], runs: int
) -> list[Operator]:
    """Tell the time per node.

    `options` makes SessionOptions as they are used, `start` a session of them.
    """
    import onnxruntime

    timed = _nodes(_trace(options(), start, inputs, runs + 1), skip=1)
    # Weights that a kernel has packed are missing from the trace; without packing it names them.
    plain = options()
    plain.add_session_config_entry("session.disable_prepacking", "1")
    full = {node.key: node for node in _nodes(_trace(plain, start, inputs, 1))}
    # The blocked layout NCHWc pads channels, which is work that the net does not ask for, and nodes
    # lose their names when their layout changes.
    logical = options()
    logical.add_session_config_entry("session.disable_prepacking", "1")
    logical.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    original = _nodes(_trace(logical, start, inputs, 1))
    names = {node.name for node in original}
    seen: dict[tuple[str, str], list[_Node]] = defaultdict(list)
    for node in timed:
        seen[node.key].append(node)
    operators = []
    for key, same in seen.items():
        node = full.get(key, same[0])
        # Names that ONNX Runtime makes up are not the same in every session.
        if (node.kind, node.outputs) != (same[0].kind, same[0].outputs):
            node = same[0]
        name, count = node.name.partition("_token_")[0], _macs(node)
        if node.name.endswith("_nchwc") and (real := _pop_unpadded(node, original)):
            name, count = real.name, _macs(real)
        elif name not in names:
            name = node.name
        times = len(same) / runs  # more than once in a loop
        operators.append(
            Operator(
                name,
                node.kind,
                node.unit,
                1000 * sum(event.us for event in same) / runs,
                None if count is None else round(count * times),
                None if (size := stored_bytes(node.tensors)) is None else round(size * times),
            )
        )
    return operators


@dataclass(frozen=True)
class _Node:
    """One event of a trace: a node that has run once."""

    name: str
    number: str
    kind: str
    unit: str
    us: int
    inputs: list[Shape]
    outputs: list[Shape]
    tensors: list[tuple[Shape, int | None]]

    @property
    def key(self) -> tuple[str, str]:
        """A number alone is used again inside If, Loop and Scan."""
        return self.name, self.number


def _trace(
    options: Any, start: OpenSession, inputs: Sequence[Arrays], runs: int
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="paretomark-") as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "trace")
        session = start(options)
        names = [port.name for port in session.get_inputs()]
        for run in range(runs):
            session.run(None, dict(zip(names, inputs[run % len(inputs)], strict=True)))
        events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text())
    return events


def _nodes(trace: list[dict[str, Any]], skip: int = 0) -> list[_Node]:
    """All that has run, but in the first `skip` inferences."""
    ends = sorted(event["ts"] + event["dur"] for event in trace if event["name"] == "model_run")
    begin = ends[skip - 1] if skip else 0
    nodes = []
    for event in trace:
        kind = event["args"].get("op_name") if event["cat"] == "Node" else None
        if kind is None or kind in CONTAINERS or event["ts"] < begin:
            continue
        sides = []
        for side in ("input", "output"):
            tensors = event["args"][f"{side}_type_shape"]
            sides.append([(shape, BITS.get(t)) for item in tensors for t, shape in item.items()])
        nodes.append(
            _Node(
                name=event["name"].removesuffix("_kernel_time"),
                number=event["args"].get("node_index", ""),
                kind=kind,
                unit=event["args"]["provider"],
                us=event["dur"],
                inputs=[shape for shape, _ in sides[0]],
                outputs=[shape for shape, _ in sides[1]],
                tensors=sides[0] + sides[1],
            )
        )
    return nodes


def _pop_unpadded(padded: _Node, nodes: list[_Node]) -> _Node | None:
    """The first of `nodes` that is `padded` without padding of channels, taken out of them."""
    if padded.kind in CONV:
        for node in (node for node in nodes if node.kind in CONV):
            sides = (
                (node.outputs[0], padded.outputs[0]),
                (node.inputs[CONV[node.kind]], padded.inputs[CONV[padded.kind]]),
            )
            if all(
                len(a) == len(b)
                and a[2:] == b[2:]
                and all(0 <= q - p < BLOCK for p, q in zip(a[:2], b[:2], strict=True))
                for a, b in sides
            ):
                nodes.remove(node)
                return node
    return None


def _macs(node: _Node) -> int | None:
    """Weights of convolutions are (O, I, ...) whatever the layout of the rest."""
    place = (CONV | TRANSPOSED | PRODUCT).get(node.kind)
    if place is not None and place < len(node.inputs) and len(node.inputs[place]) > 1:
        weight, output = node.inputs[place], node.outputs[0]
        if node.kind in PRODUCT:
            return macs(output, weight[-2:], output[-1])
        return macs(output if node.kind in CONV else node.inputs[0], weight, weight[0])
    return None if any(word in node.kind for word in UNKNOWN) else 0
