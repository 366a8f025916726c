#!/usr/bin/env python3
"""The command line of paretomark: every command in a few lines, the work elsewhere."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from paretomark.suites.spec._errors import UserError, unknown

if TYPE_CHECKING:
    from paretomark.devices.measure._request import Request
    from paretomark.suites.records._store import Run

SOME_FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. 0: all well; 1: it ran, but some cells failed; 2: it could not run."""
    parsed = _parser().parse_args(arguments)
    try:
        code: int = parsed.command(parsed)
        return code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return 141


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description="Accuracy against latency for compressed networks, on the devices you have.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="measure a suite and write its report")
    run.add_argument("suite", nargs="?", help="name or path of a suite (TOML)")
    run.add_argument("--resume", type=Path, metavar="RUN", help="complete a run that was stopped")
    run.add_argument("--device", action="append", default=[], help="only this device (repeatable)")
    run.add_argument("--model", action="append", default=[], help="only this model (repeatable)")
    run.add_argument("--recipe", action="append", default=[], help="only this recipe (repeatable)")
    run.add_argument(
        "--threads", type=_positive, action="append", default=[], help="instead of the suite's"
    )
    run.add_argument("--out", type=Path, help="folder of the run (default: runs/SUITE-DATE)")
    run.add_argument("--json", action="store_true", help="print the result as JSON")
    run.set_defaults(command=_run)

    report = commands.add_parser("report", help="write the page, plots and tables of a run")
    report.add_argument("run", type=Path)
    report.add_argument("--out", type=Path, help="folder to write to (default: RUN/report)")
    report.add_argument("--json", action="store_true", help="print the result as JSON")
    report.set_defaults(command=_report)

    compare = commands.add_parser("compare", help="compare two runs on one machine, cell by cell")
    compare.add_argument("a", type=Path, metavar="A", help="the run before")
    compare.add_argument("b", type=Path, metavar="B", help="the run after")
    compare.add_argument(
        "--delta",
        type=_fraction,
        default=0.02,
        help="changes of latency below this are 'same' (default 0.02)",
    )
    compare.add_argument(
        "--by-name",
        action="store_true",
        help="compare cells of one name also where net, recipe or data are others",
    )
    form = compare.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--markdown", action="store_true")
    compare.set_defaults(command=_compare)

    board = commands.add_parser("leaderboard", help="write static pages from several runs")
    board.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    board.add_argument("--out", type=Path, required=True, help="folder of the site")
    board.set_defaults(command=_leaderboard)

    profile = commands.add_parser(
        "profile", help="tell where the time of a net goes, operator by operator"
    )
    profile.add_argument("model", help="a net of the zoo, a model of the suite, or file:PATH")
    profile.add_argument("--recipe", help="of the suite (default: the net as trained, in fp32)")
    profile.add_argument("--device", required=True)
    profile.add_argument("--suite", default="quick", help="where recipes are (default: quick)")
    profile.add_argument("--threads", type=_positive, default=1)
    profile.add_argument("--batch", type=_positive, help="default 1; a file has its own")
    profile.add_argument("--runs", type=_positive, default=50, help="under the profiler")
    profile.add_argument("--out", type=Path, help="default: profiles/MODEL-RECIPE-DEVICE-DATE")
    profile.add_argument("--json", action="store_true", help="print the result as JSON")
    profile.set_defaults(command=_profile)

    devices = commands.add_parser(
        "devices", help="list the devices: what is here, and how to get what is not"
    )
    devices.add_argument("--device", action="append", default=[], help="only this one (repeatable)")
    devices.add_argument(
        "--verify", action="store_true", help="check that adapters do as they must"
    )
    devices.add_argument("--zoo", action="store_true", help="check that bad adapters are caught")
    devices.add_argument("--json", action="store_true")
    devices.set_defaults(command=_devices)

    models = commands.add_parser("models", help="list the nets of the zoo by family")
    models.add_argument("--model", action="append", default=[], help="only this one (repeatable)")
    models.add_argument(
        "--check", action="store_true", help="run a net of each family on every runtime (an hour)"
    )
    models.add_argument("--json", action="store_true")
    models.set_defaults(command=_models)

    show = commands.add_parser("show", help="tell how an artifact came to be")
    show.add_argument("artifact", help="its file, or the start of its sha256")
    show.add_argument("--json", action="store_true")
    show.set_defaults(command=_show)

    train = commands.add_parser("train", help="train a net of the zoo by its recipe")
    train.add_argument("model")
    train.add_argument(
        "--out", type=Path, help="file to write (default: weights/MODEL.safetensors in the cache)"
    )
    train.add_argument("--epochs", type=_positive, help="instead of the recipe's")
    train.add_argument("--seed", type=int, help="instead of the recipe's")
    train.set_defaults(command=_train)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from paretomark.devices.measure import _collect
    from paretomark.reports import _progress

    out = arguments.resume or arguments.out
    request = _request(arguments)
    if out is None:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        out = Path("runs") / f"{request.name}-{stamp}"
    try:
        with _progress.show(to_stderr=arguments.json) as progress:
            if arguments.resume:
                run = _collect.resume(out, progress)
            else:
                run = _collect.start(request, out, progress)
    except KeyboardInterrupt:
        print(f"stopped; go on with: bench.py run --resume {out}", file=sys.stderr)
        return INTERRUPTED
    return _present(run, run.folder / "report", arguments.json)


