"""Three tasks: their data, their scores, and that pictures, masks and points move together."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from paretomark.models.data import _data, scenes
from paretomark.models.nets import _zoo
from paretomark.models.nets._zoo import Training
from paretomark.models.training import _augment
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.suites.tasks import keypoints, segmentation
from paretomark.suites.tasks._task import Misfit

pytestmark = pytest.mark.build

SIZE = Preprocess(size=(96, 96))
HALF = Preprocess(size=(48, 48))


def mask(*rows: str) -> Any:
    return np.array(
        [[int(c) if c != "v" else segmentation.VOID for c in row] for row in rows], np.uint8
    )


def test_per_picture_iou_is_the_mean_over_the_classes_that_are_there() -> None:
    truth = mask("0011", "0011")[None]
    classes = mask("0001", "0001")[None].astype(np.int64)
    # ground: 4 of 6, figure: 2 of 4
    counts = segmentation.confusion(classes, truth, 2)
    assert segmentation.iou(counts) == pytest.approx((4 / 6 + 2 / 4) / 2)
    everything = np.zeros((1, 2, 4), np.uint8)
    assert segmentation.iou(segmentation.confusion(classes * 0, everything, 2)) == pytest.approx(
        1.0
    )
    # A class that is not there is not averaged over; calling pixels so costs those that are.
    assert segmentation.iou(segmentation.confusion(classes, everything, 2)) == pytest.approx(6 / 8)


def test_void_pixels_are_not_scored_and_unknown_classes_are_an_error() -> None:
    truth, classes = mask("0v1", "0v1")[None], np.array([[[0, 1, 1], [0, 0, 1]]])
    assert segmentation.iou(segmentation.confusion(classes, truth, 3)) == pytest.approx(1.0)
    with pytest.raises(Misfit, match="class 3, the net has 3"):
        segmentation.confusion(classes, mask("031", "001")[None], 3)


def test_a_net_of_two_classes_tells_figure_from_ground() -> None:
    truth, classes = mask("0075")[None], np.array([[[0, 0, 1, 1]]])
    assert segmentation.iou(segmentation.confusion(classes, truth, 2)) == pytest.approx(1.0)


def test_layouts_of_answers_give_the_same_classes() -> None:
    logits = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    first = segmentation.classes(segmentation.channels_last(logits, (4, 5)))
    last = segmentation.classes(segmentation.channels_last(logits.transpose(0, 2, 3, 1), (4, 5)))
    np.testing.assert_array_equal(first, last)
    one = segmentation.classes(segmentation.channels_last(logits[:, 0], (4, 5)))
    np.testing.assert_array_equal(one, logits[:, 0] > 0)
    with pytest.raises(Misfit, match="every pixel"):
        segmentation.channels_last(logits, (8, 10))


def test_keypoints_are_scored_in_sizes_of_what_they_belong_to() -> None:
    points = np.array([[[10, 20, 2], [50, 20, 1], [30, 30, 0]]], np.float32)  # 40 pixels wide
    answers = np.array([[0.13, 0.2, 0.5, 0.25, 0.9, 0.9]], np.float32)  # of 100x100: 3 and 5 off
    off = keypoints.distances(answers, points, (100, 100))
    np.testing.assert_allclose(off[0, :2], [3 / 40, 5 / 40], rtol=1e-5)
    assert np.isnan(off[0, 2])
    assert keypoints.pck(off) == pytest.approx(0.5)
    with pytest.raises(Misfit, match="3 keypoints"):
        keypoints.distances(answers[:, :4], points, (100, 100))


def test_scenes_gives_the_labels_of_each_task_for_the_same_pictures() -> None:
    found = {t: _data.load("scenes", "test", 3, SIZE, t) for t in scenes.TASKS}
    made = scenes.generate("test", 3)
    for examples in found.values():
        np.testing.assert_array_equal(examples.images, made.images)
    np.testing.assert_array_equal(found["classification"].labels, made.labels)
    np.testing.assert_array_equal(found["segmentation"].labels, made.masks)
    np.testing.assert_array_equal(found["keypoints"].labels, made.keypoints)
    assert found["keypoints"].mirrored == (0, 1, 4, 3, 2)
    with pytest.raises(UserError, match="'digits' is labelled for classification, not for key"):
        _data.load("digits", "test", 3, None, "keypoints")


def test_labels_are_resized_with_their_pictures() -> None:
    masks = _data.load("scenes", "test", 3, HALF, "segmentation").labels
    points = _data.load("scenes", "test", 3, HALF, "keypoints").labels
    made = scenes.generate("test", 3)
    assert masks.shape == (3, 48, 48)
    assert set(np.unique(masks)) <= set(np.unique(made.masks))
    np.testing.assert_allclose(points[..., :2], made.keypoints[..., :2] / 2, rtol=1e-6)
    cut = _data.load("scenes", "test", 3, Preprocess(size=(48, 48), crop=0.5), "keypoints").labels
    moved = made.keypoints[..., :2] - 24
    inside = ((moved >= 0) & (moved <= 48)).all(-1)
    np.testing.assert_array_equal(cut[..., 2] > 0, inside)
    np.testing.assert_allclose(cut[..., :2][inside], moved[inside], atol=1e-4)


def test_augmentation_moves_masks_and_points_with_the_picture() -> None:
    """The seen part of a shape stays under its mask and its points, wherever the picture moves."""
    made = scenes.generate("train", 40)
    training = Training(epochs=1, count=1, shift=4, flip=True)
    marked = np.repeat((made.masks > 0).astype(np.uint8)[..., None] * 200, 3, 3)
    images, masks = _augment.augment(
        marked.copy(), made.masks.copy(), training, np.random.default_rng(0)
    )
    np.testing.assert_array_equal(images[..., 0] > 0, masks > 0)
    assert (images != marked).any()
    _, points = _augment.augment(
        marked.copy(), made.keypoints.copy(), training, np.random.default_rng(0), scenes.MIRRORED
    )
    whole = made.keypoints[..., 2].min(1) == 2  # no extreme point behind a bar
    for seen, point in zip(masks[whole], points[whole], strict=True):
        rows, columns = np.nonzero(seen)
        _, top, left, bottom, right = point[:, :2]
        around = np.array([left[0], top[1], right[0], bottom[1]])
        box = np.array([columns.min(), rows.min(), columns.max(), rows.max()]) + 0.5
        inside = (around > 4) & (around < 92)  # at the edge, what is repeated is not the shape
        np.testing.assert_allclose(around[inside], box[inside], atol=1.0)


def test_losses_vanish_at_the_truth_and_grow_away_from_it() -> None:
    truth = torch.tensor([[[0, 5], [255, 0]]], dtype=torch.uint8)
    logit = torch.tensor([[[[-20.0, 20.0], [3.0, -20.0]]]])
    size = (2, 2)
    assert float(segmentation.loss(logit, truth, size)) == pytest.approx(0, abs=1e-6)
    assert float(segmentation.loss(-logit, truth, size)) > 10
    points = torch.tensor([[[1.0, 1.0, 2.0], [9.0, 9.0, 0.0]]])
    right = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    assert float(keypoints.loss(right, points, size)) == 0
    assert float(keypoints.loss(right + 0.1, points, size)) == pytest.approx(0.9)
    for distance, answers in ((segmentation.distance, logit), (keypoints.distance, right)):
        assert float(distance(answers, answers, 4.0)) == pytest.approx(0, abs=1e-6)
        assert float(distance(answers, answers + 1, 4.0)) > 0
    assert segmentation.scores(logit.numpy(), truth.numpy(), size) == pytest.approx(1)
    assert keypoints.scores(right.numpy(), points.numpy(), size) == pytest.approx(1)


def test_a_net_says_its_task_in_its_file() -> None:
    assert _zoo.task("scenes_resnet") == "classification"
    assert _zoo.task("scenes_segmenter_wide") == "segmentation"
    assert _zoo.task("scenes_landmarks_slim") == "keypoints"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of 20x10 with masks and points, in the layout of both data sets."""
    root = tmp_path_factory.mktemp("mine")
    for name in ("images", "masks"):
        (root / name).mkdir()
    rows = []
    for i in range(3):
        picture, mask = np.zeros((10, 20, 3), np.uint8), np.zeros((10, 20), np.uint8)
        picture[2:6, 4 * i : 4 * i + 4] = 255
        mask[2:6, 4 * i : 4 * i + 4] = i + 1
        Image.fromarray(picture).save(root / "images" / f"{i}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i}.png")
        rows.append([f"images/{i}.png", 4 * i, 2, 2, 4 * i + 4, 6, 1])
    with (root / "keypoints.csv").open("w", newline="") as table:
        ends = [f"{side}_end_{what}" for side in ("left", "right") for what in "xyv"]
        csv.writer(table).writerows([["file", *ends], *rows])
    return root


