#!/usr/bin/env python3
"""The reference tables of the documents, made from the code that they tell about.

    python docs/tables.py            writes every table into its document: `make docs`
    python docs/tables.py --check    names those that are no longer what the code says, and fails

A table stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`, and a function of that name
in TABLES makes it. Only the project's own plug-ins are told about. Nothing that is heavy is
imported: the files of methods, formats and devices import torch and the runtimes in functions.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import math
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from paretomark import bench
from paretomark.devices import _device
from paretomark.models.compress import _tuning
from paretomark.models.export import _export
from paretomark.models.nets import _zoo
from paretomark.reports import _columns, _frame
from paretomark.suites.spec import _plugins, _published, _suite
from paretomark.suites.tasks import _task

ROOT = Path(__file__).parents[1]
TABLE = re.compile(r"(<!-- (\w+): begin -->\n).*?(<!-- \2: end -->)", re.DOTALL)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # in weights, no parameters
TYPES = {
    **{"str": "string", "int": "integer", "float": "number", "bool": "boolean"},
    "Sequence[str]": "list of strings",
}


def documents() -> list[Path]:
    """The files that may have tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def written(text: str) -> str:
    """A document with its tables made anew. Raises KeyError for a table that there is not."""
    return TABLE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def methods() -> str:
    """Every compression method with its parameters."""
    rows = []
    for name in _own("methods"):
        signature = inspect.signature(_plugins.module("methods", name).apply)
        taken = [_parameter(p) for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
        if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
            taken.append("and [those of training](#training)")
        rows.append((f"`{name}`", _does("methods", name), "<br>".join(taken) or "none"))
    return _table(("method", "what it does", "parameters"), rows)


def training() -> str:
    """The parameters that methods have in common that train."""
    comments = _comments(_tuning.Tuning)
    defaults: Mapping[str, Any] = {**_tuning.DEFAULTS}
    rows = [
        (f"`{name}`", TYPES[hint.__forward_arg__], _toml(defaults[name]), comments[name])
        for name, hint in _tuning.Tuning.__annotations__.items()
    ]
    return _table(("parameter", "type", "default", "meaning"), rows)


def augmentations() -> str:
    """What `augment` may name, and what that does to the pictures of a training."""
    comments = _comments(_zoo.Training)
    rows = [
        (f"`{name}`", f"`{key} = {json.dumps(value)}`", comments[key])
        for name, changes in _tuning.AUGMENT.items()
        for key, value in changes.items()
    ]
    return _table(("name", "sets", "meaning"), rows)


def precisions() -> str:
    """Which format is written in which precision."""
    formats = {name: _export.module(name).PRECISIONS for name in _own("formats")}
    longest_first = sorted(formats.values(), key=len, reverse=True)
    rows = [
        (f"`{precision}`", *("yes" if precision in formats[name] else "" for name in formats))
        for precision in dict.fromkeys(p for every in longest_first for p in every)
    ]
    return _table(("precision", *(f".{name}" for name in formats)), rows)


def quantization() -> str:
    """The options of int8 by format, the default first."""
    rows = []
    for name in _own("formats"):
        for option, values in getattr(_export.module(name), "OPTIONS", {}).items():
            first, *rest = (f"`{value}`" for value in values)
            rows.append((f".{name}", f"`{option}`", first, ", ".join(rest)))
    return _table(("format", "option", "default", "or"), rows)


def devices() -> str:
    """The targets of every adapter, by what they load and run."""
    groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for target in _device.targets():
        adapter, _, variant = target.partition(":")
        if adapter in _own("devices"):
            form = _device.formats()[target]
            runs = _device.precisions(target) or _export.module(form).PRECISIONS
            same = groups.setdefault((adapter, form, tuple(runs)), [])
            same.append(f"`:{variant}`" if same else f"`{target}`")
    rows = [
        (", ".join(who), f".{form}", ", ".join(runs)) for (_, form, runs), who in groups.items()
    ]
    return _table(("device", "loads", "runs"), rows)


def data() -> str:
    """Every data set, and what it is labelled for."""
    rows = []
    for name in _own("data"):
        module = _plugins.module("data", name)
        kind = {"folder": ":DIR", "file": ":FILE", "": ""}[getattr(module, "PATH", "")]
        labelled = ", ".join(getattr(module, "TASKS", (_task.CLASSIFICATION,)))
        rows.append((f"`{name}{kind}`", _does("data", name), labelled))
    return _table(("data", "what it is", "labelled for"), rows)


def tasks() -> str:
    """Every task, what its quality is called, and the further numbers that it gives."""
    rows = []
    for name in _own("tasks"):
        measures = _plugins.literal("tasks", name, "MEASURES") or {}
        more = "<br>".join(f"{m[0]}: {m[3]}" for m in measures.values())
        rows.append((f"`{name}`", _does("tasks", name), _task.metric(name), more))
    return _table(("task", "what it asks, and how a picture scores", "metric", "and"), rows)


def keys() -> str:
    """The keys of a suite, table by table."""
    hints = get_type_hints(_suite.Suite)
    inner = {key: get_args(hints[key])[-1] for key in _suite.TABLES}
    places = {
        "At the top": _suite.Suite,
        **{f"`[{key}.NAME]`": inner[key] for key in _suite.TABLES},
        "`preprocess = { ... }` of a model": _dataclass(
            get_type_hints(inner["model"])["preprocess"]
        ),
        "`[[published]]`": _published.Published,
    }
    left_out = ("name", "published", *_suite.TABLES)
    parts = []
    for title, kind in places.items():
        parts += [f"**{title}**", _keys(kind, left_out if kind is _suite.Suite else ("name",))]
    return "\n\n".join(parts)


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
    for name in _own("nets"):
        file = _zoo.weights(name)
        if file.parent.parent != _plugins.file("nets", name).parent:
            continue
        height, width = _zoo.size(name) or (0, 0)
        count, reached = _weights(file)
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
        for task in _own("tasks")
        for name, m in _measures(task).items()
    ]
    return _table(("column", "unit", "better", "what it is"), rows)


