"""Pictures of every mode: read as meant, with a word on what was lost, or named as broken."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from paretomark.models.data import _data
from paretomark.models.data._data import Examples
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.tests._pictures import ORIENTATION, picture, turned

SIZE = Preprocess((4, 4))
GREY = Preprocess((4, 4), mean=(0.0,), std=(255.0,))


def loaded(root: Path, preprocess: Preprocess = SIZE) -> Examples:
    return _data.load(f"imagefolder:{root}", "test", None, preprocess)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(depth: int, colour: int, row: bytes, side: int = 4) -> bytes:
    """A square PNG of any depth and kind of colour, all of whose rows are the same."""
    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    data = zlib.compress((b"\0" + row) * side)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def full(value: float, dtype: type) -> NDArray[np.generic]:
    return np.full((4, 4), value, dtype)


@pytest.mark.parametrize(
    ("name", "pixels", "shade"),
    [
        ("a.png", full(32896, np.uint16), 128),
        ("a.tif", full(65535, np.uint16), 255),
        ("a.tif", full(51400, np.int32), 200),  # mode I
        ("a.pgm", full(25700, np.uint16), 100),
        ("a.tif", full(51400, np.dtype(">u2").type).astype(">u2"), 200),
    ],
)
def test_16_bits_are_scaled_not_clipped(
    tmp_path: Path, name: str, pixels: NDArray[np.generic], shade: int
) -> None:
    (tmp_path / "val" / "a").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "val" / "a" / name)
    examples = loaded(tmp_path)
    assert set(examples.images.ravel().tolist()) == {shade}
    most = int(pixels.flat[0])
    note = f"1 picture of 16 bits, scaled from 0..65535 to 0..255; the brightest has {most}"
    assert examples.notes == (note,)
    assert set(loaded(tmp_path, GREY).images.ravel().tolist()) == {shade}


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        ("a.png", full(200, np.uint16), r"no value above 200 \(.*a.png\), so that all are black"),
        ("a.tif", full(70000, np.int32), "grey values from 70000 to 70000"),
        ("a.tif", full(-5, np.int32), "grey values from -5 to -5"),
        ("a.tif", full(0.5, np.float32), "floating-point pixels"),
    ],
)
def test_pixels_whose_range_is_not_known_are_refused(
    tmp_path: Path, name: str, pixels: NDArray[np.generic], message: str
) -> None:
    (tmp_path / "val" / "a").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "val" / "a" / name)
    with pytest.raises(UserError, match=message) as caught:
        loaded(tmp_path)
    assert name in str(caught.value)


CLEAR = "with transparency, which was dropped"
WIDE = "of 16 bits a channel, of which the upper 8 were read"


@pytest.mark.parametrize(
    ("content", "shades", "note"),
    [
        (png(16, 2, b"\x80\x00\x40\x00\x20\x00" * 4), (128, 64, 32), WIDE),
        (png(16, 4, b"\x80\x00\xff\xff" * 4), (128, 128, 128), WIDE),
        (png(8, 6, b"\x10\x20\x30\x40" * 4), (16, 32, 48), CLEAR),
        (png(8, 6, b"\x10\x20\x30\xff" * 4), (16, 32, 48), ""),
        (png(8, 4, b"\x64\x00" * 4), (100, 100, 100), CLEAR),
        (png(1, 0, b"\xf0"), (255, 255, 255), ""),
        (png(2, 0, b"\x55"), (85, 85, 85), ""),
    ],
)
def test_what_a_mode_loses_is_told(
    tmp_path: Path, content: bytes, shades: tuple[int, int, int], note: str
) -> None:
    picture(tmp_path / "val" / "a" / "0.png").write_bytes(content)
    examples = loaded(tmp_path)
    assert tuple(examples.images[0, 1, 1].tolist()) == shades
    assert len(examples.notes) == bool(note)
    assert note in "".join(examples.notes)


def test_other_modes_of_colour(tmp_path: Path) -> None:
    folder = tmp_path / "val" / "a"
    folder.mkdir(parents=True)
    Image.new("CMYK", (4, 4), (0, 0, 0, 155)).save(folder / "0.jpg")
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 100, 100, 100])
    palette.save(folder / "1.png", transparency=1)
    frames = [Image.new("RGB", (4, 4), (100,) * 3), Image.new("RGB", (4, 4), (200,) * 3)]
    frames[0].save(folder / "2.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "3.tif", save_all=True, append_images=frames[1:])
    examples = loaded(tmp_path)
    assert examples.images.min() >= 99
    assert examples.images.max() <= 101
    told = " ".join(examples.notes)
    assert "1 picture in CMYK, turned into RGB without its colour profile" in told
    assert f"1 picture {CLEAR}" in told
    assert "2 pictures with several frames, of which the first was read" in told


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_pictures_are_turned_as_exif_says(tmp_path: Path, orientation: int, name: str) -> None:
    """The bright half of a picture is on top, however it lies in its file."""
    upright = np.zeros((8, 8, 3), np.uint8)
    upright[:4, :4] = 250
    upright[:4, 4:] = 150
    back = {
        **{1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180},
        **{4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE},
        **{6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE},
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    lying = Image.fromarray(upright)
    lying = lying if back is None else lying.transpose(back)
    (tmp_path / "val" / "a").mkdir(parents=True)
    how: dict[str, Any] = {"quality": 100, "subsampling": 0} if name == "a.jpg" else {}
    lying.save(tmp_path / "val" / "a" / name, exif=turned(orientation), **how)
    examples = loaded(tmp_path, Preprocess((8, 8)))
    np.testing.assert_allclose(examples.images[0].astype(int), upright, atol=6)
    note = () if orientation == 1 else ("1 picture turned as EXIF says",)
    assert examples.notes == note


def test_exif_that_says_nothing_sensible_turns_nothing(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 77
    picture(tmp_path / "val" / "a" / "0.jpg", 90, exif=exif)
    assert loaded(tmp_path).notes == ()


def with_text(good: bytes) -> bytes:
    at = good.index(b"IDAT") - 4
    return good[:at] + chunk(b"zTXt", b"k\0\0" + zlib.compress(b"a" * 80 * 2**20)) + good[at:]


def bomb(good: bytes) -> bytes:
    return png(1, 0, bytes(2500), 20_000)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: b"",
        lambda good: good[: len(good) // 2],
        lambda good: good[:20],
        lambda good: b"<html>404</html>",
        lambda good: b"\0" * 500,
        lambda good: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        lambda good: good[:16] + b"\0" * 8 + good[24:],
        with_text,
        bomb,
    ],
)
def test_a_broken_picture_is_named(
    tmp_path: Path, suffix: str, spoil: Callable[[bytes], bytes]
) -> None:
    if spoil in (with_text, bomb) and suffix != ".png":
        return
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
    file = picture(tmp_path / "val" / "a" / "0.png").with_name(f"bad{suffix}")
    noise.save(written := io.BytesIO(), Image.registered_extensions()[suffix])
    file.write_bytes(spoil(written.getvalue()))
    with pytest.raises(UserError, match=f"cannot read picture .*bad{suffix}"):
        loaded(tmp_path)


def test_a_folder_called_like_a_picture_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "val" / "a" / "0.png")
    (tmp_path / "val" / "a" / "1.png").mkdir()
    with pytest.raises(UserError, match=r"cannot read picture .*1\.png: .*directory"):
        loaded(tmp_path)


def test_grey_nets_see_grey(tmp_path: Path) -> None:
    folder = tmp_path / "val" / "a"
    picture(folder / "0.png", 100)
    Image.fromarray(full(50, np.uint8)).save(folder / "1.png")
    examples = loaded(tmp_path, GREY)
    assert examples.images.shape == (2, 4, 4, 1)
    assert set(examples.images.ravel().tolist()) == {50, 100}
    assert examples.notes == ()  # no colour was lost
    red = Image.new("RGB", (4, 4), (200, 0, 0))
    red.save(folder / "2.png")
    examples = loaded(tmp_path, GREY)
    assert int(np.asarray(red.convert("L"))[0, 0]) in examples.images
    assert examples.notes == ("pictures were read as grey, 1 of 3 of which have colours",)


def test_channels_that_fit_no_picture_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "val" / "a" / "0.png")
    with pytest.raises(UserError, match=r"pictures have 3 channels, preprocess\.mean has 2 values"):
        loaded(tmp_path, Preprocess((4, 4), mean=(0.0, 0.0), std=(1.0, 1.0)))


def test_grey_data_for_a_net_of_colours_and_the_reverse() -> None:
    """Of data sets that are not folders, too."""
    three = _data.load("digits", "test", 4, Preprocess((8, 8)))
    assert three.images.shape == (4, 8, 8, 3)
    assert "three equal channels" in " ".join(three.notes)
    grey = _data.load("scenes", "test", 4, Preprocess((96, 96), mean=(0.0,), std=(255.0,)))
    colour = _data.load("scenes", "test", 4).images
    luma = [np.asarray(Image.fromarray(image).convert("L")) for image in colour]
    np.testing.assert_array_equal(grey.images[..., 0], luma)
