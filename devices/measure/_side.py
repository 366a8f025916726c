"""The child that plans a revision's suite, and builds it, in the work tree and by the interpreter
of that revision.

    python -P -m paretomark.devices.measure._side REQUEST ANSWER

Both are JSON files. While it builds it prints a line of JSON for each artifact.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from paretomark.devices.measure import _collect, _work
from paretomark.devices.measure._request import RunRequest
from paretomark.models import _sources
from paretomark.models.build._artifact import Artifact, Refused
from paretomark.suites.records._record import Probe
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError, explained
from paretomark.suites.spec._plan import Cell
from paretomark.suites.spec._scenario import Scenario
from paretomark.suites.spec._suite import Suite

VISIT = "paretomark.devices.measure._visit"


@dataclass(frozen=True)
class Asked:
    """What to plan: as `RunRequest.of` takes it; of that only `cells`, if there are some."""

    suite: str
    plugins: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    effort: str = ""
    precision: float | None = None
    scenario: tuple[Scenario, ...] = ()
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """What a revision's suite comes to. `code` tells by device what visits of it run, as a digest
    of the adapter and of all that measures."""

    suite: Suite
    cells: tuple[Cell, ...]
    probes: tuple[Probe, ...]
    built: Mapping[str, Artifact]
    refused: Mapping[str, Refused]
    request: dict[str, Any]
    version: str
    plugins: str
    code: Mapping[str, str]


def planned(asked: Asked) -> Planned:
    """Plan and build here. Raise UserError for a suite that cannot be run."""
    for folder in asked.plugins:
        _plugins.add(Path(folder).absolute())
    request = RunRequest.of(
        asked.suite,
        asked.devices,
        asked.models,
        asked.recipes,
        asked.threads,
        effort=asked.effort,
        precision=asked.precision,
        scenario=asked.scenario,
    )
    suite, every = request.plan()
    cells = [cell for cell in every if not asked.cells or cell.key in asked.cells]
    probes = _collect.probed(cells) if cells else []
    absent = {probe.device: probe for probe in probes if not probe.available}
    possible = [cell for cell in cells if not _collect.obstacle(cell, absent)]
    built = _collect.build_artifacts(suite, possible, _work.Progress(building=_tell))
    return Planned(
        suite=suite,
        cells=tuple(cells),
        probes=tuple(probes),
        built={key: a for key, a in built.items() if isinstance(a, Artifact)},
        refused={key: a for key, a in built.items() if isinstance(a, Refused)},
        request=dataclasses.asdict(request),
        version=metadata.version("paretomark"),
        plugins=os.environ.get(_plugins.VARIABLE, ""),
        code={device: _code(device) for device in dict.fromkeys(cell.device for cell in cells)},
    )


def _code(device: str) -> str:
    return _sources.digest(VISIT, _plugins.module_name("devices", device.partition(":")[0]))


def _tell(*building: object) -> None:
    print(json.dumps(building), flush=True)


def main(arguments: Sequence[str]) -> None:
    """Read the request, and write the answer: what is planned, or an error."""
    from paretomark.suites.spec import _schema

    request, answer = map(Path, arguments)
    try:
        asked = _schema.typed(Asked, json.loads(request.read_text()))
        table = dataclasses.asdict(planned(asked))
    except UserError as error:
        table = {"error": str(error)}
    except Exception as error:
        table = {"error": explained(error)}
    answer.write_text(json.dumps(table))


if __name__ == "__main__":
    main(sys.argv[1:])
