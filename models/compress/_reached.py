"""What of the target of a step is in the net, and in which words a gap is told.

A method has its target for what it can treat; a reader takes it for that of the net. So what is
reached is a share of all weights that multiply, wherever they are: parameters of two dimensions or
more, but not scales, tokens and normalisations.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from paretomark.suites.spec._model import Preprocess

if TYPE_CHECKING:
    from torch import Tensor, nn

CLOSE = 0.01  # of the whole: what is asked and what is reached may differ so much in silence
NAMED = 3  # weights, of those that a method leaves alone


class Reached(NamedTuple):
    """What a step was to reach and what it did; a warning, "" for none, tells of a gap."""

    asked: float
    reached: float | None  # None if it cannot be counted
    warning: str = ""


def weights(net: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a net that multiply, by name, each once however many layers share it.

    A weight has the name of its layer, `features.0`, or else that of the parameter,
    `attn.in_proj_weight`.
    """
    named = _named(net)
    once = {id(weight): name for name, weight in reversed(named.items())}
    return {name: weight for name, weight in named.items() if once[id(weight)] == name}


def _named(net: nn.Module) -> dict[str, Tensor]:
    """Those of which layers share are here by the name of each."""
    from torch import nn

    norms = (nn.LayerNorm, nn.RMSNorm)
    layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    named: dict[str, Tensor] = {}
    for prefix, module in net.named_modules():
        for name, weight in module.named_parameters(prefix, recurse=False):
            of_layer = isinstance(module, layers) and weight.ndim > 1
            # A token (1, C) or a scale (C, 1, 1) is added, or multiplies as a normalisation does.
            matrix = 1 < len(weight) < weight.numel() if weight.ndim > 1 else False
            if of_layer or (matrix and not isinstance(module, norms)):
                named[name.removesuffix(".weight")] = weight
    return named


def zeros(net: nn.Module) -> float:
    """Return the share of zeros among the weights of a net that multiply."""
    counts = [(w.numel(), int(w.count_nonzero())) for w in weights(net).values()]
    total = sum(count for count, _ in counts)
    return 1 - sum(nonzeros for _, nonzeros in counts) / total if total else 0.0


def sparsity(net: nn.Module, asked: float, treated: Collection[str] | None = None) -> Reached:
    """Compare the zeros of a net with a sparsity that the weights of the names `treated` were to
    have; None if it is not known which."""
    share = zeros(net)
    if share >= asked - CLOSE:
        return Reached(asked, share)
    what = "" if treated is None else f" of what may be pruned, which is {part(net, treated).words}"
    return Reached(
        asked, share, f"{_percent(asked)} asked{what}; {_percent(share)} of all are zero"
    )


class Part(NamedTuple):
    """Some weights of a net: their share of all, and that in words, with the largest others."""

    share: float
    words: str


def part(net: nn.Module, treated: Collection[str]) -> Part:
    """Say which share of the weights of a net these are."""
    ours = {id(weight) for name, weight in _named(net).items() if name in treated}
    total = sum(weight.numel() for weight in weights(net).values()) or 1
    left = {n: weight.numel() for n, weight in weights(net).items() if id(weight) not in ours}
    others, share = sorted(left, key=lambda name: -left[name]), 1 - sum(left.values()) / total
    words = f"{_percent(share)} of the weights" + (f" (not: {_names(others)})" if others else "")
    return Part(share, words)


def share(net: nn.Module, treated: Collection[str], word: str) -> Reached:
    """Say of how much of a net the weights are what a step makes of those that it can treat."""
    of_all = part(net, treated)
    warning = "" if of_all.share >= 1 - CLOSE else f"{of_all.words} are {word}"
    return Reached(1.0, of_all.share, warning)


def lost(before: nn.Module, after: nn.Module) -> str:
    """Say in words that a net has fewer zeros than before; "" if it does not."""
    had, has = zeros(before), zeros(after)
    if has >= had - CLOSE:
        return ""
    return f"zeros of earlier steps are lost: {_percent(had)} of the weights, {_percent(has)} now"


def _sparsity(before: nn.Module, after: nn.Module, preprocess: Preprocess, asked: float) -> Reached:
    return sparsity(after, asked)


def _macs(before: nn.Module, after: nn.Module, preprocess: Preprocess, asked: float) -> Reached:
    from paretomark.models.nets import _macs

    of_all, count = (_macs.macs(net, preprocess) for net in (before, after))
    if count is None or not of_all:
        return Reached(asked, None, f"{_percent(asked)} of the MACs asked; they cannot be counted")
    left = count / of_all
    gap = left > asked + CLOSE
    words = f"{_percent(asked)} of the MACs asked; {_percent(left)} are left"
    return Reached(asked, left, words if gap else "")


def _channels(before: nn.Module, after: nn.Module, preprocess: Preprocess, asked: float) -> Reached:
    of_all, count = (sum(len(w) for w in weights(net).values()) for net in (before, after))
    gone = 1 - count / of_all
    words = f"{_percent(asked)} asked of the channels that may go; {_percent(gone)} of all are gone"
    return Reached(asked, gone, words if gone < asked - CLOSE else "")


# For methods that do not say it themselves.
BY_PARAMETER = {"sparsity": _sparsity, "macs": _macs, "ratio": _channels}


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
