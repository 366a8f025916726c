"""What folders, tables and heads of files tell is refused before anything is probed or built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from paretomark import bench
from paretomark.devices.measure._request import RunRequest
from paretomark.models.data import _pictures
from paretomark.suites.spec._errors import UserError
from paretomark.tests._pictures import picture

if TYPE_CHECKING:
    from paretomark.tests.conftest import Called

SUITE = """
devices = ["{device}"]
examples = 4
batch = [1, {batch}]
[model.m]
net = "{net}"
data = "{data}"
[recipe.fp32]
{more}
"""
INT8 = '[recipe.int8]\nprecision = "int8"'
TUNED = '[recipe.tuned]\nsteps = [{ method = "finetune", epochs = 1 }]'
Make = Callable[[Path], object]


def planned(
    folder: Path,
    data: str,
    more: str = "",
    net: str = "digits_mlp",
    device: str = "fake:ok",
    batch: int = 2,
) -> None:
    text = SUITE.format(device=device, batch=batch, net=net, data=data, more=more)
    RunRequest(text, "s", str(folder)).plan()


def classes(*names: str, split: str = "val", count: int = 3) -> Make:
    """Pictures of each class."""

    def make(root: Path) -> None:
        for name in names:
            for i in range(count):
                picture(root / split / name / f"{i}.png")

    return make


def text(name: str, content: str | bytes) -> Make:
    """A file."""

    def make(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def pictures(*names: str, mode: str = "RGB") -> Make:
    """Pictures, or masks of a mode."""

    def make(root: Path) -> None:
        for name in names:
            file = picture(root / name)
            if mode != "RGB":
                with _pictures.opened(file) as there:
                    there.convert(mode).save(file)

    return make


@pytest.mark.parametrize(
    ("kind", "makes", "message"),
    [
        ("imagefolder", [classes("a", "b", split="train"), classes("a", "c")], "class folder c"),
        ("imagefolder", [classes("a", "b"), text("classes.txt", "a\n")], "does not declare class"),
        ("imagefolder", [classes("0", "1", "3")], "without a gap"),
        ("imagefolder", [text("val/a/0.heic", ""), text("val/b/0.heic", "")], "no pictures in its"),
        ("imagefolder", [text("val/0.png", "")], "has no class folders"),
        ("imagefolder", [classes("a"), text("val/b/0.png", "")], r"cannot read picture .*b/0\.png"),
        ("imagefolder", [classes("a"), text("val/b/0.jpg", "<html>")], "take it out of the data"),
        ("labels_csv", [pictures("0.png"), text("labels.csv", "0.png,cat")], "line 1.* no index"),
        ("labels_csv", [pictures("0.png"), text("labels.csv", b"f,\xe9\n0.png,1")], "not UTF-8"),
        ("labels_csv", [text("labels.csv", "file,class\n0.png,1")], "line 2: there is no file"),
        ("labels_csv", [text("0.png", "no"), text("labels.csv", "0.png,1")], "cannot read picture"),
        ("masks", [pictures("images/0.png")], r"masks/0\.png is missing"),
        ("masks", [pictures("images/0.png", "masks/0.png")], "is a picture in RGB"),
        ("masks", [pictures("images/0.png"), pictures("masks/0.jpg", mode="L")], "0.jpg does not"),
        ("masks", [pictures("masks/0.png", mode="L")], "has no folder 'images'"),
        ("masks", [text("images/0.png", ""), pictures("masks/0.png", mode="L")], "cannot read"),
        ("keypoints_csv", [text("keypoints.csv", "file,a_x\n")], "needs columns file, NAME_x"),
        ("keypoints_csv", [text("keypoints.csv", "file,a_x,a_y\n")], "no pictures in its test"),
        ("keypoints_csv", [text("keypoints.csv", "file,a_x,a_y\n0.png,1,2\n")], "line 2: there is"),
    ],
)
def test_data_that_cannot_be_read_is_refused_when_planning(
    tmp_path: Path, kind: str, makes: list[Make], message: str
) -> None:
    net = {"masks": "scenes_segmenter", "keypoints_csv": "scenes_landmarks"}.get(kind, "digits_mlp")
    (tmp_path / "d").mkdir()
    for make in makes:
        make(tmp_path / "d")
    with pytest.raises(UserError, match=rf"suite 's', \[model.m\]: data: .*{message}"):
        planned(tmp_path, f"{kind}:d", net=net)


@pytest.mark.parametrize(
    ("more", "message"),
    [("", ""), (INT8, "data: .*cannot read picture"), (TUNED, "data: .*cannot read picture")],
)
def test_splits_are_looked_at_that_a_recipe_reads(tmp_path: Path, more: str, message: str) -> None:
    classes("a", "b")(tmp_path)
    classes("a", "b", split="train", count=20)(tmp_path)
    for file in (tmp_path / "train").rglob("*.png"):
        file.write_bytes(b"")
    arguments = tmp_path, "imagefolder:.", more
    if not message:
        planned(*arguments)
        return
    with pytest.raises(UserError, match=message):
        planned(*arguments, device="onnxruntime:cpu" if more == INT8 else "fake:ok")


def test_pictures_that_are_not_read_are_not_looked_at(tmp_path: Path) -> None:
    names = [f"{i}.png" for i in range(9)]
    pictures(*names)(tmp_path)
    text("labels.csv", "\n".join(f"{name},0" for name in names))(tmp_path)
    (tmp_path / "4.png").write_bytes(b"")  # the fifth, of four that are scored
    planned(tmp_path, "labels_csv:.")
    (tmp_path / "3.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot read picture .*3\.png"):
        planned(tmp_path, "labels_csv:.")


def test_too_few_pictures_to_calibrate_on_are_refused(tmp_path: Path) -> None:
    classes("a", "b")(tmp_path)
    data = 'imagefolder:."\ncalibration = "test'
    message = "data: imagefolder:.*: 6 pictures to calibrate on are fewer than a batch of 8"
    with pytest.raises(UserError, match=message):
        planned(tmp_path, data, INT8, device="onnxruntime:cpu", batch=8)
    planned(tmp_path, data, INT8, device="onnxruntime:cpu", batch=6)


def test_an_archive_is_looked_at_without_its_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((9, 8, 8, 1), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", x_test=pixels, y_test=np.arange(8))
    with pytest.raises(UserError, match=r"data: .*a.npz, x_test: has 9 pictures, y_test has 8"):
        planned(tmp_path, "npz:a.npz")
    np.savez(tmp_path / "a.npz", x_test=pixels, y_test=np.arange(9) - 1)
    with pytest.raises(UserError, match=r"y_test: must be whole numbers from 0 on"):
        planned(tmp_path, "npz:a.npz")
    np.savez(tmp_path / "a.npz", x_test=pixels.astype("S2"), y_test=np.arange(9))
    with pytest.raises(UserError, match=r"x_test: must be pixels, is \|S2"):
        planned(tmp_path, "npz:a.npz")


@pytest.mark.parametrize("command", ["run", "check"])
def test_the_commands_say_so_before_they_start(
    tmp_path: Path, call: Callable[..., Called], command: str
) -> None:
    classes("a")(tmp_path / "d")
    (tmp_path / "d" / "val" / "a" / "1.png").write_bytes(b"")
    file = tmp_path / "s.toml"
    data = f"imagefolder:{tmp_path / 'd'}"
    file.write_text(SUITE.format(device="fake:ok", batch=2, net="digits_mlp", data=data, more=""))
    result = call(command, file, "--out", tmp_path / "out")
    assert (result.code, result.out) == (bench.USER_ERROR, "")
    assert "cannot read picture" in result.err
    assert not (tmp_path / "out").exists()
