"""The times of single operators in PyTorch on the CPU."""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from paretomark.devices._device import Operator
from paretomark.devices.formats._torch_file import Net

INT8 = "onednn::q"
# Name and MACs of layers that multiply, by the shapes of their inputs and weights.
Layers = dict[Any, list[tuple[str, int | None]]]


def eager(graph: Any, inputs: Sequence[Sequence[Any]], runs: int) -> list[Operator]:
    """Time the operators of a GraphModule as it runs them, one after the other.

    Each is timed by the clock around its call. torch.profiler would add a record for each call
    that an operator makes inside PyTorch, which in small nets takes as long as the operator.
    """
    import torch

    spans_ns: dict[Any, int] = defaultdict(int)

    def timed(node: Any, args: Any, kwargs: Any) -> Any:
        start = time.perf_counter_ns()
        result = node.target(*args, **kwargs)
        spans_ns[node] += time.perf_counter_ns() - start
        return result

    work = _work(graph, inputs[0])
    with torch.inference_mode():
        for tensors in itertools.islice(itertools.cycle(inputs), runs):
            _interpret(graph, tensors, timed)
    return [
        Operator(name, str(node.target.overloadpacket), "cpu", spans_ns[node] / runs, *work[node])
        for node, name in _names(graph).items()
    ]


def compiled(
    net: Net, layers: Layers, inputs: Sequence[Sequence[Any]], runs: int
) -> list[Operator]:
    """Time the kernels that Inductor has made of a net, in order of running.

    Kernels of oneDNN and ATen carry the name and the MACs of the layer whose shapes they have;
    what Inductor has fused around them is not known. Raise RuntimeError if not every inference
    runs the same kernels.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile

    with torch.inference_mode():
        net(*inputs[0])
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
            for tensors in itertools.islice(itertools.cycle(inputs), runs):
                net(*tensors)
    events = [e for top in recorded.events() if top.cpu_parent is None for e in _kernels(top)]
    count, sequence = len(events) // runs, [event.name for event in events]
    if not count or sequence != sequence[:count] * runs:
        raise RuntimeError(f"not every one of {runs} inferences runs the same kernels")
    quantized = any(event.name.startswith(INT8) for event in events)
    operators = []
    for i, event in enumerate(events[:count]):
        ns = 1e3 * sum(e.time_range.elapsed_us() for e in events[i::count]) / runs
        unit = ("int8" if event.name.startswith(INT8) else "float") if quantized else "cpu"
        named = layers.get(_key(event.input_shapes or ()))
        kind = event.name.replace("::", ".") if "::" in event.name else "fused"
        name, macs = named.pop(0) if named else (event.name.rpartition("cpp_")[2], None)
        operators.append(Operator(name, kind, unit, ns, macs))
    return operators


def _kernels(event: Any) -> Iterator[Any]:
    """The outermost events that are kernels, within those of the wrappers that torch.compile adds:
    an operator's name has a `::`, a fused one's `cpp_`."""
    if "::" in event.name or "cpp_" in event.name:
        yield event
    else:
        for child in event.cpu_children:
            yield from _kernels(child)


def layers(graph: Any, inputs: Sequence[Any]) -> Layers:
    """Find the layers of a GraphModule that multiply."""
    work = _work(graph, inputs)
    layers: Layers = defaultdict(list)
    for node, name in _names(graph).items():
        if macs := work[node][0]:
            shapes = [n.meta["val"].shape for n in node.all_input_nodes]
            layers[_key(shapes)].append((name, macs))
    return layers


def _key(shapes: Sequence[Sequence[int]]) -> Any:
    """The first two of these shapes that have axes; a linear layer's weights may be transposed."""
    axes = [shape for shape in shapes if len(shape) > 1 and all(isinstance(n, int) for n in shape)]
    return tuple(tuple(sorted(shape)) for shape in axes[:2])


def _work(graph: Any, inputs: Sequence[Any]) -> dict[Any, tuple[int, int]]:
    """MACs, and bytes of inputs, weights and outputs, of each operator in one inference."""
    import torch
    from torch.utils._pytree import tree_leaves
    from torch.utils.flop_counter import FlopCounterMode

    work = {}

    def counted(node: Any, args: Any, kwargs: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = node.target(*args, **kwargs)
        tensors = {id(t): t for t in tree_leaves((args, kwargs, result))}
        sizes = [t.nbytes for t in tensors.values() if isinstance(t, torch.Tensor)]
        work[node] = counter.get_total_flops() // 2, sum(sizes)
        return result

    with torch.no_grad():
        _interpret(graph, inputs, counted)
    return work


def _interpret(graph: Any, inputs: Sequence[Any], call: Callable[[Any, Any, Any], Any]) -> None:
    """Run a GraphModule once, with every operator through `call(node, args, kwargs)`."""
    import torch

    class Interpreter(torch.fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            if not hasattr(n.target, "overloadpacket"):  # as the n-th of several results
                return super().run_node(n)
            return call(n, *self.fetch_args_kwargs_from_env(n))

    Interpreter(graph).run(*inputs)


def _names(graph: Any) -> dict[Any, str]:
    """Of each operator of a GraphModule the path of the module it comes from, with its own name
    behind where several do; where there is no module, its own name."""
    nodes = [node for node in graph.graph.nodes if hasattr(node.target, "overloadpacket")]
    stacks = [list((node.meta.get("nn_module_stack") or {}).values()) for node in nodes]
    paths = [stack[-1][0] if stack else "" for stack in stacks]
    alone = {path for path, count in Counter(paths).items() if path and count == 1}
    return {
        node: path if path in alone else f"{path}.{node.name}".lstrip(".")
        for path, node in zip(paths, nodes, strict=True)
    }
