"""Fuse the training-time branches of RepVGG-style blocks into one convolution each.

Source: Ding et al., RepVGG, 2021. Exact up to rounding; parameters, MACs and bytes fall.
A block takes part by having a method `fuse()` that changes it in place to its inference form; so
has timm, where it is called `reparameterize()` (RepVGG, MobileOne, FastViT). A method of that name
that needs arguments is another.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from paretomark.models.compress._step import Context
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from torch import nn

RENAMES = True


def apply(net: nn.Module, ctx: Context) -> nn.Module:
    """Return a copy of the net in its inference form.

    Raises UserError if no block can be fused, or if answers would change.
    """
    fused = copy.deepcopy(net).eval()
    fuses = [fuse for m in fused.modules() if (fuse := _inference(m))]
    if not fuses:
        raise UserError("reparameterize: this net has no block that can be fused")
    for fuse in fuses:
        fuse()
    if not any(parameter.is_meta for parameter in net.parameters()):
        from paretomark.models.export import _fold
        from paretomark.models.nets import _load

        _fold.check(net.eval(), fused, _load.pictures(ctx.preprocess, 2))
    return fused


def _inference(block: nn.Module) -> Callable[[], object] | None:
    for name in ("fuse", "reparameterize"):
        method = getattr(block, name, None)
        if callable(method) and not any(
            p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
            for p in inspect.signature(method).parameters.values()
        ):
            return method  # type: ignore[no-any-return]
    return None
