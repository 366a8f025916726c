"""What differs too little to matter for a decision: `[margin]` of a suite.

    [margin]
    latency = "2%"
    accuracy = "0.2 points"             # of 100

A net is on no front if another is better by more than that in one, and as good within that in the
other. So one that is 7 points worse and a quarter of a per cent faster is on none.
"""

from __future__ import annotations

from dataclasses import dataclass

from paretomark.suites.spec import _gate


@dataclass(frozen=True)
class Margin:
    """By how much a net must be better; "0%" and "0 points" count every difference."""

    latency: str = "2%"
    accuracy: str = "0.2 points"

    @property
    def slower(self) -> float:
        """Of latency, as a share. Raises UserError if it is none."""
        return _gate.share(self.latency, "latency", "margin")

    @property
    def points(self) -> float:
        """Of accuracy, which goes from 0 to 1. Raises UserError if it is none."""
        return _gate.share(self.accuracy, "accuracy", "margin")


NONE = Margin("0%", "0 points")


def check(margin: Margin) -> None:
    """Raise UserError for what is no margin."""
    _ = margin.slower, margin.points
