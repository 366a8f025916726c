"""What functions of the user's return, as digests that keys of the cache are made of.

A function may load weights by itself, or read its sizes from a file, and only calling it tells
whether these are still what they were. The parent does not import torch, so a child calls it:

    python -P -m paretomark.models.build._returned OUT NET...
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path

DEADLINE_S = 600.0
_known: dict[str, str] = {}


def learn(nets: Iterable[str]) -> None:
    """Call these functions, as `python:PATH.py:FUNCTION`, and forget what was known of any."""
    _known.clear()
    nets = list(dict.fromkeys(nets))
    if not nets:
        return
    with tempfile.TemporaryDirectory(prefix="paretomark-") as scratch:
        out = Path(scratch, "digests.jsonl")
        command = [sys.executable, "-P", "-m", "paretomark.models.build._returned", str(out), *nets]
        with contextlib.suppress(subprocess.TimeoutExpired):  # of which the build tells, too
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=DEADLINE_S,
                check=False,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
            )
        lines = out.read_text().splitlines() if out.exists() else []
    for net, line in zip(nets, lines, strict=False):
        _known[net] = json.loads(line)


def digest(net: str) -> str:
    """Return the digest of what a function returns: its weights, modules and settings.

    That of one which fails is new each time, so that nothing in the cache stands for it, and the
    build tells what is wrong.
    """
    if net not in _known:
        if "torch" in sys.modules:  # a child that builds calls it anyway
            _known[net] = _digest(net)
        else:
            learn([*_known, net])
    return _known.setdefault(net, uuid.uuid4().hex)


def forget() -> None:
    """Let every function be called anew."""
    _known.clear()


def _digest(net: str) -> str:
    import hashlib

    import torch

    from paretomark.models.nets import _load, _structure

    try:
        _load.sow(0)
        made = _load.of_function(net)
        parts = [_load.digest(made), _structure.structure(made)]
        kept = made.state_dict()
        for name, buffer in sorted(made.named_buffers()):
            if name not in kept:
                values = buffer.detach().contiguous().view(-1).view(torch.uint8)
                parts.append(f"{name} {hashlib.sha256(values.numpy().tobytes()).hexdigest()}")
    except Exception:  # whatever the user's code raises
        return uuid.uuid4().hex
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def main(arguments: list[str]) -> None:
    """Write a line for each net, as soon as it is known."""
    out, *nets = arguments
    with Path(out).open("w") as file:
        for net in nets:
            print(json.dumps(_digest(net)), file=file, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
