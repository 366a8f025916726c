"""Small model files and pictures, as users bring them, whose right answers are known."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from PIL import Image

from paretomark import bench
from paretomark.suites.records import _store, _summary
from paretomark.suites.records._row import Row

PICTURES = 24
PLAIN = "y = ReduceMean<axes=[2,3], keepdims=0>(x)"


def save(path: Path, inputs: str, outputs: str, body: str) -> None:
    text = f'<ir_version: 8, opset_import: ["": 13]> g ({inputs}) => ({outputs})'
    initial, body = (
        (body[: body.index("> ") + 1], body[body.index("> ") + 1 :])
        if body[0] == "<"
        else ("", body)
    )
    onnx.save(onnx.parser.parse_model(f"{text} {initial} {{ {body} }}"), path)


def colours(folder: Path) -> None:
    """Pictures whose class is the strongest channel."""
    folder.mkdir()
    rng = np.random.default_rng(3)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "class"])
        for i in range(PICTURES):
            label = int(rng.integers(0, 3))
            pixels = rng.integers(20, 90, (9, 9, 3), np.uint8)
            pixels[..., label] += 120
            Image.fromarray(pixels).save(folder / f"{i}.png")
            table.writerow([f"{i}.png", label])


def suite(folder: Path, models: list[tuple[str, str]], data: str = "labels_csv:colours") -> Path:
    head = 'devices = ["onnxruntime:cpu"]\nblocks = 1\nseconds = 0.01\nforeign_load_cores = 99.0\n'
    tables = []
    for name, says in models:
        numbers = says if says.startswith(("mean", "std")) else ""
        mean = "mean = [0.0, 0.0, 0.0], " if numbers.startswith("std") else ""
        rest = "" if numbers else says
        more = f", {mean}{numbers}" if numbers else ""
        tables.append(
            f'[model.{name}]\nnet = "file:{name}.onnx"\ndata = "{data}"\n'
            f"preprocess = {{ size = [8, 8]{more} }}\n{rest}\n"
        )
    path = folder / "s.toml"
    path.write_text(head + "\n".join(tables))
    return path


def measured(folder: Path, path: Path, code: int | None = None) -> dict[str, Row]:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    ended = bench.main(["run", str(path), "--out", str(out), "--json"])
    assert code is None or ended == code
    return {row.model: row for row in _summary.summarise(_store.read(out)).rows}


def net_of_fake(folder: Path, layers: int = 2, width: int = 16) -> Path:
    """A file that the fake device computes: a chain of linear layers of random weights."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"shape": np.array((1, width))}
    for i in range(layers):
        arrays[f"weight{i}"] = rng.normal(size=(width, width)).astype(np.float32)
        arrays[f"bias{i}"] = rng.normal(size=width).astype(np.float32)
    path = folder / "model.npz"
    np.savez(path, **arrays)
    return path
