"""Block coordinate descent on the rows themselves, for more features than rows: no p × p Gram is ever formed.

    min_B  Σ_i ½ w_i ‖y_i − B x_i‖²  +  α Σ_j f_j ‖B_j‖₂  +  ½ρ Σ_j f_j ‖B_j‖₂²

The same problem, path and stopping rule as `gram_descent`. Only features that enter the working set get rows and
columns of a Gram, in blocks; all others are checked against the residuals, one matrix product per penalty. Where
the working set outgrows twice the number of rows, sweeps update residuals instead of gradients.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import linalg

from polytask.linear.solvers.gram_descent import DescentPath, checked_factors
from polytask.linear.solvers.working_set import (
    FAST,
    MEMORY,
    QUEUE,
    descend,
    extrapolate,
    gap,
    gap_of,
    minimise_block,
    step_along,
    subtract_rows,
)

#: Working sets up to this many times the rows are swept on their Gram.
_GRAM_UP_TO = 3


def residual_path(
    X: np.ndarray,
    Y: np.ndarray,
    alphas: np.ndarray,
    *,
    weights: np.ndarray | None = None,
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
    X : (n, p) array
        Centred if the model has an intercept.
    Y : (n, q) array
        Centred likewise; no label missing.
    alphas : (k,) array
        Positive; fastest when decreasing.
    weights : (n,) array or None
        Non-negative weights of the rows; None means ones.
    penalty_factors, start, positive, ridge, tol, max_iter
        As in `gram_descent.group_path`.

    Returns
    -------
    DescentPath
    """
    factors = checked_factors(penalty_factors, X.shape[1], positive)
    X, Y = np.asarray(X, dtype=float), np.asarray(Y, dtype=float)
    if weights is not None:
        root = np.sqrt(weights)[:, None]
        X, Y = X * root, Y * root
    if not factors.all():
        return _path_with_free_features(
            X, Y, alphas, factors, start, ridge=ridge, tol=tol, max_iter=max_iter
        )  # fmt: skip
    alphas, ridges = np.asarray(alphas, dtype=float), np.full(len(alphas), ridge, dtype=float)
    return _path(X, Y, alphas, ridges, factors, start, positive, tol, max_iter)


def _path_with_free_features(X, Y, alphas, factors, start, **settings):
    """Project the unpenalised features out of the rows, and regress on them what the others leave."""
    free, rest = np.flatnonzero(factors == 0), np.flatnonzero(factors)
    basis = linalg.orth(X[:, free])
    others = X[:, rest] - basis @ (basis.T @ X[:, rest])
    path = residual_path(
        others, Y - basis @ (basis.T @ Y), alphas, penalty_factors=factors[rest],
        start=None if start is None else np.asarray(start)[:, rest], **settings,
    )  # fmt: skip
    coef = np.empty((len(alphas), Y.shape[1], X.shape[1]))
    coef[:, :, rest] = path.coef
    onto = linalg.pinv(X[:, free])
    coef[:, :, free] = (onto @ Y).T - path.coef @ (onto @ X[:, rest]).T
    return path._replace(coef=coef)


class _WorkingSet:
    """Features in order of entry: their columns of X, coefficients and gradients, in arrays with room to spare.

    Attributes
    ----------
    size : int
        Features in use, the first of each array.
    features : (room,) int array
    columns : (room, n) array
    gram : (1, room, room) array
        Filled as long as `size` ≤ `_GRAM_UP_TO` n.
    coef, grad, last_coef, last_grad, xty : (q, room) arrays
        The last two solutions and their gradients.
    factors, squares : (room,) arrays
        Penalty factors and ‖X_j‖².
    """

    def __init__(self, X: np.ndarray, xty: np.ndarray, factors: np.ndarray) -> None:
        self.X, self.all_xty, self.all_factors = X, xty, factors
        self.size = 0
        self.features = np.empty(0, dtype=np.int64)
        self.columns, self.gram = np.empty((0, len(X))), np.empty((1, 0, 0))
        self.coef, self.grad, self.last_coef, self.last_grad, self.xty = np.zeros((5, len(xty), 0))
        self.factors, self.squares = np.empty((2, 0))

    @property
    def has_gram(self) -> bool:
        return self.size <= _GRAM_UP_TO * len(self.X)

    def enter(self, new: np.ndarray, slopes: np.ndarray, last_slopes: np.ndarray) -> None:
        """Append features (m,) whose gradients are in slopes and last_slopes (q, p)."""
        first, last = self.size, self.size + len(new)
        if last > len(self.features):
            self._make_room(min(2 * last, self.X.shape[1]))
        part = slice(first, last)
        self.size = last
        self.features[part], self.factors[part] = new, self.all_factors[new]
        self.columns[part] = self.X[:, new].T
        self.squares[part] = np.einsum("ij,ij->i", self.columns[part], self.columns[part])
        self.xty[:, part], self.grad[:, part] = self.all_xty[:, new], slopes[:, new]
        self.last_grad[:, part] = last_slopes[:, new]
        if self.has_gram:
            products = self.columns[part] @ self.columns[:last].T
            self.gram[0, part, :last], self.gram[0, :last, part] = products, products.T

    def _make_room(self, room: int) -> None:
        used = self.size
        for name in ("features", "columns", "factors", "squares"):
            old = getattr(self, name)
            grown = np.zeros((room, *old.shape[1:]), dtype=old.dtype)
            grown[:used] = old[:used]
            setattr(self, name, grown)
        for name in ("coef", "grad", "last_coef", "last_grad", "xty"):
            grown = np.zeros((len(self.all_xty), room))
            grown[:, :used] = getattr(self, name)[:, :used]
            setattr(self, name, grown)
        room = min(room, _GRAM_UP_TO * len(self.X))
        if room > self.gram.shape[1]:
            gram = np.empty((1, room, room))
            used = min(used, room)
            gram[:, :used, :used] = self.gram[:, :used, :used]
            self.gram = gram


