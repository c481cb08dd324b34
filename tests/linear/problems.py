"""Small regression problems and slow literal solvers that the tests of `polytask.linear` compare with."""

from __future__ import annotations

import numpy as np


def wide_problem(n=60, p=8, q=3, *, missing=0.0, seed=0, correlation=0.5):
    """X (n, p) with correlated columns and offsets, Y (n, q) with a few shared features, NaN at random."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    for j in range(1, p):
        X[:, j] += correlation * X[:, j - 1]
    X += rng.normal(size=p) * 3
    B = np.zeros((q, p))
    B[:, : max(1, p // 3)] = rng.normal(size=(q, max(1, p // 3)))
    Y = X @ B.T + rng.normal(size=q) * 5 + rng.normal(size=(n, q))
    Y[rng.random(Y.shape) < missing] = np.nan
    return X, Y


def centred_gram(X, y, w=None):
    """Centred Gram, Xᵀy and yᵀy of one task's labelled rows, by the definition."""
    known = ~np.isnan(y)
    X, y = X[known], y[known]
    w = np.ones(len(y)) if w is None else w[known]
    Xc, yc = X - np.average(X, axis=0, weights=w), y - np.average(y, weights=w)
    return (Xc * w[:, None]).T @ Xc, (Xc * w[:, None]).T @ yc, float((w * yc) @ yc)


def group_lasso_objective(X, Y, coef, intercept, alpha, w=None):
    """The documented objective of `GroupLasso`, from the data; task weights averaged over tasks."""
    w = np.ones(len(Y)) if w is None else w
    known = ~np.isnan(Y)
    mean_weight = (w[:, None] * known).sum() / Y.shape[1]
    residual = np.where(known, Y - X @ coef.T - intercept, 0.0)
    return (w[:, None] * residual**2).sum() / (2 * mean_weight) + alpha * np.linalg.norm(coef, axis=0).sum()


def group_lasso_by_proximal_gradient(X, Y, alpha, w=None, n_iter=20_000):
    """FISTA with restarts on the data: an independent solver of the `GroupLasso` objective."""
    w = np.ones(len(Y)) if w is None else w
    sums = [centred_gram(X, y, w) for y in Y.T]
    mean_weight = (w[:, None] * ~np.isnan(Y)).sum() / Y.shape[1]
    grams = np.stack([gram for gram, _, _ in sums]) / mean_weight
    linear = np.stack([xty for _, xty, _ in sums]) / mean_weight
    step = 1 / max(np.linalg.eigvalsh(gram)[-1] for gram in grams)
    coef = momentum = np.zeros_like(linear)
    t = 1.0
    for _ in range(n_iter):
        moved = momentum - step * (np.einsum("tjk,tk->tj", grams, momentum) - linear)
        norms = np.linalg.norm(moved, axis=0)
        new = moved * np.maximum(1 - step * alpha / np.maximum(norms, 1e-300), 0)
        if np.sum((momentum - new) * (new - coef)) > 0:
            t = 1.0
        t_next = (1 + np.sqrt(1 + 4 * t * t)) / 2
        momentum = new + (t - 1) / t_next * (new - coef)
        coef, t = new, t_next
    return coef


def assert_same_moments(left, right, rtol=1e-10):
    """Equal per task, however the tasks are grouped into patterns."""
    for name in ("y_mean", "yty", "xty", "task_weight", "n_labels"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(left.x_mean[left.pattern], right.x_mean[right.pattern], rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(left.gram[left.pattern], right.gram[right.pattern], rtol=rtol, atol=1e-9)
    together = left.same_pattern & right.same_pattern
    np.testing.assert_allclose(left.target_gram[together], right.target_gram[together], rtol=rtol, atol=1e-9)
