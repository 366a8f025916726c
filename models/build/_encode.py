"""A lossless container for weights: what they take on disk when their content is made use of.

Source: Han et al., Deep Compression, 2015, section 4 (shared values, relative positions of those
that are not zero, Huffman codes) and, for weights of two values per filter, one sign bit each
(Rastegari et al., XNOR-Net, 2016). Tensors are taken as bit patterns, so that what comes out is
what went in, to the bit. Everything that is needed to decode is in the bytes:

    file    = magic, tensors, tensor..., CRC-32 of all before it, little endian
    tensor  = name length, name, dtype, dimensions, dimension..., form, then by form
    DENSE   : array of the elements
    SPARSE  : entries, array of gaps, array of values
    SIGNS   : array of one magnitude per row, one sign bit per element
    array   = coding, then by coding
    RAW     : little-endian elements
    FIXED   : distinct values, these in ascending order, ceil(log2 distinct) bits per element
    HUFFMAN : distinct values, these, length bits, the length of each code, canonical codes

Counts are LEB128 numbers, bits are filled into bytes from the high end. Each choice is the one
that takes the fewest bytes. A sparse entry is a gap, the zeros before a value, in one byte, and the
value; a run of more zeros has fillers, which are values of zero.
"""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"PMW\x01"
DTYPES = ("<f4", "<f2", "|i1", "|u1", "<i4", "<i8")
DENSE, SPARSE, SIGNS = range(3)
RAW, FIXED, HUFFMAN = range(3)
GAP_BITS = 8  # fewer gain nothing, for gaps get Huffman codes as well
DISTINCT = 4096  # values that a codebook may have
_SAMPLE = 16 * DISTINCT  # elements in which more distinct values than that rule a codebook out
LARGEST = 1 << 48  # elements of a tensor
LONGEST_CODE = 56  # bits; a code this long takes more than 10^11 elements
_PIECE = 1 << 16  # bytes of Huffman codes that are looked at in one go

Array = NDArray[Any]
Bits = NDArray[np.unsignedinteger[Any]]


def encode(tensors: Mapping[str, Array]) -> bytes:
    """Return the tensors, by name, in bytes that `decode` turns into the same again, to the bit.

    Raises ValueError for a dtype that is not in DTYPES.
    """
    parts = [MAGIC, _number(len(tensors))]
    for name, tensor in tensors.items():
        if (dtype := tensor.dtype.newbyteorder("<").str) not in DTYPES:
            raise ValueError(f"tensor '{name}' is {tensor.dtype}; can encode {', '.join(DTYPES)}")
        text = name.encode()
        shape = b"".join(map(_number, tensor.shape))
        parts += [_number(len(text)), text, bytes([DTYPES.index(dtype)])]
        parts += [_number(tensor.ndim), shape, _tensor(tensor.astype(dtype, copy=False))]
    data = b"".join(parts)
    return data + zlib.crc32(data).to_bytes(4, "little")


