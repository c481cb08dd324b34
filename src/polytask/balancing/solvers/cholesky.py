"""Cholesky factors of principal submatrices that grow and shrink by a row at a time.

`order[:k]` lists the rows in the factor L, so that ``L Lᵀ = K[order, order]``. T is at most some tens: plain
loops beat LAPACK, whose call overhead is larger than the work.
"""

from __future__ import annotations

import numpy as np

from polytask.balancing.solvers.compiled import compiled


@compiled
def append_row(K, L, order, k, j, smallest):  # type: ignore[no-untyped-def]
    """Add row j of K to a factor of k rows; False, and no change, where its pivot is not above `smallest`."""
    pivot = K[j, j]
    for i in range(k):
        entry = K[j, order[i]]
        for m in range(i):
            entry -= L[k, m] * L[i, m]
        entry /= L[i, i]
        L[k, i] = entry
        pivot -= entry * entry
    if not pivot > smallest:
        return False
    L[k, k] = np.sqrt(pivot)
    order[k] = j
    return True


@compiled
def solve_in_place(L, k, x):  # type: ignore[no-untyped-def]
    """Replace x[:k] by the solution of ``L Lᵀ y = x``."""
    for i in range(k):
        for m in range(i):
            x[i] -= L[i, m] * x[m]
        x[i] /= L[i, i]
    for i in range(k - 1, -1, -1):
        x[i] /= L[i, i]
        for m in range(i):
            x[m] -= L[i, m] * x[i]
