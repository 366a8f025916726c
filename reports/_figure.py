"""How every picture of a report is drawn: once as SVG, once as PNG, the same each time."""

from __future__ import annotations

import hashlib
import html
import io
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = re.compile(r'style="([^"<>{}]*)"')
OFTEN = 10  # elements that have a style in common
_GROUP = re.compile(r'<g id="(\w+)">')
# Which fonts matplotlib would like; a page has its own.
_FONTS = (
    "font-family: 'DejaVu Sans', 'Bitstream Vera Sans', 'Computer Modern Sans Serif', "
    "'Lucida Grande', 'Verdana', 'Geneva', 'Lucid', 'Arial', 'Helvetica', 'Avant Garde', "
    "sans-serif; "
)
INK, LINE = "#1b1f24", "#d8dde3"  # a page replaces them by its own colours, see `inline`
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6d31", "#7f7f7f")


@dataclass(frozen=True)
class Plot:
    """One picture, twice."""

    svg: str
    png: bytes


def render(
    title: str,
    size: tuple[float, float],
    draw: Callable[[Figure], None],
    mark: str,
    tips: Sequence[str],
    cells: Sequence[str] = (),
    chosen: Sequence[bool] = (),
) -> Plot:
    """Draw on a figure of this size, in inches. Raises nothing for odd names.

    The element with the id `mark` + i gets tips[i], which is shown where the pointer rests on it.
    `cells` names the cell that each is of, which links it to rows of a page, and `chosen` says
    which of them the tabulator key reaches.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[str, Any] = {
        "svg.fonttype": "none",  # text stays text, in the fonts of the page
        "svg.hashsalt": title,
        "text.parse_math": False,  # a $ in a name is no formula
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": LINE,
        "xtick.color": INK,
        "ytick.color": INK,
        "font.size": 9,
    }
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name may hold letters that the font does not have
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)  # type: ignore[arg-type]  # wants literals
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        svg, png = io.StringIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=160, facecolor="white")
        nothing = {"Date": None, "Creator": None}
        figure.savefig(svg, format="svg", transparent=True, metadata=nothing)
    text = svg.getvalue()
    title_of = {f"{mark}{i}": f"<title>{html.escape(tip)}</title>" for i, tip in enumerate(tips)}
    link = {
        f"{mark}{i}": f' data-c="{html.escape(cell)}" role="img"' for i, cell in enumerate(cells)
    }
    reached = {f"{mark}{i}" for i, is_chosen in enumerate(chosen) if is_chosen}

    def linked(found: re.Match[str]) -> str:
        name = found[1]
        if name not in title_of:
            return found[0]
        key = ' tabindex="0"' if name in reached else ""
        return f'<g id="{name}"{link.get(name, "")}{key}>{title_of[name]}'

    return Plot(_GROUP.sub(linked, text), png.getvalue())


def log_ticks(axis: Any, write: Callable[[float], str]) -> None:
    """Set ticks at 1, 2 and 5 of every power of ten, or at 1 only; "1.00 ms" becomes "1 ms"."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    steps = (1.0,) if high / low > 300 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps, numticks=30))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _short(write(value))))


def _short(text: str) -> str:
    figure, _, unit = text.partition(" ")
    return f"{float(figure):g} {unit}".rstrip()


def inline(svg: str) -> str:
    """Make an <svg> element for a page: no document type, no metadata, in the page's colours."""
    head, _, rest = svg[svg.index("<svg") :].partition("<metadata>")
    body = head + rest.partition("</metadata>")[2] if rest else head
    for name in (
        ' xmlns="http://www.w3.org/2000/svg"',
        ' xmlns:xlink="http://www.w3.org/1999/xlink"',
    ):
        body = body.replace(name, "", 1)
    names = {INK: "--ink", LINE: "--line", **{c: f"--c{i}" for i, c in enumerate(COLOURS)}}
    for colour, name in names.items():
        body = body.replace(colour, f"var({name})")
    return _with_classes(re.sub(r"\n\s*", "\n", body.replace(_FONTS, "")))


def _with_classes(svg: str) -> str:
    """The same picture, with the styles that many of its elements have written once, as classes."""
    common = [style for style, count in Counter(_STYLE.findall(svg)).items() if count > OFTEN]
    names = {style: f"k{hashlib.sha256(style.encode()).hexdigest()[:6]}" for style in common}
    rules = "".join(f".{name}{{{style}}}" for style, name in names.items())
    short = _STYLE.sub(
        lambda found: f'class="{names[found[1]]}"' if found[1] in names else found[0], svg
    )
    head, _, rest = short.partition(">")
    return f"{head}><style>{rules}</style>{rest}" if names else short
