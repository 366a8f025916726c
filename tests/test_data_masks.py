"""Masks: numbers are classes only where that is beyond doubt, or declared."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from paretomark.models.data import _data, masks
from paretomark.models.data._data import Examples
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.tests._pictures import picture, turned

SIDE = 8
SIZE = Preprocess((SIDE, SIDE))


def figure(value: int, ground: int = 0, dtype: type = np.uint8) -> NDArray[Any]:
    mask: NDArray[Any] = np.full((SIDE, SIDE), ground, dtype)
    mask[2:5, 3:7] = value
    return mask


def made(root: Path, *values: NDArray[Any] | Image.Image, suffix: str = ".png") -> None:
    for i, mask in enumerate(values):
        picture(root / "images" / f"{i}.png", 10 * i, (SIDE, SIDE))
        (root / "masks").mkdir(exist_ok=True)
        drawn = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        drawn.save(root / "masks" / f"{i}{suffix}")


def loaded(root: Path, preprocess: Preprocess = SIZE, count: int | None = None) -> Examples:
    return _data.load(f"masks:{root}", "test", count, preprocess, "segmentation")


def there(examples: Examples) -> set[int]:
    return set(examples.labels.ravel().tolist())


def grey_png(depth: int, values: NDArray[np.uint8]) -> bytes:
    """A PNG of grey with few bits a pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    bits = np.unpackbits(values[..., None], axis=2)[..., -depth:].reshape(len(values), -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(bits, axis=1))
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_masks_of_0_and_255_must_say_what_these_are(tmp_path: Path) -> None:
    made(tmp_path, figure(255), figure(255), figure(0))
    with pytest.raises(UserError, match=r"no numbers but 0 and 255.*'0 ground' and '255 figure'"):
        loaded(tmp_path)
    (tmp_path / "classes.txt").write_text("0 ground\n255 figure\n")
    examples = loaded(tmp_path)
    assert examples.classes == ("ground", "figure")
    assert sorted(int(mask.sum()) for mask in examples.labels) == [0, 12, 12]
    (tmp_path / "classes.txt").write_text("0 ground\n1 figure\n255 void\n")
    examples = loaded(tmp_path)
    assert there(examples) == {0, 255}
    assert examples.classes == ("ground", "figure")


@pytest.mark.parametrize(
    "values",
    [
        (figure(255, 255),),  # nothing would be scored
        (figure(0), figure(255)),
        (Image.fromarray(figure(255)).quantize(2), figure(255)),
    ],
)
def test_other_masks_in_which_255_is_all_there_is(tmp_path: Path, values: Any) -> None:
    made(tmp_path, *values)
    if not isinstance(values[0], Image.Image):
        with pytest.raises(UserError, match="no numbers but 0 and 255"):
            loaded(tmp_path)
    else:  # the numbers of a palette are 0 and 1
        assert 1 in there(loaded(tmp_path))


@pytest.mark.parametrize(
    ("mask", "numbers"),
    [
        (figure(1), {0, 1}),
        (figure(3, 255), {3, 255}),
        (figure(200, 0), None),
        (Image.fromarray(figure(255)).convert("1"), {0, 1}),
        (figure(7, dtype=np.uint16), {0, 7}),
        (figure(255, 4, np.uint16), {4, 255}),
        (figure(24_000, dtype=np.uint16), None),
        (figure(65_535, dtype=np.uint16), None),
        (figure(128), {0, 128}),  # whether there is such a class, scoring knows
    ],
)
def test_numbers_that_are_classes(tmp_path: Path, mask: Any, numbers: set[int] | None) -> None:
    made(tmp_path, mask)
    if numbers is None:
        with pytest.raises(UserError, match=r"0\.png has the number \d+: .*shades"):
            loaded(tmp_path)
    else:
        assert there(loaded(tmp_path)) == numbers


