"""The α-fair utility problem of FairGrad."""

from __future__ import annotations

import numpy as np

from polytask.balancing.solvers.cholesky import append_row, solve_in_place
from polytask.balancing.solvers.compiled import compiled
from polytask.balancing.solvers.gramian import checked
from polytask.errors import SettingError

_EPS = float(np.finfo(np.float64).eps)


def fair(G: np.ndarray, a: float, start: np.ndarray | None = None) -> np.ndarray:
    """Solve ``Gα = α^(−1/a)`` (elementwise) for α > 0.

    Ban & Ji, "Fair Resource Allocation in Multi-Task Learning" (ICML 2024), eq. 7; a = 1 is Nash-MTL. They use a
    non-linear least squares; it is the stationary point of

        F(α) = ½ αᵀGα − Σ α^(1−1/a) / (1 − 1/a)        (Σ log α for a = 1),

    convex for every a > 0 as ``α ↦ −α^(−1/a)`` increases. Newton's method on F with a line search.

    At Pareto-stationary gradients (some convex combination is zero) F has no minimum. A ridge of the size of
    rounding, ``T ε G_tt`` (larger where G is indefinite from rounding in float32), keeps α finite; the
    direction ``Jᵀα`` is bounded all the same.

    Parameters
    ----------
    G : float64 array of shape (T, T)
        Gramian of the gradients; positive semidefinite with a positive diagonal, in any units.
    a : float
        Positive.
    start : float64 array of shape (T,) or None
        A guess, for instance the last step's α; used where it is positive.

    Returns
    -------
    alpha : float64 array of shape (T,)
        Scales as units of G to the power −a/(1+a).

    Raises
    ------
    SettingError
        If a is not positive and finite.
    TrainingError
        If G is not finite, or a diagonal entry is not positive.
    """
    if not 0 < a < np.inf:
        raise SettingError(
            f"alpha of the fairness must be a positive number, got {a}. Use 1 for Nash bargaining."
        )
    G = checked(G)
    alone = G.diagonal() ** (-a / (1 + a))  # the solution if gradients were orthogonal
    alpha = alone.copy() if start is None else np.where((start > 1e-100) & (start < 1e100), start, alone)
    ridge = len(G) * _EPS
    while not _newton(G + np.diag(ridge * G.diagonal()), float(a), alpha) and ridge < 1e-3:
        ridge *= 100
        alpha = alone.copy()
    return alpha


@compiled
def _newton(G, a, alpha):  # type: ignore[no-untyped-def]
    """Improve alpha in place; False where G turns out to be indefinite."""
    n = len(G)
    H, L, order = np.empty((n, n)), np.empty((n, n)), np.empty(n, np.int64)
    power, y = np.empty(n), np.empty(n)
    for _ in range(300):
        if _residual(G, a, alpha, power, y):
            return True
        slope, largest = 0.0, 0.0
        for i in range(n):
            for j in range(n):
                H[i, j] = G[i, j]
            H[i, i] += power[i] / (a * alpha[i])
            if not append_row(H, L, order, i, i, 0.0):
                return False
        gradient = y.copy()
        solve_in_place(L, n, y)
        for i in range(n):
            slope -= gradient[i] * y[i]
            y[i] /= alpha[i]
            largest = max(largest, abs(y[i]))
        largest *= 1 + 1 / a
        if largest <= 0.05:  # convergence is quadratic, and differences of F are soon below rounding
            _move(alpha, 1.0, y, alpha)
            if largest <= 1e-7:
                return True
        elif not _line_search(G, a, alpha, y, slope):
            return True
    return False


@compiled
def _residual(G, a, alpha, power, y):  # type: ignore[no-untyped-def]
    """Fill power with α^(−1/a) and y with power − Gα; is every y_t as small as the rounding of what it sums?"""
    n, is_rounding = len(alpha), True
    for i in range(n):
        power[i] = alpha[i] ** (-1 / a)
        y[i] = size = power[i]
        for j in range(n):
            term = G[i, j] * alpha[j]
            y[i] -= term
            size += abs(term)
        is_rounding = is_rounding and abs(y[i]) <= 2 * n * _EPS * size
    return is_rounding


@compiled
def _move(alpha, step, y, moved):  # type: ignore[no-untyped-def]
    """Fill moved with α(1 + step y): straight in α, along which Gα is linear, but for what would get near zero."""
    for i in range(len(alpha)):
        change = step * y[i]
        moved[i] = alpha[i] * (1 + change if change > -0.5 else -0.25 / change)


@compiled
def _line_search(G, a, alpha, y, slope):  # type: ignore[no-untyped-def]
    """Move α along y until F falls enough, then along its ray; False where F cannot fall."""
    before, size, _ = _value(G, a, alpha)
    moved, step = np.empty(len(alpha)), 1.0
    for _ in range(50):
        _move(alpha, step, y, moved)
        after, _, ray = _value(G, a, moved)
        if after <= before + 1e-4 * step * slope + 1e-14 * size:
            for i in range(len(alpha)):
                alpha[i] = ray * moved[i]
            return True
        step /= 2
    return False


@compiled
def _value(G, a, alpha):  # type: ignore[no-untyped-def]
    """F up to a constant, the size of the terms that it sums, and the r > 0 that minimises F(rα)."""
    n, q = len(alpha), 1 - 1 / a
    square, utility, powers, size = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        log = np.log(alpha[i])
        gain = log if q == 0 else np.expm1(q * log) / q
        utility += gain
        powers += np.exp(q * log)
        size += abs(gain)
        for j in range(n):
            term = alpha[i] * G[i, j] * alpha[j]
            square += term
            size += abs(term)
    ray = (powers / square) ** (a / (1 + a)) if square > 0 else 1.0
    return 0.5 * square - utility, size, ray
