"""An exported program (.pt2) as the PyTorch targets run it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from paretomark.devices._device import Port
from paretomark.suites.spec._errors import UserError

Net = Callable[..., Any]  # tensors to a tensor, or to several


@dataclass(frozen=True)
class Program:
    """`net` is a GraphModule. Of its `operators`, `products` are convolutions and linear layers."""

    net: Any
    precision: str
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    operators: int
    products: int
    warnings: Sequence[str] = ()  # what a reader of its figures has to know


def register() -> None:
    """Import what torch needs to load a program, which is not the time to load a model."""
    import torch._export.serde.serialize
    import torch.ao.quantization.fx._decomposed  # the operators of int8 files
    import torch.export.pt2_archive._package  # noqa: F401


def read(model: Path, target: str, precisions: Sequence[str], place: str = "cpu") -> Program:
    """Read the program in a file, with its constants and weights at `place`.

    A file that does not say its precision is taken for fp32. Raise UserError if `precisions`,
    which `target` runs, are others.
    """
    import torch
    from torch.export.passes import move_to_device_pass

    register()
    marks = {"precision": ""}  # not empty: torch fills the mapping that it is given only then
    program = torch.export.load(model, extra_files=marks)
    precision = marks["precision"] or "fp32"
    if precision not in precisions:
        raise UserError(
            f"{model.name} is a {precision} file, and {target} runs {' and '.join(precisions)}: "
            "set 'precision' of the recipe, or take another target"
        )
    if place != "cpu":
        program = move_to_device_pass(program, place)
    calls = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    return Program(
        net=program.module(),
        precision=precision,
        inputs=_ports(program, program.graph_signature.user_inputs),
        outputs=_named(program, _ports(program, program.graph_signature.user_outputs)),
        operators=len(calls),
        warnings=_training(program),
        products=sum(call.startswith(("aten.conv", "aten.linear")) for call in calls),
    )


def _named(program: Any, ports: list[Port]) -> list[Port]:
    """Outputs that come in a dictionary, by their keys in it."""
    from torch.utils import _pytree

    packed = _pytree.tree_unflatten(list(range(len(ports))), program.call_spec.out_spec)
    if not isinstance(packed, dict):
        return ports
    keys = {number: str(key) for key, number in packed.items() if isinstance(number, int)}
    return [replace(port, name=keys.get(i, port.name)) for i, port in enumerate(ports)]


def _training(program: Any) -> list[str]:
    """Say that operators act as in training: exported without eval(), a net answers by chance."""
    acting = {
        str(node.target)
        for node in program.graph.nodes
        if node.op == "call_function"
        for argument, value in zip(node.target._schema.arguments, node.args, strict=False)
        if argument.name in ("train", "training") and value is True
    }
    names = ", ".join(sorted(acting))
    return [f"{names} of the file acts as in training: export the net after eval()"] * bool(acting)


def _ports(program: Any, names: Iterable[str]) -> list[Port]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [
        Port(
            name,
            tuple(size if isinstance(size, int) else -1 for size in values[name].shape),
            str(values[name].dtype).removeprefix("torch."),
        )
        for name in names
    ]


def tensor(array: NDArray[Any]) -> Any:
    """Turn an array into a tensor, with the strides that its shape has by itself.

    NumPy leaves any stride to an axis of length one, as pictures of one channel have, and for
    other strides than it has seen torch.compile compiles anew, in the midst of inferences.
    """
    import torch

    return torch.from_numpy(array.reshape(-1).reshape(array.shape))


def typed(net: Net, dtype: Any) -> Net:
    """Put `net`, whose weights have this type, between casts of its float inputs and outputs.

    The casts belong to the net: they run where it does, and a compiler fuses them.
    """
    import torch

    if dtype is torch.float32:
        return net

    def call(*inputs: Any) -> tuple[Any, ...]:
        return tuple(cast(o, torch.float32) for o in flat(net(*(cast(i, dtype) for i in inputs))))

    return call


def cast(tensor: Any, dtype: Any) -> Any:
    """Turn a float tensor into another type; leave any other as it is."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def flat(outputs: Any) -> Sequence[Any]:
    """List the outputs of a net that has one, or several, in whatever they are packed."""
    if hasattr(outputs, "numpy"):  # one tensor, as of most nets
        return [outputs]
    from torch.utils import _pytree

    leaves: list[Any] = _pytree.tree_leaves(outputs)
    return [leaf for leaf in leaves if leaf is not None]
