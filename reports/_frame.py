"""Results as a DataFrame of pandas, for those who ask what no report answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretomark.reports import _columns
from paretomark.suites.records import _store
from paretomark.suites.records._store import Run
from paretomark.suites.records._summary import Summary, summarise

if TYPE_CHECKING:
    import pandas as pd

# The columns that say where a row is from, and what they are.
ORIGIN = {
    "run": "name of the run",
    "started": "when the run started, a UTC time",
    "commit": 'of the project that ran; "" where it was not under git',
    "machine": "its chip, and the fingerprint that only rows of one machine have in common",
}


def load(runs: str | Path | Run | Iterable[str | Path | Run]) -> pd.DataFrame:
    """Load runs, by their folders, into a DataFrame with one row per planned cell.

    A cell that failed, or was not run, is a row too: take those where `valid` holds. Columns are
    the four of ORIGIN, and those of cells.csv: `attrs["columns"]` says of each what it is, in which
    unit. Times are in seconds, shares from 0 to 1, and numbers that are not known are NaN.
    Speed-up and differences are to the dense net of the same run; fronts are those of that run.

    Raises UserError for what is no run, or a damaged one.
    """
    sources = [runs] if isinstance(runs, str | Path | Run) else runs
    return of(rows(summarise(_run(source)) for source in sources))


def of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a DataFrame of what `rows` gives."""
    import pandas as pd

    about = ORIGIN | {key: _about(c) for c in _columns.columns() for key in c.keys}
    frame = pd.DataFrame(rows, columns=list(about))
    numbers = [key for c in _columns.columns() if c.unit for key in c.keys]
    frame[numbers] = frame[numbers].apply(pd.to_numeric)
    frame["started"] = pd.to_datetime(frame["started"], utc=True)
    frame.attrs["columns"] = about
    return frame


def rows(summaries: Iterable[Summary]) -> list[dict[str, Any]]:
    """Give all that is known of every row of runs, by column."""
    table = []
    for summary in summaries:
        header, host = summary.run.header, summary.run.header.host
        origin = (header.run, header.started, header.commit, f"{host.chip} ({host.fingerprint})")
        about = dict(zip(ORIGIN, origin, strict=True))
        table += [about | values for values in _columns.table(summary.rows)]
    return table


def _run(source: str | Path | Run) -> Run:
    return source if isinstance(source, Run) else _store.read(Path(source))


def _about(column: _columns.Column) -> str:
    unit = f", {column.unit}" if column.unit not in ("", "1") else ""
    return column.description + unit
