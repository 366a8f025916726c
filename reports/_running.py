"""How commands have revisions built and timed side by side: their arguments, and the runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from paretomark.reports._command import percentage
from paretomark.suites.records._store import Run
from paretomark.suites.spec._errors import UserError

if TYPE_CHECKING:
    from paretomark.devices.measure._side import Asked

SUITE = "bench.toml"
CHOSEN = ("device", "model", "recipe")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what narrows such a run, and how it is made."""
    group = parser.add_argument_group("building and timing revisions")
    for part in CHOSEN:
        group.add_argument(f"--{part}", action="append", default=[], help=f"only this {part}")
    how(group)


def how(group: argparse._ActionsContainer) -> None:
    """Add how long such a run measures, and how packages get there."""
    group.add_argument(
        "--effort", choices=("quick", "gate", "publish"), default="", help="as of bench.py run"
    )
    group.add_argument("--precision", type=percentage, metavar="2%", help="as of bench.py run")
    group.add_argument(
        "--setup",
        default="",
        metavar="COMMAND",
        help="what installs the packages of a revision, by the `python` of an environment of its "
        "own (default: pip, as pyproject.toml and requirements.txt say, if they differ)",
    )


def check_unused(arguments: argparse.Namespace) -> None:
    """Raise UserError for arguments of a run where nothing is run."""
    for name in (*CHOSEN, "effort", "precision", "setup"):
        if getattr(arguments, name):
            raise UserError(f"--{name} is for --run: it says how revisions are built and timed")


def both(base: str, head: str, arguments: argparse.Namespace) -> tuple[Run, Run]:
    """Build and time two revisions, and return their runs. Raises UserError if that cannot be."""
    first, second = measured((base, head), ("base", "head"), arguments)
    return first, second


def measured(
    revisions: Sequence[str], names: Sequence[str], arguments: argparse.Namespace
) -> list[Run]:
    """Build and time revisions side by side; their runs are kept in `--runs`, in folders that end
    with these names. Raises UserError if that cannot be."""
    from paretomark.devices.measure import _sides
    from paretomark.reports import _progress

    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    stem = Path(arguments.suite or SUITE).stem
    with _progress.show(to_stderr=True) as progress:
        return _sides.measure(
            revisions,
            asked(arguments),
            arguments.runs,
            progress,
            setup=arguments.setup,
            told=tell,
            names=[f"{stem}-{stamp}-{name}" for name in names],
        )


def asked(arguments: argparse.Namespace, cells: Sequence[str] = ()) -> Asked:
    """What to plan and build of each revision; of that only these cells, if some are named."""
    from paretomark.devices.measure._side import Asked

    return Asked(
        suite=arguments.suite or SUITE,
        plugins=tuple(map(str, getattr(arguments, "plugins", ()))),
        devices=tuple(getattr(arguments, "device", ())),
        models=tuple(getattr(arguments, "model", ())),
        recipes=tuple(getattr(arguments, "recipe", ())),
        effort=arguments.effort,
        precision=arguments.precision,
        cells=tuple(cells),
    )


def tell(line: str) -> None:
    """Say on stderr what goes on."""
    print(line, file=sys.stderr, flush=True)
