"""Trace-norm least squares on moments: a proximal step, then exact steps from both sides of the factorisation.

    min_B  ½ Σ_t (y_tᵀy_t − 2 xty_tᵀ b_t + b_tᵀ G_t b_t) + α ‖B‖_*

The trace norm is a quadratic form at its best covariance of features or of tasks (Argyriou, Evgeniou & Pontil 2008),

    ‖B‖_* = min_D ½ tr(B D⁻¹ Bᵀ) + ½ tr D  at  D = (BᵀB)^{1/2},  and the same for tasks with (BBᵀ)^{1/2},

and given D the tasks are ridge regressions of as many unknowns as B has rank. Such alternations never leave the range
of D and directions that vanish die out slowly, so every round begins with a proximal step (Ji & Ye 2009), which opens
directions, sets vanishing ones to exactly zero and would converge by itself, if slowly where the Grams differ in size.
It is the scheme of `mtrl`, whose penalty is the square of the trace norm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from polytask.linear.penalties.trace_norm import spectral_norm
from polytask.linear.solvers.debugging import assert_descent, debugging
from polytask.linear.solvers.mtrl import RotatedGrams, given_features, given_tasks

#: Singular values below this share of the largest are rounding error.
_LOST = 1e-12


class TraceNormPath(NamedTuple):
    """Solutions at k penalties: coef (k, q, p), gap (k,) duality gaps, null (the loss at zero), n_iter (k,) rounds."""

    coef: np.ndarray
    gap: np.ndarray
    null: float
    n_iter: np.ndarray


def trace_norm_path(
    gram: np.ndarray,
    pattern: np.ndarray,
    xty: np.ndarray,
    yty: float,
    alphas: np.ndarray,
    *,
    start: np.ndarray | None = None,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> TraceNormPath:
    """Coefficients for each penalty, each solution starting the next.

    Parameters
    ----------
    gram : (P, p, p) array
    pattern : (q,) int array
        The Gram of each task.
    xty : (q, p) array
    yty : float
        Σ_t y_tᵀ y_t.
    alphas : (k,) array
        Positive; fastest from strong to weak.
    start : (q, p) array or None
    tol : float
        Stop when the duality gap is at most tol times the loss at zero.
    max_iter : int
        Most rounds per penalty.
    """
    problem = _Problem(RotatedGrams.of(gram, pattern), xty, yty)
    current = problem.zero() if start is None else start @ problem.grams.basis
    coef, gap = np.empty((len(alphas), *xty.shape)), np.empty(len(alphas))
    n_iter = np.empty(len(alphas), dtype=np.int64)
    for k, alpha in enumerate(alphas):
        current, gap[k], n_iter[k] = _rounds(problem, float(alpha), current, tol * yty / 2, max_iter)
        coef[k] = current @ problem.grams.basis.T
    return TraceNormPath(coef, gap, yty / 2, n_iter)


class _Problem:
    """The loss in the eigenvectors of the mean Gram that are not null: no coefficients lie outside."""

    def __init__(self, grams: RotatedGrams, xty: np.ndarray, yty: float) -> None:
        self.grams, self.xty, self.yty = grams, xty @ grams.basis, yty

    def zero(self) -> np.ndarray:
        return np.zeros_like(self.xty)

    def slope(self, coef: np.ndarray) -> np.ndarray:
        return self.xty - self.grams.times(coef)

    def objective(self, coef: np.ndarray, slope: np.ndarray, alpha: float) -> float:
        loss = self.yty / 2 - float(np.vdot(coef, self.xty + slope)) / 2
        return loss + alpha * float(np.linalg.svd(coef, compute_uv=False).sum())

    def gap(self, coef: np.ndarray, slope: np.ndarray, alpha: float) -> float:
        """With the residual r as dual point, scaled until its slope is feasible: ‖Xᵀr‖₂ ≤ α."""
        explained = self.yty - float(np.vdot(coef, self.xty))
        residual = max(explained - float(np.vdot(coef, slope)), 0.0)
        size = spectral_norm(slope)
        scale = alpha / size if size > alpha else 1.0
        if residual > 0:
            scale = min(max(explained / residual, 0.0), alpha / size if size > 0 else np.inf)
        dual = scale * explained - scale**2 * residual / 2
        return max(self.objective(coef, slope, alpha) - dual, 0.0)


def _rounds(
    problem: _Problem, alpha: float, coef: np.ndarray, target: float, max_iter: int
) -> tuple[np.ndarray, float, int]:
    """Coefficients in the basis, their duality gap and the number of rounds."""
    grams = problem.grams
    curvature = grams.largest if grams.largest > 0 else 1.0
    slope, stretch, n_iter = problem.slope(coef), 1.0, 0
    for n_iter in range(1, max_iter + 1):
        left, values, right = np.linalg.svd(coef + slope / curvature, full_matrices=False)
        kept = values > alpha / curvature
        left, values, right = left[:, kept], values[kept] - alpha / curvature, right[kept]
        shrunk = (left * values) @ right
        slope = problem.slope(shrunk)
        gap = problem.gap(shrunk, slope, alpha)
        if gap <= target or n_iter == max_iter:
            break
        freed = given_features(grams, problem.xty, right, values / alpha)
        slope = problem.slope(freed)
        left, values, _ = np.linalg.svd(freed, full_matrices=False)
        kept = values > _LOST * values.max(initial=0.0)
        joint = given_tasks(grams, freed, slope, left[:, kept], values[kept] / alpha)
        if debugging():
            steps = [coef, shrunk, freed, joint]
            values_of = [problem.objective(step, problem.slope(step), alpha) for step in steps]
            for i in range(1, len(steps)):
                assert_descent(values_of[: i + 1], "trace norm")
        coef, slope, stretch = _stretched(problem, alpha, coef, joint, stretch)
    return shrunk, gap, n_iter


def _stretched(
    problem: _Problem, alpha: float, before: np.ndarray, after: np.ndarray, stretch: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Go on in the direction of a round if that pays: coefficients, their slope and the next factor to try."""
    beyond = after + stretch * (after - before)
    slope, further = problem.slope(after), problem.slope(beyond)
    if problem.objective(beyond, further, alpha) < problem.objective(after, slope, alpha):
        return beyond, further, 2 * stretch
    return after, slope, max(stretch / 4, 0.5)
