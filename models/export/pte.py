"""ExecuTorch through torch.export and the XNNPACK partitioner; int8 through its XNNPACK quantizer.

Inputs and outputs are float32 at either precision, in NCHW. int8 is static, weights are symmetric;
XNNPACK converts at the borders of what it takes. Options: `ranges` of activations as in
`_ranges.py`; `weights` have a scale per output channel, or per tensor; symmetric `activations` have
zero point 0.

fp16 is not written: the partitioner leaves the cast of float16 weights to ExecuTorch's portable
kernels, which would widen them anew with every inference. It leaves them a mean that drops its
dimensions as well: keep them (`keepdim=True`, then flatten), and XNNPACK takes it.

There is no int8-dynamic: the quantizer leaves every convolution that a ReLU follows in float32. Nor
are weights alone quantized: XNNPACK has that for linear layers only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretomark.models.export import _options, _ranges
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

PACKAGES = ("torch", "executorch", "torchao")
PRECISIONS = ("fp32", "int8")
OPTIONS = _options.OPTIONS
DIFFERENT = 1e-2  # of the standard deviation of answers
NOISE = 1e-5  # of the largest
LOOKED_AT = 32  # pictures, to compare int8 with the net


def export(net: nn.Module, sample: Tensor, out: Path) -> None:
    """Write the float32 program with fixed shapes, and beside it the graph it came from (.pt2).

    What XNNPACK has taken is opaque, so a .pte cannot be quantized; its graph can. Raises UserError
    if the program answers otherwise than the net.
    """
    # Of one channel, (N, H, W, C) transposed to (N, C, H, W) counts as contiguous already and
    # keeps its strides, from which ExecuTorch reads another order: the file loads, but cannot run.
    export_inputs(net, {"input": sample.new_empty(sample.shape).copy_(sample)}, out)


def export_inputs(net: nn.Module, samples: Mapping[str, Tensor], out: Path) -> None:
    """Write the float32 program of a net with several inputs, as `export` does."""
    import torch

    sample = tuple(samples.values())
    with torch.no_grad():
        program = torch.export.export(net, sample)
    torch.export.save(program, _graph(out))
    _lower(program, out)
    _check(net, sample, out)


def _check(net: nn.Module, sample: tuple[Tensor, ...], out: Path) -> None:
    """Run the program beside the net: where code reads the weight of a convolution besides calling
    it, ExecuTorch 1.5.1 may make wrong answers, without an error."""
    import torch

    with torch.no_grad():
        expected = net(*sample)
    if not isinstance(expected, torch.Tensor) or (answer := _said(out, [sample])) is None:
        return
    off, spread = float((answer - expected).abs().max()), float(expected.std(correction=0))
    if off > DIFFERENT * spread + NOISE * float(expected.abs().max()):
        raise UserError(
            f".pte: ExecuTorch makes a program of this net that answers otherwise (by {off:.2g}, "
            f"the standard deviation of answers is {spread:.2g}); take another format"
        )


def _check_quantized(net: Any, batches: Sequence[Tensor], out: Path) -> None:
    """Run an int8 program beside the float net: integers are off by some steps, but answers that
    are further off than they differ among themselves are of another net."""
    import torch

    with torch.no_grad():
        expected = [net(batch) for batch in batches]
    if (
        not isinstance(expected[0], torch.Tensor)
        or (answer := _said(out, [(batch,) for batch in batches])) is None
    ):
        return
    exact = torch.cat(expected)
    off, spread = float((answer - exact).abs().mean()), float(exact.std(correction=0))
    if off > spread + NOISE * float(exact.abs().max()):
        raise UserError(
            f".pte: the int8 program answers otherwise than the net (by {off:.2g} on average, the "
            f"standard deviation of answers is {spread:.2g}): take other ranges, other pictures to "
            "calibrate on, or another format"
        )


def _said(program: Path, calls: Sequence[tuple[Tensor, ...]]) -> Tensor | None:
    """What a program answers, of all calls; None if it has several outputs, or cannot run here:
    what this runtime lacks, the device may have, or says so itself."""
    import torch
    from executorch.runtime import Runtime

    try:
        method = Runtime.get().load_program(program).load_method("forward")
        answers = [[out.clone() for out in method.execute(list(inputs))] for inputs in calls]
    except RuntimeError:
        return None
    return None if len(answers[0]) != 1 else torch.cat([answer for [answer] in answers])


def quantize(
    model: Path,
    out: Path,
    precision: str,
    calibration: NDArray[np.float32],
    *,
    ranges: str = "minmax",
    weights: str = "channel",
    activations: str = "asymmetric",
) -> None:
    """Write `model` in int8. Reads the graph that `export` left beside it.

    Raises UserError for options that it does not have, and if the program answers as another net.
    """
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    _options.check(OPTIONS, precision, ranges=ranges, weights=weights, activations=activations)
    scheme = _scheme(ranges, weights == "channel", activations == "symmetric")
    program = torch.export.load(_graph(model))
    ((sample,), _) = program.example_inputs
    net = prepare_pt2e(program.module(), XNNPACKQuantizer().set_global(scheme))
    with torch.no_grad():
        batches = [torch.from_numpy(batch) for batch in calibration.reshape(-1, *sample.shape)]
        for batch in batches:
            net(batch)
        _lower(torch.export.export(convert_pt2e(net), (sample,)), out)
    few = max(1, LOOKED_AT // len(sample))
    _check_quantized(program.module(), batches[:few], out)


def _graph(model: Path) -> Path:
    return model.with_name("graph.pt2")


def _lower(program: Any, out: Path) -> None:
    """Give XNNPACK all that it takes, and write the program."""
    from executorch.backends.xnnpack._passes import channels_last_tagged_reshape_pass as order
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.exir.dialects._ops import ops

    # Behind a convolution the data is in NHWC, and ExecuTorch 1.5.1 does not turn it back before a
    # softmax over the last axis, which then is one over channels: wrong answers, no error.
    order.ChannelsLastTaggedReshapePass.memory_sensitive_ops_nchw.add(
        ops.edge.aten._softmax.default
    )
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    out.write_bytes(lowered.to_executorch().buffer)


def _scheme(ranges: str, per_channel: bool, symmetric: bool) -> Any:
    """The quantizer's own scheme, but for the ranges of activations.

    By itself it takes histograms, and cuts tails off where that makes the error small. On the nets
    of the zoo min-max is as accurate; with it, int8 means the same as in the other formats.
    """
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e import MinMaxObserver

    class Observer(MinMaxObserver):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self._range = _ranges.Range(ranges, symmetric)

        def forward(self, x: Tensor) -> Tensor:
            self._range.add(x.detach().numpy())
            return x

        def calculate_qparams(self) -> Any:
            return self._calculate_qparams(*(torch.tensor(end) for end in self._range.ends()))

    scheme = get_symmetric_quantization_config(is_per_channel=per_channel)
    activations = dataclasses.replace(
        scheme.input_activation,
        observer_or_fake_quant_ctr=Observer.with_args(eps=2**-12),
        qscheme=torch.per_tensor_symmetric if symmetric else torch.per_tensor_affine,
    )
    return dataclasses.replace(scheme, input_activation=activations, output_activation=activations)
