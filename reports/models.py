"""List the nets of the zoo by family.

Beside their counts stands what is published of them; `--check` tries on which runtimes they work.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from paretomark.devices.measure import _zoo_check
from paretomark.devices.measure._zoo_check import Checked
from paretomark.models.build import _facts
from paretomark.models.nets import _families, _zoo
from paretomark.models.nets._families import AGREE, ZooEntry
from paretomark.reports import _console, _html, _json, _progress, _text
from paretomark.reports._command import ALL_WELL, SOME_FAILED
from paretomark.suites.spec._errors import unknown

DOCUMENT = Path(__file__).parent.parent / "docs" / "zoo.md"
OTHERS = "of this project"  # the family of nets that no paper has


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("--model", action="append", default=[], help="only this one (repeatable)")
    parser.add_argument(
        "--check", action="store_true", help="run a net of each family on every runtime (an hour)"
    )
    parser.add_argument("--json", action="store_true")


def command(arguments: argparse.Namespace) -> int:
    """List or check the nets. Raises UserError for one that the zoo does not have."""
    act = check if arguments.check else show
    return ALL_WELL if act(arguments.model, arguments.json) else SOME_FAILED


@dataclass(frozen=True)
class Listed:
    """A net, what is published of it, and what was counted (in `fused` form, if that is stated)."""

    published: ZooEntry
    parameters: int | None
    macs: int | None
    size: tuple[int, int] | None
    licence: str
    missing: str  # why nothing was counted; "" if it was

    @property
    def parameters_off(self) -> float | None:
        return _families.off(self.parameters, self.published.parameters)

    @property
    def macs_off(self) -> float | None:
        return _families.off(self.macs, self.published.macs)

    @property
    def agrees(self) -> bool:
        """Whether the counts are those that are published, or a note says why not."""
        offs = [abs(off) for off in (self.parameters_off, self.macs_off) if off is not None]
        return bool(self.published.note) or all(off <= AGREE for off in offs)


def listed(only: Sequence[str] = ()) -> list[Listed]:
    """List the nets of the zoo, or only these. Raises UserError for one that it does not have."""
    rows = _rows(only)
    with _progress.counting("looking at nets for the first time") as told:
        facts = _facts.facts([row.net for row in rows], told)
    return [_listed(row, facts[row.net]) for row in rows]


def _rows(only: Sequence[str]) -> list[ZooEntry]:
    rows = _families.entries()
    named = {row.net for row in rows}
    rows += [
        ZooEntry(OTHERS, net, None, False, None, None, "", None, "", "")
        for net in _zoo.names()
        if net not in named
    ]
    nets = {row.net for row in rows}
    for net in only:
        if net not in nets:
            raise unknown("net of the zoo", net, nets, "--model")
    return [row for row in rows if not only or row.net in only]


def _listed(row: ZooEntry, facts: dict[str, Any]) -> Listed:
    if "error" in facts:
        return Listed(row, None, None, None, "", facts["error"])
    form = "fused_" if row.fused else ""
    height, width = facts["size"]
    return Listed(
        row,
        facts[f"{form}parameters"],
        facts[f"{form}macs"],
        (height, width),
        facts["licence"],
        "",
    )


def show(only: Sequence[str], as_json: bool) -> bool:
    """Print the zoo, family by family; whether all counts agree with what is published."""
    rows = listed(only)
    if as_json:
        print(_json.text([_as_json(row) for row in rows]))
        return all(row.agrees for row in rows)
    table = _console.frame()
    table.add_column("net", no_wrap=True)
    for title in ("parameters", "MACs", "input", "top-1 %"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("of", "licence"):
        table.add_column(title, overflow="fold")
    for family, members in itertools.groupby(rows, key=lambda row: row.published.family):
        table.add_row(Text(family, style="bold"))
        for row in members:
            table.add_row(*map(Text, _cells(row)))
    legend = (
        "top-1 is published, not measured here. * more than 2 % off the published count: "
        "docs/zoo.md says why. Width is in the name, and so is another input size: NAME@160."
    )
    _console.show(table, legend)
    return all(row.agrees for row in rows)


def _cells(row: Listed) -> Sequence[str]:
    it = row.published
    if row.missing:
        return (f"  {it.net}", "", "", "", "", row.missing)
    return (
        f"  {it.net}" + (" (fused)" if it.fused else ""),
        _text.count(row.parameters) + (" " if _close(row.parameters_off) else "*"),
        _text.count(row.macs) + (" " if _close(row.macs_off) else "*"),
        _size(row),
        "" if it.top1 is None else f"{it.top1:.1f}",
        it.accuracy,
        row.licence,
    )


def check(only: Sequence[str], as_json: bool) -> bool:
    """Try a net of each family on all runtimes, print what works, and write DOCUMENT.

    Returns whether every count agrees and every net works. Raises UserError for a net in `only`
    that is not of the check.
    """
    rows = listed()
    representatives = [row.published for row in rows if row.published.check]
    names = {row.net for row in representatives}
    for net in only:
        if net not in names:
            raise unknown("net of the check", net, names, "--model")

    def say(result: Checked) -> None:
        print(f"{result.net} on {result.device}: {_outcome(result)}", flush=True)

    nets = [row.checked for row in representatives if not only or row.net in only]
    tried = _zoo_check.check(nets, say if not as_json else _quiet)
    every = _zoo_check.check([row.checked for row in representatives], _quiet, kept_only=True)
    if as_json:
        print(_json.text([asdict(result) for result in tried]))
    else:
        works = sum(result.works for result in tried)
        print(f"{works} of {len(tried)} work")
    if DOCUMENT.parent.is_dir():  # not where the project is installed without its sources
        _html.save(DOCUMENT, document(rows, every))
    return all(result.works for result in tried) and all(row.agrees for row in rows)


def _quiet(result: Checked) -> None:
    pass


def document(rows: Sequence[Listed], checked: Sequence[Checked]) -> str:
    """Write the page docs/zoo.md: counts against what is published, and which net works where."""
    lines = [
        "# The zoo",
        "",
        "Written by `bench.py models --check`. Counts are in millions, for one picture, multiply-",
        "accumulates of convolutions, linear layers and matrix products. *Published* is what the",
        "source states, for the same input size; top-1 is published too, never measured here.",
        "",
        "| family | net | input | parameters | published | off | MACs | published | off | source |"
        " top-1 | source |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|---|--:|---|",
        *(_line(row) for row in rows),
        "",
        f"## More than {AGREE * 100:.0f} % off, or not stated",
        "",
        *(f"- `{r.published.net}`: {r.published.note}." for r in rows if r.published.note),
        "",
        "## What works where",
        "",
        "One net of each family, with random weights drawn by a seed, exported in float32 and run:",
        "the largest difference to the float net's answers, in standard deviations of those. It",
        f"works if that is at most {_zoo_check.LIMIT:g}.",
        "",
        *_grid([r.published.checked for r in rows if r.published.check], checked),
    ]
    return "\n".join(lines) + "\n"


def _line(row: Listed) -> str:
    it = row.published
    cells = (
        it.family,
        f"`{it.net}`" + (" fused" if it.fused else ""),
        _size(row),
        _millions(row.parameters),
        _millions(it.parameters),
        _off(row.parameters_off),
        _millions(row.macs),
        _millions(it.macs),
        _off(row.macs_off),
        it.counts,
        "" if it.top1 is None else f"{it.top1:.1f}",
        it.accuracy,
    )
    return f"| {' | '.join(cells)} |"


def _grid(nets: Sequence[str], checked: Sequence[Checked]) -> list[str]:
    devices = list(dict.fromkeys(result.device for result in checked))
    by_net: dict[str, dict[str, Checked]] = {net: {} for net in nets}
    for result in checked:
        by_net.setdefault(result.net, {})[result.device] = result
    lines = [f"| net | {' | '.join(devices)} |", "|---|" + "--:|" * len(devices)]
    for net, results in by_net.items():
        cells = [_error(results[d]) if d in results else "not tried" for d in devices]
        lines.append(f"| `{net}` | {' | '.join(cells)} |")
    failed = [result for result in checked if not result.works]
    lines += ["", f"{len(checked) - len(failed)} of {len(checked)} work.", ""]
    lines += [f"- `{r.net}` on {r.device}: {_outcome(r)}" for r in failed]
    return lines


def _error(result: Checked) -> str:
    number = "" if result.error is None else f"{result.error:.0e}"
    return number if result.works else f"**fails** {number}".rstrip()


def _outcome(result: Checked) -> str:
    error = "" if result.error is None else f"off by {result.error:.1e} of the spread"
    return f"works, {error}" if result.works else _text.clean(f"{result.reason} {error}".strip())


def _as_json(row: Listed) -> dict[str, Any]:
    return {
        **asdict(row.published),
        "counted": {"parameters": row.parameters, "macs": row.macs},
        "size": row.size,
        "licence": row.licence,
        "missing": row.missing,
        "agrees": row.agrees,
    }


def _close(off: float | None) -> bool:
    return off is None or abs(off) <= AGREE


def _off(off: float | None) -> str:
    return "" if off is None else f"{_text.points(off)} %"


def _millions(value: float | None) -> str:
    return "" if value is None else _text.number(value / 1e6, 4 if value >= 1e9 else 3)


def _size(row: Listed) -> str:
    return "" if row.size is None else "x".join(map(str, dict.fromkeys(row.size)))
