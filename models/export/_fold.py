"""Batch normalisation folded into the layer before it, where the net answers the same after that.

In evaluation a normalisation is a factor and a shift of each channel, which the weight and bias of
a convolution or linear layer can hold. They cannot where the layer is called again elsewhere, where
something else sees its output or its weight, or where the statistics are those of the batch. What
is folded is run beside what it came from, on a sample: tracing (torch.fx) may also go wrong without
an error, as where code asks whether its input is a Tensor.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.hooks import RemovableHandle

from paretomark.suites.spec._errors import UserError, explained

NORMS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
    nn.Linear: nn.BatchNorm1d,
}
TOLERANCE = 1e-4  # of the standard deviation of answers
REWRITTEN = 1e-3  # likewise, of weights that were written anew
AMPLIFIED = 1e-2  # likewise, where it is rounding alone that differs
NOISE = 1e-6  # of the largest answer: what float32 may make of it

Call = tuple[tuple[Any, ...], dict[str, Any]]  # the arguments that a module got


def folded(net: nn.Module, *sample: Tensor) -> nn.Module:
    """Return a copy of a net in evaluation that answers `sample`, pictures (N, C, H, W) or what is
    declared, the same with fewer operators.

    Where the code of a module cannot be traced, for it branches on shapes, its parts are folded one
    by one. What would answer otherwise is left as it is.
    """
    whole: Call = (sample, {})
    result = copy.deepcopy(net)
    if not _has_norm(result):
        return result
    try:
        return graph(result, whole)
    except UserError:
        result = copy.deepcopy(net)  # code that met what it was not written for may have kept it
        result = _in_parts(result, _calls(result, whole), {})
    return result if differ(_run(net, whole), result, whole) is None else copy.deepcopy(net)


def graph(net: nn.Module, call: Call) -> fx.GraphModule:
    """Return a net in evaluation as a graph, folded where it can be; modules that are not changed
    are shared with it.

    Raises UserError if it cannot be traced, or then answers otherwise, with why.
    """
    expected, ranks = _run(net, call), _ranks(net, call)
    try:
        result = _graph(net, ranks)
    except Exception as error:  # the net's code meets what it was not written for
        why = explained(error, 200)
        raise UserError(f"the net's code cannot be traced by torch.fx ({why})") from None
    off = differ(expected, result, call)
    if off and (differ(expected, result, call, AMPLIFIED) or not _exact(net, call)):
        raise UserError(f"the net's code, traced by torch.fx, answers otherwise ({off})")
    return result


def _graph(net: nn.Module, ranks: dict[nn.Module, int]) -> fx.GraphModule:
    traced = fx.symbolic_trace(net)
    nodes = copy.deepcopy(traced.graph)
    for layer, norm in list(_foldable(traced, nodes)):
        first, second = (traced.get_submodule(str(n.target)) for n in (layer, norm))
        if ranks.get(first) == first.get_parameter("weight").ndim:
            parent, _, name = str(layer.target).rpartition(".")
            setattr(traced.get_submodule(parent), name, _fused(first, second))
            norm.replace_all_uses_with(layer)
            nodes.erase_node(norm)
    return fx.GraphModule(traced, nodes)


def _exact(net: nn.Module, call: Call) -> bool:
    """Whether the graph answers the same where rounding plays no part."""

    def widened(a: Any) -> Any:
        return a.double() if isinstance(a, Tensor) and a.is_floating_point() else a

    try:
        wide, wide_call = copy.deepcopy(net).double(), tree_map(widened, call)
        graph = _graph(wide, _ranks(wide, wide_call))
        return differ(_run(wide, wide_call), graph, wide_call) is None
    except Exception:  # code may insist on float32
        return False


def check(net: nn.Module, other: nn.Module, sample: Tensor) -> None:
    """Raise UserError if a net does not answer `sample` as the one does that it was made from; how
    rounding adds up in deep nets is left room for."""
    call: Call = ((sample,), {})
    if off := differ(_run(net, call), other, call, REWRITTEN):
        raise UserError(f"the net's answers would change ({off})")


def differ(expected: Any, net: nn.Module, call: Call, tolerance: float = TOLERANCE) -> str | None:
    """Say how a net answers otherwise than expected; None if it does not."""
    try:
        answers = tree_leaves(_run(net, call))
    except Exception as error:  # code that is traced without an error may not run
        return explained(error, 200)
    leaves = tree_leaves(expected)
    if len(leaves) != len(answers):
        return f"{len(answers)} answers, not {len(leaves)}"
    return next(
        (how for pair in zip(leaves, answers, strict=True) if (how := _off(*pair, tolerance))), None
    )


def _off(expected: Any, got: Any, tolerance: float) -> str | None:
    if not isinstance(expected, Tensor) or not isinstance(got, Tensor):
        return None if type(expected) is type(got) else "an answer is no tensor"
    if expected.shape != got.shape:
        return f"of shape {tuple(got.shape)}, not {tuple(expected.shape)}"
    if not expected.is_floating_point():
        return None if expected.equal(got) else "other integers"
    spread = float(expected.std()) if expected.numel() > 1 else 0.0
    largest = float(expected.abs().max()) if expected.numel() else 0.0
    bound = tolerance * spread + NOISE * largest
    if torch.allclose(expected, got, rtol=0, atol=bound or NOISE, equal_nan=True):
        return None
    return f"by {float((expected - got).abs().max()):.2g}, their standard deviation is {spread:.2g}"


def _run(net: nn.Module, call: Call) -> Any:
    with torch.no_grad():
        return net(*_own(call[0]), **_own(call[1]))


def _own(arguments: Any) -> Any:
    """Arguments that a module may write to: some compute in place."""
    return tree_map(lambda a: a.clone() if isinstance(a, Tensor) else a, arguments)


def _has_norm(net: nn.Module) -> bool:
    return any(type(module) in NORMS.values() for module in net.modules())


def _foldable(net: nn.Module, graph: fx.Graph) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Layers, and the normalisations behind them that they can take up whatever goes in."""
    calls = Counter(
        net.get_submodule(str(n.target)) for n in graph.nodes if n.op == "call_module"
    )  # one module may have two names
    apart = {str(n.target).rpartition(".")[0] for n in graph.nodes if n.op == "get_attr"}
    for node in graph.nodes:
        layer = node.args[0] if node.op == "call_module" and len(node.args) == 1 else None
        if not isinstance(layer, fx.Node) or layer.op != "call_module" or node.kwargs:
            continue
        first, norm = (net.get_submodule(str(n.target)) for n in (layer, node))
        if (
            NORMS.get(type(first)) is type(norm)
            and isinstance(norm, nn.modules.batchnorm._BatchNorm)
            and not norm.training
            and norm.running_mean is not None
            and norm.running_var is not None
            and calls[first] == 1
            and len(layer.users) == 1
            and layer.target not in apart
            and not (_hooked(first) or _hooked(norm))
        ):
            yield layer, node


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_pre_hooks or module._forward_hooks)


