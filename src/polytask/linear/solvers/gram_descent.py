"""Block coordinate descent on Grams for least squares with a row-wise L2 penalty, along a path of penalties.

    min_B  Σ_t ½ (y_tᵀy_t − 2 c_tᵀ b_t + b_tᵀ G_t b_t)  +  α Σ_j f_j ‖B_j‖₂

One task makes it the lasso, tasks with one Gram make it scikit-learn's MultiTaskLasso. A ridge term ½ρ‖B‖²
is ρ on the diagonals of the Grams. Blocks are minimised exactly; features enter by the sequential strong rule
(Tibshirani et al. 2012) and the optimality conditions are checked on all of them; a penalty is done when the
duality gap, computed over all features, is small.

Layout: features are kept permuted so that the `head` features of the working set come first and every inner
loop runs over contiguous memory; `grad[t] = c_t − G_t b_t` is exact on the head and refreshed on the tail.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

#: Steps that an extrapolation combines.
_MEMORY = 5
#: Sweeps over the working set between two evaluations of the duality gap.
_SWEEPS_PER_CHECK = 2


class DescentPath(NamedTuple):
    """Solutions along a path: coef (k, q, p), gap (k,) and null (), both objectives, n_iter (k,) sweeps."""

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
        Positive factors f_j of the penalty; None means ones.
    start : (q, p) array or None
        Coefficients to start from.
    tol : float
        Stop when gap ≤ tol · objective of B = 0.
    max_iter : int
        Largest number of sweeps per penalty.
    """
    n_tasks, n_features = xty.shape
    factors = np.ones(n_features) if penalty_factors is None else np.array(penalty_factors, dtype=float)
    begin = np.zeros((n_tasks, n_features)) if start is None else np.array(start, dtype=float)
    coef, gap, n_iter = _path(
        np.array(gram, dtype=float, order="C"), np.asarray(pattern, dtype=np.int64),
        np.array(xty, dtype=float, order="C"), float(yty), np.ascontiguousarray(alphas, dtype=float),
        factors, begin, float(tol), int(max_iter),
    )  # fmt: skip
    return DescentPath(coef, gap, yty / 2, n_iter)


@njit(cache=True)
def _path(gram, pattern, xty, yty, alphas, factors, coef, tol, max_iter):
    """The path; overwrites gram, xty, factors and coef, which it permutes."""
    n_tasks, n_features = xty.shape
    out = np.zeros((len(alphas), n_tasks, n_features))
    gaps, n_iter = np.zeros(len(alphas)), np.zeros(len(alphas), np.int64)
    order, grad = np.arange(n_features), np.empty((n_tasks, n_features))
    head = 0
    for j in range(n_features):
        if _norm(coef, j) > 0.0:
            _swap(gram, xty, grad, coef, factors, order, head, j)
            head += 1
    _refresh(gram, pattern, xty, grad, coef, head, 0)
    previous = alphas[0]
    for k in range(len(alphas)):
        alpha = alphas[k]
        threshold = 2 * alpha - previous if alpha < previous else alpha
        head = _grow(gram, xty, grad, coef, factors, order, head, threshold)
        target = tol * yty / 2
        while True:
            left = max_iter - n_iter[k]
            n_iter[k] += _descend(gram, pattern, xty, yty, grad, coef, factors, head, alpha, target, left)
            _refresh(gram, pattern, xty, grad, coef, head, head)
            gaps[k] = _gap(xty, yty, grad, coef, factors, head, n_features, alpha)
            if gaps[k] <= target or n_iter[k] >= max_iter:
                break
            grown = _grow(gram, xty, grad, coef, factors, order, head, alpha)
            if grown == head:
                # Only rounding error separates the two gaps: nothing is left to gain.
                break
            head = grown
        for t in range(n_tasks):
            for i in range(head):
                out[k, t, order[i]] = coef[t, i]
        previous = alpha
    return out, gaps, n_iter


@njit(cache=True)
def _swap(gram, xty, grad, coef, factors, order, i, j):
    """Exchange features i and j everywhere."""
    if i == j:
        return
    order[i], order[j] = order[j], order[i]
    factors[i], factors[j] = factors[j], factors[i]
    for t in range(xty.shape[0]):
        xty[t, i], xty[t, j] = xty[t, j], xty[t, i]
        grad[t, i], grad[t, j] = grad[t, j], grad[t, i]
        coef[t, i], coef[t, j] = coef[t, j], coef[t, i]
    for g in range(gram.shape[0]):
        for k in range(gram.shape[1]):
            gram[g, i, k], gram[g, j, k] = gram[g, j, k], gram[g, i, k]
        for k in range(gram.shape[1]):
            gram[g, k, i], gram[g, k, j] = gram[g, k, j], gram[g, k, i]


