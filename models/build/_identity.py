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
from paretomark.models.build._artifact import NO_DATA, BuildSpec
from paretomark.models.build._float_net import FloatNet
from paretomark.models.compress import _step
from paretomark.models.data import _data
from paretomark.models.export import _export
from paretomark.models.nets import _load, _structure
from paretomark.models.training import _teacher
from paretomark.suites.spec._model import RANDOM, Model, Preprocess, Reading

DIGITS = 32
CONTENT_BYTES = 4 * 2**30  # of data on disk; of larger sets, names and sizes count only
Facts = dict[str, Any]


def digest(facts: Facts) -> str:
    """Return the identity: DIGITS hexadecimal digits."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def of_net(spec: BuildSpec, net: FloatNet) -> Facts:
    """Return the facts of an artifact whose float net, after the steps, is `net`."""
    model, recipe = spec.model, spec.recipe
    weights = f"random, seed {spec.seed}" if model.weights == RANDOM else net.digest
    return {
        "net": {
            "structure": net.structure,
            "weights": weights,
            "task": net.task,
            "preprocess": _preprocess(net.preprocess),
            "label_offset": model.label_offset,
            **_reading(model),
        },
        "recipe": {
            "steps": [_identified(step, net) for step in recipe.steps],
            "precision": recipe.precision,
            "quantization": _quantization(spec),
            "storage": recipe.storage,
        },
        "seed": spec.seed,
        "calibration": _calibration(spec, net.data),
        "data": data(net.data),
    }


def of_file(spec: BuildSpec, sha256: str, preprocess: Preprocess, task: str) -> Facts:
    """Return the facts of a file that the user brings."""
    return {
        "net": {
            "file": sha256,
            "task": task,
            "preprocess": _preprocess(preprocess),
            "label_offset": spec.model.label_offset,
            **_reading(spec.model),
        },
        "data": data(spec.model.data),
    }


def data(source: str) -> str:
    """Return a data set by its name and, of one on disk, by what is in it; "" of none.

    Pictures of a folder count by their names below it, for these say class and order. Raises
    UserError as `_data.module` does.
    """
    if not source:
        return ""
    name = source.partition(":")[0]
    plugin, argument = _data.module(source)
    if not argument:
        return f"{name} {getattr(plugin, 'VERSION', '')}".strip()
    return f"{name} {_content(_data.stamp(source), Path(argument))}"


@functools.lru_cache(maxsize=64)
def _content(stamp: str, path: Path) -> str:
    """A digest of the files at a path; the stamp says whether they are still the same."""
    files = [file for file in _data.files(path) if file.is_file()]
    whole = sum(f.stat().st_size for f in files) <= CONTENT_BYTES
    digest = hashlib.sha256()
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        content = _cache.sha256(file) if whole else ""
        digest.update(f"{name} {file.stat().st_size} {content}\n".encode())
    return digest.hexdigest()[:DIGITS]


def _reading(model: Model) -> Facts:
    """What is declared of inputs and outputs, where anything is."""
    inputs = model.inputs
    if model.file:  # which itself says whether they are integers, however a range is written
        inputs = {
            name: dataclasses.replace(it, range=(float(it.range[0]), float(it.range[1])))
            for name, it in inputs.items()
        }
    table = {"reading": model.reading, "inputs": inputs}
    defaults = {"reading": Reading(), "inputs": {}}
    declared = {name: value for name, value in table.items() if value != defaults[name]}
    facts: Facts = json.loads(json.dumps(declared, default=dataclasses.asdict))
    return facts


def _preprocess(preprocess: Preprocess) -> Facts:
    table: Facts = json.loads(json.dumps(dataclasses.asdict(preprocess)))
    return table


def _identified(step: Mapping[str, Any], net: FloatNet) -> Facts:
    """A step with the defaults that it takes; a teacher by what it is, not by its name."""
    parameters = _step.complete(step)
    if name := parameters.get("teacher"):
        weights = parameters.pop("teacher_weights")
        teacher = _teacher.load(name, weights, net.preprocess, net.task)
        parameters["teacher"] = f"{_structure.structure(teacher)} {_load.digest(teacher)}"
    return parameters


def _quantization(spec: BuildSpec) -> dict[str, str]:
    """The options of int8, also those that are left to the format's quantizer."""
    if spec.recipe.precision != "int8":
        return {}
    options = getattr(_export.module(spec.format), "OPTIONS", {})
    return {name: values[0] for name, values in options.items()} | spec.recipe.quantization


def _calibration(spec: BuildSpec, own: str) -> str:
    """The pictures that the ranges of activations are taken from; "" where none are looked at."""
    if spec.recipe.precision != "int8":
        return ""
    choice = spec.model.calibration
    if choice in NO_DATA:
        return f"{data(own)}, {choice or 'calibration'} split"
    return data(choice)
