"""Small TFLite files, written operator by operator, with random weights that are kept from fading.

What answers they give depends on every layer, so that a wrong one shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

FLOAT, INTEGER = schema.TensorType.FLOAT32, schema.TensorType.INT32


class Net:
    """A net under construction: each method appends an operator, and returns the net."""

    def __init__(self, size: int = 24, channels: int = 3) -> None:
        self._rng = np.random.default_rng(0)
        self._graph = schema.SubGraphT(tensors=[], operators=[], outputs=[])
        self._model = schema.ModelT(version=3, operatorCodes=[], subgraphs=[self._graph])
        self._model.buffers = [schema.BufferT()]
        self.at = self._tensor((1, size, size, channels))
        self._graph.inputs = [self.at]

    def conv(
        self, channels: int, kernel: int = 1, stride: int = 1, zeros: float = 0.0, same: bool = True
    ) -> Net:
        """A convolution padded alike on all sides; with `same`, as TensorFlow's SAME says."""
        inputs = self._shape()[3]
        weights = self._weights((channels, kernel, kernel, inputs), zeros)
        return self._convolve("CONV_2D", weights, stride, same, channels)

    def depthwise(self, kernel: int = 3, stride: int = 1, same: bool = True) -> Net:
        """A depthwise convolution, padded in the same way."""
        channels = self._shape()[3]
        weights = self._rng.standard_normal((1, kernel, kernel, channels)) / kernel
        return self._convolve("DEPTHWISE_CONV_2D", weights, stride, same, channels)

    def pad(self, margin: tuple[int, int]) -> Net:
        """Zeros before and after the rows and the columns."""
        margins = np.array([(0, 0), margin, margin, (0, 0)], np.int32)
        n, height, width, channels = self._shape()
        more = sum(margin)
        shape = (n, height + more, width + more, channels)
        return self._append("PAD", [self.at, self._constant(margins)], shape)

    def stem(self, channels: int = 16, kernel: int = 3, stride: int = 2) -> Net:
        """What a chain starts with, unless told otherwise."""
        margin = (kernel // 2, kernel // 2)
        return self.pad(margin).conv(channels, kernel, stride, same=False)

    def unary(self, kind: str) -> Net:
        """An operator on each number by itself."""
        return self._append(kind, [self.at], self._shape())

    def add(self, other: int) -> Net:
        """The sum with an earlier tensor."""
        return self._append("ADD", [self.at, other], self._shape(), "Add")

    def multiply(self, other: int) -> Net:
        """The product with an earlier tensor, over which this one is broadcast."""
        shape = tuple(self._graph.tensors[other].shape)
        return self._append("MUL", [other, self.at], shape, "Mul")

    def mean(self, axes: tuple[int, ...] = (1, 2), keep: bool = False) -> Net:
        """A mean; with `keep`, its axes stay, of size 1."""
        inputs = [self.at, self._constant(np.array(axes, np.int32))]
        sizes = enumerate(self._shape())
        shape = tuple(1 if i in axes else size for i, size in sizes if keep or i not in axes)
        return self._append("MEAN", inputs, shape, "Reducer", keepDims=keep)

    def reshape(self, shape: tuple[int, ...]) -> Net:
        """The same numbers in another shape."""
        return self._append("RESHAPE", [self.at, self._constant(np.array(shape, np.int32))], shape)

    def dense(self, outputs: int) -> Net:
        """A fully connected operator on the last axis."""
        weights = self._constant(self._weights((outputs, self._shape()[-1]), 0))
        shape = (*self._shape()[:-1], outputs)
        inputs = [self.at, weights, self._bias(outputs)]
        return self._append("FULLY_CONNECTED", inputs, shape, "FullyConnected", keepNumDims=True)

    def resize(self, side: int) -> Net:
        """The same picture in another size, between whose pixels it is interpolated."""
        n, _, _, channels = self._shape()
        inputs = [self.at, self._constant(np.array((side, side), np.int32))]
        shape = (n, side, side, channels)
        return self._append("RESIZE_BILINEAR", inputs, shape, "ResizeBilinear", alignCorners=True)

    def output(self) -> Net:
        """Make the last tensor an output of the net."""
        self._graph.outputs.append(self.at)
        return self

    def save(self, file: Path) -> Path:
        """Write what there is; the last tensor is an output."""
        self.output()
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        file.write_bytes(bytes(builder.Output()))
        return file

    def _convolve(
        self, kind: str, weights: NDArray[Any], stride: int, same: bool, channels: int
    ) -> Net:
        n, height, width, _ = self._shape()
        spare = 0 if same else weights.shape[1] - 1
        shape = (n, *(-(-(size - spare) // stride) for size in (height, width)), channels)
        inputs = [self.at, self._constant(weights), self._bias(channels)]
        options: dict[str, Any] = {"strideH": stride, "strideW": stride, "padding": int(not same)}
        options |= {"dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": 1}
        if kind == "CONV_2D":
            return self._append(kind, inputs, shape, "Conv2D", **options)
        return self._append(kind, inputs, shape, "DepthwiseConv2D", depthMultiplier=1, **options)

    def _weights(self, shape: tuple[int, ...], zeros: float) -> NDArray[Any]:
        weights = self._rng.standard_normal(shape)
        order = self._rng.permutation(weights.size)
        weights.ravel()[order[: round(zeros * weights.size)]] = 0
        fan_in = float(np.prod(shape[1:])) * max(1 - zeros, 0.05)
        return np.asarray(weights * (2 / fan_in) ** 0.5)

    def _bias(self, count: int) -> int:
        return self._constant(0.3 * self._rng.standard_normal(count))

    def _shape(self) -> tuple[int, ...]:
        return tuple(self._graph.tensors[self.at].shape)

    def _constant(self, values: NDArray[Any]) -> int:
        values = values if values.dtype == np.int32 else values.astype(np.float32)
        data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(schema.BufferT(data=data))
        kind = INTEGER if values.dtype == np.int32 else FLOAT
        return self._tensor(values.shape, kind, len(self._model.buffers) - 1)

    def _tensor(self, shape: tuple[int, ...], kind: int = FLOAT, buffer: int = 0) -> int:
        number = len(self._graph.tensors)
        tensor = schema.TensorT(shape=list(shape), type=kind, buffer=buffer, name=f"t{number}")
        self._graph.tensors.append(tensor)
        return number

    def _append(
        self, kind: str, inputs: list[int], shape: tuple[int, ...], options: str = "", **fields: Any
    ) -> Net:
        code = getattr(schema.BuiltinOperator, kind)
        self._model.operatorCodes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=1)
        )
        self.at = self._tensor(shape)
        operator = schema.OperatorT(len(self._model.operatorCodes) - 1, inputs, [self.at])
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{options}Options")
            operator.builtinOptions = getattr(schema, f"{options}OptionsT")(**fields)
        self._graph.operators.append(operator)
        return self
