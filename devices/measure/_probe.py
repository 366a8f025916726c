"""The child that asks whether a device is here.

    python -P -m paretomark.devices.measure._probe TARGET ANSWER DONE

What the last two are is said in `_worker`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paretomark.devices._device import Unavailable, open_device
from paretomark.devices.measure import _worker
from paretomark.models import _sources
from paretomark.suites.spec import _plugins

DIGITS = 12  # of a digest


def probe(target: str, stage: Path) -> dict[str, Any]:
    """Say what the record `Probe` of a target holds.

    A device is what its adapter makes of it: where that is a user's, its code counts as a version.
    """
    stage.write_text("probe")
    try:
        chip = open_device(target).probe()
    except Unavailable as error:
        return {"available": False, "reason": str(error), "remedy": error.remedy}
    versions, name = dict(chip.versions), target.partition(":")[0]
    if _plugins.is_own("devices", name):
        code = _sources.digest(f"{_plugins.KINDS['devices'][0]}.{name}")
        versions[f"plug-in {name}"] = code[:DIGITS]
    return {"available": True, "chip": chip.name, "versions": versions}


if __name__ == "__main__":
    _worker.work_on(probe)
