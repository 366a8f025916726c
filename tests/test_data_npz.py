"""Archives: what can only mean one thing is read as that, the rest is refused with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretomark.models.data import _data
from paretomark.models.data._data import Examples
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

N, H, W = 12, 6, 5
GREY = Preprocess((H, W), mean=(0.0,), std=(255.0,))
COLOUR = Preprocess((H, W))
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (N, H, W, 1), np.uint8)
RGB = RNG.integers(0, 256, (N, H, W, 3), np.uint8)
Y = np.arange(N) % 3


def loaded(
    folder: Path,
    preprocess: Preprocess | None = GREY,
    split: _data.Split = "test",
    **arrays: Any,
) -> Examples:
    np.savez(folder / "a.npz", **({"x_test": X, "y_test": Y} | arrays))
    return _data.load(f"npz:{folder}/a.npz", split, None, preprocess)


@pytest.mark.parametrize(
    ("arrays", "note"),
    [
        ({}, ""),
        ({"x_test": X[..., 0]}, "(N, H, W) were read as grey"),
        ({"x_test": X.transpose(0, 3, 1, 2)}, "(N, C, H, W)"),
        ({"x_test": X.astype(np.int64)}, "int64 from"),
        ({"x_test": X.astype(np.float64)}, "float64 from"),
        ({"x_test": X / np.float32(255)}, "multiplied by 255"),
        ({"x_test": X + np.float32(0.3) * (X < 255)}, "read as 0..255, and rounded"),
        ({"y_test": Y[:, None]}, ""),
        ({"y_test": Y.astype(np.float32)}, ""),
        ({"y_test": np.eye(3)[Y]}, "one-hot, of 3 classes"),
        ({"y_test": np.eye(4, dtype=bool)[Y]}, "one-hot, of 4 classes"),
    ],
)
def test_what_can_only_mean_one_thing(tmp_path: Path, arrays: Any, note: str) -> None:
    examples = loaded(tmp_path, **arrays)
    assert examples.images.dtype == np.uint8
    np.testing.assert_array_equal(examples.images, X)
    assert examples.labels.dtype == np.int64
    assert examples.labels.tolist() == Y.tolist()
    assert note in " ".join(examples.notes)
    assert len(examples.notes) == bool(note)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_test": X.astype(np.uint16) * 257}, "x_test: must be pixels from 0 to 255, is uint16"),
        ({"x_test": X.astype(np.int64) - 9}, "must be pixels from 0 to 255, is int64 from -9"),
        ({"x_test": X / np.float32(127.5) - 1}, "must be pixels from 0 to 255"),
        ({"x_test": np.where(X > 9, X, np.nan)}, "must be pixels from 0 to 255"),
        ({"x_test": X / np.float32(200)}, "may be 0..1 or 0..255"),
        ({"x_test": (X > 99).astype(np.int64)}, "may be 0..1 or 0..255"),
        ({"x_test": X.astype("S3")}, r"must be pixels, is \|S3"),
        ({"x_test": X[0]}, "6 pictures, y_test has 12"),
        ({"x_test": X.reshape(N, -1)}, r"must be uint8 \(N, H, W, C\) of 1 or 3 channels"),
        ({"x_test": np.concatenate([RGB, X], 3)}, r"\(12, 6, 5, 4\)"),
        ({"x_test": X[:-1]}, "11 pictures, y_test has 12 labels"),
        ({"y_test": Y - 1}, "y_test: must be whole numbers from 0 on, is from -1 to 1"),
        ({"y_test": Y + 0.5}, "whole numbers from 0 on"),
        ({"y_test": np.full(N, np.nan)}, "whole numbers from 0 on"),
        ({"y_test": np.array(["cat"] * N)}, "class indices from 0 on, is <U3"),
        ({"y_test": np.full((N, 3), 1 / 3)}, "not one-hot"),
        ({"y_test": np.ones((N, 3))}, "not one-hot"),
        ({"y_test": Y[None]}, "not one-hot"),
    ],
)
def test_the_rest_is_refused(tmp_path: Path, arrays: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        loaded(tmp_path, **arrays)
    assert "a.npz" in str(caught.value)


def test_shares_of_255_for_a_net_that_counts_from_0_to_1_are_refused(tmp_path: Path) -> None:
    """It would be shown pixels 255 times too bright."""
    small = Preprocess((H, W), mean=(0.5,), std=(0.5,))
    with pytest.raises(UserError, match=r"preprocess.std 0.5: mean and std are for pixels from 0"):
        loaded(tmp_path, small, x_test=X / np.float32(255))
    assert loaded(tmp_path, small).notes == ()


def test_pictures_that_are_all_but_black_are_told(tmp_path: Path) -> None:
    notes = loaded(tmp_path, x_test=(X > 99).astype(np.uint8)).notes
    assert notes == ("no pixel is above 1: on the scale of 0 to 255 all are black",)


def test_grey_and_colour(tmp_path: Path) -> None:
    three = loaded(tmp_path, COLOUR)
    np.testing.assert_array_equal(three.images, np.repeat(X, 3, 3))
    assert "three equal channels" in three.notes[0]
    one = loaded(tmp_path, GREY, x_test=RGB)
    assert one.images.shape == X.shape
    assert "12 of 12 of which have colours" in one.notes[0]
    assert loaded(tmp_path, COLOUR, x_test=RGB.transpose(0, 3, 1, 2)).images.shape == RGB.shape
    four = Preprocess((H, W), mean=(0.0,) * 4, std=(255.0,) * 4)
    assert loaded(tmp_path, four, x_test=np.concatenate([RGB, X], 3)).images.shape == (N, H, W, 4)


def test_pictures_as_narrow_as_they_have_channels(tmp_path: Path) -> None:
    thin = RNG.integers(0, 256, (N, 3, H, 3), np.uint8)
    with pytest.raises(UserError, match=r"may be \(N, H, W, C\) or \(N, C, H, W\)"):
        loaded(tmp_path, None, x_test=thin)
    upright = loaded(tmp_path, Preprocess((3, H)), x_test=thin)
    np.testing.assert_array_equal(upright.images, thin)
    moved = loaded(tmp_path, Preprocess((H, 3)), x_test=thin)
    np.testing.assert_array_equal(moved.images, thin.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("count", "kept", "aside"), [(2, 1, 1), (6, 5, 1), (9, 8, 1), (10, 9, 1), (12, 11, 1)]
)
def test_few_training_pictures_still_leave_some_to_train_on_and_to_calibrate(
    tmp_path: Path, count: int, kept: int, aside: int
) -> None:
    arrays: dict[str, Any] = {"x_train": X[:count], "y_train": Y[:count]}
    train = loaded(tmp_path, split="train", **arrays)
    calibration = loaded(tmp_path, split="calibration", **arrays)
    np.testing.assert_array_equal(train.images, X[:kept])
    np.testing.assert_array_equal(calibration.images, X[kept:count])
    assert len(calibration.images) == aside
    held = _data.holds(f"npz:{tmp_path}/a.npz")
    assert {s: h.pictures for s, h in held.items()} == {
        "train": kept,
        "calibration": aside,
        "test": N,
    }


def test_a_single_training_picture_is_no_calibration(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"x_train": X[:1], "y_train": Y[:1]}
    assert len(loaded(tmp_path, split="train", **arrays).labels) == 1
    with pytest.raises(UserError, match="no pictures in its calibration split"):
        loaded(tmp_path, split="calibration", **arrays)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and no more", b"x,y\n1,2\n"])
def test_a_file_that_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"b\.npz is not a readable \.npz file"):
        _data.load(f"npz:{tmp_path}/b.npz", "test", None, GREY)


def test_other_archives_are_named_with_what_they_have(tmp_path: Path) -> None:
    np.save(tmp_path / "b.npy", X)
    with pytest.raises(UserError, match=r"b\.npy is not a readable \.npz file"):
        _data.splits(f"npz:{tmp_path}/b.npy")
    np.savez(tmp_path / "c.npz", test_images=X, test_labels=Y)
    with pytest.raises(UserError, match="no x_test and y_test, but test_images, test_labels"):
        _data.load(f"npz:{tmp_path}/c.npz", "test", None, GREY)
