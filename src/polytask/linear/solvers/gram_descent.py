"""Block coordinate descent on Grams for least squares with a row-wise L2 penalty, along a path of penalties.

    min_B  Σ_t ½ (y_tᵀy_t − 2 c_tᵀ b_t + b_tᵀ G_t b_t)  +  α Σ_j f_j ‖B_j‖₂  +  ½ρ Σ_j f_j ‖B_j‖₂²

One task makes it the lasso, tasks with one Gram make it scikit-learn's MultiTaskLasso, ρ > 0 its elastic net.
Blocks are minimised exactly; features enter by the sequential strong rule (Tibshirani et al. 2012) and the
optimality conditions are checked on all of them; a penalty is done when the duality gap, computed over all
features, is small. A penalty starts on the line through the last two solutions if that is better than the last.

Layout: features are kept permuted so that the `head` features of the working set come first (`working_set.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import linalg

from polytask.errors import SettingError
from polytask.linear.solvers.working_set import descend, gap, refresh, step_along

#: Below this tolerance the gradients of the working set, which drift by rounding errors, are recomputed too.
_PRECISE = 1e-9


class DescentPath(NamedTuple):
    """Solutions along a path: coef (k, q, p), gap (k,) and null (), both objectives, n_iter (k,) sweeps.

    null is the objective at zero coefficients of all penalised features.
    """

    coef: np.ndarray
    gap: np.ndarray
    null: float | np.ndarray
    n_iter: np.ndarray


def group_path(
    gram: np.ndarray,
    pattern: np.ndarray,
    xty: np.ndarray,
    yty: float,
    alphas: np.ndarray,
    *,
    penalty_factors: np.ndarray | None = None,
    start: np.ndarray | None = None,
    positive: bool = False,
    ridge: float | np.ndarray = 0.0,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> DescentPath:
    """Solve for each penalty in turn, each solution starting the next.

    Parameters
    ----------
    gram : (P, p, p) array
        Positive semidefinite; task t uses ``gram[pattern[t]]``.
    pattern : (q,) int array
    xty : (q, p) array
    yty : float
        Summed over tasks.
    alphas : (k,) array
        Positive; fastest when decreasing.
    penalty_factors : (p,) array or None
        Non-negative factors f_j of the penalty; None means ones. Unpenalised features, those with factor 0,
        are eliminated beforehand and solved for afterwards, so that the gap is exact with them too.
    start : (q, p) array or None
        Coefficients to start from.
    positive : bool
        Only coefficients ≥ 0; then all factors must be positive.
    ridge : float or (k,) array
        ρ, one for all penalties or one each; non-negative.
    tol : float
        Stop when gap ≤ tol · null.
    max_iter : int
        Largest number of sweeps per penalty.

    Raises
    ------
    SettingError
        For `positive` with unpenalised features.
    """
    n_features = xty.shape[1]
    factors = checked_factors(penalty_factors, n_features, positive)
    if not factors.all():
        return _path_with_free_features(
            gram, pattern, xty, yty, alphas, factors, start, ridge=ridge, tol=tol, max_iter=max_iter
        )
    gram, xty = np.array(gram, dtype=float, order="C"), np.array(xty, dtype=float, order="C")
    pattern = np.asarray(pattern, dtype=np.int64)
    coef, grad, order, head = np.zeros_like(xty), xty.copy(), np.arange(n_features), 0
    if start is not None:
        coef = np.maximum(start, 0.0) if positive else np.array(start, dtype=float)
        grad -= np.stack([gram[index] @ b for index, b in zip(pattern, coef)])
        order = np.argsort(~coef.any(axis=0), kind="stable")
        head = int(coef.any(axis=0).sum())
        gram = np.ascontiguousarray(gram[:, order][:, :, order])
        xty, grad, coef, factors = (
            np.ascontiguousarray(table[..., order]) for table in (xty, grad, coef, factors)
        )
    coef, gaps, n_iter = _path(
        gram, pattern, xty, float(yty), np.array(alphas, dtype=float), np.full(len(alphas), ridge, dtype=float),
        factors, order, coef, grad, head, bool(positive), float(tol), int(max_iter),
    )  # fmt: skip
    return DescentPath(coef, gaps, yty / 2, n_iter)


def checked_factors(penalty_factors: np.ndarray | None, n_features: int, positive: bool) -> np.ndarray:
    """A copy of the penalty factors (p,), ones by default."""
    if penalty_factors is None:
        return np.ones(n_features)
    factors = np.array(penalty_factors, dtype=float)
    if positive and not factors.all():
        raise SettingError(
            f"positive=True needs positive penalty_factors, but that of feature {int(np.argmin(factors))} is 0; "
            "give it a small positive one, such as 1e-3."
        )
    return factors


@njit(cache=True)
def _path(
    gram, pattern, xty, yty, alphas, ridges, factors, order, coef, grad, head, positive, tol, max_iter
):  # fmt: skip
    """The path, from coef and its grad; overwrites all tables, which it permutes."""
    n_tasks, n_features = xty.shape
    out = np.zeros((len(alphas), n_tasks, n_features))
    gaps, n_iter = np.zeros(len(alphas)), np.zeros(len(alphas), np.int64)
    tables = (xty, grad, coef, np.zeros_like(grad), np.zeros_like(coef))
    target = tol * yty / 2
    for k in range(len(alphas)):
        alpha, ridge = alphas[k], ridges[k]
        drop = alphas[k - 1] - alpha if k > 0 else 0.0
        head = _grow(gram, tables, factors, order, head, alpha - max(drop, 0.0), positive)
        share = drop / (alphas[k - 2] - alphas[k - 1]) if k > 1 and alphas[k - 2] > alphas[k - 1] else 0.0
        step_along(xty, grad, coef, tables[3], tables[4], factors, head, alpha, ridge, positive, share)
        before = np.inf
        while True:
            sweeps, gaps[k] = descend(
                gram, pattern, xty, yty, grad, coef, factors, head, alpha, ridge, positive, target,
                max_iter - n_iter[k],
            )  # fmt: skip
            n_iter[k] += sweeps
            if head < n_features or tol < _PRECISE:
                refresh(gram, pattern, xty, grad, coef, head, 0 if tol < _PRECISE else head)
                gaps[k] = gap(xty, yty, grad, coef, factors, head, n_features, alpha, ridge, positive)
            if gaps[k] <= target or n_iter[k] >= max_iter:
                break
            grown = _grow(gram, tables, factors, order, head, alpha, positive)
            if grown == head and gaps[k] > before / 2:
                # Only rounding error separates the two gaps: nothing is left to gain.
                break
            head, before = grown, gaps[k]
        for t in range(n_tasks):
            for i in range(head):
                out[k, t, order[i]] = coef[t, i]
    return out, gaps, n_iter


@njit(cache=True)
def _swap(gram, tables, factors, order, i, j):
    """Exchange features i and j everywhere."""
    if i == j:
        return
    order[i], order[j] = order[j], order[i]
    factors[i], factors[j] = factors[j], factors[i]
    for table in tables:
        for t in range(table.shape[0]):
            table[t, i], table[t, j] = table[t, j], table[t, i]
    for g in range(gram.shape[0]):
        for k in range(gram.shape[1]):
            gram[g, i, k], gram[g, j, k] = gram[g, j, k], gram[g, i, k]
        for k in range(gram.shape[1]):
            gram[g, k, i], gram[g, k, j] = gram[g, k, j], gram[g, k, i]


@njit(cache=True)
def _grow(gram, tables, factors, order, head, threshold, positive):
    """Take into the working set the tail features whose gradient exceeds the threshold; its new size."""
    grad = tables[1]
    limit = max(threshold, 0.0)
    for j in range(head, grad.shape[1]):
        size = 0.0
        for t in range(grad.shape[0]):
            slope = max(grad[t, j], 0.0) if positive else grad[t, j]
            size += slope * slope
        if size > (limit * factors[j]) ** 2:
            _swap(gram, tables, factors, order, head, j)
            head += 1
    return head


def _path_with_free_features(gram, pattern, xty, yty, alphas, factors, start, **settings):
    """Minimise over the unpenalised features in closed form: what is left is the same problem in the others.

    With U the free and S the other features, G_SS − G_SU G_UU⁺ G_US and c_S − G_SU G_UU⁺ c_U are its moments.
    """
    free, rest = np.flatnonzero(factors == 0), np.flatnonzero(factors)
    inverse = np.stack([linalg.pinvh(g[np.ix_(free, free)]) for g in gram])
    cross = gram[:, free][:, :, rest]
    onto = inverse @ cross
    free_xty = xty[:, free]
    at_zero = np.einsum("tij,tj->ti", inverse[pattern], free_xty)
    path = group_path(
        gram[:, rest][:, :, rest] - cross.transpose(0, 2, 1) @ onto, pattern,
        xty[:, rest] - np.einsum("tij,ti->tj", cross[pattern], at_zero),
        max(yty - float(np.sum(free_xty * at_zero)), 0.0), alphas, penalty_factors=factors[rest],
        start=None if start is None else np.asarray(start)[:, rest], **settings,
    )  # fmt: skip
    coef = np.empty((len(alphas), *xty.shape))
    coef[:, :, rest] = path.coef
    coef[:, :, free] = at_zero - np.einsum("tij,ktj->kti", onto[pattern], path.coef)
    return path._replace(coef=coef)


def lasso_paths(
    gram: np.ndarray,
    pattern: np.ndarray,
    xty: np.ndarray,
    yty: np.ndarray,
    alphas: np.ndarray,
    *,
    penalty_factors: np.ndarray | None = None,
    start: np.ndarray | None = None,
    positive: bool = False,
    ridge: float | np.ndarray = 0.0,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> DescentPath:
    """A lasso path per task, each with its own penalties.

    Parameters
    ----------
    gram : (P, p, p) array
    pattern : (q,) int array
    xty : (q, p) array
    yty : (q,) array
    alphas : (k, q) array
        Positive; column t is the path of task t.
    ridge : float, (k, 1) or (k, q) array
    penalty_factors, start, positive, tol, max_iter
        As in `group_path`, per task.

    Returns
    -------
    DescentPath
        With gap and n_iter (k, q) and null (q,).
    """
    n_tasks, n_features = xty.shape
    coef, null = np.zeros((len(alphas), n_tasks, n_features)), np.zeros(n_tasks)
    only = np.zeros(1, dtype=np.int64)
    gap, n_iter = np.zeros(alphas.shape), np.zeros(alphas.shape, dtype=np.int64)
    ridges = np.broadcast_to(np.asarray(ridge, dtype=float), alphas.shape)
    for t in range(n_tasks):
        path = group_path(
            gram[pattern[t] : pattern[t] + 1], only, xty[t : t + 1], float(yty[t]), alphas[:, t],
            penalty_factors=penalty_factors, start=None if start is None else start[t : t + 1],
            positive=positive, ridge=ridges[:, t], tol=tol, max_iter=max_iter,
        )  # fmt: skip
        coef[:, t], gap[:, t], n_iter[:, t], null[t] = path.coef[:, 0], path.gap, path.n_iter, path.null
    return DescentPath(coef, gap, null, n_iter)