@njit(cache=True)
def _grow(gram, xty, grad, coef, factors, order, head, threshold):
    """Take into the working set the tail features whose gradient exceeds the threshold; its new size."""
    for j in range(head, xty.shape[1]):
        if _norm(grad, j) > threshold * factors[j]:
            _swap(gram, xty, grad, coef, factors, order, head, j)
            head += 1
    return head


@njit(cache=True)
def _norm(table, j):
    total = 0.0
    for t in range(table.shape[0]):
        total += table[t, j] * table[t, j]
    return np.sqrt(total)


@njit(cache=True)
def _refresh(gram, pattern, xty, grad, coef, head, first):
    """grad[:, first:] = c − G b, where only the head of b is nonzero."""
    n_features = xty.shape[1]
    for t in range(xty.shape[0]):
        for k in range(first, n_features):
            grad[t, k] = xty[t, k]
        for i in range(head):
            b = coef[t, i]
            if b != 0.0:
                row = gram[pattern[t], i]
                for k in range(first, n_features):
                    grad[t, k] -= b * row[k]


@njit(cache=True)
def _descend(gram, pattern, xty, yty, grad, coef, factors, head, alpha, target, max_iter):
    """Sweep over the working set until its own duality gap meets the target; the number of sweeps."""
    n_tasks = xty.shape[0]
    block, slope, hess = np.empty(n_tasks), np.empty(n_tasks), np.empty(n_tasks)
    coefs, grads = np.empty((_MEMORY + 1, n_tasks, head)), np.empty((_MEMORY + 1, n_tasks, head))
    for sweep in range(max_iter):
        if sweep % _SWEEPS_PER_CHECK == 0 and (
            _gap(xty, yty, grad, coef, factors, head, head, alpha) <= target
        ):
            return sweep
        slot = sweep % (_MEMORY + 1)
        for t in range(n_tasks):
            for i in range(head):
                coefs[slot, t, i], grads[slot, t, i] = coef[t, i], grad[t, i]
        if slot == _MEMORY:
            _extrapolate(coefs, grads, xty, grad, coef, factors, head, alpha)
        if not _sweep(gram, pattern, grad, coef, factors, head, alpha, block, slope, hess):
            return sweep + 1
    return max_iter


@njit(cache=True)
def _sweep(gram, pattern, grad, coef, factors, head, alpha, block, slope, hess):
    """Minimise over each feature of the working set in turn; whether anything moved."""
    n_tasks = coef.shape[0]
    moved = False
    for j in range(head):
        for t in range(n_tasks):
            hess[t] = gram[pattern[t], j, j]
            slope[t] = grad[t, j] + hess[t] * coef[t, j]
        _minimise_block(slope, hess, alpha * factors[j], block)
        for t in range(n_tasks):
            step = block[t] - coef[t, j]
            if step != 0.0:
                moved = True
                coef[t, j] = block[t]
                row = gram[pattern[t], j]
                for k in range(head):
                    grad[t, k] -= step * row[k]
    return moved


@njit(cache=True)
def _extrapolate(coefs, grads, xty, grad, coef, factors, head, alpha):
    """Anderson acceleration (Bertrand & Massias 2021): the affine combination of past iterates whose combined
    step is smallest, taken when it lowers the objective. Gradients are affine in B, so they combine alike."""
    n_tasks = coef.shape[0]
    mix = _smallest_step(coefs)
    for a in range(_MEMORY):
        for t in range(n_tasks):
            for i in range(head):
                # Slot 0 belongs to no step's end, so it can hold the result.
                coefs[0, t, i] = mix[a] * coefs[a + 1, t, i] + (coefs[0, t, i] if a > 0 else 0.0)
                grads[0, t, i] = mix[a] * grads[a + 1, t, i] + (grads[0, t, i] if a > 0 else 0.0)
    new = _objective(xty, grads[0], coefs[0], factors, head, alpha)
    if new < _objective(xty, grad, coef, factors, head, alpha):
        for t in range(n_tasks):
            for i in range(head):
                coef[t, i], grad[t, i] = coefs[0, t, i], grads[0, t, i]


