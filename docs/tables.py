#!/usr/bin/env python3
"""The tables of the documents, made from the code that they tell about, and from kept runs.

    python docs/tables.py            writes every table into its document: `make docs`
    python docs/tables.py --check    names those that are no longer what the code says, and fails

A table stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`, and a function of that name
in TABLES makes it; `run_NAME` is that of a kept run, see kept.py. Only the project's own plug-ins
are told about. Nothing that is heavy is imported: the files of methods, formats and devices import
torch and the runtimes in functions.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

from paretomark.devices import _device
from paretomark.docs import _code, kept
from paretomark.models.compress import _tuning
from paretomark.models.export import _export
from paretomark.models.nets import _zoo
from paretomark.reports import _columns, _frame
from paretomark.suites.spec import _plugins, _published, _scenario, _suite
from paretomark.suites.spec._model import Input, Preprocess
from paretomark.suites.tasks import _task

ROOT = Path(__file__).parents[1]
TABLE = re.compile(r"(<!-- (\w+): begin -->\n).*?(<!-- \2: end -->)", re.DOTALL)


def documents() -> list[Path]:
    """The files that may have tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def written(text: str) -> str:
    """A document with its tables made anew. Raises KeyError for a table that there is not."""
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def methods() -> str:
    """Every compression method with its parameters."""
    rows = []
    for name in own("methods"):
        signature = inspect.signature(_plugins.module("methods", name).apply)
        taken = [
            _code.parameter(p) for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY
        ]
        if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
            taken.append("[those of training](#training)")
        rows.append((f"`{name}`", _does("methods", name), "<br>".join(taken) or "none"))
    return _table(("method", "what it does", "parameters"), rows)


def training() -> str:
    """The parameters that methods have in common that train."""
    comments = _code.comments(_tuning.Tuning)
    defaults: Mapping[str, Any] = {**_tuning.DEFAULTS}
    rows = [
        (f"`{name}`", _code.written(hint), _code.toml(defaults[name]), comments[name])
        for name, hint in _tuning.Tuning.__annotations__.items()
    ]
    return _table(("parameter", "type", "default", "meaning"), rows)


def augmentations() -> str:
    """What `augment` may name, and what that does to the pictures of a training."""
    comments = _code.comments(_zoo.Training)
    rows = [
        (f"`{name}`", f"`{key}` = {_code.toml(value)}", comments[key])
        for name, changes in _tuning.AUGMENT.items()
        for key, value in changes.items()
    ]
    return _table(("name", "sets", "meaning"), rows)


def precisions() -> str:
    """Which format is written in which precision."""
    formats = {name: _export.module(name).PRECISIONS for name in own("formats")}
    longest_first = sorted(formats.values(), key=len, reverse=True)
    rows = [
        (f"`{precision}`", *("yes" if precision in formats[name] else "" for name in formats))
        for precision in dict.fromkeys(p for every in longest_first for p in every)
    ]
    return _table(("precision", *(f".{name}" for name in formats)), rows)


def quantization() -> str:
    """The options of int8 by format, the default first."""
    rows = []
    for name in own("formats"):
        for option, values in getattr(_export.module(name), "OPTIONS", {}).items():
            first, *rest = (f"`{value}`" for value in values)
            rows.append((f".{name}", f"`{option}`", first, ", ".join(rest)))
    return _table(("format", "option", "default", "or"), rows)


