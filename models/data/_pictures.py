"""Reading a picture: whatever its file holds becomes RGB of 8 bits, and what is lost is noted."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from paretomark.models.data._notes import Notes
from paretomark.suites.spec._errors import UserError

# In small letters: those that tools write, and that Pillow reads by itself.
_USUAL = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_RARE = (".jpe", ".jfif", ".apng", ".dib", ".pbm", ".pnm", ".jp2", ".j2k", ".tga", ".avif", ".qoi")
SUFFIXES = frozenset([*_USUAL, *_RARE])
_ORIENTATION = 0x0112  # tag of EXIF and TIFF
_TURN = Image.Transpose
_TURNS = {
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_270,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_90,
}
_BACK = {_TURN.ROTATE_270: _TURN.ROTATE_90, _TURN.ROTATE_90: _TURN.ROTATE_270}
_SHADES = {"L;2": 85, "L;4": 17}  # by how much Pillow multiplies grey of few bits


class Picture(NamedTuple):
    """A picture in both of the positions that labels may be drawn in, which mostly are one."""

    turned: Image.Image  # as its EXIF says
    stored: Image.Image  # as it lies in the file

    @property
    def is_turned(self) -> bool:
        """Whether its EXIF says anything."""
        return self.turned is not self.stored


class Mask(NamedTuple):
    """The numbers of a mask, (H, W), as it is to be seen, and whether its own EXIF says how."""

    values: NDArray[np.integer]
    is_turned: bool


def read(path: Path, notes: Notes) -> Picture:
    """Return a picture in RGB. Raises UserError that names the file for whatever is wrong with it.

    Grey of 16 bits is scaled from 0..65535 to 0..255, transparency is dropped, of several frames
    the first is read.
    """
    with opened(path) as picture:
        frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)
        wide = not picture.mode.startswith("I") and ";16" in _coding(picture)
        found = _positions(picture)
        turned = _rgb(found.turned, path, notes)
        stored = _rgb(found.stored, path, Notes()) if found.is_turned else turned
    if frames > 1:
        notes.count("picture with several frames, of which the first was read")
    if wide:
        notes.count("picture of 16 bits a channel, of which the upper 8 were read")
    return Picture(turned, stored)


def read_mask(path: Path) -> Mask:
    """Return a mask, whose numbers are kept. Raises UserError for a file that cannot be one."""
    with opened(path) as picture:
        _check_mask(picture, path)
        raw, found = _coding(picture), _positions(picture)
    mask = found.turned
    values = np.asarray(mask)
    if mask.mode == "1":
        values = values.astype(np.uint8)
    return Mask(values // _SHADES.get(raw, 1), found.is_turned)


def glance(pictures: Iterable[Path], masks: Iterable[Path] = ()) -> None:
    """Raise UserError, as `read` and `read_mask` do, for files whose heads tell that they are no
    pictures, or no masks."""
    for path in pictures:
        with opened(path):
            pass
    for path in masks:
        with opened(path) as mask:
            _check_mask(mask, path)


def _check_mask(mask: Image.Image, path: Path) -> None:
    if mask.format in ("JPEG", "MPO", "GIF"):
        raise UserError(
            f"{path} is a {mask.format}, which changes the numbers of classes: save it as PNG"
        )
    if mask.mode not in ("P", "L", "1") and not mask.mode.startswith("I"):
        raise UserError(
            f"{path} is a picture in {mask.mode}: a mask has one class number a pixel, not a colour"
        )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture, and turn whatever is raised while it is worked with into UserError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd but readable files
            with Image.open(path) as picture:
                yield picture
    except UserError:
        raise
    except Exception as error:  # what decoders raise is of every kind
        what = str(error) or type(error).__name__
        raise UserError(
            f"cannot read picture {path}: {what}; mend the file, or take it out of the data"
        ) from None


def _coding(picture: Image.Image) -> str:
    """How the pixels lie in the file of a picture that is not loaded yet, as Pillow calls it."""
    tiles = getattr(picture, "tile", None) or [("", None, 0, "")]
    coding = tiles[0][3]
    return str(coding[0] if isinstance(coding, tuple) and coding else coding)


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """What EXIF says is to be done to a picture that is not loaded yet."""
    return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))


def _positions(picture: Image.Image) -> Picture:
    turn = _turn(picture)
    picture.load()
    if turn is None:
        return Picture(picture, picture)
    if picture.getexif().get(_ORIENTATION) is None:  # Pillow turns TIFF itself, and drops the tag
        return Picture(picture, picture.transpose(_BACK.get(turn, turn)))
    return Picture(picture.transpose(turn), picture)


def _rgb(picture: Image.Image, path: Path, notes: Notes) -> Image.Image:
    if picture.mode == "F":
        raise UserError(
            f"{path} has floating-point pixels, whose range it does not say: save it with 8 or 16 "
            "bits"
        )
    if picture.mode.startswith("I"):
        return _of_16_bits(picture, path, notes).convert("RGB")
    if picture.mode in ("La", "RGBa"):  # premultiplied
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    clear = picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info
    if clear and np.asarray(picture.convert("RGBA"))[..., 3].min() < 255:
        notes.count("picture with transparency, which was dropped: colours are as stored")
    if picture.mode in ("CMYK", "LAB"):
        notes.count(f"picture in {picture.mode}, turned into RGB without its colour profile")
    return picture.convert("RGB")


def _of_16_bits(picture: Image.Image, path: Path, notes: Notes) -> Image.Image:
    values = np.asarray(picture)
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > 65535:
        raise UserError(
            f"{path} has grey values from {least} to {most}: save it with 8 or 16 bits, 0 to 65535"
        )
    notes.deep.append((most, str(path)))
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))