def commands() -> str:
    """The commands of bench.py with their arguments."""
    parts = []
    for name in sorted({"run", "train", *_own("reports")}):
        does, parser = _command_of(name)
        options = [a for a in parser._actions if a.dest not in ("help", "plugins")]
        words = [_usage(a) for a in options if not a.option_strings]
        parts.append(f"**`{' '.join(['bench.py', name, *words])}`** {does}.")
        parts.append("\n".join(f"- `{_usage(a)}` {_help(a)}".rstrip() for a in options))
    return "\n\n".join(parts)


TABLES: Mapping[str, Callable[[], str]] = {
    make.__name__: make
    for make in (
        *(
            methods,
            training,
            augmentations,
            precisions,
            quantization,
            devices,
            data,
            tasks,
            keys,
            quantities,
        ),
        *(suites, nets, columns, commands),
    )
}


def _own(kind: str) -> list[str]:
    """The project's plug-ins of a kind: what a user has added is the user's to tell about."""
    return [name for name in _plugins.names(kind) if not _plugins.is_own(kind, name)]


def _does(kind: str, name: str) -> str:
    return _plugins.summary(kind, name).rstrip(".")


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(
        f"| {' | '.join(c.replace('|', chr(92) + '|') for c in line)} |" for line in lines
    )


def _parameter(parameter: inspect.Parameter) -> str:
    needed = parameter.default is parameter.empty
    default = "**must be given**" if needed else _toml(parameter.default)
    return f"`{parameter.name}` {TYPES[parameter.annotation]}, {default}"


def _toml(value: Any) -> str:
    return f"`{json.dumps(value)}`"


def _comments(kind: type) -> dict[str, str]:
    """What stands behind each field of a class in its source; "" where nothing does."""
    lines = inspect.getsource(kind).splitlines()
    fields = [n for n in ast.parse("\n".join(lines)).body[0].body if isinstance(n, ast.AnnAssign)]  # type: ignore[attr-defined]
    return {
        ast.unparse(field.target): lines[field.lineno - 1].partition("  # ")[2] for field in fields
    }


def _keys(kind: Any, left_out: Sequence[str]) -> str:
    comments, hints = _comments(kind), get_type_hints(kind)
    rows = []
    for field in dataclasses.fields(kind):
        if field.name in left_out:
            continue
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            shown = "**must be given**"
        elif default in ("", (), None, dataclasses.MISSING):
            shown = ""
        else:
            shown = _toml(default)
        rows.append((f"`{field.name}`", _type(hints[field.name]), shown, comments[field.name]))
    return _table(("key", "type", "default", "meaning"), rows)


def _type(hint: Any) -> str:
    """A type as TOML calls it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_type(a) for a in arguments if a is not type(None))
    if origin is Literal:
        return " or ".join(_toml(value) for value in arguments)
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"list of {count}{_type(arguments[0])}s"
    if origin is dict or dataclasses.is_dataclass(hint):
        return "table"
    return TYPES[hint.__name__]


def _dataclass(hint: Any) -> Any:
    return next(a for a in (*get_args(hint), hint) if dataclasses.is_dataclass(a))


def _weights(file: Path) -> tuple[int, float]:
    """How many parameters a safetensors file has, and the score that its training reached."""
    with file.open("rb") as stream:
        head = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    told = head.pop("__metadata__")
    shapes = [t["shape"] for name, t in head.items() if not name.endswith(STATISTICS)]
    return sum(map(math.prod, shapes)), float(told["test_accuracy"])


def _measures(task: str) -> dict[str, _task.Measure]:
    table = _plugins.literal("tasks", task, "MEASURES") or {}
    return {name: _task.Measure(*value) for name, value in table.items()}


def _command_of(name: str) -> tuple[str, argparse.ArgumentParser]:
    """What a command does, and its parser."""
    (choices,) = (
        a for a in bench.parser_of([name])._actions if isinstance(a, argparse._SubParsersAction)
    )
    does = {action.dest: str(action.help) for action in choices._choices_actions}
    return does[name].replace("%%", "%"), choices.choices[name]


def _usage(action: argparse.Action) -> str:
    """An argument as one writes it: `--out OUT`, `[SUITE]`, `RUN...`."""
    word = str(action.metavar or action.dest.upper())
    if action.option_strings:
        return action.option_strings[0] + ("" if action.nargs == 0 else f" {word}")
    return {"?": f"[{word}]", "+": f"{word}..."}.get(str(action.nargs), word)


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%%", "%")
    if action.required and action.option_strings:
        return f"{text} **must be given**".strip()
    if "default" not in text and action.default and action.default is not argparse.SUPPRESS:
        text += f" (default: {action.default})"
    return text.strip()


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
