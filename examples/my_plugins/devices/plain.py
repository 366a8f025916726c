"""A device that multiplies with NumPy what the format `txt` holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretomark.devices._device import Arrays, Chip, Device, Placement, Port

FORMAT = "txt"
VARIANTS = ()


class Plain:
    """Loads a text file and runs it; NumPy is told its threads before it starts."""

    def __init__(self) -> None:
        self._layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def probe(self) -> Chip:
        """It is always here."""
        return Chip("NumPy", {"numpy": np.__version__})

    def load(self, model: Path, threads: int) -> Placement:
        """Read the layers."""
        net = json.loads(model.read_text())
        self._layers = [
            (np.array(layer["weight"], np.float32), np.array(layer["bias"], np.float32))
            for layer in net["layers"]
        ]
        outputs = len(self._layers[-1][1])
        return Placement(
            home="numpy",
            operators={"numpy": len(self._layers)},
            inputs=[Port("input", tuple(net["shape"]), "float32")],
            outputs=[Port("output", (net["shape"][0], outputs), "float32")],
        )

    def run(self, inputs: Arrays) -> Arrays:
        """One layer after the other, with a ReLU between two."""
        (x,) = inputs
        x = x.reshape(len(x), -1)
        for i, (weight, bias) in enumerate(self._layers):
            x = (np.maximum(x, 0) if i else x) @ weight.T + bias
        return [x]


def device(variant: str) -> Device:
    """The only variant."""
    return Plain()
