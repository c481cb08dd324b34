"""Block coordinate descent on Grams for rows with a weighted L1 and a weighted L2 penalty, either of them zero or more.

    min_B  Σ_t ½ (y_tᵀy_t − 2 c_tᵀ b_t + b_tᵀ G_t b_t)  +  Σ_j (u_j ‖B_j‖₁ + v_j ‖B_j‖₂),   all B or B ≥ 0

u = 0 is the weighted group lasso with unpenalised rows, both together the sparse group lasso (Simon et al. 2013). A row
is minimised exactly: the Hessian of one feature is diagonal over tasks, so what is left after the soft threshold of
its slope is a block of the group lasso. Sweeps keep to the rows in use, and look at all rows when those have settled.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from polytask.linear.moments import Moments
from polytask.linear.solvers.working_set import minimise_block


class RowDescent:
    """Descent on the Grams of scaled moments.

    Parameters
    ----------
    moments : Moments
    positive : bool
        Only coefficients of zero or more.
    """

    def __init__(self, moments: Moments, positive: bool) -> None:
        self.gram, self.pattern = np.ascontiguousarray(moments.gram), moments.pattern.astype(np.int64)
        self.positive = positive

    def run(
        self, coef: np.ndarray, slope: np.ndarray, entries: np.ndarray, rows: np.ndarray, target: float,
        max_sweeps: int,
    ) -> tuple[np.ndarray, int]:  # fmt: skip
        """Sweep until nothing moves by more than the target.

        Parameters
        ----------
        coef, slope : (q, p) array
            Where to start, and c_t − G_t b_t there.
        entries, rows : (p,) array
            u and v.
        target : float
            Largest norm of the steps of a sweep over all rows, times their curvatures: about that of the
            optimality residual.
        max_sweeps : int

        Returns
        -------
        coef : (q, p) array
        n_sweeps : int
        """
        coef, slope = np.array(coef, dtype=float, order="C"), np.array(slope, dtype=float, order="C")
        n_sweeps = _descend(
            self.gram, self.pattern, slope, coef, np.asarray(entries, dtype=float), np.asarray(rows, dtype=float),
            self.positive, target, max_sweeps,
        )  # fmt: skip
        return coef, n_sweeps


@njit(cache=True)
def _descend(gram, pattern, slope, coef, entries, rows, positive, target, max_sweeps):
    """Sweeps over all rows, with sweeps over the rows in use in between; updates slope and coef."""
    n_sweeps = 0
    while n_sweeps < max_sweeps:
        moved = _sweep(gram, pattern, slope, coef, entries, rows, positive)
        n_sweeps += 1
        if moved <= target:
            break
        n_sweeps += _descend_in_use(
            gram, pattern, slope, coef, entries, rows, positive, target, max_sweeps - n_sweeps
        )
    return n_sweeps


@njit(cache=True)
def _descend_in_use(gram, pattern, slope, coef, entries, rows, positive, target, max_sweeps):
    """The same over copies of the rows in use alone, whose Grams are small and contiguous; the number of sweeps."""
    n_tasks, n_features = coef.shape
    used = np.empty(n_features, np.int64)
    size = 0
    for j in range(n_features):
        for t in range(n_tasks):
            if coef[t, j] != 0.0:
                used[size] = j
                size += 1
                break
    part, own_entries, own_rows = np.empty((len(gram), size, size)), np.empty(size), np.empty(size)
    own_coef, own_slope = np.empty((n_tasks, size)), np.empty((n_tasks, size))
    for i in range(size):
        own_entries[i], own_rows[i] = entries[used[i]], rows[used[i]]
        for g in range(len(gram)):
            for k in range(size):
                part[g, i, k] = gram[g, used[i], used[k]]
        for t in range(n_tasks):
            own_coef[t, i], own_slope[t, i] = coef[t, used[i]], slope[t, used[i]]
    n_sweeps = 0
    while n_sweeps < max_sweeps:
        moved = _sweep(part, pattern, own_slope, own_coef, own_entries, own_rows, positive)
        n_sweeps += 1
        if moved <= target:
            break
    for i in range(size):
        for t in range(n_tasks):
            _move(gram[pattern[t], used[i]], slope[t], own_coef[t, i] - coef[t, used[i]])
            coef[t, used[i]] = own_coef[t, i]
    return n_sweeps


@njit(cache=True)
def _move(row, slope, step):
    """The slope of a task after one of its coefficients has moved."""
    if step != 0.0:
        for k in range(len(slope)):
            slope[k] -= step * row[k]


@njit(cache=True)
def _sweep(gram, pattern, slope, coef, entries, rows, positive):
    """Minimise over each row in turn; the norm of their steps times their curvatures."""
    n_tasks, n_features = coef.shape
    pull, hess, block = np.empty(n_tasks), np.empty(n_tasks), np.empty(n_tasks)
    total = 0.0
    for j in range(n_features):
        for t in range(n_tasks):
            hess[t] = gram[pattern[t], j, j]
            pull[t] = slope[t, j] + hess[t] * coef[t, j]
            size = max((pull[t] if positive else abs(pull[t])) - entries[j], 0.0)
            pull[t] = size if pull[t] > 0.0 else -size
        if rows[j] > 0.0:
            minimise_block(pull, hess, rows[j], block)
        else:
            for t in range(n_tasks):
                block[t] = pull[t] / hess[t] if hess[t] > 0.0 else 0.0
        for t in range(n_tasks):
            step = block[t] - coef[t, j]
            total += (hess[t] * step) ** 2
            coef[t, j] = block[t]
            _move(gram[pattern[t], j], slope[t], step)
    return np.sqrt(total)