def _request(arguments: argparse.Namespace) -> Request:
    """What to run. Raises UserError if a run that is resumed is to be another."""
    from paretomark.devices.measure._request import Request
    from paretomark.suites.spec import _suite

    narrowed = ("device", "model", "recipe", "threads")
    if arguments.resume:
        given = [name for name in ("suite", "out", *narrowed) if getattr(arguments, name)]
        if given:
            raise UserError(f"--resume goes on with the run as it was planned, without {given[0]}")
        return Request("", "", "")
    if not arguments.suite:
        raise UserError("run wants either a suite or --resume RUN")
    path = _suite.locate(arguments.suite)
    return Request(
        suite=_suite.text(path),
        name=path.stem,
        folder=str(path.parent.absolute()),
        devices=tuple(arguments.device),
        models=tuple(arguments.model),
        recipes=tuple(arguments.recipe),
        threads=tuple(arguments.threads),
    )


def _report(arguments: argparse.Namespace) -> int:
    from paretomark.suites.records import _store

    run = _store.read(arguments.run)
    _present(run, arguments.out or run.folder / "report", arguments.json)
    return 0


def _present(run: Run, out: Path, as_json: bool) -> int:
    """Write the report of a run, and print its table and where the page is."""
    from paretomark.reports import _published_table, _ranks, _terminal, report
    from paretomark.suites.records import _summary

    rows = _summary.summarise(run)
    written = report.write(run, out)
    if as_json:
        more = {"published": _published_table.as_json(run, rows), "ranks": _ranks.as_json(rows)}
        print(json.dumps(_terminal.as_json(run, rows) | more, indent=1))
    else:
        _terminal.show(rows)
        _published_table.show(run, rows)
        _ranks.show(rows)
        print(f"report: {written[0]}")
    return (
        SOME_FAILED if any(row.status in ("failed", "fallback", "not run") for row in rows) else 0
    )


def _compare(arguments: argparse.Namespace) -> int:
    from paretomark.reports import compare
    from paretomark.suites.records import _store

    a, b = _store.read(arguments.a), _store.read(arguments.b)
    verdicts = compare.compare(a, b, arguments.delta, arguments.by_name)
    if arguments.json:
        print(json.dumps(compare.as_json(a, b, verdicts), indent=1))
    elif arguments.markdown:
        print(compare.as_markdown(a, b, verdicts))
    else:
        compare.show(a, b, verdicts)
    return 0


def _leaderboard(arguments: argparse.Namespace) -> int:
    from paretomark.reports import leaderboard
    from paretomark.suites.records import _store

    for path in leaderboard.write([_store.read(run) for run in arguments.runs], arguments.out):
        print(path)
    return 0


def _profile(arguments: argparse.Namespace) -> int:
    from paretomark.devices.measure import _profile
    from paretomark.reports import _progress, profile

    fields = ("model", "recipe", "device", "suite", "threads", "batch", "runs")
    request = _profile.Request(**{name: getattr(arguments, name) for name in fields})
    say = functools.partial(print, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    with _progress.show(to_stderr=arguments.json) as progress:
        found = _profile.collect(request, progress, say)
    written = profile.write(found, arguments.out or profile.folder(found))
    if arguments.json:
        print(json.dumps(profile.as_json(found), indent=1))
    else:
        profile.show(found)
        print(f"profile: {written[0]}")
    return SOME_FAILED if found.visit.status == "fallback" else 0


def _devices(arguments: argparse.Namespace) -> int:
    from paretomark.reports import devices

    if arguments.zoo:
        good = devices.zoo(arguments.json)
    elif arguments.verify:
        good = devices.verify(devices.targets(arguments.device), arguments.json)
    else:
        good = devices.show(devices.targets(arguments.device), arguments.json)
    return 0 if good else SOME_FAILED


def _models(arguments: argparse.Namespace) -> int:
    from paretomark.reports import models

    act = models.check if arguments.check else models.show
    return 0 if act(arguments.model, arguments.json) else SOME_FAILED


def _show(arguments: argparse.Namespace) -> int:
    from paretomark.reports import show

    table = show.find(arguments.artifact)
    if arguments.json:
        print(json.dumps(table, indent=1))
    else:
        show.show(table)
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from paretomark.models.nets import _zoo

    if arguments.model not in _zoo.names():
        raise unknown("model", arguments.model, _zoo.names())
    from paretomark.models.training import _train
    from paretomark.reports import _progress
    from paretomark.suites.spec import _tasks

    out = arguments.out or _zoo.trained(arguments.model)
    metric = _tasks.metric(_zoo.task(arguments.model))
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
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _fraction(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
