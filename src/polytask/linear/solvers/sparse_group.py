"""The sparse group lasso on Grams: coordinate descent, finished by proximal gradient steps where it is slow."""

from __future__ import annotations

import numpy as np

from polytask.linear.losses.gram import GramLoss
from polytask.linear.moments import Moments
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import NonNegative, Penalty
from polytask.linear.penalties.sparse_group import SparseGroup
from polytask.linear.solvers.proximal import proximal_path
from polytask.linear.solvers.row_descent import RowDescent

#: Largest number of sweeps per attempt, and how much more exact each attempt is.
_SWEEPS, _FINER = 500, 0.03
#: Attempts before gradient steps take over.
_ATTEMPTS = 4


def sparse_group_path(
    moments: Moments,
    grid: np.ndarray,
    unit: float = 1.0,
    *,
    factors: np.ndarray,
    positive: bool = False,
    start: np.ndarray | None = None,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> Solution:
    """Solve for each grid point in turn, each solution starting the next.

    Parameters
    ----------
    moments : Moments
        Scaled, and about zero where there is no intercept.
    grid : (k, 2) array
        α and r of `SparseGroup`.
    unit : float
        What losses are divided by, and so what α is multiplied with and gaps are divided by.
    factors : (p,) array
    positive, start, tol, max_iter
        As in `proximal_path`.
    """
    loss, descent = GramLoss(moments), RowDescent(moments, positive)
    coef = np.zeros(loss.shape) if start is None else np.maximum(start, 0.0) if positive else start
    points = []
    for alpha, ratio in grid:
        point = _Point(loss, descent, SparseGroup(float(alpha) * unit, float(ratio), factors), tol, max_iter)
        coef = point.solve(coef)
        points.append((coef, point.gap, point.null, point.n_iter))
    coefs, gaps, nulls, n_iter = zip(*points)
    return Solution(
        np.stack(coefs), np.array(gaps) / unit, np.array(nulls) / unit, np.array(n_iter),
        measure="duality gap" if np.all(factors > 0) else "optimality residual",
    )  # fmt: skip


class _Point:
    """The attempts at one grid point."""

    def __init__(
        self, loss: GramLoss, descent: RowDescent, penalty: SparseGroup, tol: float, max_iter: int
    ) -> None:
        self.loss, self.descent, self.penalty = loss, descent, penalty
        self.constrained: Penalty = NonNegative(penalty) if descent.positive else penalty
        self.tol, self.max_iter, self.n_iter = tol, max_iter, 0
        self.gap = self.null = np.inf

    def solve(self, coef: np.ndarray) -> np.ndarray:
        """Sweeps, ever more exact, until the gap is small; then gradient steps."""
        target = self.tol * float(np.linalg.norm(self.loss.xty))
        for _ in range(_ATTEMPTS):
            coef = self._sweep(coef, target)
            # Without steps this measures the gap.
            self._step(coef, 0)
            if self.gap <= self.tol * self.null or self.n_iter >= self.max_iter:
                return coef
            target *= _FINER
        return self._step(coef, self.max_iter - self.n_iter)

    def _sweep(self, coef: np.ndarray, target: float) -> np.ndarray:
        threshold, ratio = self.penalty.threshold, self.penalty.l1_ratio
        coef, n_sweeps = self.descent.run(
            coef, self.loss.at(coef).slope, ratio * threshold, (1 - ratio) * threshold, target,
            min(_SWEEPS, self.max_iter - self.n_iter),
        )  # fmt: skip
        self.n_iter += n_sweeps
        return coef

    def _step(self, coef: np.ndarray, max_iter: int) -> np.ndarray:
        path = proximal_path(
            self.loss, lambda _: [self.constrained], np.zeros(1), start=coef, tol=self.tol, max_iter=max_iter
        )
        self.gap, self.null = float(path.gap[0]), float(path.null[0])
        self.n_iter += int(path.n_iter[0])
        return path.components[0, 0]
