"""Into how many groups the branches above a layer should part.

Lu et al. (2017), section "Task grouping": a layer l below c branches gets d ≤ c branches, with the grouping g_d
of the branches above at the least

    ``L^l(g_d) = (d − 1) L₀ 2^{p_l} + α L_s(g_d)``

over d, where p_l is the number of pooling layers above the layer (a branch further down costs more to compute),
and the groups' mean of the separation ``L_s^i = 1 − mean_{k∈i} min_{l∈i} A_b(k,l)``. The g_d of each d is found
by spectral clustering of A_b, not by search over all groupings.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Groups of branches, by their positions.
Groups = list[list[int]]


@dataclass(frozen=True)
class Choice:
    """One grouping and what it costs.

    Attributes
    ----------
    groups : list of list of int
        d groups of the c branches above.
    creation : float
        ``(d − 1) L₀ 2^{p_l}``.
    separation : float
        ``L_s(g_d)``, in [0, 1].
    cost : float
        ``creation + α · separation``.
    """

    groups: Groups
    creation: float
    separation: float
    cost: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "groups": self.groups,
            "creation": self.creation,
            "separation": self.separation,
            "cost": self.cost,
        }


def balanced_cost(affinity: np.ndarray, *, alpha: float = 1.0, n_pooling: int = 0) -> float:
    """The L₀ at which one group for all and a group for each cost the same; zero for one branch.

    The paper leaves L₀ to the user, but what is a high cost depends on the number of tasks and on how far they
    agree anyway. With this one neither extreme is favoured, and a grouping wins that is better than both.
    """
    c = len(affinity)
    if c == 1:
        return 0.0
    return alpha * separation(affinity, [list(range(c))]) / ((c - 1) * 2.0**n_pooling)


def choices(
    affinity: np.ndarray, *, unit_cost: float, alpha: float = 1.0, n_pooling: int = 0, seed: int = 0
) -> list[Choice]:
    """The grouping of each number of groups d = 1, …, c with its cost.

    Parameters
    ----------
    affinity : ndarray of shape (c, c)
        A_b of the branches above.
    unit_cost : float
        L₀, what a new branch costs.
    alpha : float
        α; larger values give more branches.
    n_pooling : int
        p_l.
    seed : int
        Of the clustering.

    Returns
    -------
    list of Choice
        By number of groups; a number for which the clustering finds fewer groups is left out.
    """
    out = []
    for d in range(1, len(affinity) + 1):
        groups = cluster(affinity, d, seed)
        if len(groups) < d:
            continue
        creation = (d - 1) * unit_cost * 2.0**n_pooling
        apart = separation(affinity, groups)
        out.append(Choice(groups, creation, apart, creation + alpha * apart))
    return out


def best(found: Sequence[Choice]) -> Choice:
    """The choice of least cost; of equal ones that with fewer groups."""
    return min(found, key=lambda choice: (choice.cost, len(choice.groups)))


def separation(affinity: np.ndarray, groups: Sequence[Sequence[int]]) -> float:
    """``L_s(g) = mean_i [1 − mean_{k∈i} min_{l∈i} A_b(k,l)]``; the minimum includes k itself, as in the paper."""
    return float(np.mean([1 - affinity[np.ix_(group, group)].min(1).mean() for group in groups]))


def cluster(affinity: np.ndarray, n_groups: int, seed: int = 0) -> Groups:
    """Spectral clustering (Shi & Malik 2000, Normalized cuts, PAMI) of a table of affinities.

    Returns
    -------
    list of list of int
        Groups in the order of their first members; they may be fewer where affinities hold fewer clusters.
    """
    c = len(affinity)
    if n_groups == 1 or n_groups == c:
        return [list(range(c))] if n_groups == 1 else [[k] for k in range(c)]
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(n_groups, affinity="precomputed", random_state=seed)
    with warnings.catch_warnings():
        # Affinities of zero give a graph in pieces, which the clustering can take.
        warnings.filterwarnings("ignore", message="Graph is not fully connected")
        labels = model.fit_predict(affinity)
    groups: dict[int, list[int]] = {}
    for k, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(k)
    return list(groups.values())