def test_a_folder_of_masks(folder: Path) -> None:
    examples = _data.load(f"masks:{folder}", "test", None, Preprocess((10, 20)), "segmentation")
    assert examples.labels.shape == (3, 10, 20)
    assert sorted(examples.labels.max((1, 2))) == [1, 2, 3]
    np.testing.assert_array_equal(examples.images[..., 0] > 0, examples.labels > 0)
    with pytest.raises(UserError, match="no folder 'train'"):
        _data.load(f"masks:{folder}", "train", None, Preprocess((10, 20)), "segmentation")
    with pytest.raises(UserError, match="labelled for segmentation, not for classification"):
        _data.load(f"masks:{folder}", "test", None, Preprocess((10, 20)))


def test_a_table_of_keypoints(folder: Path) -> None:
    examples = _data.load(
        f"keypoints_csv:{folder}", "test", None, Preprocess((10, 40)), "keypoints"
    )
    assert examples.labels.shape == (3, 2, 3)
    assert examples.mirrored == (1, 0)
    corner = sorted(tuple(p) for p in examples.labels[:, 0])
    assert corner == [(0, 2, 2), (8, 2, 2), (16, 2, 2)]  # twice as wide


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks/1.png": None}, "every picture needs a mask"),
        ({"masks/1.png": np.zeros((10, 20, 3), np.uint8)}, "one class number a pixel"),
        ({"masks/1.png": np.zeros((5, 20), np.uint8)}, "20x5, its picture 20x10"),
    ],
)
def test_a_bad_mask_is_named(
    folder: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for file in (folder / name).iterdir():
            (tmp_path / name / file.name).write_bytes(file.read_bytes())
    for name, content in change.items():
        (tmp_path / name).unlink()
        if content is not None:
            Image.fromarray(content).save(tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        _data.load(f"masks:{tmp_path}", "test", None, Preprocess((10, 20)), "segmentation")
    assert "1.png" in str(caught.value)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,a\na.png,1\n", "needs columns file, NAME_x"),
        ("file,a_x,a_y\na.png,1,one\n", "line 2: a cell of 'a' is no number"),
        ("file,a_x,a_y\na.png,1,inf\n", "line 2: a cell of 'a' is no number"),
        ("file,a_x,a_y\na.png,1\n", "line 2: 2 cells, where the first row has 3"),
        ("file,a_x,a_y\nb.png,1,2\n", "line 2: there is no file .*b.png; did you mean 'a.png'"),
        ("file,a_x,a_y\na.png,1,2\n", "cannot read picture .*a.png"),
    ],
)
def test_a_bad_table_is_named(tmp_path: Path, table: str, message: str) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "keypoints.csv").write_text(table)
    with pytest.raises(UserError, match=message):
        _data.load(f"keypoints_csv:{tmp_path}", "test", None, SIZE, "keypoints")
