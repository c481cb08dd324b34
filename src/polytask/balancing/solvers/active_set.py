"""Convex quadratic programmes on the non-negative orthant or on the simplex, by an active set.

    min ½ zᵀHz − bᵀz   subject to  z ≥ 0  [and Σ z = 1]

Lawson & Hanson, "Solving Least Squares Problems" (1974, ch. 23) for the orthant; with the simplex constraint it is
the scheme of Wolfe, "Finding the nearest point in a polytope" (1976): let in the coordinate whose multiplier is
most violated, minimise over the face, step back and let out what would turn negative. A coordinate that
is let in is independent of the face in exact arithmetic, so H may be singular (on the simplex: along Σ z as well).
"""

from __future__ import annotations

import numpy as np

from polytask.balancing.solvers.cholesky import append_row, solve_in_place
from polytask.balancing.solvers.compiled import compiled

_EPS = float(np.finfo(np.float64).eps)


@compiled
def minimise(H, b, on_simplex, start):  # type: ignore[no-untyped-def]
    """The minimiser, exactly zero off its face.

    `start` names the first face by its positive entries; it need not be feasible. Coordinates are scaled to a unit
    diagonal first (H_ii > 0), so that tolerances mean the same in every row.
    """
    n = len(b)
    K, d, f = np.empty((n, n)), np.empty(n), np.empty(n)
    sums, z = np.zeros(n), np.zeros(n)
    for i in range(n):
        d[i] = 1.0 / np.sqrt(H[i, i])
        f[i] = b[i] * d[i]
        if on_simplex:
            sums[i] = d[i]
        for j in range(i + 1):
            K[i, j] = K[j, i] = H[i, j] * d[i] * d[j]
    lift = n * _EPS
    while not _search(K, f, sums, on_simplex, start, z) and lift < 1e-3:
        # rounding made H indefinite, and the search went round in a circle: lift its spectrum above the rounding
        for i in range(n):
            K[i, i] += lift
        lift *= 100
    total = 0.0
    for i in range(n):
        z[i] *= d[i]
        total += z[i]
    for i in range(n):
        z[i] /= total if on_simplex else 1.0
    return z


@compiled
def _search(K, f, sums, on_simplex, start, z):  # type: ignore[no-untyped-def]
    """Fill z with the solution of the scaled problem; False where the iteration limit was reached first."""
    n = len(f)
    L, x = np.empty((n, n)), np.empty(n)
    order = np.empty(n, np.int64)
    blocked = np.zeros(n, np.bool_)
    k, nu = _first_face(K, f, sums, on_simplex, start, L, order, x)
    _spread(order, k, x, z)
    for _ in range(10 * n + 50):
        j = _most_violated(K, f, sums, nu, order, k, z, blocked)
        if j < 0:
            return True
        blocked[j] = True
        if not append_row(K, L, order, k, j, n * _EPS):
            continue  # dependent on the face up to rounding, and so is its violation
        new_nu = _face(L, order, k + 1, f, sums, on_simplex, x)
        if x[k] <= 0:
            continue  # the violation was rounding
        k, nu = _step_back(K, L, order, k + 1, f, sums, on_simplex, x, new_nu, z)
        _spread(order, k, x, z)
        for i in range(n):
            blocked[i] = False
    return False


@compiled
def _first_face(K, f, sums, on_simplex, start, L, order, x):  # type: ignore[no-untyped-def]
    """Largest part of the start's face whose own minimiser is positive; x holds that minimiser."""
    n, k = len(f), 0
    for j in range(n):
        if start[j] > 0 and append_row(K, L, order, k, j, n * _EPS):
            k += 1
    if k == 0 and on_simplex:
        k = int(append_row(K, L, order, 0, _best_corner(K, f, sums), 0.0))
    nu = _face(L, order, k, f, sums, on_simplex, x)
    while _smallest(x, k) <= 0:
        k = _rebuild(K, L, order, k, x)
        nu = _face(L, order, k, f, sums, on_simplex, x)
    return k, nu


@compiled
def _face(L, order, k, f, sums, on_simplex, x):  # type: ignore[no-untyped-def]
    """Fill x with the minimiser over the face's affine hull, in the factor's order; its multiplier of Σ z = 1."""
    for i in range(k):
        x[i] = f[order[i]]
    solve_in_place(L, k, x)
    if not on_simplex:
        return 0.0
    q = np.empty(k)
    for i in range(k):
        q[i] = sums[order[i]]
    solve_in_place(L, k, q)
    sum_x, sum_q = 0.0, 0.0
    for i in range(k):
        sum_x += sums[order[i]] * x[i]
        sum_q += sums[order[i]] * q[i]
    nu = (1.0 - sum_x) / sum_q
    for i in range(k):
        x[i] += nu * q[i]
    return nu


@compiled
def _best_corner(K, f, sums):  # type: ignore[no-untyped-def]
    """The corner of the simplex, z = 1/sums of the scaled problem, with the least objective."""
    best, least = 0, np.inf
    for i in range(len(f)):
        value = (0.5 * K[i, i] / sums[i] - f[i]) / sums[i]
        if value < least:
            best, least = i, value
    return best


@compiled
def _most_violated(K, f, sums, nu, order, k, z, blocked):  # type: ignore[no-untyped-def]
    """The coordinate off the face along which the objective falls fastest, beyond rounding; −1 for none."""
    n, best, fastest = len(f), -1, 0.0
    for j in range(n):
        if z[j] > 0 or blocked[j]:
            continue
        fall = f[j] + nu * sums[j]
        size = abs(f[j]) + abs(nu * sums[j])
        for i in range(k):
            term = K[j, order[i]] * z[order[i]]
            fall -= term
            size += abs(term)
        if fall > fastest and fall > 2 * n * _EPS * size:
            best, fastest = j, fall
    return best


@compiled
def _step_back(K, L, order, k, f, sums, on_simplex, x, nu, z):  # type: ignore[no-untyped-def]
    """Walk from z towards the face's minimiser x, letting out what reaches zero, until x is inside its face."""
    while _smallest(x, k) <= 0:
        step = 1.0
        for i in range(k):
            if x[i] <= 0:
                step = min(step, z[order[i]] / (z[order[i]] - x[i]))
        for i in range(k):
            at, stays = order[i], x[i] > 0 or z[order[i]] * (1 - step) + step * x[i] > _EPS * z[order[i]]
            z[at] = z[at] + step * (x[i] - z[at]) if stays else 0.0
            x[i] = z[at]
        k = _rebuild(K, L, order, k, x)
        nu = _face(L, order, k, f, sums, on_simplex, x)
    return k, nu


@compiled
def _rebuild(K, L, order, k, x):  # type: ignore[no-untyped-def]
    """Factor the rows whose x is positive; how many they are."""
    kept = 0
    for i in range(k):
        if x[i] > 0 and append_row(K, L, order, kept, order[i], 0.0):
            kept += 1
    return kept


@compiled
def _spread(order, k, x, z):  # type: ignore[no-untyped-def]
    """Write x, in the factor's order, to its places in z; zeros elsewhere."""
    for i in range(len(z)):
        z[i] = 0.0
    for i in range(k):
        z[order[i]] = x[i]


@compiled
def _smallest(x, k):  # type: ignore[no-untyped-def]
    """The smallest of x[:k]; infinite where there are none."""
    smallest = np.inf
    for i in range(k):
        smallest = min(smallest, x[i])
    return smallest
