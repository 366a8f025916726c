"""Tables as people write them: every row is read, or refused with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paretomark.models.data import _data
from paretomark.models.data._data import Examples
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess
from paretomark.tests._pictures import picture, shades, turned

SIZE = Preprocess((8, 8))
LABELS = [0, 2, 1, 2, 0, 1]
ROWS = [f"p{i}.png,{label}" for i, label in enumerate(LABELS)]
HEADER = "file,class"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures, each with its own shade."""
    for i in range(len(LABELS)):
        picture(tmp_path / f"p{i}.png", 10 * i)
    return tmp_path


def loaded(folder: Path, table: str | bytes, count: int | None = None) -> Examples:
    content = table.encode() if isinstance(table, str) else table
    (folder / "labels.csv").write_bytes(content)
    return _data.load(f"labels_csv:{folder}", "test", count, SIZE)


def text(*rows: str, end: str = "\n") -> str:
    return end.join(rows) + end


def each(change: Callable[[str, str], str]) -> list[str]:
    return [change(*row.split(",")) for row in ROWS]


@pytest.mark.parametrize(
    "table",
    [
        text(HEADER, *ROWS),
        text(*ROWS),
        text(HEADER, *ROWS).rstrip(),
        "\ufeff" + text(HEADER, *ROWS),
        "\ufeff" + text(*ROWS),
        text(HEADER, *ROWS).encode("utf-16"),
        text(HEADER, *ROWS, end="\r\n"),
        text(HEADER, *ROWS, end="\r"),
        text("", HEADER, "", *ROWS[:3], " ", ",", *ROWS[3:], ""),
        text(HEADER, *ROWS).replace(",", ";"),
        text(HEADER, *ROWS).replace(",", "\t"),
        text(*ROWS).replace(",", " ;  "),
        text(HEADER, *each(lambda file, label: f"{file}, {label}.0")),
        text(HEADER, *each(lambda file, label: f'"{file}","{label}"')),
        text(HEADER, *each(lambda file, label: f"./{file},{label}")),
        text(HEADER, *each(lambda file, label: f".\\{file},{label}")),
        text(HEADER, *each(lambda file, label: f"{file[:-4]},{label}")),
        text(*each(lambda file, label: f"{file[:-4]},{label}")),
        text("photo,kind", *ROWS),
        text("name,class", *each(lambda file, label: f"{file},{label},"[:-1])),
    ],
)
def test_all_rows_are_read(folder: Path, table: str | bytes) -> None:
    examples = loaded(folder, table)
    assert shades(examples.images) == [10 * i for i in range(len(LABELS))]
    assert examples.labels.tolist() == LABELS
    assert examples.notes == ()


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (text(",file,class", *(f"{i},{row}" for i, row in enumerate(ROWS))), (2, 3)),
        (text(*(f"{i},{row}" for i, row in enumerate(ROWS))), (2, 3)),
        (text("class,file", *each(lambda file, label: f"{label},{file}")), (2, 1)),
        (text(*each(lambda file, label: f"{label},{file}")), (2, 1)),
        (text("label,image", *each(lambda file, label: f"{label},{file[:-4]}")), (2, 1)),
        (text("file,width,label", *each(lambda file, label: f"{file},64,{label}")), (1, 3)),
        (text("file,class,class_id", *each(lambda file, label: f"{file},k,{label}")), (1, 3)),
        (text("id,category id,path", *each(lambda file, label: f"7,{label},{file}")), (3, 2)),
    ],
)
def test_columns_in_another_order(folder: Path, table: str, columns: tuple[int, int]) -> None:
    examples = loaded(folder, table)
    assert examples.labels.tolist() == LABELS
    file, label = columns
    told = f"labels.csv: files stand in column {file}, classes in column {label}"
    assert examples.notes == (told,)


def test_names_that_are_numbers_are_not_taken_for_classes(tmp_path: Path) -> None:
    """`class,file` where files are 0.png, 1.png, ... without their suffix."""
    for i in range(3):
        picture(tmp_path / f"{i}.png", 10 * i)
    examples = loaded(tmp_path, "class,file\n1,0\n2,1\n0,2\n")
    assert shades(examples.images) == [0, 10, 20]
    assert examples.labels.tolist() == [1, 2, 0]
    examples = loaded(tmp_path, ",file,class\n0,2.png,1\n1,0.png,0\n2,1.png,1\n")
    assert shades(examples.images) == [20, 0, 10]
    assert examples.labels.tolist() == [1, 0, 1]


