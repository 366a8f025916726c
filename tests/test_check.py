"""A check before a run: what would go wrong, what the data holds, and what each net is given."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from paretomark import bench
from paretomark.devices.measure import _check, _look
from paretomark.devices.measure._look import ModelLook, Seen
from paretomark.devices.measure._request import RunRequest
from paretomark.devices.measure._work import Progress
from paretomark.models.data import _data
from paretomark.reports import _sheet
from paretomark.reports import check as report
from paretomark.suites.spec._model import Preprocess

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

pytestmark = pytest.mark.build

SUITE = """
devices = {devices}
examples = 200
deadline_s = 20.0
[model.digits_mlp]
[recipe.fp32]
"""


def suite(folder: Path, *devices: str) -> Path:
    path = folder / "s.toml"
    targets = json.dumps([f"fake:{d}" for d in devices])
    path.write_text(SUITE.format(devices=targets))
    return path


def checked(call: Callable[..., Called], path: Path, *more: str) -> tuple[int, dict[str, Any]]:
    result = call("check", path, "--out", path.parent / "out", "--json", *more)
    return result.code, json.loads(result.out)


def test_a_good_suite_passes_and_its_net_is_shown(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    code, said = checked(call, suite(tmp_path, "ok"))
    assert code == 0
    assert [(c["status"], c["broken"], c["examples"]) for c in said["cells"]] == [("ok", "", 64)]
    assert said["cells"][0]["answers"] == "scores of 10 classes"
    [model] = said["models"]
    truth = _data.load("digits", "test", 200).labels
    assert model["pictures"] == 200
    assert model["counts"] == {str(n): int((truth == n).sum()) for n in range(10)}
    assert [p["label"] for p in model["first"]] == [str(n) for n in truth[:8]]
    assert sum(p["right"] for p in model["first"]) >= 7
    assert "input float32 (1, 1, 8, 8), values 0.00 … 1.00, grey, mean 0" in model["input"]
    with Image.open(model["sheet"]) as picture:
        assert picture.format == "PNG"


def test_what_would_fail_is_said_with_its_reason(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    path = suite(tmp_path, "ok", "load-crash", "wrong", "absent")
    code, said = checked(call, path)
    assert code == bench.SOME_FAILED
    cells = {c["cell"].split("/")[2]: c for c in said["cells"]}
    assert cells["fake:ok"]["status"] == "ok"
    assert "this device fails to load" in cells["fake:load-crash"]["reason"]
    assert cells["fake:wrong"]["stage"] == "scoring"
    assert cells["fake:absent"]["status"] == "unavailable"
    assert checked(call, path, "--device", "fake:ok")[0] == 0
    assert call("check", path, "--recipe", "none").code == bench.USER_ERROR


def test_a_net_that_runs_nowhere_is_shown_as_it_would_be_given(
    tmp_path: Path, call: Callable[..., Called]
) -> None:
    code, said = checked(call, suite(tmp_path, "load-crash"))
    [model] = said["models"]
    assert (code, model["cell"]) == (bench.SOME_FAILED, "")
    assert model["input"].startswith("no cell took the pictures, which as prepared have, values")
    assert [(p["told"], p["right"]) for p in model["first"]] == [("", None)] * 8
    assert Path(model["sheet"]).is_file()


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, str, dict[str, Any]]:
    """Whether it failed, the text and the JSON of a check of data that is faulty in many ways."""
    folder = tmp_path_factory.mktemp("faulty")
    examples = _data.load("digits", "test", 200)
    swapped, large = examples.labels.copy(), examples.labels.copy()
    swapped[[0, 1]], large[151] = swapped[[1, 0]], 10
    labels = {
        "swapped": swapped,
        "large": large,
        "shifted": (examples.labels - 1) % 10,
        "reordered": examples.labels * 3 % 10,
    }
    models = ""
    for name, truth in labels.items():
        np.savez(folder / f"{name}.npz", x_test=examples.images, y_test=truth)
        models += f'[model.{name}]\nnet = "digits_mlp"\ndata = "npz:{folder / name}.npz"\n'
    text = f'devices = ["fake:ok"]\nexamples = 200\n{models}[recipe.fp32]\n'
    check = _check.check(RunRequest(text, "s", str(folder)), Progress())
    sheets = report.write(check, folder / "out")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        report.show(check, sheets)
    return check.failed, out.getvalue(), report.as_json(check, sheets)


def test_swapped_labels_are_seen_beside_the_answers(
    faulty: tuple[bool, str, dict[str, Any]],
) -> None:
    _, text, said = faulty
    first = next(m for m in said["models"] if m["model"] == "swapped")["first"]
    assert [p["right"] for p in first[:2]] == [False, False]
    assert (first[0]["label"], first[0]["told"]) == (first[1]["told"], first[1]["label"])
    assert text.count("✗") > 2
    assert "2 of 4 cells would run" in text


def test_labels_that_answers_cannot_be_right_about_are_found(
    faulty: tuple[bool, str, dict[str, Any]],
) -> None:
    failed, text, said = faulty
    assert failed
    cells = {c["cell"].split("/")[0]: c for c in said["cells"]}
    assert (cells["swapped"]["status"], cells["swapped"]["broken"]) == ("ok", "")
    assert "answers are off by +1" in cells["shifted"]["broken"]
    assert any("in another order of classes" in w for w in cells["reordered"]["warnings"])
    # the only one that is too large stands far behind the pictures that are shown
    assert "the data has a label 10" in cells["large"]["reason"]
    assert next(m for m in said["models"] if m["model"] == "large")["counts"]["10"] == 1
    for sentence in ("answers are off by +1", "in another order of", "the data has a label 10"):
        assert sentence in text


def test_pictures_are_chosen_first_and_from_everywhere_in_whole_batches() -> None:
    labels = np.zeros((1000, 2, 2), np.uint8)
    labels[700, 0, 0], labels[600] = 9, 255
    some = _check.chosen(labels, 1000, 7)
    assert some[:8] == list(range(8))
    assert 700 in some
    assert len(some) == len(set(some)) == 70
    assert max(some) > 900
    assert _check.chosen(None, 5, 7) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("task", "labels", "classes", "counts"),
    [
        ("classification", np.array([2, 0, 2]), ("a", "b", "c"), {0: 1, 1: 0, 2: 2}),
        ("classification", np.array([1, 3]), (), {1: 1, 3: 1}),
        ("segmentation", np.array([[[0, 1]], [[1, 255]]], np.uint8), (), {0: 1, 1: 2, 255: 1}),
        ("keypoints", np.array([[[1, 1, 2], [0, 0, 0]]], np.float32), (), {0: 1, 1: 0}),
        ("counting", np.array([3.0]), (), {}),
    ],
)
def test_what_the_data_holds_is_counted_by_its_task(
    task: str, labels: np.ndarray[Any, Any], classes: tuple[str, ...], counts: dict[int, int]
) -> None:
    assert _look.counted(task, labels, classes) == counts


def test_pictures_are_drawn_as_the_net_gets_them() -> None:
    blue = np.array([[[[0, 0, 255]]], [[[255, 0, 0]]]], np.uint8)
    preprocess = Preprocess((1, 1), (103.0, 116.0, 123.0), (1.0, 1.0, 1.0), order="bgr")
    values = _data.normalise(preprocess, blue)
    seen = Seen(values, "uint8", (1, 3, 1, 1), 0.0, 255.0)
    look = ModelLook("m", "classification", "d", {}, preprocess=preprocess, seen=seen)
    red, green, other = _sheet.shades(seen)[0, 0, 0].tolist()
    assert (red, min(green, other) < 30) == (255, True)  # what is blue stands in the first channel
    told = _sheet.caption(look, seen)
    assert "input uint8 (1, 3, 1, 1), values 0 … 255, which mean −123 … 152, order bgr" in told
    assert "mean 103, 116, 123, std 1." in told
    assert "blue is drawn as red" in told
