"""The families of the zoo, with what is published of each net: the table `_families.csv`.

parameters, macs   in millions, as the source `counts` states them for the input size that the
                   name says: multiply-accumulates of convolutions, linear layers and matrix
                   products for one picture
fused              "yes" if these are of the form for inference (the step `reparameterize`)
top1               in percent, on ImageNet unless it says otherwise, as the source `accuracy` states
                   it: not measured here, and, unless that is the library, of other weights than
                   those that the library has
check              of the family's net for `bench.py models --check`: the input size for that
note               why source and count differ by more than AGREE, where they do
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("_families.csv")
AGREE = 0.02


@dataclass(frozen=True)
class ZooEntry:
    """One net, and what is published of it; None where nothing is."""

    family: str
    net: str
    check: int | None
    fused: bool
    parameters: float | None
    macs: float | None
    counts: str
    top1: float | None
    accuracy: str
    note: str

    @property
    def checked(self) -> str:
        """The net of the check, at its input size; "" if it is not the family's."""
        return f"{self.net.partition('@')[0]}@{self.check}" if self.check else ""


def entries() -> list[ZooEntry]:
    """Read the table, family by family."""
    with FILE.open(newline="", encoding="utf-8") as file:
        return [
            ZooEntry(
                family=line["family"],
                net=line["net"],
                check=int(line["check"]) if line["check"] else None,
                fused=line["fused"] == "yes",
                parameters=_millions(line["parameters"]),
                macs=_millions(line["macs"]),
                counts=line["counts"],
                top1=float(line["top1"]) if line["top1"] else None,
                accuracy=line["accuracy"],
                note=line["note"],
            )
            for line in csv.DictReader(file)
        ]


def _millions(text: str) -> float | None:
    return float(text) * 1e6 if text else None


def off(counted: float | None, stated: float | None) -> float | None:
    """Say how far a count is above what is stated, as a share; None if either is unknown."""
    return None if counted is None or stated is None else counted / stated - 1
