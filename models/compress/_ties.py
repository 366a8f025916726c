"""Weights that several layers share: one parameter, with more than one use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

CODE = "the net's own code"


def sharers(net: nn.Module) -> dict[str, list[str]]:
    """Return by the name of a parameter who else uses it: the other names that it has, and CODE in
    a graph that reads it besides calling its layer."""
    from torch import fx

    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in net.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    others = {
        name: [other for other in same if other != name] for same in names.values() for name in same
    }
    nodes = net.graph.nodes if isinstance(net, fx.GraphModule) else ()
    called = {str(node.target) for node in nodes if node.op == "call_module"}
    for node in nodes:
        name = str(node.target)
        if node.op == "get_attr" and name in others and name.rpartition(".")[0] in called:
            others[name].append(CODE)
    return {name: users for name, users in others.items() if users}


def users(net: nn.Module, parameter: Tensor) -> list[tuple[nn.Module, str]]:
    """Return the modules that have a parameter, and the name of it in each."""
    return [
        (module, name)
        for module in net.modules()
        for name, own in module.named_parameters(recurse=False)
        if own is parameter
    ]


def refuse(net: nn.Module, parameters: Iterable[str], why: str) -> None:
    """Raise UserError if one of these parameters is shared, with its layer and the other."""
    shared = sharers(net)
    for name in parameters:
        if name in shared:
            layer, _, what = name.rpartition(".")
            other = shared[name][0]
            other = other if other == CODE else other.rpartition(".")[0]
            raise UserError(f"{layer} and {other} share one {what}: {why}")
