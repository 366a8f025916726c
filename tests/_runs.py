"""Synthetic runs: the smallest that shows a thing, and one that looks like the real thing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paretomark.suites.records import _store
from paretomark.suites.records._record import SCHEMA, Header, Record
from paretomark.suites.records._store import Run

HOST = {
    "fingerprint": "f0e1d2c3",
    "chip": "Example Core i5-1234",
    "cores": 4,
    "memory_bytes": 16 * 2**30,
    "system": "Linux 6.1",
    "python": "3.12.1",
    "features": ["avx2", "avx512_vnni"],
}
PROBES = (
    {
        "device": "onnxruntime:cpu",
        "available": True,
        "chip": "Example Core i5-1234",
        "versions": {"onnxruntime": "1.20.0"},
        "reason": "",
        "remedy": "",
    },
    {
        "device": "tensorrt",
        "available": False,
        "chip": "",
        "versions": {},
        "reason": "no NVIDIA driver on this machine",
        "remedy": "install TensorRT 10 on a machine with an NVIDIA GPU",
    },
)


def key(model: str, recipe: str, device: str, batch: int = 1, threads: int = 1) -> str:
    return f"{model}/{recipe}/{device}/b{batch}/t{threads}"


def record(
    model: str = "net", recipe: str = "dense", device: str = "cpu", **changes: Any
) -> Record:
    """An ok visit of 1 ms, 20 samples, that scored 80 of 100; `changes` are fields of Record."""
    latency = changes.pop("latency", 1e-3)
    samples = tuple(round(latency * 1e9 * (1 + max(0, i) / 1000)) for i in range(-10, 11))
    samples = changes.pop("samples_ns", samples)
    third = -(-len(samples) // 3)
    block = changes.get("block", 0)
    values: dict[str, Any] = {
        "model": model,
        "recipe": recipe,
        "steps": "" if recipe in ("dense", "int8") else f"magnitude(sparsity={recipe})",
        "precision": "int8" if recipe == "int8" else "fp32",
        "device": device,
        "batch": 1,
        "threads": 1,
        "block": 0,
        "started": "2026-01-02T03:04:05Z",
        "status": "ok",
        "data": "digits",
        "sha256": "ab" * 32,
        "slices_ns": tuple(samples[i : i + third] for i in range(0, len(samples), third or 1)),
        "outcomes": "1" * 80 + "0" * 20 if block == 0 else "",
    } | changes
    values.setdefault(
        "cell", key(values["model"], recipe, device, values["batch"], values["threads"])
    )
    values.setdefault("examples", len(values["outcomes"]))
    return Record(**values)


def failed(
    model: str = "net", recipe: str = "dense", device: str = "cpu", **changes: Any
) -> Record:
    """A cell that could not be built."""
    values: dict[str, Any] = {
        "status": "failed",
        "stage": "build",
        "reason": "no such operator: NonMaxSuppression",
        "samples_ns": (),
        "outcomes": "",
        "data": "",
        "sha256": "",
    }
    return record(model, recipe, device, **values | changes)


def visits(
    latencies: Sequence[float],
    model: str = "net",
    recipe: str = "dense",
    device: str = "cpu",
    **changes: Any,
) -> list[Record]:
    """One valid visit per latency, in seconds; the first one scores."""
    outcomes = changes.pop("outcomes", None)
    scored = {} if outcomes is None else {"outcomes": outcomes}
    return [
        record(model, recipe, device, block=i, latency=t, **changes | (scored if i == 0 else {}))
        for i, t in enumerate(latencies)
    ]


def noisy(latency: float, count: int, spread: float, seed: int) -> list[float]:
    """`count` visit medians around `latency` with relative standard deviation `spread`."""
    rng = np.random.default_rng(seed)
    return [float(x) for x in latency * np.exp(spread * rng.standard_normal(count))]


def run(records: Sequence[Record], cells: Sequence[str] | None = None, **changes: Any) -> Run:
    """A run of these records; planned are their cells unless `cells` says otherwise."""
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "run": "20260102-030405",
        "suite": "demo",
        "title": "Demonstration",
        "started": "2026-01-02T03:04:05Z",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "version": "0.1.0",
        "host": HOST,
        "probes": PROBES,
        "cells": tuple(dict.fromkeys(r.cell for r in records)) if cells is None else tuple(cells),
        "blocks": 1 + max((r.block for r in records), default=0),
        "seed": 0,
        "request": {},
    }
    return Run(Path("runs/x"), Header.from_json(values | changes), tuple(records))


MODELS = {
    "scenes_resnet": (0.90, 9e-3, 2_780_000),
    "scenes_mobilenet": (0.875, 3.1e-3, 1_120_000),
    "scenes_repvgg": (0.84, 1.6e-3, 640_000),
}  # accuracy, dense latency, parameters
RECIPES = {
    "dense": ("", "fp32", 0.0, 1.0),
    "int8": ("", "int8", 0.006, 0.42),
    "pruned50": ("magnitude(sparsity=0.5)", "fp32", 0.004, 0.99),
    "channels30": ("channels(ratio=0.3) > finetune(epochs=2)", "fp32", 0.02, 0.63),
    "channels30-int8": ("channels(ratio=0.3) > finetune(epochs=2)", "int8", 0.031, 0.3),
}
DEVICES = {"onnxruntime:cpu": 1.0, "litert:xnnpack": 0.81, "edgetpu:model": 0.19}


def realistic(blocks: int = 3, examples: int = 1000, seed: int = 1, slower: float = 1.0) -> Run:
    """Three models, five recipes, three devices: with failures, flags, and a simulated device."""
    rng = np.random.default_rng(seed)
    records = []
    for model, (accuracy, dense, parameters) in MODELS.items():
        skill = rng.random(examples)
        for recipe, (steps, precision, loss, speed) in RECIPES.items():
            right = skill + rng.normal(0, 0.012, examples) < accuracy - loss
            for device, factor in DEVICES.items():
                common: dict[str, Any] = {
                    "steps": steps,
                    "precision": precision,
                    "threads": 4,
                    "data": "scenes",
                    "simulated": "predicted" if device == "edgetpu:model" else "",
                }
                if device == "edgetpu:model" and precision == "fp32":
                    reason = "the Edge TPU runs int8 networks only"
                    records.append(
                        failed(
                            model,
                            recipe,
                            device,
                            **common | {"status": "unsupported", "stage": "plan", "reason": reason},
                        )
                    )
                    continue
                if (model, recipe, device) == ("scenes_repvgg", "channels30", "litert:xnnpack"):
                    reason = "RuntimeError: reshape_parameterization: 24 is not 17 channels\n  at 3"
                    records.append(failed(model, recipe, device, **common | {"reason": reason}))
                    continue
                for block in range(blocks):
                    latency = dense * speed * factor * slower * math.exp(rng.normal(0, 0.012))
                    samples = latency * 1e9 * np.exp(np.abs(rng.normal(0, 0.03, 60)))
                    records.append(
                        record(
                            model,
                            recipe,
                            device,
                            block=block,
                            **common,
                            samples_ns=tuple(int(s) for s in samples),
                            outcomes="".join("01"[int(b)] for b in right) if block == 0 else "",
                            measures={"top5": 0.98} if block == 0 else {},
                            parity_max_abs=0.013,
                            parity_mean_abs=0.001,
                            parity_top1=0.991,
                            artifact_bytes=int(
                                parameters * (1 if precision == "int8" else 4) * 1.02
                            ),
                            parameters=parameters,
                            nonzeros=parameters // (2 if "50" in recipe else 1),
                            macs=parameters * 90,
                            load_s=0.021,
                            first_s=latency * 3,
                            peak_memory_bytes=180 * 2**20,
                            before_load_bytes=150 * 2**20,
                            placement={"cpu": 41},
                            flags=_flags(recipe, device, block, model),
                        )
                    )
    cells = [key(m, r, d, 1, 4) for m in MODELS for r in RECIPES for d in DEVICES]
    probes = (
        *PROBES,
        {**PROBES[0], "device": "litert:xnnpack", "versions": {"ai-edge-litert": "2.0.2"}},
        {**PROBES[0], "device": "edgetpu:model", "chip": "model of the Edge TPU", "versions": {}},
    )
    return run(
        records,
        [*cells, key("scenes_repvgg", "dense", "tensorrt", 1, 4)],
        probes=probes,
        title="Scenes: three small networks, five recipes",
        blocks=blocks,
        dirty=True,
    )


def _flags(recipe: str, device: str, block: int, model: str) -> tuple[str, ...]:
    if (model, recipe, device) == ("scenes_resnet", "pruned50", "litert:xnnpack"):
        return ("foreign load",)
    if (model, recipe, device) == ("scenes_mobilenet", "int8", "onnxruntime:cpu") and block == 1:
        return ("drift",)
    return ()


def only(source: Run, **changes: Any) -> Run:
    """The run with another header."""
    header = Header.from_json(source.header.to_json() | changes)
    return Run(source.folder, header, source.records)


def written(source: Run, folder: Path) -> Path:
    """The run in a folder, as `bench.py run` leaves it."""
    _store.create(folder, source.header)
    with _store.Writer(folder) as writer:
        for it in source.records:
            writer.append(it)
    return folder