def _path(X, Y, alphas, ridges, factors, start, positive, tol, max_iter):
    """The path when every feature is penalised."""
    targets = np.ascontiguousarray(Y.T)
    xty, yty = targets @ X, float(np.sum(targets**2))
    active = _WorkingSet(X, xty, factors)
    slopes, last_slopes = xty, np.zeros_like(xty)
    if start is not None and np.any(start):
        start = np.maximum(start, 0.0) if positive else np.asarray(start, dtype=float)
        active.enter(np.flatnonzero(start.any(axis=0)), xty, last_slopes)
        active.coef[:, : active.size] = start[:, active.features[: active.size]]
        slopes = _residual(targets, active) @ X
        active.grad[:, : active.size] = slopes[:, active.features[: active.size]]
    coef = np.zeros((len(alphas), *xty.shape))
    gaps, n_iter = np.zeros(len(alphas)), np.zeros(len(alphas), dtype=np.int64)
    target = tol * yty / 2
    for k, (alpha, ridge) in enumerate(zip(alphas, ridges)):
        drop = alphas[k - 1] - alpha if k > 0 else 0.0
        active.enter(_violators(active, slopes, alpha - max(drop, 0.0), positive), slopes, last_slopes)
        share = drop / (alphas[k - 2] - alphas[k - 1]) if k > 1 and alphas[k - 2] > alphas[k - 1] else 0.0
        step_along(
            active.xty, active.grad, active.coef, active.last_grad, active.last_coef, active.factors,
            active.size, alpha, ridge, positive, share,
        )  # fmt: skip
        last_slopes, before = slopes, np.inf
        while True:
            sweep = _descend_on_gram if active.has_gram else _descend_on_residuals
            n_iter[k] += sweep(targets, yty, active, alpha, ridge, positive, target, max_iter - n_iter[k])
            residual = _residual(targets, active)
            slopes = residual @ X
            active.grad[:, : active.size] = slopes[:, active.features[: active.size]]
            gaps[k] = _gap(targets, residual, slopes, active, alpha, ridge, positive)
            if gaps[k] <= target or n_iter[k] >= max_iter:
                break
            new = _violators(active, slopes, alpha, positive)
            if not len(new) and gaps[k] > before / 2:
                # Only rounding error separates the two gaps: nothing is left to gain.
                break
            active.enter(new, slopes, last_slopes)
            before = gaps[k]
        coef[k][:, active.features[: active.size]] = active.coef[:, : active.size]
    return DescentPath(coef, gaps, yty / 2, n_iter)


def _residual(targets: np.ndarray, active: _WorkingSet) -> np.ndarray:
    """(q, n) residuals."""
    return targets - active.coef[:, : active.size] @ active.columns[: active.size]


def _violators(active: _WorkingSet, slopes: np.ndarray, threshold: float, positive: bool) -> np.ndarray:
    """Features outside the working set whose gradient exceeds the threshold."""
    upward = np.maximum(slopes, 0.0) if positive else slopes
    exceeds = np.linalg.norm(upward, axis=0) > max(threshold, 0.0) * active.all_factors
    exceeds[active.features[: active.size]] = False
    return np.flatnonzero(exceeds)


