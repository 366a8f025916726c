"""What a suite quotes of others' figures, to be put beside its own: `[[published]]`.

    [[published]]
    claim = "MobileNetV2, int8 in place of float32"
    figure = "46 to 17 ms: 2.7 times as fast"
    source = "XNNPACK README"
    conditions = "Raspberry Pi 4, one thread"
    quantity = "speedup"
    model = "mobilenet_v2"
    recipe = "int8"
    why = "another processor"

The fields of the dataclass are the schema; `paretomark.reports._published_table` finds ours.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from paretomark.suites.spec._errors import UserError, unknown

QUANTITIES = (
    "latency", "speedup", "accuracy", "delta", "file", "file ratio", "encoded ratio",
    "parameters ratio", "MACs ratio", "MACs/s ratio", "sparsity",
)  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A figure that others published, and the cell of this suite that answers to it.

    `quantity` is one of QUANTITIES. Those that compare do so with the base: a recipe of the suite
    (`base_recipe`, of `base_model` or of the same one), or else the dense fp32 net.
    """

    claim: str = ""  # what is claimed, of which net
    figure: str = ""  # as it was published
    source: str = ""  # who published it, and where
    conditions: str = ""  # under which it was measured
    why: str = ""  # why ours may differ
    quantity: str = "speedup"  # one of QUANTITIES
    model: str = ""  # of the suite; without one, nothing here answers to it
    recipe: str = ""  # of the suite; with a model
    devices: tuple[str, ...] = ()  # by default all
    base_model: str = ""  # what ours is compared with; by default the same net
    base_recipe: str = ""  # what ours is compared with; by default fp32, dense


def check(
    entries: Sequence[Published],
    models: Collection[str],
    recipes: Collection[str],
    devices: Collection[str],
    where: str,
) -> None:
    """Raise UserError for an entry that says too little, or names what the suite does not have."""
    for entry in entries:
        at = f"{where}, [[published]] '{entry.claim}'"
        for name in ("claim", "figure", "source"):
            if not getattr(entry, name):
                raise UserError(f"{at} has no {name}")
        named: list[tuple[str, str, Collection[str]]] = [
            ("quantity", entry.quantity, QUANTITIES),
            ("model", entry.model, models),
            ("model", entry.base_model, models),
            ("recipe", entry.recipe, recipes),
            ("recipe", entry.base_recipe, recipes),
            *(("device", device, devices) for device in entry.devices),
        ]
        for kind, name, valid in named:
            if name and name not in valid:
                raise unknown(kind, name, valid, at)
        if bool(entry.model) != bool(entry.recipe):
            raise UserError(f"{at} needs both a model and a recipe, or neither")
