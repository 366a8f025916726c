#!/usr/bin/env python3
"""The command line of paretomark: here it measures and trains, and reports bring the rest.

Every file of `reports/` without a leading underscore is a command, see `reports/_command.py`. For
the list their first lines are read; imported is the file of the chosen command only.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from paretomark.reports import _command, _encoding, _flags
from paretomark.reports._command import duration, percentage, positive
from paretomark.suites.spec import _plugins
from paretomark.suites.spec._errors import UserError, line, unknown
from paretomark.suites.spec._scenario import SCENARIOS

if TYPE_CHECKING:
    from paretomark.devices.measure._request import RunRequest

ALL_WELL, SOME_FAILED = _command.ALL_WELL, _command.SOME_FAILED
USER_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. 0: all well; 1: it ran, but some cells failed; 2: it could not run."""
    _encoding.fit()
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may come next
        _complete(os.environ.get("COMP_LINE", "").split()[1:])
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(number, _interrupt)
    try:
        shared, words = _shared().parse_known_args(arguments)
        for folder in shared.plugins:
            _plugins.add(folder)
        parsed = _flags.parsed(parser_of(words), words, _named(words))
        code: int = parsed.command(parsed)
        return code
    except UserError as error:
        print(f"error: {line(str(error))}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE


def _interrupt(number: int, frame: object) -> None:
    """Stop as for Ctrl-C: children are ended, and it is said how to go on."""
    raise KeyboardInterrupt


def _shared() -> argparse.ArgumentParser:
    """What stands before or behind every command; it may bring commands of its own."""
    parser = argparse.ArgumentParser(prog="bench.py", add_help=False, allow_abbrev=False)
    own = "folder with plug-ins of your own, such as DIR/devices/mine.py (repeatable)"
    parser.add_argument(
        "--plugins", metavar="DIR", type=Path, action="append", default=[], help=own
    )
    return parser


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of these words, which knows the arguments of the command among them."""
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description="Accuracy against latency for compressed networks, on the devices you have.",
        parents=[_shared()],
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print it, and end")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, does: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=does.replace("%", "%%"), parents=[_shared()])

    run = add("run", "measure a suite and write its report")
    run.add_argument("suite", nargs="?", help="name or path of a suite (TOML)")
    run.add_argument("--resume", type=Path, metavar="RUN", help="complete a run that was stopped")
    for part, which, like in (
        ("device", "", "'litert:*'"),
        ("model", ", of the suite or the zoo", "'scenes_*'"),
        ("recipe", "", "'pruned*'"),
    ):
        some = f"only this {part}{which}, or those like it: {like} (repeatable)"
        run.add_argument(f"--{part}", action="append", default=[], help=some)
    instead = "instead of the suite's (repeatable)"
    run.add_argument("--threads", type=positive, action="append", default=[], help=instead)
    run.add_argument(
        "--effort",
        choices=("quick", "gate", "publish"),
        help="3, 8 or 20 visits of each cell, to know latencies to 2, 1 or 0.5 %% (default: as the "
        "suite has it)",
    )
    run.add_argument(
        "--precision",
        type=percentage,
        metavar="2%",
        help="how well latencies are to be known: cells that are not get more visits",
    )
    run.add_argument(
        "--time",
        type=duration,
        metavar="10m",
        help="how long visits may go on for that (default: for a third of the visits)",
    )
    run.add_argument(
        "--scenario",
        choices=SCENARIOS,
        action="append",
        default=[],
        help="single, batch, server, cold or sustained, instead of the suite's (repeatable)",
    )
    run.add_argument(
        "--sustained",
        type=duration,
        metavar="10m",
        help="call without a pause for so long: the scenario sustained",
    )
    run.add_argument("--out", type=Path, help="folder of the run (default: runs/SUITE-DATE)")
    run.add_argument("--json", action="store_true", help="print the result as JSON")
    run.add_argument("--open", action="store_true", help="show the page in a browser")
    plan = "only say what would be built and visited, how long it takes, and what is not here"
    run.add_argument("--plan", action="store_true", help=plan)
    run.set_defaults(command=_run)

    train = add("train", "train a net of the zoo by its recipe")
    train.add_argument("model")
    train.add_argument(
        "--out", type=Path, help="file to write (default: weights/MODEL.safetensors in the cache)"
    )
    train.add_argument("--epochs", type=positive, help="instead of the recipe's")
    train.add_argument("--seed", type=int, help="instead of the recipe's")
    train.set_defaults(command=_train)

    chosen = _named(words)
    for name, does in _command.listing().items():
        if name in commands.choices:
            raise UserError(f"no report can be called {name}: rename reports/{name}.py")
        command = add(name, does)
        if name == chosen:
            report = _plugins.module("reports", name)
            report.arguments(command)
            command.set_defaults(command=report.command)
    if chosen and chosen not in commands.choices:
        raise unknown("command", chosen, commands.choices)
    return parser


def _complete(words: Sequence[str]) -> None:
    """Tell a shell what may follow these words, and end; nothing without the extra `completion`."""
    with contextlib.suppress(ImportError):
        import argcomplete

        known = {"run", "train", *_command.listing()}
        argcomplete.autocomplete(parser_of([_named(words)] if _named(words) in known else []))


class _Version(argparse.Action):
    """Prints the version; what tells it is imported only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from importlib import metadata

        print(f"paretomark {metadata.version('paretomark')}")
        parser.exit()


def _named(words: Sequence[str]) -> str:
    """The command among these words; "" if they name none."""
    return next((word for word in words if not word.startswith("-")), "")


def _run(arguments: argparse.Namespace) -> int:
    from paretomark.devices.measure import _collect
    from paretomark.reports import _digest, _planned, _progress, report
    from paretomark.suites.records._summary import summarise

    if arguments.resume:
        narrowed = ("suite", "out", "device", "model", "recipe", "threads", "effort", "precision")
        planned = (*narrowed, "scenario", "sustained", "plan")
        if other := [name for name in planned if getattr(arguments, name)]:
            raise UserError(f"--resume goes on with the run as it was planned, without {other[0]}")
        out, work = arguments.resume, _collect.resume
    else:
        request = _request(arguments)
        if arguments.plan:
            return _planned.present(request, arguments.out, arguments.json)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        out = arguments.out or Path("runs") / f"{request.name}-{stamp}"
        work = functools.partial(_collect.start, request)
    try:
        with _progress.show(to_stderr=arguments.json) as progress:
            run = work(out, progress)
    except KeyboardInterrupt:
        print(f"stopped; go on with: bench.py run --resume {out}", file=sys.stderr)
        return INTERRUPTED
    with _progress.counting("summing up"):
        summary = summarise(run)
        _digest.keep(summary)
    report.present(summary, run.folder / "report", arguments.json)
    if arguments.open:
        _command.open_page(run.folder / "report" / "index.html")
    return SOME_FAILED if summary.failed else ALL_WELL


def _request(arguments: argparse.Namespace) -> RunRequest:
    from paretomark.devices.measure._request import RunRequest

    if not arguments.suite:
        raise UserError("run wants either a suite or --resume RUN")
    chosen = arguments.device, arguments.model, arguments.recipe, arguments.threads
    return RunRequest.of(
        arguments.suite,
        *chosen,
        effort=arguments.effort or "",
        precision=arguments.precision,
        time_s=arguments.time,
        scenario=tuple(arguments.scenario),
        sustained_s=arguments.sustained,
    )


def _train(arguments: argparse.Namespace) -> int:
    from paretomark.models.nets import _zoo

    if arguments.model not in _zoo.names():
        raise unknown("model", arguments.model, _zoo.names())
    from paretomark.models.training import _train
    from paretomark.reports import _progress
    from paretomark.suites.tasks import _task

    out = arguments.out or _zoo.trained(arguments.model)
    metric = _task.metric(_zoo.task(arguments.model))
    try:
        with _progress.training(arguments.model, metric) as report:
            accuracy = _train.train(
                arguments.model, out, epochs=arguments.epochs, seed=arguments.seed, report=report
            )
    except KeyboardInterrupt:
        print("stopped; the same command goes on after the last whole epoch", file=sys.stderr)
        return INTERRUPTED
    print(f"{out}: {metric} {100 * accuracy:.1f} % on the test split")
    print(f'a suite uses them by: weights = "{out.absolute()}"')
    return ALL_WELL


if __name__ == "__main__":
    sys.exit(main())
