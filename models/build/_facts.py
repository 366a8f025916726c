"""What the parent knows of nets that it cannot build: a child is asked once, the answer is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from paretomark.models import _cache, _sources
from paretomark.models.nets import _libraries, _zoo
from paretomark.suites.spec._errors import UserError, last_line, unknown

CHILD = "paretomark.models.build._describe"


def check(net: str) -> None:
    """Raise UserError for a net that is not there, lacks what it must have, or needs a library
    that is not installed."""
    what = _zoo.split(net)
    if what.kind == "python":
        _zoo.python(what.name)
    elif what.kind in _libraries.NAMES:
        nets, (plain, _, tag) = names(what.kind), what.name.partition(".")
        if plain not in nets:
            raise unknown(f"net of {what.kind}", plain, nets)
        if tag and tag not in nets[plain]:
            raise unknown(f"weights of {what.kind}:{plain}", tag, nets[plain])
    elif not what.kind:
        if what.name not in _zoo.names():
            raise unknown("model", what.name, _zoo.names())
        _zoo.check(what.name)


def pretrained(net: str) -> list[str]:
    """Return the names of a library's trained weights of a net. Raises UserError as `names`."""
    what = _zoo.split(net)
    return names(what.kind)[what.name.partition(".")[0]]


def names(library: str) -> dict[str, list[str]]:
    """Return the nets of a library, and the names of their trained weights.

    Raises UserError if it is not installed.
    """
    kept = file(library, ["names"])
    if not kept.exists():
        _keep(kept, _ask(["--names", library])[0])
    weights: dict[str, list[str]] = json.loads(kept.read_text())
    return weights


def facts(
    nets: Sequence[str], told: Callable[[int, int, str], None] = lambda done, total, net: None
) -> dict[str, dict[str, Any]]:
    """Return by net: parameters, MACs, size, licence, and the same fused; or `error`, which says
    why not.

    The net's code and the libraries' versions decide whether a kept answer still holds. `told` is
    called for each net that is to be looked at, before it is.
    """
    tables: dict[str, dict[str, Any]] = {}
    files: dict[str, Path] = {}
    for net in nets:
        what = _zoo.split(net)
        try:
            files[net] = file(what.kind, [net, _zoo.code(net)])
        except UserError as error:
            tables[net] = {"error": str(error)}
    missing = [net for net in files if not files[net].exists()]
    answers = _answers(missing) if missing else ()
    if missing:
        told(0, len(missing), missing[0])
    for done, (net, line) in enumerate(zip(missing, answers, strict=True), start=1):
        if done < len(missing):
            told(done, len(missing), missing[done])
        table = json.loads(line)
        if "error" in table:
            tables[net] = table
        else:
            _keep(files[net], line)
    return {net: tables.get(net) or json.loads(files[net].read_text()) for net in nets}


def file(kind: str, parts: Sequence[str]) -> Path:
    """Say where an answer about nets of a kind is kept: `parts` say what was asked.

    Raises UserError if the library of the kind is not installed.
    """
    versions, engine = json.dumps(_libraries.versions(kind)), _sources.digest(CHILD)
    return _cache.folder() / "facts" / f"{_cache.key([*parts, kind, versions, engine])}.json"


def _keep(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.stem}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(file)


def _ask(arguments: Sequence[str]) -> list[str]:
    """The lines that the child prints."""
    return list(_answers(arguments))


def _answers(arguments: Sequence[str]) -> Iterator[str]:
    """The lines that the child prints, as it prints them: one for each argument that is a net."""
    with tempfile.TemporaryFile("w+b") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", CHILD, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        try:
            assert child.stdout is not None
            yield from child.stdout
            ended = child.wait()
        finally:
            child.kill()
            child.communicate()
        log.seek(0)
        said = last_line(log.read().decode(errors="replace")) or "no output"
    if ended:
        raise UserError(f"cannot look at {arguments[-1]}: {said}")
