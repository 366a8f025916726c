"""How much a float net computes, in multiply-accumulates: one for each use of a weight or operand.

Counted are convolutions, linear and recurrent layers, attention and matrix products, by the shapes
of their operands; additions, activations and normalisations are not, as in the tables of papers. A
causal mask does not lower the count. The net runs on torch's meta device, which has shapes but no
numbers: a processor's kernels are one operator for a whole attention or recurrent layer, and would
hide what they compute. A net that needs numbers runs on the processor, as unfused as torch can. A
product that is not understood makes the count unknown, never too small.
"""

from __future__ import annotations

import contextlib
import copy
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from paretomark.suites.spec._model import Preprocess

# Which operand of an operator is the left one of a matrix product.
MATRICES = {"mm": 0, "bmm": 0, "linear": 0, "_int_mm": 0, "_weight_int8pack_mm": 0}
MATRICES |= {"mkldnn_linear": 0, "addmm": 1, "baddbmm": 1, "addbmm": 1, "_addmm_activation": 1}
VECTORS = {"dot": 0, "vdot": 0, "mv": 0, "addmv": 1}
FUSED_ATTENTION = re.compile(r"_scaled_dot_product_(flash|efficient|cudnn)_attention(_for_cpu)?")
# Operators of these names compute products, in ways that no formula here knows.
PRODUCT = re.compile(
    r"attention|multi_head|transformer|rnn|lstm|gru(_cell)?$|matmul|mm($|_)|conv(\d|_|olution)"
    r"|(^|_)linear($|_)|trilinear$"
)
LIBRARIES = ("aten", "prims", "prim")  # whose other operators compute none
NO_PRODUCTS = ("torchvision::nms", "torchvision::roi_align", "torchvision::roi_pool")


def macs(net: nn.Module, preprocess: Preprocess) -> int | None:
    """Return multiply-accumulates for one picture; None if that cannot be said.

    A net on the meta device stays there. Raises what the net raises if it does not run.
    """
    return of_call(net, [torch.zeros(1, len(preprocess.mean), *preprocess.size)])


def of_call(net: nn.Module, sample: Sequence[Tensor]) -> int | None:
    """Return multiply-accumulates of one call, whose inputs are like `sample`, as `macs` does."""
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    if device.type != "meta":
        # Where that fails, it computes with numbers, or makes tensors on the processor.
        with contextlib.suppress(Exception), torch.device("meta"):
            return _count(_shapes_of(net), [x.to("meta") for x in sample])
    sample = [x.to(device) for x in sample]
    try:
        return _count(net, sample)
    except Exception:
        with torch.no_grad():
            net(*sample)
        return None


def _shapes_of(net: nn.Module) -> nn.Module:
    """A copy of the net without its numbers."""
    tensors = [*net.parameters(), *net.buffers()]
    memo: dict[int, Any] = {id(t): torch.empty_like(t, device="meta") for t in tensors}
    for parameter in net.parameters():
        memo[id(parameter)] = nn.Parameter(memo[id(parameter)], requires_grad=False)
    return copy.deepcopy(net, memo)


def _count(net: nn.Module, sample: Sequence[Tensor]) -> int | None:
    with _unfused(), torch.no_grad(), _Counter() as counter:
        net(*sample)
    return None if counter.unknown else counter.macs


@contextlib.contextmanager
def _unfused() -> Iterator[None]:
    """Without the fast path of torch's transformers, and with attention as matrix products."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what operators compute, those that others consist of one by one."""

    supports_higher_order_operators = True  # branches and loops come here too: not understood

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self.unknown: set[str] = set()  # operators

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        library, _, name = func.name().partition("::")
        name = name.partition(".")[0].rstrip("_")  # of addmm and addmm_
        if not isinstance(func, OpOverload):
            self.unknown.add(func.name())
        elif not _has_formula(name):
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        count = _macs_of(library, name, args, result)
        if count is None:
            self.unknown.add(func.name())
        self.macs += count or 0
        return result


def _has_formula(name: str) -> bool:
    return name in MATRICES or name in VECTORS or name in ("convolution", "_convolution")


def _macs_of(library: str, name: str, args: tuple[Any, ...], result: Any) -> Any:
    """What one operator computes; None if that is not known."""
    if library not in LIBRARIES:
        return 0 if f"{library}::{name}" in NO_PRODUCTS else None
    if name in MATRICES:
        return args[MATRICES[name]].numel() * result.shape[-1]
    if name in VECTORS:
        return args[VECTORS[name]].numel()
    if name in ("convolution", "_convolution"):
        transposed = args[6]  # each of its inputs, not of its outputs, meets a kernel
        return (args[0] if transposed else result).numel() * math.prod(args[1].shape[1:])
    rows: int = args[0].shape[:-1].numel() if args and isinstance(args[0], Tensor) else 0
    if FUSED_ATTENTION.fullmatch(name):
        query, key, value = args[:3]
        return rows * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    if name == "_trilinear":  # nn.Bilinear: (N, in) and (out, in, in)
        return rows * args[1].numel()
    if name == "mkldnn_rnn_layer":  # in one direction: (T, N, in), (gates, in), (gates, hidden)
        return rows * (args[1].numel() + args[2].numel())
    return None if PRODUCT.search(name) else 0
