"""Folders of classes: one order for all splits, and a word on all that is passed over."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from paretomark.models.data import _data
from paretomark.models.data._data import Examples
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.tests._pictures import picture, shades

SIZE = Preprocess((8, 8))


def made(root: Path, names: Iterable[str], split: str = "val") -> None:
    """A class folder for each name, with two pictures whose shade says which it is."""
    for shade, name in enumerate(names):
        for i in range(2):
            picture(root / split / name / f"{i}.png", 10 * shade)


def loaded(root: Path, split: _data.Split = "test") -> Examples:
    return _data.load(f"imagefolder:{root}", split, None, SIZE)


def class_of(examples: Examples) -> dict[int, int]:
    """The class of each shade."""
    return dict(zip(shades(examples.images), examples.labels.tolist(), strict=True))


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize("missing", ["a", "b", "c"])
def test_a_class_without_pictures_to_test_on_keeps_its_index(
    tmp_path: Path, missing: str, empty: bool
) -> None:
    made(tmp_path, "abc", "train")
    made(tmp_path, "abc", "val")
    for file in (tmp_path / "val" / missing).iterdir():
        file.unlink()
    if not empty:
        (tmp_path / "val" / missing).rmdir()
    examples = loaded(tmp_path)
    rest = [index for index, name in enumerate("abc") if name != missing]
    assert class_of(examples) == {10 * index: index for index in rest}
    assert examples.classes == ("a", "b", "c")
    assert f"classes without a picture to test on: {missing}" in examples.notes
    assert loaded(tmp_path, "calibration").classes == ("a", "b", "c")


def test_a_class_of_the_test_split_alone_is_refused_unless_declared(tmp_path: Path) -> None:
    made(tmp_path, "ac", "train")
    made(tmp_path, "abc", "val")
    with pytest.raises(UserError, match=r"has class folder b, which .*train does not have"):
        loaded(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nc\nb\n")
    assert class_of(loaded(tmp_path)) == {0: 0, 10: 2, 20: 1}


def test_the_test_folder_is_not_asked_for_classes_where_there_is_training(tmp_path: Path) -> None:
    """A folder of pictures nobody knows the class of is usual in `test`."""
    for split in ("train", "val"):
        made(tmp_path, "bc", split)
    picture(tmp_path / "test" / "a_unknown" / "0.png")
    assert class_of(loaded(tmp_path)) == {0: 0, 10: 1}


def test_a_split_named_alone_is_compared_with_the_training_beside_it(tmp_path: Path) -> None:
    made(tmp_path, "abc", "train")
    made(tmp_path, "abc", "val")
    assert loaded(tmp_path / "val").classes == ("a", "b", "c")
    for file in (tmp_path / "val" / "b").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="differ in class folder b: name imagefolder:"):
        loaded(tmp_path / "val")


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".git", "$RECYCLE.BIN", "__pycache__"]
)
def test_hidden_and_system_folders_are_no_classes(tmp_path: Path, name: str) -> None:
    made(tmp_path, "ab")
    picture(tmp_path / "val" / name / "0.png", 99)
    examples = loaded(tmp_path)
    assert class_of(examples) == {0: 0, 10: 1}
    assert any(name in note for note in examples.notes)


def test_files_that_are_passed_over_are_counted(tmp_path: Path) -> None:
    made(tmp_path, "ab")
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "0.txt", "1.txt", "raw"):
        (tmp_path / "val" / "a" / name).write_bytes(b"\0")
    picture(tmp_path / "val" / "loose.png")
    examples = loaded(tmp_path)
    assert len(examples.labels) == 4
    told = " ".join(examples.notes)
    assert "3 files of the system or hidden passed over: .DS_Store, ._0.png, Thumbs.db" in told
    assert "3 files without a suffix of pictures passed over: 0.txt, 1.txt, raw" in told
    assert "1 picture in no class folder passed over" in told


@pytest.mark.parametrize("name", ["x.TIF", "x.tiff", "x.GIF", "x.ppm", "x.JPG", "x.Bmp", "x.webp"])
def test_every_usual_kind_of_picture_is_read(tmp_path: Path, name: str) -> None:
    made(tmp_path, "a")
    picture(tmp_path / "val" / "b" / name, 100)
    assert class_of(loaded(tmp_path)) == {0: 0, 100: 1}


@pytest.mark.parametrize(
    ("names", "order", "note"),
    [
        (range(12), range(12), "order of their numbers"),
        ([f"{i:02}" for i in range(12)], [f"{i:02}" for i in range(12)], ""),
        (range(1, 13), range(1, 13), "folder 1 is class 0"),
        ([f"class{i}" for i in (1, 2, 10)], ["class1", "class10", "class2"], "by their numbers"),
        (["b", "B", "a"], ["B", "a", "b"], ""),
        (["02084071", "01440764"], ["01440764", "02084071"], ""),  # identifiers, no indices
    ],
)
def test_the_order_of_names_with_numbers(
    tmp_path: Path, names: Iterable[object], order: Iterable[object], note: str
) -> None:
    made(tmp_path, map(str, names))
    examples = loaded(tmp_path)
    assert examples.classes == tuple(map(str, order))
    assert note in " ".join(examples.notes)
    if not note:
        assert examples.notes == ()


@pytest.mark.parametrize("names", [(0, 1, 3), (207, 404), (2, 3, 4), ("0", "00", "1")])
def test_numbers_with_gaps_are_refused_unless_declared(
    tmp_path: Path, names: tuple[object, ...]
) -> None:
    made(tmp_path, map(str, names))
    with pytest.raises(UserError, match=r"without a gap.*classes.txt, whose line n"):
        loaded(tmp_path)
    declared = ["other", *map(str, reversed(names))]
    (tmp_path / "classes.txt").write_text("\ufeff" + "\r\n".join(declared) + "\n\n", "utf-8")
    examples = loaded(tmp_path)
    assert examples.classes == tuple(declared)
    assert class_of(examples) == {10 * i: len(names) - i for i in range(len(names))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n", "does not declare class folder b"),
        ("a\nb\na\n", "line 3: 'a' stands in line 1 already"),
        ("a\n\nb\n", "line 2 is empty"),
        ("0 a\n1 b\n", "does not declare class folder a, b"),
        ("", "is empty"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    made(tmp_path, "ab")
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        loaded(tmp_path)


def test_folders_without_pictures(tmp_path: Path) -> None:
    """An empty one is a class without pictures; one of something else is none, if that matters."""
    made(tmp_path, "ac")
    (tmp_path / "val" / "b").mkdir()
    examples = loaded(tmp_path)
    assert class_of(examples) == {0: 0, 10: 2}
    assert "empty class folders keep their index: b" in examples.notes
    (tmp_path / "val" / "notes").mkdir()
    (tmp_path / "val" / "notes" / "x.txt").write_text("")
    assert "folders without pictures are no classes: notes" in loaded(tmp_path).notes
    (tmp_path / "val" / "b" / "x.heic").write_text("")
    with pytest.raises(UserError, match=r"folder b of .* has no pictures: take it away"):
        loaded(tmp_path)


def test_pictures_in_folders_of_class_folders(tmp_path: Path) -> None:
    made(tmp_path, "ab")
    picture(tmp_path / "val" / "a" / "more" / "2.png")
    (tmp_path / "val" / "a" / "more" / "loop").symlink_to(tmp_path / "val" / "a")
    told = " ".join(loaded(tmp_path).notes)
    assert "pictures in folders inside class folders passed over" in told
    picture(tmp_path / "val" / "c" / "deep" / "2.png")
    with pytest.raises(UserError, match=r"class folder 'c' .* only in folders of its own"):
        loaded(tmp_path)


def test_linked_folders_are_read_and_their_changes_seen(tmp_path: Path) -> None:
    made(tmp_path / "elsewhere", "ab")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "val").symlink_to(tmp_path / "elsewhere" / "val")
    (tmp_path / "photos" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    spec = f"imagefolder:{tmp_path / 'photos'}"
    assert class_of(loaded(tmp_path / "photos")) == {0: 0, 10: 1}
    before = _data.stamp(spec)
    os.utime(tmp_path / "elsewhere" / "val" / "a" / "0.png", (1, 1))
    assert _data.stamp(spec) != before


def test_what_a_data_set_holds_is_told_without_reading_a_picture(tmp_path: Path) -> None:
    made(tmp_path, "abc", "train")
    made(tmp_path, "ac", "val")
    for file in tmp_path.glob("*/*/*.png"):
        file.write_bytes(b"no picture")
    there = _data.holds(f"imagefolder:{tmp_path}")
    assert {split: held.pictures for split, held in there.items()} == {
        "train": 5,
        "calibration": 1,
        "test": 4,
    }
    assert {held.classes for held in there.values()} == {("a", "b", "c")}
    assert there["test"].notes == ("classes without a picture to test on: b",)


def test_a_split_without_any_picture_says_what_was_passed_over(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "val" / name).mkdir(parents=True)
    (tmp_path / "val" / "b" / "x.heic").write_text("")
    with pytest.raises(UserError, match=r"no pictures in its test split; .*passed over: x.heic"):
        loaded(tmp_path)
