"""Accuracy against latency for compressed networks, measured on the devices you have.

`paretomark.load("runs/...")` gives what runs measured as a DataFrame of pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretomark.reports._frame import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: every process starts here, and reports are heavy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module("paretomark.reports._frame"), name)
