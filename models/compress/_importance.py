"""How important channels are by the numbers that make them: filters, or scales of normalisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paretomark.models.compress._graph import Channels, Graph, Values
from paretomark.suites.spec._errors import UserError


def ranked(graph: Graph, groups: Sequence[Channels], by: str) -> list[tuple[Channels, Values]]:
    """Return of each group the channels, those that should go first first, and what each costs.

    `by` is l1, l2 (norms of filters, over the mean of their group) or bn (scales). Raises UserError
    for a channel without a scale.
    """
    ranked = []
    scores = _scores(graph, by)
    for group in groups:
        sizes = scores[group]
        if np.isnan(sizes).any():
            raise UserError("by = 'bn' needs a batch normalisation after every layer; take 'l1'")
        order = np.argsort(sizes, kind="stable")
        mean = 1.0 if by == "bn" else float(sizes.mean()) or 1.0
        ranked.append((group[order], sizes[order] / mean))
    return ranked


def _scores(graph: Graph, by: str) -> Values:
    """By channel, the mean over what makes it; NaN where nothing does."""
    if by == "bn":
        norms = graph.norms.values()
        makers = [(norm.weight.detach().abs(), where) for norm, where in norms if norm.affine]
    else:
        layers = [
            (la.module.weight.detach().flatten(1), la.outputs) for la in graph.layers.values()
        ]
        makers = [(w.norm(1 if by == "l1" else 2, dim=1), where) for w, where in layers]
    total, count = np.zeros(graph.count), np.zeros(graph.count)
    for sizes, where in makers:
        np.add.at(total, where, sizes.numpy())
        np.add.at(count, where, 1)
    mean: Values = total / np.where(count, count, np.nan)
    return mean
