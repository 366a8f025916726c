"""The child that knows nets without running them: names of a library, parameters, MACs.

    python -P -m paretomark.models.build._describe --names LIBRARY    prints a JSON table to stdout
    python -P -m paretomark.models.build._describe NET...             a JSON object per net and line

Nets are built on torch's meta device, which has shapes but no numbers: VGG-16 takes a moment.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import torch
from torch import nn

from paretomark.models.compress import reparameterize
from paretomark.models.compress._step import Context
from paretomark.models.nets import _libraries, _zoo
from paretomark.models.nets._macs import macs
from paretomark.suites.spec._errors import UserError, explained
from paretomark.suites.spec._model import Preprocess


def describe(name: str) -> dict[str, Any]:
    """Return what can be said of an untrained net. Raises what building it raises."""
    for device in ("meta", "cpu"):  # a few nets compute with numbers while they are built
        try:
            with torch.device(device):
                net, preprocess, licence = _bare(name)
            counts = _counts(net.eval(), preprocess)
            break
        except UserError:
            raise
        except Exception:
            if device == "cpu":
                raise
    fused: dict[str, int | None] = {}
    with contextlib.suppress(UserError), torch.device(device):
        deployed = reparameterize.apply(net, Context("", preprocess, 0))
        fused = _counts(deployed, preprocess)
    return {
        **counts,
        "fused_parameters": fused.get("parameters"),
        "fused_macs": fused.get("macs"),
        "size": preprocess.size,
        "licence": licence,
    }


def _counts(net: nn.Module, preprocess: Preprocess) -> dict[str, int | None]:
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "macs": macs(net, preprocess),
    }


def _bare(name: str) -> tuple[nn.Module, Preprocess, str]:
    what = _zoo.split(name)
    if what.kind:
        entry = _libraries.entry(what.kind, what.name, what.size)
        return _libraries.plain(entry.build(False)), entry.preprocess, entry.licence
    plugin = _zoo.module(what.name)
    size = what.size or plugin.PREPROCESS.size
    return plugin.net(), Preprocess(size, plugin.PREPROCESS.mean), "Apache-2.0"


def main() -> None:
    """Answer what the command line asks for."""
    out = sys.stdout
    sys.stdout = sys.stderr  # libraries print as they like
    if sys.argv[1] == "--names":
        print(json.dumps(_libraries.names(sys.argv[2])), file=out)
        return
    for name in sys.argv[1:]:
        try:
            answer = describe(name)
        except Exception as error:
            answer = {"error": explained(error, 300)}
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
