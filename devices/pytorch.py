"""PyTorch, running an exported program (.pt2) operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paretomark.devices import _host
from paretomark.devices._device import Arrays, Chip, Placement, Port, require

FORMAT = "pt2"
VARIANTS = ("eager",)


class _PyTorch:
    def __init__(self) -> None:
        self._net: Any = None

    def probe(self) -> Chip:
        version = require("torch", "pytorch")
        # torch imports these when it first loads a program; that is not the time to load a model.
        import torch._export.serde.serialize
        import torch.export.pt2_archive._package  # noqa: F401

        return Chip(_host.chip_name(), {"torch": version})

    def load(self, model: Path, threads: int) -> Placement:
        import torch

        torch.set_num_threads(threads)
        program = torch.export.load(model)
        for name, weight in program.state_dict.items():
            if weight.dtype is torch.half:
                program.state_dict[name] = torch.nn.Parameter(weight.float(), requires_grad=False)
        self._net = program.module()
        operators = sum(node.op == "call_function" for node in program.graph.nodes)
        return Placement(
            home="cpu",
            operators={"cpu": operators},
            inputs=_ports(program, program.graph_signature.user_inputs),
            outputs=_ports(program, program.graph_signature.user_outputs),
        )

    def run(self, inputs: Arrays) -> Arrays:
        import torch

        with torch.inference_mode():
            outputs = self._net(*(torch.from_numpy(array) for array in inputs))
        return [o.numpy() for o in (outputs if isinstance(outputs, tuple) else (outputs,))]


def _ports(program: Any, names: Any) -> list[Port]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [
        Port(name, tuple(values[name].shape), str(values[name].dtype).removeprefix("torch."))
        for name in names
    ]


def device(variant: str) -> _PyTorch:
    """The only variant is `eager`."""
    return _PyTorch()