def devices() -> str:
    """The targets of every adapter, by what they load and run."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for target in _device.targets():
        adapter, _, variant = target.partition(":")
        if adapter in own("devices"):
            forms = _device.loads()[target]
            runs = _device.precisions(target) or _export.module(forms[0]).PRECISIONS
            written = ", ".join(f".{form}" for form in forms)
            same = groups.setdefault((adapter, written, tuple(runs)), [])
            same.append(f"`:{variant}`" if same else f"`{target}`")
    rows = [(", ".join(who), forms, ", ".join(runs)) for (_, forms, runs), who in groups.items()]
    return _table(("device", "loads", "runs"), rows)


def data() -> str:
    """Every data set, and what it is labelled for."""
    rows = []
    for name in own("data"):
        module = _plugins.module("data", name)
        kind = {"folder": ":DIR", "file": ":FILE", "": ""}[getattr(module, "PATH", "")]
        labelled = ", ".join(getattr(module, "TASKS", (_task.CLASSIFICATION,)))
        rows.append((f"`{name}{kind}`", _does("data", name), labelled))
    return _table(("data", "what it is", "labelled for"), rows)


def tasks() -> str:
    """Every task, what its quality is called, and the further numbers that it gives."""
    rows = []
    for name in own("tasks"):
        more = "<br>".join(f"{m.title}: {m.description}" for m in _measures(name).values())
        rows.append((f"`{name}`", _does("tasks", name), _task.metric(name), more))
    return _table(("task", "what it asks, and how a picture scores", "metric", "and"), rows)


def keys() -> str:
    """The keys of a suite, table by table."""
    hints = get_type_hints(_suite.Suite)
    inner = {key: get_args(hints[key])[-1] for key in _suite.TABLES}
    places = {
        "At the top": _suite.Suite,
        **{f"`[{key}.NAME]`": inner[key] for key in _suite.TABLES},
        "`[server]`": _scenario.Server,
        "`[sustained]`": _scenario.Sustained,
        "`inputs = { NAME = { ... } }` of a model": Input,
        "`preprocess = { ... }` of a model": Preprocess,
        "`[[published]]`": _published.Published,
    }
    left_out = ("name", "published", "server", "sustained", *_suite.TABLES)
    parts = []
    for title, kind in places.items():
        fields = _code.fields(kind, left_out if kind is _suite.Suite else ("name",))
        parts += [f"**{title}**", _table(("key", "type", "default", "meaning"), fields)]
    return "\n\n".join(parts)


def readers() -> str:
    """The formats that `bench.py import` reads."""
    return _formats("readers")


def writers() -> str:
    """The formats that `bench.py export` writes."""
    return _formats("writers")


def _formats(kind: str) -> str:
    rows = [(f"`{name.replace('_', '-')}`", _does(kind, name)) for name in own(kind)]
    return _table(("format", "what it is"), rows)


def quantities() -> str:
    """What a published figure may be of."""
    return ", ".join(f"`{name}`" for name in _published.QUANTITIES)


def suites() -> str:
    """The suites that come with the project, and what each needs besides."""
    rows = []
    for name in _suite.names():
        text = _suite.text(_suite.locate(name))
        table = tomllib.loads(text)
        needs = "`PARETOMARK_DATA`" if "${PARETOMARK_DATA}" in text else ""
        needs = needs or ("random weights" if table.get("weights") == "random" else "")
        counts = [str(len(table.get(part, ()))) for part in ("model", "recipe", "devices")]
        rows.append((f"`{name}`", table["title"], *counts, needs))
    return _table(("suite", "what it shows", "nets", "recipes", "devices", "needs"), rows)


def nets() -> str:
    """The nets whose trained weights come with the project."""
    rows = []
    for name in own("nets"):
        file = _zoo.weights(name)
        if file.parent.parent != _plugins.file("nets", name).parent:
            continue
        height, width = _zoo.size(name) or (0, 0)
        count, reached = _code.trained(file)
        rows.append(
            (
                f"`{name}`",
                _does("nets", name),
                _zoo.data(name),
                f"{height}x{width}",
                f"{count:,}",
                f"{_task.metric(_zoo.task(name))} {100 * reached:.1f} %",
            )
        )
    titles = ("net", "what it is", "data", "input", "parameters", "on the test split")
    return _table(titles, rows)


def columns() -> str:
    """The columns of results: their names in CSV, JSON and DataFrame, and what they are."""
    rows = [(f"`{name}`", "", "", f"DataFrame: {what}") for name, what in _frame.ORIGIN.items()]
    rows += [
        ("<br>".join(f"`{key}`" for key in c.keys), c.unit, c.better, c.description)
        for c in _columns.COLUMNS
    ]
    rows += [
        (f"`{name}`", _columns.named(name).unit, m.better, f"{task}: {m.description}")
        for task in own("tasks")
        for name, m in _measures(task).items()
    ]
    return _table(("column", "unit", "better", "what it is"), rows)


def commands() -> str:
    """The commands of bench.py with their arguments."""
    parts = []
    for name in sorted({"run", "train", *own("reports")}):
        usage, does, arguments = _code.command(name, ("help", "plugins"))
        parts.append(f"**`{usage}`** {does}.")
        parts.append("\n".join(f"- `{word}` {says}".rstrip() for word, says in arguments))
    return "\n\n".join(parts)


_BAR = r"\|"  # in a cell
_MAKERS = (
    *(methods, training, augmentations, precisions, quantization, devices, data, tasks, keys),
    *(readers, writers, quantities, suites, nets, columns, commands),
)
TABLES: Mapping[str, Callable[[], str]] = {
    **{make.__name__: make for make in _MAKERS},
    **{f"run_{name}": functools.partial(kept.table, name) for name in kept.names()},
}


def own(kind: str) -> list[str]:
    """The project's plug-ins of a kind: what a user has added is the user's to tell about."""
    return [name for name in _plugins.names(kind) if not _plugins.is_own(kind, name)]


def _does(kind: str, name: str) -> str:
    return _plugins.summary(kind, name).rstrip(".")


def _measures(task: str) -> dict[str, _task.Measure]:
    table = _plugins.literal("tasks", task, "MEASURES") or {}
    return {name: _task.Measure(*value) for name, value in table.items()}


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', _BAR) for c in line)} |" for line in lines)


def main() -> int:
    """Write or check the tables. Returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if one is stale")
    check = parser.parse_args().check
    stale = []
    for document in documents():
        before = document.read_text(encoding="utf-8")
        if (after := written(before)) != before:
            stale.append(document.relative_to(ROOT))
            if not check:
                document.write_text(after, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'stale; run `make docs`' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
