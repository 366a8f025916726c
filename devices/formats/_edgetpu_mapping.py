"""Which operators of a full integer TFLite file edgetpu_compiler maps to the Edge TPU.

The rules are those of the compiler's documentation, for runtime 14 and compiler 16
(https://coral.ai/docs/edgetpu/models-intro, supported operations and compilation), but for two that
it leaves open:

- It maps a resize "depending on input/output size", and does not say which. Mapped here is what was
  seen mapped: up to twice as large, and up to 128 x 128. Seen left to the CPU were 1 x 1 to 33 x 33
  (DeepLab V3 of the vendor), 256 x 256 to 512 x 512
  (https://github.com/google-coral/edgetpu/issues/31), and U-Nets of 256 x 256 (issues/187).
- It maps a concatenation with a constant only if that is all zeros. Constants are not looked into,
  so it is left.

All five compiled files at hand agree, of which one, DeepLab V3, is mapped in part. That one set
the limit of resizes, so it does not prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from paretomark.devices.formats._edgetpu_file import EIGHT_BIT
from paretomark.devices.formats._tflite import Operator, Subgraph, Tensor

MOST_SOFTMAX = 16_000
MOST_RESIZE_SIDE, MOST_RESIZE_TIMES = 128, 2
DEPTH_MULTIPLE = 4
AFTER = "comes after one that is left"


@dataclass(frozen=True)
class Mapped:
    """Operators by their place in the graph: those on the chip, and why each other one is not."""

    chip: frozenset[int]
    left: Mapping[int, str]


def mapped(graph: Subgraph) -> Mapped:
    """Tell which operators the compiler puts on the chip.

    They are one partition: an operator that cannot be mapped stays on the CPU, with all that needs
    its result. Only what turns floats into 8 bit may stay on the CPU before it.
    """
    made_on_cpu: set[int] = set()
    chip, left = set(), {}
    for index, operator in enumerate(graph.operators):
        reason = why_not(operator)
        if not reason and any(t.index in made_on_cpu for t in operator.inputs):
            reason = AFTER
        if not reason:
            chip.add(index)
            continue
        left[index] = reason
        if not _takes_in_floats(operator, graph):
            made_on_cpu |= {t.index for t in operator.outputs}
    return Mapped(frozenset(chip), left)


def why_not(operator: Operator) -> str:
    """Say why an operator cannot run on the chip, wherever it stands; "" if it can."""
    if operator.custom or operator.name not in RULES:
        return "is not supported"
    tensors = (*operator.inputs, *operator.outputs)
    if wide := sorted({t.type for t in tensors if not t.constant and t.type not in EIGHT_BIT}):
        return f"works on {', '.join(wide)}"
    if large := [t for t in tensors if not t.constant and any(s > 1 for s in t.shape[:-3])]:
        return f"has a tensor of more than three dimensions {large[0].shape}"
    return RULES[operator.name](operator)


def _takes_in_floats(operator: Operator, graph: Subgraph) -> bool:
    ports = {t.index for t in graph.inputs}
    return operator.name == "QUANTIZE" and all(
        t.index in ports and t.type == "FLOAT32" for t in operator.inputs
    )


def _anything(operator: Operator) -> str:
    return ""


def _no_activation(operator: Operator) -> str:
    return "has an activation fused to it" if operator.fields.get("fusedActivationFunction") else ""


def _concatenation(operator: Operator) -> str:
    if any(t.constant for t in operator.inputs):
        return "concatenates a constant"
    return _no_activation(operator)


def _constant_weights(operator: Operator) -> str:
    activations = [t for t in operator.inputs if not t.constant]
    return "has weights that are computed" if len(activations) > 1 else ""


def _convolution(operator: Operator) -> str:
    dilations = [operator.fields.get(f"dilation{side}Factor", 1) for side in "WH"]
    if dilations[0] != dilations[1]:
        return "is dilated differently in x and y"
    return _constant_weights(operator)


def _fully_connected(operator: Operator) -> str:
    if operator.fields.get("weightsFormat"):
        return "has shuffled weights"
    if _wide(operator.outputs[0]):
        return f"has an output of more than one dimension {operator.outputs[0].shape}"
    return _constant_weights(operator)


def _softmax(operator: Operator) -> str:
    tensor = operator.inputs[0]
    if _wide(tensor):
        return f"has an input of more than one dimension {tensor.shape}"
    return f"is over more than {MOST_SOFTMAX} elements" if tensor.shape[-1] > MOST_SOFTMAX else ""


def _reduction(operator: Operator) -> str:
    axes = _axes(operator.inputs[0], operator.inputs[1])
    if axes is None:
        return "reduces axes that are computed"
    return "reduces the batch" if 0 in axes and len(operator.inputs[0].shape) > 1 else ""


def _mean(operator: Operator) -> str:
    shape = operator.inputs[0].shape
    axes = _axes(operator.inputs[0], operator.inputs[1]) or ()
    if len(shape) - 1 in axes and shape[-1] % DEPTH_MULTIPLE:
        return f"reduces a depth of {shape[-1]}, no multiple of {DEPTH_MULTIPLE}"
    return _reduction(operator)


def _pad(operator: Operator) -> str:
    margins = operator.inputs[1].values
    if not margins:
        return "has margins that are computed"
    batched = len(operator.inputs[0].shape) > 1
    return "pads the batch" if batched and any(margins[:2]) else ""


def _pack(operator: Operator) -> str:
    axis, rank = int(operator.fields.get("axis", 0)), len(operator.outputs[0].shape)
    return "" if axis % rank else "packs the batch"


def _split(operator: Operator) -> str:
    axes = _axes(operator.inputs[1], operator.inputs[0])  # the axis comes first
    if axes is None:
        return "splits an axis that is computed"
    return "splits the batch" if 0 in axes and len(operator.inputs[1].shape) > 1 else ""


def _strided_slice(operator: Operator) -> str:
    strides = operator.inputs[3].values if len(operator.inputs) > 3 else ()
    if not strides or any(stride != 1 for stride in strides):
        return "has strides other than 1"
    if operator.fields.get("ellipsisMask") or operator.fields.get("newAxisMask"):
        return "has an ellipsis or a new axis"
    return ""


def _prelu(operator: Operator) -> str:
    alpha = operator.inputs[1]
    return f"has a slope of more than one dimension {alpha.shape}" if _wide(alpha) else ""


def _resize(operator: Operator) -> str:
    before, after = operator.inputs[0].shape[1:3], operator.outputs[0].shape[1:3]
    times = max((b / a for a, b in zip(before, after, strict=True)), default=1)
    if times > MOST_RESIZE_TIMES or max(after, default=1) > MOST_RESIZE_SIDE:
        return f"resizes {_sides(before)} to {_sides(after)}, further than was seen mapped"
    return ""


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _wide(tensor: Tensor) -> bool:
    """Whether more than the last dimension is used."""
    return any(size > 1 for size in tensor.shape[:-1])


def _axes(tensor: Tensor, axes: Tensor) -> set[int] | None:
    """The axes that a constant names, counted from the first; None if it is not a constant."""
    return {axis % len(tensor.shape) for axis in axes.values} if axes.values else None


RULES: Mapping[str, Callable[[Operator], str]] = {
    **dict.fromkeys(
        (
            *("ADD", "EXPAND_DIMS", "L2_NORMALIZATION", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL"),
            *("QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "RSQRT", "SLICE"),
            *("SPACE_TO_DEPTH", "SQUARED_DIFFERENCE", "SQUEEZE", "SUB", "TANH", "TRANSPOSE"),
        ),
        _anything,
    ),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _no_activation),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _convolution),
    **dict.fromkeys(("REDUCE_MAX", "REDUCE_MIN", "SUM"), _reduction),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    "CONCATENATION": _concatenation,
    "FULLY_CONNECTED": _fully_connected,
    "MEAN": _mean,
    "PACK": _pack,
    "PAD": _pad,
    "PRELU": _prelu,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "STRIDED_SLICE": _strided_slice,
    "TRANSPOSE_CONV": _constant_weights,
}
