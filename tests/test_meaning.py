"""What answers mean, and when they mean nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paretomark.devices.measure import _answers
from paretomark.devices.measure._parity import Parity
from paretomark.suites.spec._model import Reading
from paretomark.suites.tasks import _task, classification
from paretomark.suites.tasks._task import Misfit, Question, Scorer

SIZE = (8, 8)
RNG = np.random.default_rng(0)
FIGURE = np.zeros((4, *SIZE), np.uint8)
FIGURE[:, 2:5, 1:6] = 1


def ask(task: str, answers: Any, truth: Any, **about: Any) -> dict[str, Any]:
    scorer: Scorer = _task.module(task).scorer(Question(size=SIZE, **about))
    answers, truth = np.asarray(answers, np.float32), np.asarray(truth)
    for part in (slice(None, 2), slice(2, None)):  # as it comes, in batches
        scorer.add(scorer.read(answers[part]), truth[part])
    return scorer.result()


def mean(result: dict[str, Any]) -> float:
    return float(np.mean(result["scores"]))


SPREAD = np.where(FIGURE == 1, 0.9, 0.1)
TAKEN: dict[str, tuple[Any, dict[str, Any], str]] = {  # answers of one channel, and what they are
    "probabilities": (SPREAD, {}, "probabilities of one class, told"),
    "channels first": (SPREAD[:, None], {}, "probabilities"),
    "channels last": (SPREAD[..., None], {}, "probabilities"),
    "one axis": (SPREAD.reshape(4, -1), {}, "probabilities"),
    "one axis and a channel": (SPREAD.reshape(4, -1, 1), {}, "probabilities"),
    "a channel and one axis": (SPREAD.reshape(4, 1, -1), {}, "probabilities"),
    "low probabilities": (SPREAD / 2 + 0.1, {}, "probabilities"),
    "logits": (8 * SPREAD - 4, {}, "logits of one class, told"),
    "small logits": (SPREAD - 0.5, {}, "logits"),
    "classes": (3.0 * FIGURE, {}, "numbers of classes"),
    "classes of integers": (FIGURE, {"bare": True}, "numbers of classes"),
    "declared": (SPREAD + 3, {"reading": Reading("", "logits", 3.5)}, "as declared, cut at 3.5"),
    "by the float net": (SPREAD / 2 + 0.3, {"span": (-3.0, 3.0)}, "logits"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_a_single_channel_is_told_by_its_values(name: str) -> None:
    answers, about, taken = TAKEN[name]
    truth = FIGURE * 3 if name == "classes" else FIGURE
    result = ask("segmentation", answers, truth, **about)
    assert taken in result["answers"]
    expected = 1.0 if name != "by the float net" else 0.1
    assert mean(result) == pytest.approx(expected, abs=0.11)


def test_answers_are_scored_at_the_size_of_the_mask_too() -> None:
    """As others publish it: the answer scaled up, and the pixels of all pictures at once."""
    scorer: Any = _task.module("segmentation").scorer(Question(size=SIZE))
    answers = np.stack([1 - SPREAD, SPREAD], 1).astype(np.float32)
    scorer.add(read := scorer.read(answers), FIGURE)
    larger = [np.repeat(np.repeat(mask, 3, 0), 4, 1) for mask in FIGURE]
    scorer.add_full(read, larger)
    measures = scorer.result()["measures"]
    assert measures["pooled_iou"] == 1.0
    assert 0.9 < measures["own_size_iou"] <= 1.0
    scorer = _task.module("segmentation").scorer(Question(size=SIZE))
    scorer.add(scorer.read(answers), FIGURE)
    scorer.add_full(read, [])
    assert "own_size_iou" not in scorer.result()["measures"]


@pytest.mark.parametrize("name", ["nothing", "everything"])
def test_a_net_that_sees_nothing_is_not_right(name: str) -> None:
    result = ask("segmentation", np.full((4, *SIZE), -1.0 if name == "nothing" else 1.0), FIGURE)
    assert mean(result) < 0.5
    assert result["broken"] == ""


def test_swapped_figure_and_ground_are_a_fault() -> None:
    for answers in (1 - SPREAD, np.stack([SPREAD, 1 - SPREAD], 1)):
        assert "figure and ground are swapped" in ask("segmentation", answers, FIGURE)["broken"]


def test_pictures_without_a_label_are_left_out_and_counted() -> None:
    masks = FIGURE.copy()
    masks[1] = 255
    result = ask("segmentation", SPREAD, masks)
    assert (result["examples"], mean(result)) == (3, 1.0)
    assert result["warnings"] == [
        "1 of 4 pictures are left out: their masks say nothing of any pixel"
    ]
    points = np.array([[[4, 4, 2]], [[2, 6, 2]], [[1, 1, 0]]], np.float32)
    result = ask("keypoints", points[:, :, :2] / 8, points)
    assert (result["examples"], mean(result)) == (2, 1.0)
    with pytest.raises(Misfit, match="none of 4 pictures can be scored"):
        ask("segmentation", SPREAD, np.full_like(masks, 255))


def test_an_axis_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(Misfit, match="which axis"):
        ask("segmentation", np.zeros((4, 8, 8, 8)), FIGURE)
    with pytest.raises(Misfit, match="to every pixel"):
        ask("segmentation", np.zeros((4, 1, 4, 4)), FIGURE)


def test_masks_of_more_classes_than_a_net_tells_are_a_warning() -> None:
    result = ask("segmentation", SPREAD, FIGURE * 5)
    assert "classes up to 5, the net two" in result["warnings"][0]
    with pytest.raises(Misfit, match="class 5, the net has 3"):
        ask("segmentation", np.zeros((4, 3, *SIZE)), FIGURE * 5)


def test_points_in_pixels_or_turned_are_told() -> None:
    points = np.array([[[7, 1, 2], [2, 3, 2]]] * 4, np.float32)
    shares = (points[..., :2] / 8).reshape(4, -1)
    assert mean(ask("keypoints", shares, points)) == 1.0
    with pytest.raises(Misfit, match="as if in pixels"):
        ask("keypoints", 200 * shares, points)
    turned = shares.reshape(4, 2, 2)[..., ::-1].reshape(4, -1)
    assert "x and y are swapped" in ask("keypoints", turned, points)["broken"]


def test_labels_that_no_output_stands_for_are_refused() -> None:
    answers = np.eye(3)[[0, 1, 2, 0]]
    with pytest.raises(Misfit, match="label 3, and the net has 3 outputs"):
        ask("classification", answers, [1, 2, 3, 1])
    with pytest.raises(Misfit, match="label -1"):
        ask("classification", answers, [0, 1, -1, 1])
    with pytest.raises(Misfit, match="after label_offset = 1"):
        ask("classification", answers, [0, 1, 2, 0], label_offset=1)
    with pytest.raises(Misfit, match="leaves no classes"):
        ask("classification", answers, [0, 1, 2, 0], label_offset=2)
    assert "12 classes, the net tells 3" in ask(
        "classification", answers, [0, 1, 2, 0], classes=12)["warnings"][0]  # fmt: skip


@pytest.mark.parametrize("shift", [1, -1])
def test_an_offset_is_found(shift: int) -> None:
    truth = RNG.integers(1, 9, 60)
    answers = np.eye(12)[truth + 1 + shift]
    fault = ask("classification", answers, truth, label_offset=1)["broken"]
    assert f"label_offset = {1 + shift}" in fault


def test_of_two_classes_an_offset_may_as_well_be_a_bad_net() -> None:
    truth = RNG.integers(0, 2, 60)
    few = ask("classification", np.eye(3)[truth + 1], truth)
    assert few["broken"] == ""
    assert few["warnings"]


def test_classes_in_the_order_of_text_are_found() -> None:
    order = sorted(range(12), key=str)
    truth = RNG.integers(0, 12, 120)
    answers = np.eye(12)[[order.index(t) for t in truth]]
    result = ask("classification", answers, truth)
    assert "another order of classes" in result["warnings"][0]
    assert result["broken"] == ""


@pytest.mark.parametrize("right", [0.0, 0.3, 0.6, 0.9])
def test_a_net_that_is_only_bad_is_not_called_out_of_order(right: float) -> None:
    truth = RNG.integers(0, 10, 400)
    guesses = np.where(RNG.random(400) < right, truth, RNG.integers(0, 10, 400))
    result = ask("classification", np.eye(10)[guesses], truth)
    assert (result["broken"], result["warnings"]) == ("", [])


def test_ties_across_the_fifth_place_count_by_their_share() -> None:
    answers = np.array([[9, 8, 7, 6, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1, 1]], np.float32)
    share = classification.within(answers, np.array([5, 2]), 5)
    assert share == pytest.approx([1 / 3, 5 / 8])
    assert classification.within(answers[:1], np.array([3]), 5) == pytest.approx([1])
    assert classification.within(answers[:1], np.array([7]), 5) == pytest.approx([0])


def compared(task: str, answers: Any, reference: Any) -> Parity:
    parity, scorer = Parity(), _task.module(task).scorer(Question(size=SIZE))
    ours, theirs = (scorer.read(np.asarray(a, np.float32)) for a in (answers, reference))
    parity.add(ours, theirs, scorer)
    return parity


def test_answers_no_better_than_chance_are_broken_by_quantization() -> None:
    logits = RNG.normal(0, 1, (300, 5))
    near = compared("classification", logits + RNG.normal(0, 0.05, logits.shape), logits)
    far = compared("classification", logits + RNG.normal(0, 1.0, logits.shape), logits)
    chance = compared("classification", RNG.permutation(logits), logits)
    same = compared("classification", np.ones_like(logits), logits)
    assert near.quantized() == {}
    assert "far off by quantization" in far.quantized()["warnings"][0]
    for parity in (chance, same):
        assert "broken by quantization" in parity.quantized()["broken"]
    points = RNG.random((300, 4))
    assert compared("keypoints", points + 0.01, points).quantized() == {}
    mean = np.broadcast_to(points.mean(0), points.shape)
    assert "of their variance" in compared("keypoints", mean, points).quantized()["broken"]


def test_a_net_that_always_says_the_same_is_not_broken_by_quantization() -> None:
    constant = np.tile([[0.0, 1.0]], (50, 1))
    assert compared("classification", constant, constant).quantized() == {}


class Answering:
    """A device that gives these answers, one after the other."""

    def __init__(self, *answers: Any) -> None:
        self.answers = [np.asarray(a) for a in answers]

    def run(self, inputs: Any) -> Any:
        return [self.answers.pop(0)]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_other_answers_to_the_same_input_are_a_fault(dtype: str) -> None:
    first = np.array([[3, -90, 7]], dtype)
    steady: Any = Answering(first, first, first)
    assert _answers.unsteady(steady, [], [first]) == ""
    late: Any = Answering(first, first, np.array([[3, -90, 0]], dtype))
    assert "random or stateful" in _answers.unsteady(late, [], [first])
    shape: Any = Answering(np.zeros((2, 3), dtype))
    assert "shape" in _answers.unsteady(shape, [], [first])


def test_rounding_of_another_order_is_no_fault() -> None:
    first = np.array([[1.0, 1e-3]], np.float32)
    near: Any = Answering(*[first * np.float32(1 + 1e-6)] * 3)
    assert _answers.unsteady(near, [], [first]) == ""
