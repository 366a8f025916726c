"""ImageNet-style folders: one folder per class, named so that sorting gives the class index.

`PATH/train/CLASS/*` and `PATH/val/CLASS/*` (or `test`); every tenth training picture is set
aside for calibration. Without these, `PATH/CLASS/*` is the test split, and there is no other.
"""

from __future__ import annotations

from pathlib import Path

from paretomark.models.data import _files
from paretomark.models.data._data import Examples, Split
from paretomark.suites.spec._errors import UserError
from paretomark.suites.spec._model import Preprocess

PATH = "folder"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def load(split: Split, count: int | None, preprocess: Preprocess | None, argument: str) -> Examples:
    """Return pictures in one seeded shuffle, so that the first `count` cover the classes evenly."""
    root = Path(argument)
    chosen = _files.share(_listing(_files.part(root, split), root), split)[:count]
    return _files.read([f for f, _ in chosen], [c for _, c in chosen], preprocess)


def splits(argument: str) -> tuple[Split, ...]:
    """Return those that have a folder; only the test split where there is no `train` folder."""
    return _files.splits(Path(argument))


def _listing(folder: Path, root: Path) -> list[tuple[Path, int]]:
    classes = sorted(p for p in folder.iterdir() if p.is_dir())
    if not classes:
        raise UserError(f"{folder} has no class folders (data set imagefolder:{root})")
    return [
        (file, index)
        for index, name in enumerate(classes)
        for file in sorted(name.iterdir())
        if file.suffix.lower() in SUFFIXES
    ]
