"""What an artifact is, as facts, and the digest of these: its identity.

Two artifacts are the same, and their times and answers may be compared, if they are the same net
with the same weights, after the same steps, in the same precision and storage, calibrated and
scored on the same data. Neither what they are called nor where they lie nor which versions of the
tools wrote them is part of it: whether a newer tool writes a faster file is what people compare.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paretomark.models import _cache
from paretomark.models.build._artifact import Order
from paretomark.models.build._float_net import Float
from paretomark.models.compress import _step
from paretomark.models.data import _data
from paretomark.models.data._data import Preprocess
from paretomark.models.export import _export
from paretomark.models.nets import _load, _structure
from paretomark.models.training import _teacher
from paretomark.suites.spec._model import RANDOM

DIGITS = 32
CONTENT_BYTES = 4 * 2**30  # of data on disk; of larger sets, names and sizes count only
Facts = dict[str, Any]


def digest(facts: Facts) -> str:
    """The identity: DIGITS hexadecimal digits."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def of_net(order: Order, net: Float) -> Facts:
    """The facts of an order whose float net, after its steps, is `net`."""
    model, recipe = order.model, order.recipe
    weights = f"random, seed {order.seed}" if model.weights == RANDOM else net.digest
    return {
        "net": {
            "structure": net.structure,
            "weights": weights,
            "task": net.task,
            "preprocess": _preprocess(net.preprocess),
            "label_offset": model.label_offset,
        },
        "recipe": {
            "steps": [_identified(step, net) for step in recipe.steps],
            "precision": recipe.precision,
            "quantization": _quantization(order),
            "storage": recipe.storage,
        },
        "seed": order.seed,
        "calibration": _calibration(order, net.data),
        "data": data(net.data),
    }


def of_file(order: Order, sha256: str, preprocess: Preprocess, task: str) -> Facts:
    """The facts of a file that the user brings."""
    return {
        "net": {
            "file": sha256,
            "task": task,
            "preprocess": _preprocess(preprocess),
            "label_offset": order.model.label_offset,
        },
        "data": data(order.model.data),
    }


def data(spec: str) -> str:
    """A data set by its name and, of one on disk, by what is in it; "" of none.

    Pictures of a folder count by their names below it, for these say class and order.
    """
    if not spec:
        return ""
    name = spec.partition(":")[0]
    plugin, argument = _data.module(spec)
    if not argument:
        return f"{name} {getattr(plugin, 'VERSION', '')}".strip()
    return f"{name} {_content(_data.stamp(spec), Path(argument))}"


@functools.lru_cache(maxsize=64)
def _content(stamp: str, path: Path) -> str:
    """A digest of the files at a path; the stamp says whether they are still the same."""
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    whole = sum(f.stat().st_size for f in files) <= CONTENT_BYTES
    found = hashlib.sha256()
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        content = _cache.sha256(file) if whole else ""
        found.update(f"{name} {file.stat().st_size} {content}\n".encode())
    return found.hexdigest()[:DIGITS]


def _preprocess(preprocess: Preprocess) -> Facts:
    table: Facts = json.loads(json.dumps(dataclasses.asdict(preprocess)))
    return table


def _identified(step: Mapping[str, Any], net: Float) -> Facts:
    """A step with the defaults that it takes; a teacher by what it is, not by its name."""
    found = _step.complete(step)
    if name := found.get("teacher"):
        weights = found.pop("teacher_weights")
        teacher = _teacher.load(name, weights, net.preprocess, net.task)
        found["teacher"] = f"{_structure.structure(teacher)} {_load.digest(teacher)}"
    return found


def _quantization(order: Order) -> dict[str, str]:
    """The options of int8, also those that are left to the format's quantizer."""
    if order.recipe.precision != "int8":
        return {}
    options = getattr(_export.module(order.format), "OPTIONS", {})
    return {name: values[0] for name, values in options.items()} | order.recipe.quantization


def _calibration(order: Order, own: str) -> str:
    """The pictures that the ranges of activations are taken from; "" where none are looked at."""
    if order.recipe.precision != "int8":
        return ""
    spec = order.model.calibration
    if spec in ("", "test"):
        return f"{data(own)}, {spec or 'calibration'} split"
    return data(spec)
