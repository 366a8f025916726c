"""In which situation a cell is called: the scenarios, and what a suite says of them.

    single     one call after the other
    batch      the same over the suite's batch sizes, for inputs per second
    server     queries that arrive when they please (Poisson), answered by one worker in their order
    cold       from the start of a process to its first answer
    sustained  calls without a pause for minutes

`server` is what MLPerf Inference calls Server (Reddi et al., ISCA 2020), at one worker.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from paretomark.suites.spec._errors import UserError

Scenario = Literal["single", "batch", "server", "cold", "sustained"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
SINGLE, BATCH, SERVER, COLD, SUSTAINED = SCENARIOS
ALONE = (SERVER, COLD, SUSTAINED)  # no other visit is alive meanwhile
_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Server:
    """What `[server]` says. At least one of `rates` and `p99` must be there."""

    rates: tuple[float, ...] = ()  # queries per second, each a trial of its own
    p99: str = ""  # as "10ms": look for the highest rate whose 99th percentile is not above it
    seconds: float = 10.0  # of a trial; it is longer where that would be too few queries for a p99

    @property
    def bound_s(self) -> float | None:
        """The bound of the 99th percentile; None without one. Raises ValueError for no time."""
        if not self.p99:
            return None
        found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?(us|µs|ms|s)", self.p99)
        if not found or not float(found[1]):
            raise ValueError(self.p99)
        return float(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True)
class Sustained:
    """What `[sustained]` says."""

    seconds: float = 600.0  # how long a visit calls without a pause


def check(
    scenarios: Collection[Scenario], server: Server, sustained: Sustained, where: str
) -> None:
    """Raise UserError for scenarios that lack what they need, or settings that cannot be."""
    if not scenarios:
        raise UserError(f'{where}: scenario names none; leave it out, or say scenario = ["single"]')
    try:
        bound_s = server.bound_s
    except ValueError:
        raise UserError(
            f"{where}, [server]: p99 must be a time, as in p99 = \"10ms\", got '{server.p99[:40]}'"
        ) from None
    if SERVER in scenarios and not server.rates and bound_s is None:
        needs = 'rates = [100, 200], in queries per second, or a bound, p99 = "10ms", or both'
        raise UserError(f"{where}: the scenario server needs a table [server] with {needs}")
    if any(rate <= 0 for rate in server.rates) or len({*server.rates}) < len(server.rates):
        got = list(server.rates)
        raise UserError(f"{where}, [server]: rates must be above 0, each named once, got {got}")
    for table, seconds in (("server", server.seconds), ("sustained", sustained.seconds)):
        if seconds <= 0:
            raise UserError(f"{where}, [{table}]: seconds must be positive, got {seconds}")


def check_used(
    scenarios: Collection[Scenario], server: Server, sustained: Sustained, where: str
) -> None:
    """Raise UserError for a table of a scenario that the suite does not have."""
    for name, table, usual in (
        (SERVER, server, Server()),
        (SUSTAINED, sustained, Sustained()),
    ):
        if table != usual and name not in scenarios:
            named = ", ".join(f'"{each}"' for each in (*scenarios, name))
            raise UserError(
                f"{where} has a table [{name}], but not that scenario: add scenario = [{named}], "
                "or leave the table out"
            )


def batches(scenario: Scenario, among: Sequence[Scenario], sizes: Sequence[int]) -> Sequence[int]:
    """Return the batch sizes of a scenario: the list belongs to `batch`, where a suite has that,
    and others then take its first number only."""
    return sizes[:1] if BATCH in among and scenario != BATCH else sizes