def test_palettes_keep_their_numbers(tmp_path: Path) -> None:
    palette = Image.fromarray(figure(15)).convert("P")
    palette.putpalette([0, 0, 0] * 15 + [192, 128, 128])
    made(tmp_path, palette)
    assert there(loaded(tmp_path)) == {0, 15}


@pytest.mark.parametrize("depth", [2, 4])
def test_grey_of_few_bits_is_not_stretched(tmp_path: Path, depth: int) -> None:
    """Of 2 bits, Pillow reads the numbers 0, 1, 2, 3 as 0, 85, 170, 255."""
    made(tmp_path, figure(0))
    (tmp_path / "masks" / "0.png").write_bytes(grey_png(depth, figure(3, 1)))
    assert there(loaded(tmp_path)) == {1, 3}


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((SIDE, SIDE, 3), np.uint8), "one class number a pixel, not a colour"),
        (np.zeros((SIDE, SIDE, 4), np.uint8), "one class number a pixel, not a colour"),
        (np.zeros((SIDE, SIDE + 1), np.uint8), "9x8, its picture 8x8"),
        (figure(1) + np.arange(248, 256, dtype=np.uint8), "rather shades of grey"),
    ],
)
def test_what_is_no_mask_is_refused(tmp_path: Path, mask: Any, message: str) -> None:
    made(tmp_path, mask)
    with pytest.raises(UserError, match=message) as caught:
        loaded(tmp_path)
    assert "0.png" in str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".gif"])
def test_formats_that_change_numbers_are_refused(tmp_path: Path, suffix: str) -> None:
    made(tmp_path, figure(2), suffix=suffix)
    with pytest.raises(UserError, match=rf"which keep numbers \(0\{suffix} does not keep them"):
        loaded(tmp_path)
    (tmp_path / "masks" / f"0{suffix}").rename(tmp_path / "masks" / "0.png")
    with pytest.raises(UserError, match=r"0\.png is a (JPEG|GIF), which changes the numbers"):
        loaded(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp"])
def test_formats_that_keep_numbers(tmp_path: Path, suffix: str) -> None:
    made(tmp_path, figure(2), suffix=suffix)
    assert there(loaded(tmp_path)) == {0, 2}


def test_numbers_that_are_declared_become_classes_in_their_order(tmp_path: Path) -> None:
    made(tmp_path, figure(11, 7), figure(300, 0, np.uint16))
    (tmp_path / "classes.txt").write_text("0 void\n300 the sky\n7 road\n11 car\n1 void\n")
    examples = loaded(tmp_path)
    assert examples.classes == ("the sky", "road", "car")
    assert sorted(set(map(frozenset, examples.labels.reshape(2, -1).tolist())), key=min) == [
        {0, 255},
        {1, 2},
    ]
    assert _data.holds(f"masks:{tmp_path}")["test"].classes == examples.classes


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("0 ground\n1 figure\n", r"0\.png has the number 9, which classes.txt does not name"),
        ("ground\nfigure\n", r"0\.png has the number 9, which classes.txt does not name"),
        ("0 ground\nfigure\n", "line 2: must be a number and a name"),
        ("0 ground\n9\n", "line 2: must be a number and a name"),
        ("0 ground\n9 ground\n", "line 2: the number or the name stands above"),
        ("0 ground\n0 figure\n", "line 2: the number or the name stands above"),
    ],
)
def test_declarations_that_do_not_fit(tmp_path: Path, declared: str, message: str) -> None:
    made(tmp_path, figure(9))
    (tmp_path / "classes.txt").write_text(declared)
    with pytest.raises(UserError, match=message):
        loaded(tmp_path)


def test_names_alone_leave_the_numbers_as_they_are(tmp_path: Path) -> None:
    made(tmp_path, figure(2, 255))
    (tmp_path / "classes.txt").write_text("ground\ncat\ndog\n")
    assert there(loaded(tmp_path)) == {2, 255}
    assert loaded(tmp_path).classes == ("ground", "cat", "dog")