def _gap(targets, residual, slopes, active, alpha, ridge, positive):
    """Duality gap over all features, from residuals (q, n) and slopes (q, p); as `working_set.gap`."""
    used, coef = active.features[: active.size], active.coef[:, : active.size]
    factors = active.factors[: active.size]
    if ridge > 0 or positive:
        slopes = slopes.copy()
        slopes[:, used] -= ridge * factors * coef
        slopes = np.maximum(slopes, 0.0) if positive else slopes
    worst = np.max(np.linalg.norm(slopes, axis=0) / active.all_factors, initial=0.0)
    squared = np.sum(coef**2, axis=0)
    return gap_of(
        float(np.sum(residual**2) + ridge * (factors @ squared)), float(np.sum(targets * residual)),
        float(factors @ np.sqrt(squared)), float(worst), alpha, positive,
    )  # fmt: skip


def _descend_on_gram(targets, yty, active, alpha, ridge, positive, target, max_iter):
    """Sweep until the gap on the working set meets the target; the number of sweeps."""
    sweeps, _ = descend(
        active.gram, np.zeros(len(targets), dtype=np.int64), active.xty, yty, active.grad, active.coef,
        active.factors, active.size, alpha, ridge, positive, target, max_iter,
    )  # fmt: skip
    return sweeps


def _descend_on_residuals(targets, yty, active, alpha, ridge, positive, target, max_iter):
    """The same, updating residuals: a sweep costs q n per feature however many features there are."""
    size = active.size
    columns, coef, grad = active.columns[:size], active.coef, active.grad
    blocks, residual = _block_grams(columns), _residual(targets, active)
    coefs, grads = np.empty((2, MEMORY + 1, len(targets), size))
    point = (active.factors, size, alpha, ridge, positive)
    for sweep in range(max_iter):
        grad[:, :size] = residual @ columns.T
        if gap(active.xty, yty, grad, coef, active.factors, size, size, alpha, ridge, positive) <= target:
            return sweep
        slot = sweep % (MEMORY + 1)
        coefs[slot], grads[slot] = coef[:, :size], grad[:, :size]
        if slot == MEMORY and extrapolate(coefs, grads, active.xty, grad, coef, *point):
            residual = _residual(targets, active)
        if not _sweep_rows(columns[None], blocks, residual, coef, *point):
            return sweep + 1
    return max_iter


def _block_grams(columns: np.ndarray) -> np.ndarray:
    """Products of the features of each block of QUEUE, (blocks, QUEUE, QUEUE), zero beyond the last feature."""
    n_blocks = -(-len(columns) // QUEUE)
    grams = np.zeros((n_blocks, QUEUE, QUEUE))
    for index in range(n_blocks):
        block = columns[index * QUEUE : (index + 1) * QUEUE]
        grams[index, : len(block), : len(block)] = block @ block.T
    return grams


@njit(cache=True, fastmath=FAST)
def _sweep_rows(rows, blocks, residual, coef, factors, head, alpha, ridge, positive):
    """Minimise over each feature of the working set in turn, a block at a time; whether anything moved.

    rows (1, head, n) are the features' columns of X. The residuals are read once and written once per block;
    inside, its Gram brings the slopes up to date.
    """
    n_tasks, n_rows = residual.shape
    block, slope, hess = np.empty(n_tasks), np.empty(n_tasks), np.empty(n_tasks)
    steps, slopes = np.empty((n_tasks, QUEUE)), np.empty((n_tasks, QUEUE))
    queue, pattern, columns = np.empty(QUEUE, np.int64), np.zeros(n_tasks, np.int64), rows[0]
    moved = False
    for index in range(blocks.shape[0]):
        first, gram = index * QUEUE, blocks[index]
        size = min(QUEUE, head - first)
        for t in range(n_tasks):
            row = residual[t]
            for m in range(QUEUE):
                steps[t, m] = 0.0
            for m in range(size):
                column, product = columns[first + m], 0.0
                for i in range(n_rows):
                    product += column[i] * row[i]
                slopes[t, m] = product
        for m in range(size):
            j = first + m
            for t in range(n_tasks):
                late = 0.0
                for earlier in range(m):
                    late += steps[t, earlier] * gram[m, earlier]
                hess[t] = gram[m, m] + ridge * factors[j]
                slope[t] = slopes[t, m] - late + gram[m, m] * coef[t, j]
                if positive:
                    slope[t] = max(slope[t], 0.0)
            minimise_block(slope, hess, alpha * factors[j], block)
            for t in range(n_tasks):
                steps[t, m] = block[t] - coef[t, j]
                moved |= steps[t, m] != 0.0
                coef[t, j] = block[t]
        for m in range(QUEUE):
            # The steps of what is not there are zero.
            queue[m] = min(first + m, head - 1)
        subtract_rows(rows, pattern, residual, 0, n_rows, queue, steps)
    return moved
