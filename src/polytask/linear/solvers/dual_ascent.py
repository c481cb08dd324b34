"""Stochastic dual coordinate ascent on the rows of one task, which needs nothing of the other tasks but two numbers.

With dual variables u_i of the task's rows and B = Σ_i w_i u_i x_i, coefficients c and a step κ that the master sends,
the local problem of Liu, Pan & Ho (2017) is

    max_{Δu}  − Σ_i w_i ℓ*(y_i, −(u_i + Δu_i))  −  c·ΔB  −  (κ/2) ‖ΔB‖²,      ΔB = Σ_i w_i Δu_i x_i

where κ bounds how far the other tasks, which change meanwhile, can move c. Each step maximises it over one Δu_i
(Shalev-Shwartz & Zhang 2013). The paper has no intercepts; with one, dual variables must keep Σ_i w_i u_i = 0, so
a step moves two of them against each other.

References
----------
Liu, S., Pan, S. J., Ho, Q. (2017). Distributed Multi-Task Relationship Learning. KDD. arXiv:1612.04022.
Shalev-Shwartz, S., Zhang, T. (2013). Stochastic Dual Coordinate Ascent Methods for Regularized Loss. JMLR 14.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SQUARED, LOGISTIC, POISSON = 0, 1, 2
#: The number by which the compiled loop knows each loss.
CODES = {"squared": SQUARED, "logistic": LOGISTIC, "poisson": POISSON}
#: How close to the border of its range a mean may come.
_BORDER = 1e-15


@njit(cache=True)
def ascend(indptr, indices, data, norms, y, w, u, coef, kappa, order, partner, loss):
    """One step for each row named in `order`; changes u and coef (c + κ ΔB) and returns ΔB.

    Parameters
    ----------
    indptr, indices, data : CSR arrays of the (m, p) rows
    norms : (m,) array
        Their squared norms.
    y, w, u : (m,) arrays
        Labels (0 and 1 for classes), positive weights, dual variables.
    coef : (p,) array
    kappa : float
        Zero or more.
    order, partner : (h,) int arrays
        Which dual variable moves, and which moves against it; −1 where there is no intercept.
    loss : int
        One of CODES.

    Returns
    -------
    (p,) array
    """
    change, spread = np.zeros(len(coef)), np.zeros(len(coef))
    for step in range(len(order)):
        i, j = order[step], partner[step]
        if i == j:
            continue
        predictor, square = _dot(indptr, indices, data, i, coef), norms[i]
        if j >= 0:
            _add(indptr, indices, data, j, 1.0, spread)
            square += norms[j] - 2.0 * _dot(indptr, indices, data, i, spread)
            predictor -= _dot(indptr, indices, data, j, coef)
            for k in range(indptr[j], indptr[j + 1]):
                spread[indices[k]] = 0.0
        delta = _best_move(y, w, u, i, j, predictor, kappa * max(square, 0.0), loss)
        if delta == 0.0:
            continue
        u[i] += delta / w[i]
        _add(indptr, indices, data, i, delta, change)
        _add(indptr, indices, data, i, kappa * delta, coef)
        if j >= 0:
            u[j] -= delta / w[j]
            _add(indptr, indices, data, j, -delta, change)
            _add(indptr, indices, data, j, -kappa * delta, coef)
    return change


@njit(cache=True)
def _dot(indptr, indices, data, i, vector):
    total = 0.0
    for k in range(indptr[i], indptr[i + 1]):
        total += data[k] * vector[indices[k]]
    return total


@njit(cache=True)
def _add(indptr, indices, data, i, factor, vector):
    for k in range(indptr[i], indptr[i + 1]):
        vector[indices[k]] += factor * data[k]


@njit(cache=True)
def _best_move(y, w, u, i, j, predictor, curvature, loss):
    """The δ that maximises the local problem when w_i u_i grows by δ and w_j u_j shrinks by it."""
    if loss == SQUARED:
        slope, curve = y[i] - u[i] - predictor, curvature + 1.0 / w[i]
        if j >= 0:
            slope, curve = slope - y[j] + u[j], curve + 1.0 / w[j]
        return slope / curve
    low, high = _range(y, w, u, i, 1.0, loss)
    if j >= 0:
        other_low, other_high = _range(y, w, u, j, -1.0, loss)
        low, high = max(low, other_low), min(high, other_high)
    return _smooth_move(y, w, u, i, j, predictor, curvature, low, high, loss)


@njit(cache=True)
def _range(y, w, u, i, sign, loss):
    """The δ for which μ_i = y_i − u_i stays a mean when u_i grows by sign δ / w_i."""
    low = w[i] * (y[i] - u[i] - 1.0) if loss == LOGISTIC else -np.inf
    high = w[i] * (y[i] - u[i])
    return (low, high) if sign > 0 else (-high, -low)


@njit(cache=True)
def _smooth_move(y, w, u, i, j, predictor, curvature, low, high, loss):
    """The root of link(μ_i) − link(μ_j) − predictor − curvature δ by Newton steps between closing bounds."""
    if low == -np.inf:
        # There μ_i is e^predictor or more, so the root lies above.
        low = min(0.0, w[i] * (y[i] - u[i] - np.exp(min(predictor, 500.0))))
    delta = 0.0
    for _ in range(100):
        slope, curve = _link(y[i] - u[i] - delta / w[i], w[i], loss)
        slope, curve = slope - predictor - curvature * delta, curve + curvature
        if j >= 0:
            other, bend = _link(y[j] - u[j] + delta / w[j], w[j], loss)
            slope, curve = slope - other, curve + bend
        if slope > 0.0:
            low = delta
        else:
            high = delta
        moved = delta + slope / curve
        if not low < moved < high:
            moved = 0.5 * (low + high)
        if abs(moved - delta) <= 1e-14 * (abs(low) + abs(high)):
            return moved
        delta = moved
    return delta


@njit(cache=True)
def _link(mean, weight, loss):
    """The predictor of a mean, and how fast it falls when the dual variable grows by 1 / weight."""
    mean = max(mean, _BORDER)
    if loss == POISSON:
        return np.log(mean), 1.0 / (weight * mean)
    mean = min(mean, 1.0 - _BORDER)
    return np.log(mean / (1.0 - mean)), 1.0 / (weight * mean * (1.0 - mean))