def test_what_lies_beside_is_told_and_two_pictures_do_not_share_a_mask(tmp_path: Path) -> None:
    made(tmp_path, figure(1), figure(1))
    (tmp_path / "images" / "1.png").unlink()
    (tmp_path / "images" / "notes.txt").write_text("")
    picture(tmp_path / "images" / "more" / "2.png")
    assert set(loaded(tmp_path).notes) == {
        "1 mask without a picture passed over: 1.png",
        "1 file without a suffix of pictures passed over: notes.txt",
        "1 picture in folders inside 'images' passed over",
    }
    picture(tmp_path / "images" / "0.jpg")
    with pytest.raises(UserError, match=r"0\.jpg and 0.png have the same mask"):
        loaded(tmp_path)


def lying(side: tuple[int, int], orientation: int | None, path: Path, bright: int) -> None:
    """A file whose left half is bright, (width, height), with EXIF."""
    pixels = np.zeros((side[1], side[0]), np.uint8)
    pixels[:, : side[0] // 2] = bright
    path.parent.mkdir(parents=True, exist_ok=True)
    how: dict[str, Any] = {"exif": turned(orientation)} if orientation else {}
    Image.fromarray(pixels).save(path, **how)


@pytest.mark.parametrize(
    ("size", "mask", "own", "upright", "note"),
    [
        ((40, 20), (40, 20), None, False, "not turned as EXIF says, since the mask fits"),
        ((40, 20), (20, 40), None, True, "1 picture turned as EXIF says"),
        ((40, 20), (40, 20), 6, True, "1 picture turned as EXIF says"),
        ((20, 20), (20, 20), None, True, "the mask taken for that of what is turned"),
        ((20, 20), (20, 20), 6, True, "1 picture turned as EXIF says"),
    ],
)
def test_a_mask_says_which_way_its_picture_lies(
    tmp_path: Path,
    size: tuple[int, int],
    mask: tuple[int, int],
    own: int | None,
    upright: bool,
    note: str,
) -> None:
    """EXIF 6: what is left in the file is on top of the picture."""
    lying(size, 6, tmp_path / "images" / "0.png", 200)
    lying(mask, own, tmp_path / "masks" / "0.png", 1)
    examples = loaded(tmp_path, Preprocess((20, 20)))
    image = examples.images[0, ..., 0] > 100
    half = np.zeros((20, 20), bool)
    half[:10] = True
    np.testing.assert_array_equal(image, half if upright else half.T)
    if own or mask != size:
        turned_mask = bool(own)
        expected = half if turned_mask else half.T
        np.testing.assert_array_equal(examples.labels[0] == 1, expected)
    assert len(examples.notes) == 1
    assert note in examples.notes[0]


def test_whole_masks_are_those_of_the_pictures_as_the_net_sees_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [(30, 17), (16, 16), (9, 40)]
    for i, (wide, high) in enumerate(sizes):
        picture(tmp_path / "images" / f"{i}.png", 10 * i, (wide, high))
        (tmp_path / "masks").mkdir(exist_ok=True)
        drawn = rng.integers(0, 3, (high, wide), np.uint8)
        Image.fromarray(drawn).save(tmp_path / "masks" / f"{i}.png")
    squashed = list(masks.full_masks("test", None, SIZE, str(tmp_path)))
    examples = loaded(tmp_path)
    for mask, image in zip(squashed, examples.images, strict=True):
        i = int(image.flat[0]) // 10
        drawn = np.asarray(Image.open(tmp_path / "masks" / f"{i}.png"))
        np.testing.assert_array_equal(mask, drawn)
    cropped = Preprocess((SIDE, SIDE), crop=0.5)
    for mask, whole in zip(
        masks.full_masks("test", 2, cropped, str(tmp_path)), squashed, strict=False
    ):
        high, wide = whole.shape
        side = min(high, wide) / 2
        assert mask.shape == pytest.approx((side, side), abs=1)
        top, left = round((high - side) / 2), round((wide - side) / 2)
        np.testing.assert_array_equal(
            mask, whole[top : top + mask.shape[0], left : left + mask.shape[1]]
        )