@njit(cache=True)
def _smallest_step(coefs):
    """Weights w, summing to one, of the steps d_a between iterates that minimise ‖Σ w_a d_a‖."""
    products = np.zeros((_MEMORY, _MEMORY))
    trace = 0.0
    for a in range(_MEMORY):
        for b in range(a + 1):
            for t in range(coefs.shape[1]):
                for i in range(coefs.shape[2]):
                    step = coefs[a + 1, t, i] - coefs[a, t, i]
                    products[a, b] += step * (coefs[b + 1, t, i] - coefs[b, t, i])
            products[b, a] = products[a, b]
        trace += products[a, a]
    weights = np.ones(_MEMORY)
    for a in range(_MEMORY):
        products[a, a] += 1e-10 * trace + 1e-300
    # Elimination without pivots is safe: the matrix is positive definite.
    for a in range(_MEMORY):
        for b in range(a + 1, _MEMORY):
            ratio = products[b, a] / products[a, a]
            weights[b] -= ratio * weights[a]
            for c in range(a, _MEMORY):
                products[b, c] -= ratio * products[a, c]
    total = 0.0
    for a in range(_MEMORY - 1, -1, -1):
        for c in range(a + 1, _MEMORY):
            weights[a] -= products[a, c] * weights[c]
        weights[a] /= products[a, a]
        total += weights[a]
    for a in range(_MEMORY):
        weights[a] /= total
    return weights


@njit(cache=True)
def _objective(xty, grad, coef, factors, head, alpha):
    """The objective less its constant ½ Σ y_tᵀy_t."""
    value = 0.0
    for t in range(coef.shape[0]):
        for i in range(head):
            value -= (xty[t, i] + grad[t, i]) * coef[t, i]
    value /= 2
    for i in range(head):
        value += alpha * factors[i] * _norm(coef, i)
    return value


@njit(cache=True)
def _minimise_block(slope, hess, threshold, block):
    """block = argmin Σ_t ½ h_t b_t² − s_t b_t + threshold ‖b‖₂, by way of its norm ν.

    b_t = s_t ν / (h_t ν + threshold), where ν solves 1/‖s/(hν + threshold)‖ = 1. The left side is concave and
    nearly linear in ν, so Newton from a lower bound climbs to the root without overshooting, in one step when
    all h_t agree.
    """
    size, largest = 0.0, 0.0
    for t in range(len(slope)):
        size += slope[t] * slope[t]
        largest = max(largest, hess[t])
    size = np.sqrt(size)
    if size <= threshold or largest == 0.0:
        block[:] = 0.0
        return
    norm = (size - threshold) / largest
    for _ in range(50):
        square, curve = 0.0, 0.0
        for t in range(len(slope)):
            ratio = slope[t] / (hess[t] * norm + threshold)
            square += ratio * ratio
            curve += ratio * ratio * hess[t] / (hess[t] * norm + threshold)
        length = np.sqrt(square)
        increment = (length - 1.0) * square / curve
        norm += increment
        if increment <= 1e-15 * norm:
            break
    for t in range(len(slope)):
        block[t] = slope[t] * norm / (hess[t] * norm + threshold)


@njit(cache=True)
def _gap(xty, yty, grad, coef, factors, head, last, alpha):
    """Duality gap; the dual point is the residual, scaled to be feasible over the features below `last`."""
    fit, rest, penalty, worst = 0.0, 0.0, 0.0, 0.0
    for t in range(xty.shape[0]):
        for i in range(head):
            fit += xty[t, i] * coef[t, i]
            rest += grad[t, i] * coef[t, i]
    for i in range(head):
        penalty += factors[i] * _norm(coef, i)
    for j in range(last):
        worst = max(worst, _norm(grad, j) / factors[j])
    residual = max(yty - fit - rest, 0.0)
    explained = yty - fit
    scale = alpha / worst if worst > 0.0 else 1.0
    if residual > 0.0:
        scale = min(max(explained / residual, -scale), scale)
    primal = residual / 2 + alpha * penalty
    return primal - scale * explained + scale * scale * residual / 2


def lasso_paths(
    gram: np.ndarray,
    pattern: np.ndarray,
    xty: np.ndarray,
    yty: np.ndarray,
    alphas: np.ndarray,
    *,
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
    tol, max_iter
        As in `group_path`, per task.

    Returns
    -------
    DescentPath
        With gap and n_iter (k, q) and null (q,).
    """
    n_tasks, n_features = xty.shape
    coef = np.zeros((len(alphas), n_tasks, n_features))
    only = np.zeros(1, dtype=np.int64)
    gap, n_iter = np.zeros(alphas.shape), np.zeros(alphas.shape, dtype=np.int64)
    for t in range(n_tasks):
        own = gram[pattern[t] : pattern[t] + 1]
        path = group_path(own, only, xty[t : t + 1], float(yty[t]), alphas[:, t], tol=tol, max_iter=max_iter)
        coef[:, t], gap[:, t], n_iter[:, t] = path.coef[:, 0], path.gap, path.n_iter
    return DescentPath(coef, gap, np.asarray(yty) / 2, n_iter)
