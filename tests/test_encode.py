"""The lossless container for weights: to the bit, as small as stated, and safe to read."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from safetensors.numpy import load_file

from paretomark.models.build import _encode

pytestmark = pytest.mark.slow

Array = NDArray[Any]
HEAD = 4 + 1 + 1 + 1 + 1 + 1 + 2 + 4  # magic, 1 tensor, "t", dtype, 1 dimension of 2 bytes, check

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7)
FEW = st.sampled_from([0.0, -0.0, 0.5, -0.5, 3.0, float("nan"), float("inf"), 1e-45])
TENSORS = st.one_of(
    hnp.arrays(np.float32, SHAPES, elements=FEW),
    hnp.arrays(np.float32, SHAPES),
    hnp.arrays(np.uint32, SHAPES).map(lambda bits: bits.view(np.float32)),  # payloads of NaN
    hnp.arrays(st.sampled_from(_encode.DTYPES).map(np.dtype), SHAPES),
)
SPARSE = hnp.arrays(np.float32, st.integers(0, 3000), elements=FEW, fill=st.just(0.0))


def same(a: dict[str, Array], b: dict[str, Array]) -> None:
    assert list(a) == list(b)
    for name in a:
        assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape), name
        assert a[name].tobytes() == b[name].tobytes(), name


def size(tensor: Array) -> int:
    data = _encode.encode({"t": tensor})
    same(_encode.decode(data), {"t": tensor})
    return len(data)


def resealed(data: bytes) -> bytes:
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def weights(seed: int, count: int, density: float, bits: int) -> NDArray[np.float32]:
    """Of a pruned layer with 2^bits shared values, distributed like trained ones."""
    rng = np.random.default_rng(seed)
    scale = 2 ** (bits - 3)
    values = np.rint(rng.normal(size=count) * scale).clip(-4 * scale, 4 * scale - 1) + 0.5
    return np.where(rng.random(count) < density, values, 0.0).astype(np.float32)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=4), st.one_of(TENSORS, SPARSE), max_size=3))
@example({"w": np.zeros((0, 3), np.float32), "": np.array(-0.0, np.float32)})
@example({"w": np.asfortranarray(weights(0, 12, 1.0, 3).reshape(3, 4))})
@example({"w": weights(0, 12, 1.0, 3)[::-1]})
def test_what_comes_out_is_what_went_in_to_the_bit(tensors: dict[str, Array]) -> None:
    same(_encode.decode(_encode.encode(tensors)), tensors)


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match="tensor 'w' is complex64; can encode <f4"):
        _encode.encode({"w": np.zeros(3, np.complex64)})
    big = np.arange(3, dtype=">f4")
    same(_encode.decode(_encode.encode({"w": big})), {"w": big.astype("<f4")})


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=300))
@example([1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765])
def test_codes_are_within_a_bit_of_the_entropy(counts: list[int]) -> None:
    lengths = _encode.code_lengths(np.array(counts))
    assert np.exp2(-lengths.astype(float)).sum() == 1  # a whole prefix code
    share = np.array(counts) / sum(counts)
    entropy = -(share * np.log2(share)).sum()
    assert entropy - 1e-9 <= share @ lengths < entropy + 1


def test_codes_are_those_of_a_known_example() -> None:
    assert _encode.code_lengths(np.array([45, 13, 12, 16, 9, 5])).tolist() == [1, 3, 3, 3, 4, 4]
    assert _encode.code_lengths(np.array([7])).tolist() == [0]


def test_weights_without_structure_cost_nothing_more() -> None:
    rng = np.random.default_rng(0)
    assert size(rng.normal(size=1000).astype(np.float32)) == HEAD + 1 + 1 + 4000


def test_equally_frequent_values_take_the_logarithm_of_their_number() -> None:
    values = np.arange(16, dtype=np.float32).repeat(64) + 1
    assert size(values) == HEAD + 1 + 1 + 1 + 4 * 16 + 1024 * 4 // 8
    assert size(np.full(1024, 2.5, np.float32)) == HEAD + 1 + 1 + 1 + 4


def test_unequally_frequent_values_take_about_their_entropy() -> None:
    values = weights(0, 200_000, 1.0, 5)
    counts = np.unique(values, return_counts=True)[1]
    share = counts / counts.sum()
    bound = -(share * np.log2(share)).sum() * len(values) / 8
    assert bound < size(values) < 1.02 * bound + 200
    assert size(values) < 0.95 * len(values) * 5 / 8  # of an index of fixed width


def test_sparse_weights_take_about_the_entropy_of_where_they_are() -> None:
    values = weights(1, 200_000, 0.1, 4)
    nonzero = values[values != 0]
    share = np.unique(nonzero, return_counts=True)[1] / len(nonzero)
    where = -(0.1 * np.log2(0.1) + 0.9 * np.log2(0.9)) * len(values) / 8
    bound = where - (share * np.log2(share)).sum() * len(nonzero) / 8
    assert bound * 0.98 < size(values) < 1.03 * bound + 400


def test_gaps_longer_than_a_byte_have_fillers() -> None:
    for gap in (254, 255, 256, 257, 511, 512, 513, 5000):
        values = np.zeros(6000, np.float32)
        values[gap] = 1.5
        values[5500] = -2.5
        assert size(values) < 100, gap
    assert size(np.zeros(1 << 20, np.float32)) < 30


def test_weights_of_two_values_per_filter_take_a_bit_each() -> None:
    rng = np.random.default_rng(0)
    scales = rng.random(64).astype(np.float32)
    binary = rng.choice(np.array([-1, 1], np.float32), (64, 32, 3, 3)) * scales[:, None, None, None]
    bits = binary.size // 8
    assert bits + 4 * 64 < size(binary) < bits + 4 * 64 + 30
    binary[5, 0] *= 2  # one filter has four values: another form, and as exact
    assert size(binary) > bits + 4 * 64 + 30


def test_real_deep_compressed_weights_are_as_small_as_published(real_data: Path) -> None:
    """0.66 MB at 8 bits (Iandola et al., SqueezeNet, 2016, table 2)."""
    file = real_data / "weights" / "squeezenet1_0_deep_compressed_imagenet.safetensors"
    tensors = load_file(file)
    data = _encode.encode(tensors)
    same(_encode.decode(data), tensors)
    assert 400_000 < len(data) < 660_000


SAMPLES = [
    _encode.encode({"a": weights(0, 400, 0.2, 4), "b": weights(1, 300, 1.0, 3).reshape(3, 100)}),
    _encode.encode({"s": np.array([[1, -1, 1, 1], [2, 2, -2, 2]], "f4"), "z": np.zeros(9, "i1")}),
]


@pytest.mark.parametrize("data", SAMPLES)
def test_bytes_that_are_cut_or_changed_are_refused(data: bytes) -> None:
    for end in range(len(data)):
        with pytest.raises(ValueError, match="not encoded weights, or damaged"):
            _encode.decode(data[:end])
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        with pytest.raises(ValueError, match="not encoded weights, or damaged"):
            _encode.decode(flipped)
    with pytest.raises(ValueError, match="not encoded weights, or damaged"):
        _encode.decode(data + b"\0")


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(SAMPLES), st.data())
def test_bytes_made_to_deceive_are_read_or_refused(data: bytes, draw: st.DataObject) -> None:
    """With a check sum that is right."""
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        changed[draw.draw(st.integers(4, len(data) - 5))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, 20))
    hostile = resealed(bytes(changed[: len(data) - cut]))
    try:
        tensors = _encode.decode(hostile, limit_bytes=1 << 20)
    except ValueError:
        return
    assert sum(tensor.nbytes for tensor in tensors.values()) <= 1 << 20


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x01\x01w\x00\x01\xff\xff\xff\xff\x7f\x00", "too large"),
        (b"\x01\x01w\x00\x02\x00\xff\xff\xff\xff\xff\xff\xff\x7f", "is more than"),
        (b"\x01\x01w\x00\x01\x08\x00\x00abc", "end early"),
        (b"\x01\x01w\x00\x01\x08\x00\x01\x00", "a codebook without values"),
        (b"\x01\x01w\x09", "9 at byte"),
        (b"\x01\x01w\x00\x00\x02", "has no rows"),
        (b"\x01\x01w\x03\x01\x02\x00\x02\x02ab\x02\xa0", "code lengths that no Huffman code has"),
        (b"\x01\x01w\x03\x01\x04\x00\x01\x03abc\xff", "an index beyond its codebook"),
        (b"\x02\x01w\x03\x01\x00\x00\x00\x01w\x03\x01\x00\x00\x00", "is there twice"),
        (b"\x00extra", "bytes too many"),
        (b"\x01\x01w\x03\x01\x02\x01\x02\x00\x01\x01\x00\x00ab", "4 elements in a tensor of 2"),
    ],
)
def test_sizes_are_checked_before_anything_is_made(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _encode.decode(resealed(_encode.MAGIC + body + b"\0\0\0\0"))


def test_more_than_the_limit_is_refused() -> None:
    data = _encode.encode({"a": np.zeros(1000, np.float32), "b": np.zeros(1000, np.float32)})
    assert len(_encode.decode(data, limit_bytes=8000)) == 2
    with pytest.raises(ValueError, match=r"tensor 'b' .* is there twice, or too large"):
        _encode.decode(data, limit_bytes=7999)
