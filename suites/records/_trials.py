"""Parts of a record that only some scenarios have: trials of a server, a cold start, readings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from paretomark.suites.records import _stats
from paretomark.suites.spec._schema import Invalid


@dataclass(frozen=True)
class Trial:
    """Queries that arrived at a rate. A latency is from when a query was to arrive to its answer,
    so the time that it waits for those before it counts.

    A trial of the search for the highest rate ends before all of its queries are answered, if no
    p99 could be under the bound any more.
    """

    rate: float  # queries per second, that were offered
    queries: int  # that were to arrive
    latencies_ns: tuple[int, ...]  # of those that were answered, in their order
    searched: bool = False  # by the search for the highest rate, not asked for

    def __post_init__(self) -> None:
        answered = len(self.latencies_ns)
        if self.rate <= 0 or any(latency <= 0 for latency in self.latencies_ns):
            raise Invalid("has a rate or a latency that is not positive")
        if not 0 < answered <= self.queries or (answered < self.queries and not self.searched):
            raise Invalid(f"has {answered} latencies of {self.queries} queries")

    @property
    def whole(self) -> bool:
        """Whether all of its queries were answered."""
        return len(self.latencies_ns) == self.queries

    def quantile_s(self, p: int) -> float | None:
        """Its p-th percentile, p in `_stats.NEEDED`; None where there are too few queries."""
        value = _stats.percentile(self.latencies_ns, p) if self.whole else None
        return None if value is None else value / 1e9

    def passes(self, bound_s: float) -> bool:
        """Whether its 99th percentile can be stated, and is not above the bound."""
        p99_s = self.quantile_s(99)
        return p99_s is not None and p99_s <= bound_s


@dataclass(frozen=True)
class Start:
    """What a fresh process did until its first answer, in seconds."""

    interpreter_s: float  # from its start by the parent to the first line of the child
    import_s: float  # of NumPy and the runtime
    load_s: float  # from the file to ready, not compiling
    first_s: float  # the first inference
    compile_s: float | None = None  # the part of loading that a compiler took, where it is known

    def __post_init__(self) -> None:
        parts = [part for part in dataclasses.astuple(self) if part is not None]
        if min(parts) < 0 or self.total_s <= 0:
            raise Invalid("has a part that is negative, or takes no time at all")

    @property
    def total_s(self) -> float:
        """From the start of the process to its first answer."""
        whole = self.interpreter_s + self.import_s + self.load_s + self.first_s
        return whole + (self.compile_s or 0.0)


@dataclass(frozen=True)
class Reading:
    """How the chip was after a slice; None where it does not say."""

    clock_mhz: int | None = None
    temperature_c: int | None = None