def _fused(first: Any, norm: Any) -> nn.Module:
    """A layer of its own that does what two did."""
    fused = copy.deepcopy(first)
    fuse: Callable[..., Any] = fuse_conv_bn_weights
    weight, bias = norm.weight, norm.bias
    if isinstance(first, nn.Linear):
        fuse = fuse_linear_bn_weights
        weight = torch.ones_like(norm.running_mean) if weight is None else weight
        bias = torch.zeros_like(norm.running_mean) if bias is None else bias
    fused.weight, fused.bias = fuse(
        fused.weight, fused.bias, norm.running_mean, norm.running_var, norm.eps, weight, bias
    )
    return fused  # type: ignore[no-any-return]


def _ranks(net: nn.Module, call: Call) -> dict[nn.Module, int]:
    """The number of dimensions of what each layer puts out.

    A linear layer has its channels in the last one, and a normalisation in the second.
    """
    ranks: dict[nn.Module, int] = {}

    def see(layer: nn.Module, inputs: Any, out: Tensor) -> None:
        ranks[layer] = out.ndim

    _observed(net, call, [m.register_forward_hook(see) for m in net.modules() if type(m) in NORMS])
    return ranks


def _calls(net: nn.Module, call: Call) -> dict[nn.Module, list[Call]]:
    """What the parts of a net that hold a normalisation get when it is called."""
    calls: dict[nn.Module, list[Call]] = {}

    def see(part: nn.Module, args: Any, kwargs: Any) -> None:
        calls[part].append((_own(args), _own(kwargs)))

    hooks = []
    for part in net.modules():
        if _has_norm(part) and type(part) not in NORMS.values():
            calls[part] = []
            hooks.append(part.register_forward_pre_hook(see, with_kwargs=True))
    _observed(net, call, hooks)
    return calls


def _observed(net: nn.Module, call: Call, hooks: list[RemovableHandle]) -> None:
    """Run a net for what its hooks see, and remove them."""
    try:
        _run(net, call)
    finally:
        for hook in hooks:
            hook.remove()


def _in_parts(
    net: nn.Module, calls: dict[nn.Module, list[Call]], done: dict[nn.Module, nn.Module]
) -> nn.Module:
    """The net with those of its parts folded, in place, that can be."""
    for name, part in list(net.named_children()):
        if part in calls:
            if part not in done:
                done[part] = _part(part, calls, done)
            setattr(net, name, done[part])
    return net


def _part(
    part: nn.Module, calls: dict[nn.Module, list[Call]], done: dict[nn.Module, nn.Module]
) -> nn.Module:
    if calls[part]:
        try:
            folded = graph(part, calls[part][0])
        except UserError:
            pass
        else:
            if not any(differ(_run(part, call), folded, call) for call in calls[part][1:]):
                return folded
    return _in_parts(part, calls, done)
