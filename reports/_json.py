"""What reports print for programs: JSON that every reader takes."""

from __future__ import annotations

import json
import math
from typing import Any

from paretomark.suites.records._record import Header


def text(value: Any) -> str:
    """Write plain values as JSON; null is what is no number, which JSON cannot say."""
    return json.dumps(_plain(value), indent=1, allow_nan=False)


def header(told: Header) -> dict[str, Any]:
    """Give the header of a run, without the folder that its suite lay in: that is the user's."""
    table = told.to_json()
    return table | {"request": {k: v for k, v in table["request"].items() if k != "folder"}}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