def code_lengths(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the lengths in bits of the codes of an optimal prefix code (Huffman, 1952).

    `counts` says how often each symbol occurs, at least once; one that is alone needs no bit.
    """
    lengths = np.zeros(len(counts), np.int64)
    heap = [(int(count), symbol, [symbol]) for symbol, count in enumerate(counts)]
    heapq.heapify(heap)
    while len(heap) > 1:
        (a, order, one), (b, _, two) = heapq.heappop(heap), heapq.heappop(heap)
        merged = one + two
        lengths[merged] += 1
        heapq.heappush(heap, (a + b, order, merged))
    return lengths


def _tensor(tensor: Array) -> bytes:
    elements = np.ascontiguousarray(tensor).reshape(-1).view(f"<u{tensor.itemsize}")
    forms = [bytes([DENSE]) + _array(elements)]
    if not elements.all():
        forms.append(bytes([SPARSE]) + _sparse(elements))
    if tensor.ndim > 1 and elements.size:
        rows = elements.reshape(len(tensor), -1)
        magnitudes = rows & elements.dtype.type((1 << 8 * tensor.itemsize - 1) - 1)
        if (magnitudes == magnitudes[:, :1]).all():
            signs = np.packbits(rows != magnitudes).tobytes()
            forms.append(bytes([SIGNS]) + _array(magnitudes[:, 0]) + signs)
    return min(forms, key=len)


def _sparse(elements: Bits) -> bytes:
    """Zeros after the last value are not written."""
    places = elements.nonzero()[0]
    fillers, gaps = np.divmod(np.diff(places, prepend=-1) - 1, 1 << GAP_BITS)
    ends = np.cumsum(fillers + 1) - 1  # of each run of fillers, where its value is
    entries = int(ends[-1]) + 1 if len(ends) else 0
    runs = np.full(entries, (1 << GAP_BITS) - 1, np.uint8)
    values = np.zeros(entries, elements.dtype)
    runs[ends], values[ends] = gaps, elements[places]
    return _number(entries) + _array(runs) + _array(values)


def _array(elements: Bits) -> bytes:
    raw = bytes([RAW]) + elements.tobytes()
    if len(np.unique(elements[:_SAMPLE])) > DISTINCT:  # as in most layers that nothing compressed
        return raw
    codebook, symbols, counts = np.unique(elements, return_inverse=True, return_counts=True)
    if not 1 <= len(codebook) <= DISTINCT or len(codebook) == len(elements) > 1:
        return raw
    header = _number(len(codebook)) + codebook.tobytes()
    same = np.full(len(codebook), (len(codebook) - 1).bit_length())
    codings = [(bytes([FIXED]) + header, np.arange(len(codebook)), same)]
    best = code_lengths(counts)
    if 0 < (longest := int(best.max())) <= LONGEST_CODE:
        bits = longest.bit_length()
        table = bytes([bits]) + _pack(best, np.arange(longest + 1), np.full(longest + 1, bits))
        codings.append((bytes([HUFFMAN]) + header + table, _canonical(best)[0], best))
    head, codes, lengths = min(codings, key=lambda c: 8 * len(c[0]) + counts @ c[2])
    if len(head) + -(-int(counts @ lengths) // 8) >= len(raw):
        return raw
    return head + _pack(symbols, codes, lengths)


def _canonical(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The codes that these lengths stand for, by symbol, and the symbols in the codes' order."""
    order = np.argsort(lengths, kind="stable")
    steps = np.left_shift(np.int64(1), LONGEST_CODE - lengths[order])
    codes = np.empty(len(lengths), np.int64)
    codes[order] = (np.cumsum(steps) - steps) >> (LONGEST_CODE - lengths[order])
    return codes, order


def _pack(symbols: Array, codes: NDArray[np.int64], lengths: NDArray[np.int64]) -> bytes:
    """The codes of the symbols, one after the other, in whole bytes."""
    length, code = lengths[symbols], codes[symbols]
    starts = np.cumsum(length) - length
    stream = np.zeros(int(length.sum()), np.uint8)
    for bit in range(int(lengths.max())):
        has = length > bit
        stream[starts[has] + bit] = code[has] >> (length[has] - 1 - bit) & 1
    return np.packbits(stream).tobytes()


def _number(value: int) -> bytes:
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def decode(data: bytes, limit_bytes: int = 1 << 30) -> dict[str, Array]:
    """Return what `encode` was given, as little-endian arrays.

    Raises ValueError for bytes that `encode` did not write, and if the arrays would take more
    than `limit_bytes` altogether: nothing that depends on an unchecked size is allocated.
    """
    if data[:4] != MAGIC or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise ValueError("not encoded weights, or damaged: write them again with encode")
    reader = _Reader(data[4:-4])
    tensors: dict[str, Array] = {}
    for _ in range(reader.number(len(data))):
        name = reader.take(reader.number(len(data))).decode()
        dtype = np.dtype(DTYPES[reader.byte(len(DTYPES) - 1)])
        shape = [reader.number(LARGEST) for _ in range(reader.number(32))]
        count = math.prod(shape)
        limit_bytes -= count * dtype.itemsize
        if name in tensors or limit_bytes < 0 or math.prod(d or 1 for d in shape) > LARGEST:
            raise ValueError(f"tensor '{name}' of shape {shape} is there twice, or too large")
        tensors[name] = reader.tensor(shape, count, dtype)
    reader.end()
    return tensors


class _Reader:
    """A cursor that never goes past the end; `most` is the largest value that makes sense."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise ValueError(f"encoded weights end early: {count} bytes are missing at {self.at}")
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self, most: int) -> int:
        return self._within(self.take(1)[0], most)

    def number(self, most: int) -> int:
        value, shift = 0, 0
        while (byte := self.take(1)[0]) > 127 and shift < 63:
            value |= (byte & 127) << shift
            shift += 7
        return self._within(value | byte << shift, most)

    def _within(self, value: int, most: int) -> int:
        if value > most:
            raise ValueError(f"encoded weights: {value} at byte {self.at} is more than {most}")
        return value

    def end(self) -> None:
        if self.at != len(self.data):
            raise ValueError(f"encoded weights: {len(self.data) - self.at} bytes too many")

    def tensor(self, shape: list[int], count: int, dtype: np.dtype[Any]) -> Array:
        unsigned = np.dtype(f"<u{dtype.itemsize}")
        form = self.byte(SIGNS)
        if form == DENSE:
            elements = self.array(count, unsigned)
        elif form == SPARSE:
            elements = self._sparse(count, unsigned)
        else:
            if not shape or not count:
                raise ValueError(f"encoded weights: a tensor of shape {shape} has no rows")
            magnitudes = np.repeat(self.array(shape[0], unsigned), count // shape[0])
            signs = np.frombuffer(self.take(-(-count // 8)), np.uint8)
            high = np.unpackbits(signs, count=count).astype(unsigned)
            elements = magnitudes | high << unsigned.type(8 * dtype.itemsize - 1)
        return elements.view(dtype).reshape(shape)

    def _sparse(self, count: int, unsigned: np.dtype[Any]) -> Bits:
        entries = self.number(count)
        runs = self.array(entries, np.dtype(np.uint8))
        values = self.array(entries, unsigned)
        places = np.cumsum(runs, dtype=np.int64) + np.arange(entries)
        if entries and places[-1] >= count:
            raise ValueError(f"encoded weights: {places[-1] + 1} elements in a tensor of {count}")
        elements = np.zeros(count, unsigned)
        elements[places] = values
        return elements

    def array(self, count: int, unsigned: np.dtype[Any]) -> Bits:
        coding = self.byte(HUFFMAN)
        if coding == RAW:
            return np.frombuffer(self.take(count * unsigned.itemsize), unsigned).copy()
        distinct = self.number(min(count, DISTINCT))
        codebook = np.frombuffer(self.take(distinct * unsigned.itemsize), unsigned)
        if not distinct:
            raise ValueError("encoded weights: a codebook without values")
        symbols: Array
        if coding == FIXED:
            symbols = self._fixed(count, (distinct - 1).bit_length())
        else:
            lengths = self._fixed(distinct, self.byte(6)).astype(np.int64)
            whole = np.left_shift(1, LONGEST_CODE - np.minimum(lengths, LONGEST_CODE)).sum()
            if lengths.min() < 1 or lengths.max() > LONGEST_CODE or whole != 1 << LONGEST_CODE:
                raise ValueError("encoded weights: code lengths that no Huffman code has")
            symbols = self._huffman(count, lengths)
        if len(symbols) and symbols.max() >= distinct:
            raise ValueError("encoded weights: an index beyond its codebook")
        return codebook[symbols]

    def _fixed(self, count: int, width: int) -> NDArray[np.uint16]:
        packed = np.frombuffer(self.take(-(-count * width // 8)), np.uint8)
        bits = np.unpackbits(packed, count=count * width).reshape(count, width)
        symbols: Array = np.zeros(count, np.uint16)
        for column in bits.T:
            symbols = symbols << 1 | column
        return symbols

    def _huffman(self, count: int, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """What code would start at every bit is found at once; then one walk over the starts."""
        codes, order = _canonical(lengths)
        starts = (codes << (LONGEST_CODE - lengths))[order]
        values: list[int] = []
        bit = 0
        while len(values) < count:
            first = self.at + bit // 8
            if first >= len(self.data):
                raise ValueError("encoded weights end early: codes are missing")
            size = min(_PIECE, len(self.data) - first)
            piece = np.frombuffer(self.data[first : first + size + 7].ljust(size + 7, b"\0"), "u1")
            words = np.zeros(size, np.uint64)
            for i in range(8):
                words = words << np.uint64(8) | piece[i : i + size]
            windows = (words[:, None] << np.arange(8, dtype=np.uint64)) >> np.uint64(8)
            ranks = np.searchsorted(starts, windows.reshape(-1).view(np.int64), "right") - 1
            symbols, steps = order[ranks].tolist(), lengths[order[ranks]].tolist()
            bit %= 8
            while bit < 8 * size and len(values) < count:
                values.append(symbols[bit])
                bit += steps[bit]
            self.at = first
        self.take(-(-bit // 8))
        return np.array(values, np.int64)