def test_rows_that_repeat_are_read_once(folder: Path) -> None:
    examples = loaded(folder, text(HEADER, *ROWS, *ROWS[:2], "./p5.png,1.0"))
    assert examples.labels.tolist() == LABELS
    assert examples.notes == ("3 rows left out as a repetition of another",)
    with pytest.raises(UserError, match=r"line 8: p0.png is of class 1, and of class 0 in line 2"):
        loaded(folder, text(HEADER, *ROWS, "p0.png,1"))


def test_pictures_beside_and_outside_of_the_table(folder: Path, tmp_path: Path) -> None:
    far = picture(tmp_path.parent / f"{tmp_path.name}-far" / "far.png", 77)
    examples = loaded(folder, text(HEADER, *ROWS[:4], f"{far},1"))
    assert shades(examples.images) == [0, 10, 20, 30, 77]
    told = " ".join(examples.notes)
    assert "2 pictures of the folder not in labels.csv" in told
    assert "1 picture outside of the data folder, whose changes are not noticed" in told


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (text(HEADER, *ROWS[:2], "gone.png,1"), r"line 4: there is no file .*gone\.png"),
        (text("gone.png,1", *ROWS), r"line 1: there is no file .*gone\.png"),
        (text("gone,1", *ROWS), r"line 1: there is no file .*gone"),
        (text(HEADER, "p6.png,1"), r"line 2: there is no file .*did you mean 'p\d.png'"),
        (text(HEADER, *ROWS[:2], "p2.png,-1"), "line 4: .* '-1' is no index"),
        (text(HEADER, "p0.png,1.5"), "line 2: .* '1.5' is no index"),
        (text(HEADER, "p0.png,nan"), "line 2: .* 'nan' is no index"),
        (text(HEADER, "p0.png,\u00b2"), "line 2: .* is no index"),
        (text(HEADER, *ROWS[:2], "p2.png,"), "line 4: .* '' is no index"),
        (text(HEADER, "p0.png,cat"), "'cat' is no index .* names of classes need .*classes.txt"),
        (text(HEADER, *ROWS[:2], "p2.png"), "line 4: 1 cells, where the first row has 2"),
        (text(HEADER, "p0,x.png,1"), "line 2: 3 cells, where the first row has 2"),
        (text("file", "p0.png"), "line 1: 1 cells"),
        (text(HEADER, '"p0.png,0', "p1.png,1"), "line 3: "),
        (text(HEADER, '"p0.png,0', 'p1.png",1'), "line 3: a quote is not closed"),
        (text(HEADER, "pö.png,0").encode("latin-1"), "line 2: this is not UTF-8"),
        (text(HEADER, *ROWS).encode("utf-16-le"), "no text in UTF-8"),
        (text("class,label,file", "0,1,p0.png"), "class and label may both be the class"),
        (text("id,file", *(f"{i},p{i}.png" for i in range(6))), "may be a count of rows"),
        ("", "is empty"),
    ],
)
def test_what_cannot_be_read_is_refused(folder: Path, table: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        loaded(folder, table)


def test_a_name_of_two_pictures_is_refused(folder: Path) -> None:
    picture(folder / "p0.bmp")
    with pytest.raises(UserError, match=r"line 2: 'p0' may be p0.bmp or p0.png; say which"):
        loaded(folder, text(HEADER, "p0,0"))


def test_names_of_classes_that_are_declared(folder: Path) -> None:
    names = ["cat", "a dog", "emu"]
    table = text(*each(lambda file, label: f"{file},{names[int(label)]}"))
    (folder / "classes.txt").write_text(text(*names))
    examples = loaded(folder, table)
    assert examples.labels.tolist() == LABELS
    assert examples.classes == tuple(names)
    assert loaded(folder, text(HEADER, *ROWS)).labels.tolist() == LABELS
    with pytest.raises(UserError, match=r"line 2: class 'cow' is none of the 3"):
        loaded(folder, text(HEADER, "p0.png,cow"))
    with pytest.raises(UserError, match=r"line 2: class '3' is none of the 3"):
        loaded(folder, text(HEADER, "p0.png,3"))
    with pytest.raises(UserError, match=r"line 1: there is no file .*gone"):
        loaded(folder, text("gone,cat", "p0.png,emu"))
    (folder / "classes.txt").write_text("1\n2\n3\n")  # then labels are names
    examples = loaded(folder, text(*each(lambda file, label: f"{file},{int(label) + 1}")))
    assert examples.labels.tolist() == LABELS


def test_few_classes_among_the_first_rows_are_told(tmp_path: Path) -> None:
    rows = [(i, i // 10) for i in range(40)]
    for i, _ in rows:
        picture(tmp_path / f"{i}.png", i)
    table = text(HEADER, *(f"{i}.png,{label}" for i, label in rows))
    assert (
        "the first 10 of 40 pictures are of 1 of 4 classes" in loaded(tmp_path, table, 10).notes[0]
    )
    assert loaded(tmp_path, table).notes == ()
    held = _data.holds(f"labels_csv:{tmp_path}")
    assert {split: (there.pictures, there.notes) for split, there in held.items()} == {
        "test": (40, ())
    }


def points(folder: Path, table: str, preprocess: Preprocess = SIZE) -> Examples:
    (folder / "keypoints.csv").write_text(table, encoding="utf-8")
    return _data.load(f"keypoints_csv:{folder}", "test", None, preprocess, "keypoints")


@pytest.mark.parametrize(
    "table",
    [
        "file,a_x,a_y,b_x,b_y\np0.png,1,2,3,4\np1.png,1,2,,\n",
        "\ufefffile;a_x;a_y;b_x;b_y\n\np0.png;1;2;3;4\np1.png;1;2;;\n",
        "file\tA_X\ta_y\tb_x\tb_y\np0\t1\t2\t3\t4\np1\t1\t2\t\t\n".replace("A_X", "a_X"),
        ",file,a_x,a_y,b_x,b_y\n0,p0.png,1,2,3,4\n1,p1.png,1,2,,\n",
        "a_x,a_y,b_x,b_y,file\n1,2,3,4,p0.png\n1,2,,,p1.png\n1,2,3,4,p0.png\n",
    ],
)
def test_tables_of_points(folder: Path, table: str) -> None:
    examples = points(folder, table)
    of = dict(zip(shades(examples.images), examples.labels.tolist(), strict=True))
    assert of == {0: [[1, 2, 2], [3, 4, 2]], 10: [[1, 2, 2], [0, 0, 0]]}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("file,a_x,a_y,a_v\np0.png,1,2,0.7\n", "line 2: a_v must be 0 .* got 0.7"),
        ("file,a_x,a_y\np0.png;1,5;2,5\n", "line 2: "),
        ("file;a_x;a_y\np0.png;1,5;2,5\n", "line 2: a cell of 'a' is no number"),
        ("file,a_x,a_y,a_x\np0.png,1,2,3\n", "column a_x is there twice"),
        ("file,a_x,a_y\np0.png,1,2\np0.png,3,4\n", "line 3: p0.png stands in an earlier line"),
        ("file,a_x,a_y\np0.png,0.1,0.9\np1.png,0.5,1\n", "must be in pixels"),
        ("p0.png,1,2\np1.png,3,4\n", "needs columns file, NAME_x"),
    ],
)
def test_points_that_cannot_be_are_refused(folder: Path, table: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        points(folder, table)


def test_points_that_are_not_scored_are_counted(folder: Path) -> None:
    table = "file,a_x,a_y,b_x,b_y,more\np0.png,1,4,-3,4,0\np1.png,4,4,9,9,0\np2.png,,,0,0,0\n"
    examples = points(folder, table, Preprocess((8, 8), crop=0.5))
    of = dict(zip(shades(examples.images), examples.labels[..., 2].tolist(), strict=True))
    assert of == {0: [0, 0], 10: [2, 0], 20: [0, 0]}
    assert set(examples.notes) == {
        "keypoints.csv: columns not used: more",
        "1 keypoint at 0, 0 scored: the cells of a missing one must be empty",
        "2 keypoints outside of the picture, not scored",
        "2 keypoints cut off with the edge of the picture, not scored",
        "2 pictures without a keypoint that is labelled and seen by the net",
    }


@pytest.mark.parametrize(
    ("at", "is_turned"),
    [((6, 30), True), ((30, 6), False), ((6, 6), True)],
)
def test_points_say_which_way_a_picture_lies(
    tmp_path: Path, at: tuple[int, int], is_turned: bool
) -> None:
    """A picture 40x10 that its EXIF says to be 10x40."""
    picture(tmp_path / "p.jpg", 100, (40, 10), exif=turned(6))
    examples = points(tmp_path, f"file,a_x,a_y\np.jpg,{at[0]},{at[1]}\n", Preprocess((40, 40)))
    scale = (4, 1) if is_turned else (1, 4)
    np.testing.assert_allclose(examples.labels[0, 0], [at[0] * scale[0], at[1] * scale[1], 2])
    assert len(examples.notes) == 1
    assert ("not turned as EXIF says" in examples.notes[0]) != is_turned
