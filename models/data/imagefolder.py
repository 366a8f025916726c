"""ImageNet-style folders: one folder per class, named so that sorting gives the class index.

`PATH/train/CLASS/*` and `PATH/val/CLASS/*` (or `test`); every tenth training picture is set
aside for calibration. Without these, `PATH/CLASS/*` is the test split, and there is no other.
Folders that are numbers sort as numbers. `PATH/classes.txt` declares any other order: line n, from
0 on, is the folder of class n.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from paretomark.models.data import _classes, _files, _pictures
from paretomark.models.data._classes import DECLARATION
from paretomark.models.data._data import Examples, Holding, Split
from paretomark.models.data._files import TEST, Listing
from paretomark.models.data._notes import Notes, some
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

PATH = "folder"
ALONE = ("val", "test", "valid", "validation")  # what a test split is called


def load(split: Split, count: int | None, preprocess: Preprocess | None, argument: str) -> Examples:
    """Return pictures in one seeded shuffle, so that the first `count` cover the classes evenly."""
    notes = Notes()
    classes, listing = _listing(Path(argument), split, notes)
    chosen = listing[:count]
    read = _files.read([f for f, _ in chosen], [c for _, c in chosen], preprocess, notes)
    return dataclasses.replace(read, classes=classes)


def splits(argument: str) -> tuple[Split, ...]:
    """Return those that have a folder; only the test split where there is no `train` folder."""
    return _files.splits(Path(argument))


def holds(split: Split, argument: str, heads: int) -> Holding:
    """Return what is in a split. Raises UserError as `load` does, but for what a picture's head
    does not tell."""
    notes = Notes()
    classes, listing = _listing(Path(argument), split, notes)
    _pictures.glance(file for file, _ in listing[:heads])
    return Holding(len(listing), classes, notes.told())


def _listing(
    root: Path, split: Split, notes: Notes
) -> tuple[tuple[str, ...], list[tuple[Path, int]]]:
    """The classes, and the pictures of the split with the index of their class, shuffled."""
    folder = _files.part(root, split)
    top, below = _files.listing(folder), _folders(folder)
    if not below:
        raise UserError(f"{folder} has no class folders (data set imagefolder:{root})")
    classes = _classes_of(root, notes)
    index = _classes.indices(classes)
    listing = [
        (file, index[name]) for name in classes if name in below for file in below[name].pictures
    ]
    _files.passed_over([top, *below.values()], notes)
    loose = [file for file in top.pictures if not file.is_dir()]
    notes.count("picture in no class folder passed over", len(loose))
    deeper = sum(_files.pictures_below(f) for there in below.values() for f in there.folders)
    notes.count("picture in folders inside class folders passed over", deeper)
    lacking = [name for name in classes if name not in below or not below[name].pictures]
    if lacking and split == "test":
        notes.say(f"classes without a picture to test on: {some(lacking)}")
    return classes, _files.share(listing, split)


def _classes_of(root: Path, notes: Notes) -> tuple[str, ...]:
    """The classes of all splits: those that are declared, else the folders of the training split,
    or of what there is. Raises UserError where folders do not say which class is which."""
    train, tests = root / "train", [root / name for name in TEST if (root / name).is_dir()]
    trained = _folders(train) if train.is_dir() else {}
    tested = [_folders(part) for part in (tests[:1] if trained else tests or [root])]
    merged: dict[str, Listing] = {}
    for names in (trained, *tested):
        for name, there in names.items():
            merged[name] = _files.merged(merged.get(name, there), there)
    full = {name for name, there in merged.items() if there.pictures}
    for name in merged.keys() - full:
        if any(map(_files.pictures_below, merged[name].folders)):
            raise UserError(
                f"class folder '{name}' of {root} has pictures only in folders of its own: they "
                "must lie in the class folder itself; move them up, or name a folder below"
            )
    if declaration := _classes.declared(root):
        if undeclared := sorted(full - set(declaration)):
            raise UserError(
                f"{root / DECLARATION} does not declare class folder {some(undeclared)}: its line "
                "n, from 0 on, must be the name of the folder of class n"
            )
        return declaration
    if trained and (foreign := sorted(full - trained.keys())):
        raise UserError(
            f"{tests[0]} has class folder {some(foreign)}, which {train} does not have, so that "
            f"the order of classes is not known: declare it in {root / DECLARATION}, whose line n, "
            "from 0 on, is the folder of class n"
        )
    _check_beside(root, full)
    strays = {n for n in merged.keys() - full if merged[n].folders or merged[n].others}
    strays |= merged.keys() - full - trained.keys() if trained else set()
    classes = _classes.ordered(merged.keys() - strays, root, notes)
    _check_strays(root, sorted(strays), classes, notes)
    if empty := [name for name in classes if name not in full]:
        notes.say(f"empty class folders keep their index: {some(empty)}")
    return classes


def _check_beside(root: Path, names: set[str]) -> None:
    """Raise UserError for the test split named as a whole, where the training split beside it has
    other classes."""
    train = root.parent / "train"
    if root.name.lower() not in ALONE or not train.is_dir():
        return
    if others := sorted(names ^ {n for n, there in _folders(train).items() if there.pictures}):
        raise UserError(
            f"{root} and {train} beside it differ in class folder {some(others)}: name "
            f"imagefolder:{root.parent}, so that classes have the order of training"
        )


def _check_strays(root: Path, strays: list[str], classes: tuple[str, ...], notes: Notes) -> None:
    """Note folders that are no classes. Raises UserError for one that, if it were a class, would
    change the index of others."""
    if not strays:
        return
    numbers = all(name.isdecimal() for name in classes)
    inside = [n for n in strays if n < max(classes, default="") and n.isdecimal() >= numbers]
    if inside:
        raise UserError(
            f"folder {some(inside)} of {root} has no pictures: take it away if it is no class, or "
            f"declare the classes in {root / DECLARATION}, line n, from 0 on, being the folder of "
            "class n"
        )
    notes.say(f"folders without pictures are no classes: {some(strays)}")


def _folders(part: Path) -> dict[str, Listing]:
    """The class folders of a split, and what lies in them."""
    there = _files.listing(part)
    folders = there.folders + [f for f in there.pictures if f.is_dir()]  # whatever they are called
    return {folder.name: _files.listing(folder) for folder in sorted(folders)}
