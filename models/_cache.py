"""Where all is kept that can be made again, and the digests that it is named by."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

DIGITS = 32


def folder() -> Path:
    """Return the folder of all that can be made again: $PARETOMARK_CACHE or ~/.cache/paretomark."""
    place = os.environ.get("PARETOMARK_CACHE")
    return Path(place).absolute() if place else Path.home() / ".cache" / "paretomark"


def trees() -> Path:
    """Return the folder of the work trees of revisions."""
    return folder() / "trees"


def key(parts: Sequence[str]) -> str:
    """Return a name, DIGITS hexadecimal digits, for what is made of these parts in this order."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:DIGITS]


def sha256(*paths: Path) -> str:
    """Digest the content of a file, or of several one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()
