"""Proximal maps of total variation on a chain and on any graph, both exact.

argmin_u  ½ ‖u − v‖² + Σ_{s<t} w_st |u_s − u_t|
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: A cut that is better than none by less than this share of what could be cut is rounding error.
_LOST = 1e-13


@njit(cache=True)
def chain_prox(values: np.ndarray, weights: np.ndarray, scale: np.ndarray) -> np.ndarray:  # pragma: no cover
    """The map for each column of values (q, p), with weights · scale_j > 0 between neighbours; O(q p).

    Dynamic programming over the derivatives of the partial minima, which are piecewise linear and are cut at the
    weight of each edge (Johnson 2013, "A dynamic programming algorithm for the fused lasso and L0-segmentation").

    Parameters
    ----------
    values : (q, p) array
    weights : (q − 1,) array, positive
    scale : (p,) array, positive
    """
    n = len(values)
    out = np.empty_like(values)
    # Knots of the derivative from the left end l to the right end r, with the change of slope and offset at each.
    knot, slope, offset = np.empty(2 * n), np.empty(2 * n), np.empty(2 * n)
    low, high = np.empty(n), np.empty(n)
    for j in range(values.shape[1]):
        left, right = n, n - 1
        bound = 0.0
        for k in range(n):
            first_slope, first_offset = 1.0, -bound - values[k, j]
            last_slope, last_offset = -1.0, -bound + values[k, j]
            level = weights[k] * scale[j] if k < n - 1 else 0.0
            i = left
            while i <= right and first_slope * knot[i] + first_offset <= -level:
                first_slope += slope[i]
                first_offset += offset[i]
                i += 1
            low[k] = (-level - first_offset) / first_slope
            if k == n - 1:
                break
            left = i - 1
            h = right
            while h > left and -last_slope * knot[h] - last_offset >= level:
                last_slope += slope[h]
                last_offset += offset[h]
                h -= 1
            high[k] = (level + last_offset) / -last_slope
            right = h + 1
            knot[left], slope[left], offset[left] = low[k], first_slope, first_offset + level
            knot[right], slope[right], offset[right] = high[k], last_slope, last_offset + level
            bound = level
        out[n - 1, j] = low[n - 1]
        for k in range(n - 2, -1, -1):
            out[k, j] = min(max(out[k + 1, j], low[k]), high[k])
    return out


@njit(cache=True)
def graph_prox(values: np.ndarray, weights: np.ndarray, scale: np.ndarray) -> np.ndarray:  # pragma: no cover
    """The map for each column of values (q, p), with weights (q, q) · scale_j.

    Divide and conquer (Chambolle & Darbon 2009, "On total variation minimization and surface evolution using
    parametric maximum flows"): with t the mean of v over a set of tasks, a minimum cut between v − t above and
    below zero either cuts nothing, so u = t, or tells tasks of u ≥ t from those of u ≤ t, which are then apart.
    """
    n, p = values.shape
    out = np.empty_like(values)
    for j in range(p):
        v, part = values[:, j].copy(), np.zeros(n, dtype=np.int64)
        n_parts, done = 1, 0
        while done < n_parts:
            members = np.flatnonzero(part == done)
            mean = v[members].mean()
            above = _cut(v[members] - mean, weights, members, scale[j])
            if not above.any():
                out[members, j] = mean
                done += 1
                continue
            for a in members[above]:
                for b in members[~above]:
                    v[a] -= weights[a, b] * scale[j]
                    v[b] += weights[a, b] * scale[j]
            part[members[~above]] = n_parts
            n_parts += 1
    return out


@njit(cache=True)
def _cut(
    excess: np.ndarray, weights: np.ndarray, members: np.ndarray, scale: float
) -> np.ndarray:  # pragma: no cover
    """The members on the source side of a minimum cut (m,); none where cutting does not pay.

    Sources feed what is in excess, sinks take what lacks; augmenting along shortest paths (Edmonds & Karp 1972).
    """
    m = len(members)
    room = np.empty((m, m))
    for a in range(m):
        for b in range(m):
            room[a, b] = weights[members[a], members[b]] * scale
    supply, demand = np.maximum(excess, 0.0), np.maximum(-excess, 0.0)
    least = _LOST * np.abs(excess).sum()
    before, queue = np.empty(m, dtype=np.int64), np.empty(m, dtype=np.int64)
    while True:
        before[:] = -2
        head, tail, end = 0, 0, -1
        for a in range(m):
            if supply[a] > least:
                before[a] = -1
                queue[tail] = a
                tail += 1
        if tail == 0:
            return np.zeros(m, dtype=np.bool_)
        while head < tail and end < 0:
            a = queue[head]
            head += 1
            if demand[a] > 0:
                end = a
                break
            for b in range(m):
                if before[b] == -2 and room[a, b] > least:
                    before[b] = a
                    queue[tail] = b
                    tail += 1
        if end < 0:
            reached = before != -2
            return reached if not reached.all() else np.zeros(m, dtype=np.bool_)
        flow, b = demand[end], end
        while before[b] >= 0:
            flow = min(flow, room[before[b], b])
            b = before[b]
        flow = min(flow, supply[b])
        supply[b] -= flow
        demand[end] -= flow
        b = end
        while before[b] >= 0:
            room[before[b], b] -= flow
            room[b, before[b]] += flow
            b = before[b]
