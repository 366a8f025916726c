"""What must hold of a net before anything is said of it: plain weights, and the same answer twice.

Steps change weights in place, and take a net's answers for a function of the picture. So hooks and
parametrizations that would compute a weight anew are removed, the weight as it is staying; and nets
that a figure would mean nothing of are refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from paretomark.suites.spec._errors import UserError, explained

BAKED = 1e-5  # of the largest answer, which removing hooks may change
AGAIN = 1e-4  # of it, which may differ from one time to the next
BATCH = 1e-2  # of it, which may depend on the others in a batch: sums in other orders


def floats(net: nn.Module) -> tuple[str, ...]:
    """Make a net float32, in place; return a warning if it was another.

    Raises UserError if it does not lie on the processor, or has weights that are not made yet.
    """
    tensors = dict(_tensors(net))
    for name, tensor in tensors.items():
        if torch.nn.parameter.is_lazy(tensor):
            raise UserError(f"{name} has no shape yet: run the net once before it is returned")
        if tensor.device.type != "cpu":
            where = tensor.device.type
            raise UserError(f"{name} lies on '{where}': return the net on 'cpu', with its weights")
    others = {t.dtype for t in tensors.values() if t.is_floating_point()} - {torch.float32}
    if not others:
        return ()
    net.float()
    names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in others))
    return (f"the net has weights in {names}: they are taken as float32",)


def plain(net: nn.Module, *sample: Tensor) -> tuple[str, ...]:
    """Leave a net in evaluation no weight that is computed before its use, in place; return
    warnings of hooks that stay.

    Weights of different names that share memory get their own, unless they are one parameter.
    Raises UserError if the net then answers `sample` otherwise.
    """
    computed = [m for m in net.modules() if parametrize.is_parametrized(m) or _known(m)]
    if computed:
        before = _answer(net, *sample)
        for module in computed:
            _bake(module)
        if not _close(before, _answer(net, *sample), BAKED):
            raise UserError(
                "weights that are computed before their use (weight_norm, spectral_norm, "
                "parametrizations, masks) cannot be replaced by their values; do so in the function"
            )
    _part(net)
    return tuple(
        f"{name or 'the net'} has a hook that runs before it, {_name(hook)}: it may undo what a "
        "step does to its weights"
        for name, module in net.named_modules()
        for hook in module._forward_pre_hooks.values()
        if any(True for _ in module.parameters(recurse=False))
    )


def finite(net: nn.Module) -> None:
    """Raise UserError if a weight is not a number, or infinite; a mask may hold infinities."""
    statistics = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in net.named_modules()
        if isinstance(module, _BatchNorm)
        for name, _ in module.named_buffers(recurse=False)
    }
    weights = statistics | {name for name, _ in net.named_parameters(remove_duplicate=False)}
    for name, tensor in _tensors(net):
        if not tensor.is_floating_point():
            continue
        if bool(tensor.isnan().any()) or (name in weights and bool(tensor.isinf().any())):
            count = int((~tensor.isfinite()).sum())
            raise UserError(
                f"{count} of the {tensor.numel()} numbers of {name} are NaN or infinite; "
                "export or train the net again"
            )


def unsteady(net: nn.Module, sample: Tensor, other: Tensor) -> str:
    """Say why the answers of a net in evaluation are no function of the picture; "" if they are.

    Both are pictures (N, C, H, W), N > 1.
    """
    if why := erratic(net, (sample,), (other,)):
        return why
    first = _answer(net, sample)
    if first.ndim == 0 or len(first) != len(sample):
        return f"of shape {tuple(first.shape)} for {len(sample)} pictures: these must come first"
    try:
        alone = _answer(net, sample[:1])
    except Exception as error:
        return f"dependent on the batch: a picture alone is not taken ({explained(error, 200)})"
    if _close(first[:1].flatten(), alone.flatten(), BATCH, first):
        return ""
    return (
        "dependent on the batch: a picture alone gets another answer than beside others, as by a "
        "normalisation without running statistics"
    )


def erratic(net: nn.Module, sample: Sequence[Tensor], other: Sequence[Tensor]) -> str:
    """Say why a net does not answer `sample` the same before and after `other`; "" if it does."""
    first = _answer(net, *sample)  # the first time, caches may be filled
    state = {name: tensor.clone() for name, tensor in _tensors(net)}
    _answer(net, *other)
    again = _answer(net, *sample)
    changed = [
        n for n, t in _tensors(net) if not torch.equal(t.nan_to_num(), state[n].nan_to_num())
    ]
    if changed:
        return f"stateful: a pass changes {changed[0]}, as a normalisation does that is in training"
    if _close(first, again, AGAIN):
        return ""
    return (
        "random or stateful: the same inputs got other answers, as by F.dropout without "
        "training=self.training"
    )


def _answer(net: nn.Module, *sample: Tensor) -> Tensor:
    """What a net answers; of several tensors, their numbers in a row."""
    with torch.no_grad():
        answer: Tensor | tuple[Tensor, ...] = net(*(x.clone() for x in sample))
    if isinstance(answer, tuple):
        return torch.cat([part.flatten().float() for part in answer])
    return answer.clone()


def _close(a: Tensor, b: Tensor, share: float, of: Tensor | None = None) -> bool:
    if a.shape != b.shape:
        return False
    whole = (a if of is None else of).nan_to_num().abs().float()
    bound = share * float(whole.max()) if whole.numel() else 0.0
    return torch.allclose(a.float(), b.float(), rtol=0, atol=bound, equal_nan=True)


def _tensors(net: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from net.named_parameters(remove_duplicate=False)
    yield from net.named_buffers(remove_duplicate=False)


def _known(module: nn.Module) -> list[object]:
    """The hooks of torch that compute a weight."""
    kinds = WeightNorm | SpectralNorm | prune.BasePruningMethod
    return [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, kinds)]


def _bake(module: nn.Module) -> None:
    for hook in _known(module):
        if isinstance(hook, WeightNorm):
            remove_weight_norm(module, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(module, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            prune.remove(module, hook._tensor_name)  # type: ignore[no-untyped-call]
    if parametrize.is_parametrized(module):
        for name in list(module.parametrizations):  # type: ignore[arg-type]
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _part(net: nn.Module) -> None:
    """Give parameters memory of their own where two lie in the same, or one within itself."""
    users: dict[int, list[nn.Parameter]] = defaultdict(list)
    for parameter in net.parameters():
        if parameter.numel():
            users[parameter.untyped_storage().data_ptr()].append(parameter)
    for sharers in users.values():
        for parameter in sharers:
            if len(sharers) > 1 or not parameter.is_contiguous():
                parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)


def _name(hook: object) -> str:
    return getattr(hook, "__qualname__", type(hook).__qualname__)
