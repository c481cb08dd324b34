"""Documented objectives of models that penalise rows, from the data, and their minima by cvxpy."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
from problems import wide_problem


def labelled_problem(loss, n=50, p=8, q=3, *, missing=0.2, seed=0):
    """`wide_problem` with centred features and labels of the kind that a loss needs, and weights."""
    X, Y = wide_problem(n, p, q, seed=seed)
    rng = np.random.default_rng(seed + 1)
    X = X - X.mean(axis=0)
    Z = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    if loss == "logistic":
        Y = (rng.random(Z.shape) < 1 / (1 + np.exp(-Z))).astype(float)
    elif loss == "poisson":
        Y = rng.poisson(np.exp(0.5 * Z)).astype(float)
    Y[rng.random(Y.shape) < missing] = np.nan
    return X, Y, rng.uniform(0.2, 3, n)


def task_units(Y, w, per_task=False):
    """(q,) what the losses of each task are divided by: its own weight, or the mean of all."""
    weight = (w[:, None] * ~np.isnan(Y)).sum(axis=0)
    return weight if per_task else np.full(len(weight), weight.mean())


def objective(X, Y, w, loss, coef, intercept, penalty, per_task=False):
    """Σ_t Σ_i w_i ℓ / unit_t + penalty(coef)."""
    known = ~np.isnan(Y)
    z, y = X @ coef.T + intercept, np.where(known, Y, 0.0)
    each = {
        "squared": lambda: (y - z) ** 2 / 2,
        "logistic": lambda: np.logaddexp(0, z) - y * z,
        "poisson": lambda: np.exp(z) - y * z,
    }[loss]()
    return float(((w[:, None] * known * each).sum(axis=0) / task_units(Y, w, per_task)).sum() + penalty(coef))


def least_objective(X, Y, w, loss, penalty, *, positive=False, intercept=True, per_task=False):
    """The minimum over coefficients and intercepts; penalty maps a (q, p) variable to an expression."""
    q, p = Y.shape[1], X.shape[1]
    B, b0 = cp.Variable((q, p), nonneg=positive), cp.Variable(q)
    total = penalty(B)
    for t, unit in enumerate(task_units(Y, w, per_task)):
        known = ~np.isnan(Y[:, t])
        y, weights = Y[known, t], w[known]
        z = X[known] @ B[t] + (b0[t] if intercept else 0)
        if loss == "squared":
            value = cp.sum_squares(cp.multiply(np.sqrt(weights), y - z)) / 2
        elif loss == "logistic":
            value = weights @ cp.logistic(z) - (weights * y) @ z
        else:
            value = weights @ cp.exp(z) - (weights * y) @ z
        total = total + value / unit
    problem = cp.Problem(cp.Minimize(total))
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    return float(problem.value)
