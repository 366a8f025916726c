"""The scenes data set: what its pictures and annotations promise."""

from __future__ import annotations

import zlib
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from paretomark.models.data import _data, scenes
from paretomark.models.data._data import SPLITS, Split
from paretomark.models.data.scenes import Scenes
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess


@pytest.fixture(scope="module")
def some() -> Scenes:
    return scenes.generate("test", 300)


def test_a_picture_depends_on_its_index_only(some: Scenes) -> None:
    alone = scenes.generate("test", 2, start=40)
    np.testing.assert_array_equal(alone.images, some.images[40:42])
    np.testing.assert_array_equal(alone.labels, some.labels[40:42])
    np.testing.assert_array_equal(alone.masks, some.masks[40:42])
    np.testing.assert_array_equal(alone.keypoints, some.keypoints[40:42])


def test_load_gives_the_generated_pictures(some: Scenes) -> None:
    loaded = _data.load("scenes", "test", 5)
    assert loaded.images.shape == (5, 96, 96, 3)
    assert loaded.images.dtype == np.uint8
    assert loaded.labels.dtype == np.int64
    np.testing.assert_array_equal(loaded.images, some.images[:5])
    np.testing.assert_array_equal(loaded.labels, some.labels[:5])


def test_no_picture_is_in_two_splits_or_twice_in_one() -> None:
    by_split = {s: {i.tobytes() for i in scenes.generate(s, 60).images} for s in SPLITS}
    assert all(len(pictures) == 60 for pictures in by_split.values())
    for one, other in combinations(by_split.values(), 2):
        assert not one & other


@pytest.mark.parametrize(
    ("split", "labels", "mask_checksum"),
    [
        ("train", [6, 8, 1, 3, 0, 0, 9, 3], 2175462087),
        ("calibration", [3, 9, 7, 0, 2, 7, 11, 8], 2611556827),
        ("test", [5, 11, 10, 8, 0, 5, 11, 0], 3649741288),
    ],
)
def test_the_pictures_are_those_that_the_shipped_weights_saw(
    split: Split, labels: list[int], mask_checksum: int
) -> None:
    made = scenes.generate(split, 8)
    assert made.labels.tolist() == labels
    assert zlib.crc32(np.packbits(made.masks > 0).tobytes()) == mask_checksum


def test_pixels_are_pinned(some: Scenes) -> None:
    # Means rather than a checksum: the last bit of a sine may differ between processors.
    means = some.images[:4].mean((1, 2))
    np.testing.assert_allclose(
        means,
        [
            [143.601, 144.003, 124.627],
            [94.167, 148.931, 95.732],
            [128.046, 149.544, 109.35],
            [107.932, 159.906, 130.369],
        ],
        atol=0.01,
    )


def test_every_class_occurs_about_equally_often() -> None:
    labels = scenes.generate("train", 600).labels
    counts = np.bincount(labels, minlength=len(scenes.CLASSES))
    assert len(counts) == 12
    assert counts.min() > 25
    assert counts.max() < 80


def test_masks_carry_the_label_where_the_target_is_seen(some: Scenes) -> None:
    for label, mask in zip(some.labels, some.masks, strict=True):
        assert set(np.unique(mask).tolist()) == {0, int(label) + 1}
    share = (some.masks > 0).mean((1, 2))
    assert share.min() > 0.005
    assert share.max() < 0.6


def test_targets_differ_in_colour_from_what_is_around_them(some: Scenes) -> None:
    """A mask that were shifted, mirrored or of another picture would not separate colours."""

    def contrast(masks: NDArray[np.uint8]) -> float:
        gaps = []
        for image, mask in zip(some.images, masks, strict=True):
            inside, outside = image[mask > 0].mean(0), image[mask == 0].mean(0)
            gaps.append(float(np.linalg.norm(inside - outside)))
        return float(np.mean(gaps))

    assert contrast(some.masks) > 1.5 * contrast(some.masks[:, :, ::-1])
    assert contrast(some.masks) > 1.5 * contrast(np.roll(some.masks, 1, axis=0))


def test_seen_keypoints_bound_the_mask(some: Scenes) -> None:
    x, y, visibility = some.keypoints.transpose(2, 0, 1)
    assert set(np.unique(visibility).tolist()) == {1.0, 2.0}
    assert some.keypoints[..., :2].min() >= 0
    assert some.keypoints[..., :2].max() <= 96
    centre, top, left, bottom, right = range(5)
    assert (y[:, top] < y[:, centre]).all()
    assert (y[:, bottom] > y[:, centre]).all()
    assert (x[:, left] < x[:, centre]).all()
    assert (x[:, right] > x[:, centre]).all()
    for i, mask in enumerate(some.masks):
        rows, columns = np.nonzero(mask)
        edges = {top: rows.min(), bottom: rows.max(), left: columns.min(), right: columns.max()}
        for point, edge in edges.items():
            ends = (y if point in (top, bottom) else x)[i, point]
            outward = 1 if point in (bottom, right) else -1
            assert outward * (ends - (edge + 0.5)) >= 0  # bars only take from the silhouette
        bare = (visibility[i] == 2).all()
        assert not bare or abs(y[i, top] - (rows.min() + 0.5)) < 3


def test_bars_hide_part_of_some_targets_and_never_most_of_one(some: Scenes) -> None:
    hidden = some.keypoints[..., 2] == 1
    assert 0.05 < hidden.any(1).mean() < 0.9


def test_load_resizes_only_when_asked() -> None:
    small = _data.load("scenes", "test", 3, Preprocess(size=(48, 64)))
    assert small.images.shape == (3, 48, 64, 3)
    full = _data.load("scenes", "test", 3, Preprocess(size=(96, 96), crop=1.0))
    np.testing.assert_array_equal(full.images, scenes.generate("test", 3).images)
    half = _data.load("scenes", "test", 3, Preprocess(size=(48, 48), crop=0.5))
    np.testing.assert_array_equal(half.images, full.images[:, 24:72, 24:72])


def test_an_argument_is_refused() -> None:
    with pytest.raises(UserError, match="takes no path"):
        _data.load("scenes:/some/folder", "test", 1)
