"""Optima of penalised problems by cvxpy, and slow literal objectives that tests compare with."""

from __future__ import annotations

import cvxpy as cp
import numpy as np


def data_loss(X, Y, coef, intercept, w=None, loss="squared"):
    """Σ_t Σ_i w_i ℓ / m over the labels that are present, by the definition."""
    w = np.ones(len(Y)) if w is None else w
    total, weight = 0.0, 0.0
    for t, y in enumerate(Y.T):
        known = ~np.isnan(y)
        z = X[known] @ coef[t] + intercept[t]
        each = {
            "squared": lambda y, z: (y - z) ** 2 / 2,
            "logistic": lambda y, z: np.log1p(np.exp(z)) - y * z,
            "poisson": lambda y, z: np.exp(z) - y * z,
        }[loss](y[known], z)
        total += w[known] @ each
        weight += w[known].sum()
    return total / (weight / Y.shape[1])


def optimum(X, Y, penalty, w=None, loss="squared", n_parts=1, positive=False):
    """Minimum of the data's loss and `penalty(parts)`, with coefficients (q, p) the sum of the parts."""
    w = np.ones(len(Y)) if w is None else w
    q, p = Y.shape[1], X.shape[1]
    parts = [cp.Variable((q, p)) for _ in range(n_parts)]
    intercept = cp.Variable(q)
    coef, total, weight = sum(parts), 0, 0.0
    for t, y in enumerate(Y.T):
        known = ~np.isnan(y)
        v, y = w[known], y[known]
        z = X[known] @ coef[t] + intercept[t]
        if loss == "squared":
            total += cp.sum_squares(cp.multiply(np.sqrt(v), y - z)) / 2
        elif loss == "logistic":
            total += v @ cp.logistic(z) - (v * y) @ z
        else:
            total += v @ cp.exp(z) - (v * y) @ z
        weight += v.sum()
    constraints = [coef >= 0] if positive else []
    problem = cp.Problem(cp.Minimize(total / (weight / q) + penalty(*parts)), constraints)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    return problem.value


def labels_for(loss, X, Y):
    """Targets of a loss, with the NaN of Y."""
    if loss == "squared":
        return Y
    centred = Y - np.nanmean(Y, axis=0)
    noise = np.random.default_rng(7).random(Y.shape)
    if loss == "logistic":
        made = (noise < 1 / (1 + np.exp(-centred))).astype(float)
    else:
        made = np.round(np.exp(centred / 4) * 2 * noise)
    return np.where(np.isnan(Y), np.nan, made)


def squared_gap(X, Y, coef, intercept, primal_penalty, dual_norm, w=None):
    """Duality gap of squared loss from the rows: the best multiple of the residual that is feasible."""
    w = np.ones(len(Y)) if w is None else w
    known = ~np.isnan(Y)
    V = w[:, None] * known
    mean_weight = V.sum() / Y.shape[1]
    residual = np.where(known, Y - X @ coef.T - intercept, 0.0)
    Y = np.where(known, Y, 0.0)
    centred = Y - (V * Y).sum(axis=0) / V.sum(axis=0)
    slope = (V * residual).T @ X / mean_weight
    explained, energy = (V * residual * centred).sum(), (V * residual**2).sum()
    scale = min(explained / energy, 1 / dual_norm(slope))
    dual = (scale * explained - scale**2 * energy / 2) / mean_weight
    return energy / 2 / mean_weight + primal_penalty - dual
