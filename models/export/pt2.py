"""PyTorch's own exported program (.pt2), which `pytorch:*` runs.

The graph is that of the float32 net; the file says in `extra/precision` how it is meant:

fp16, bf16   every weight is stored so; what is computed in it is the adapter's affair
tf32         the float32 program, for matrix units that round its factors to 10 bits of mantissa
int8         quantized with PT2E and the X86InductorQuantizer of torchao: static, activations uint8
             and affine, weights int8 and symmetric per channel, between quantize and dequantize
             operators. Processors without VNNI may saturate where they add up products.

Neither the sample nor the traces of the exporting machine's source files are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

from paretomark.models.export import _zeros

PACKAGES = ("torch", "torchao")
PRECISIONS = ("fp32", "fp16", "bf16", "tf32", "int8")


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 program."""
    export_inputs(net, {"input": sample}, out)


def export_inputs(net: nn.Module, samples: Mapping[str, Tensor], out: Path) -> None:
    """Write the float32 program of a net with several inputs."""
    import torch

    with torch.no_grad():
        _save(torch.export.export(net, tuple(samples.values())), out, "fp32")


def quantize(model: Path, out: Path, precision: str, calibration: NDArray[np.float32]) -> None:
    """Write the float32 program `model` in another precision."""
    import torch

    program = torch.export.load(model)
    if precision == "int8":
        program = _int8(program, calibration)
    elif precision != "tf32":
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
        for name, weight in program.state_dict.items():
            if weight.dtype is torch.float32:
                program.state_dict[name] = torch.nn.Parameter(weight.to(dtype), requires_grad=False)
    _save(program, out, precision)


def zeros(model: Path) -> tuple[int, int]:
    """Count its weights, and the zeros among them; int8 ones are symmetric."""
    return _zeros.counted(tensor.float().numpy() for tensor in _tensors(model).values())


def weights(model: Path) -> dict[str, NDArray[Any]]:
    """Return its constants as they are stored, by name: integers, their scales and zero points."""
    return {name: tensor.numpy() for name, tensor in _tensors(model).items()}


def _tensors(model: Path) -> dict[str, Tensor]:
    import torch
    from torch.ao.quantization.fx import _decomposed  # noqa: F401  (operators of int8 programs)

    program = torch.export.load(model)
    tensors = {**program.state_dict, **program.constants}
    return {n: t.detach() for n, t in tensors.items() if isinstance(t, torch.Tensor)}


def _save(program: Any, out: Path, precision: str) -> None:
    import torch

    program.example_inputs = None
    for node in program.graph.nodes:
        for key in ("stack_trace", "from_node"):
            node.meta.pop(key, None)
    torch.export.save(program, out, extra_files={"precision": precision})


def _int8(program: Any, calibration: NDArray[np.float32]) -> Any:
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import X86InductorQuantizer

    (port,) = program.graph_signature.user_inputs
    shape = next(n.meta["val"].shape for n in program.graph.nodes if n.name == port)
    batches = torch.from_numpy(calibration).reshape(-1, *shape)
    net = prepare_pt2e(program.module(), X86InductorQuantizer().set_global(_min_max()))
    with torch.no_grad():
        for batch in batches:
            net(batch)
        net = convert_pt2e(net)
        _drop_unused(net)
        return torch.export.export(net, (batches[0],))


def _min_max() -> Any:
    """The quantizer's own scheme, but for the ranges of activations: smallest and largest value.

    By itself it takes histograms, which depend on the order of the pictures and cut off what is
    rare; with min-max, int8 means the same as in the other formats.
    """
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        get_default_x86_inductor_quantization_config,
    )

    scheme = get_default_x86_inductor_quantization_config()
    ranges = dataclasses.replace(
        scheme.input_activation, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=2**-12)
    )
    return dataclasses.replace(scheme, input_activation=ranges, output_activation=ranges)


def _drop_unused(net: Any) -> None:
    """Remove the float32 weights: converting leaves them beside the int8 ones, to be saved too."""
    used = {node.target for node in net.graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in net.named_parameters() if name not in used]:
        parent, _, leaf = name.rpartition(".")
        delattr(net.get_submodule(parent), leaf)
