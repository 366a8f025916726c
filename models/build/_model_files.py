"""The files that a model file consists of: what has to be hashed, sized and copied with it.

An .onnx file may keep its weights in files beside it, as torch.onnx.export writes large ones; an
OpenVINO .xml keeps them in the .bin of its name; a Core ML package is a folder.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from paretomark.models.build._protobuf import fields
from paretomark.suites.spec._errors import UserError

# Of the messages of ONNX, the fields that hold further messages: onnx.proto.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _FUNCTION, _ENTRY = range(8)
_FIELDS = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _FUNCTION: {7: _NODE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {13: _ENTRY},
}
_LOCATION = b"location"


def parts(file: Path) -> list[Path]:
    """Return the files that a model file consists of, itself first; of a folder, all in it.

    Raises UserError for one that is missing, or lies outside of the model's folder.
    """
    if file.is_dir():
        return sorted(f for f in file.rglob("*") if f.is_file())
    others: list[Path] = []
    if file.suffix == ".onnx":
        others = [_beside(file, name) for name in sorted(set(_locations(file)))]
    elif file.suffix == ".xml":
        weights = file.with_suffix(".bin")
        if weights.is_file():
            others = [weights]
        elif b'type="Const"' in file.read_bytes():
            raise UserError(f"the weights of {file} are missing: there is no file {weights}")
    return [file, *others]


def _beside(file: Path, name: str) -> Path:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or not name:
        raise UserError(f"{file} keeps weights in '{name}', which does not lie beside it")
    if not (file.parent / place).is_file():
        raise UserError(
            f"the weights of {file} are missing: there is no file {file.parent / place}"
        )
    return file.parent / place


def _locations(file: Path) -> list[str]:
    """The files beside an .onnx file that its tensors name. Raises UserError if it is damaged."""
    if not file.stat().st_size:
        raise UserError(f"{file} is empty")
    with file.open("rb") as stream:
        whole = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return list(_walk(memoryview(whole), _MODEL))
    except (IndexError, RecursionError, UnicodeDecodeError):
        raise UserError(f"{file} is no ONNX file, or damaged") from None


def _walk(message: memoryview, kind: int) -> Iterator[str]:
    for field, content in fields(message):
        inner = _FIELDS[kind].get(field)
        if isinstance(content, int):
            continue
        if inner == _ENTRY:
            entry = {n: bytes(v) for n, v in fields(content) if isinstance(v, memoryview)}
            if entry.get(1) == _LOCATION:
                yield entry.get(2, b"").decode()
        elif inner is not None:
            yield from _walk(content, inner)
