"""Squared loss from moments: p² numbers per pattern stand for all rows."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse.linalg import eigsh

from polytask.linear.losses.base import Evaluation, Point, SmoothLoss
from polytask.linear.moments import Moments


class GramLoss(SmoothLoss):
    """½ Σ_t (y_tᵀy_t − 2 c_tᵀ b_t + b_tᵀ G_t b_t), intercepts gone with the centring of the moments.

    Parameters
    ----------
    moments : Moments
        Scaled, and about zero where there is no intercept.
    """

    def __init__(self, moments: Moments) -> None:
        self.gram, self.pattern = moments.gram, moments.pattern
        self.xty, self.yty = moments.xty, float(moments.yty.sum())
        self.shape = (moments.n_tasks, moments.n_features)
        tasks = [np.flatnonzero(self.pattern == index) for index in range(len(self.gram))]
        self._several = [(members, gram) for members, gram in zip(tasks, self.gram) if len(members) > 1]
        # Patterns of one task are multiplied in one batch.
        self._alone = np.array([members[0] for members in tasks if len(members) == 1], dtype=np.int64)
        in_order = np.array_equal(self.pattern, np.arange(len(self.gram)))
        self._grams_alone = self.gram if in_order else self.gram[self.pattern[self._alone]]
        self.null = self.yty / 2
        self.curvature = max((_largest_eigenvalue(gram) for gram in self.gram), default=0.0)

    def at(self, coef: np.ndarray) -> Evaluation:
        point = self.point(coef)
        return Evaluation(point.value, point.slope)

    def point(self, coef: np.ndarray) -> GramPoint:
        return GramPoint(self, coef, self._times_gram(coef))

    def beyond(self, last: Point, here: Point, stride: float) -> Point:
        assert isinstance(last, GramPoint)
        assert isinstance(here, GramPoint)
        coef = here.coef + stride * (here.coef - last.coef)
        return GramPoint(self, coef, here.product + stride * (here.product - last.product))

    def dual(self, coef: np.ndarray, scale: float) -> float:
        explained, residual = self._dual_terms(coef)
        return scale * explained - scale * scale * residual / 2

    def best_scale(self, coef: np.ndarray, limit: float) -> float:
        explained, residual = self._dual_terms(coef)
        return min(max(explained / residual, 0.0), limit) if residual > 0 else limit

    def _dual_terms(self, coef: np.ndarray) -> tuple[float, float]:
        """yᵀr and rᵀr of the residual r."""
        slope = self.xty - self._times_gram(coef)
        explained = self.yty - float(np.vdot(coef, self.xty))
        return explained, max(explained - float(np.vdot(coef, slope)), 0.0)

    def _times_gram(self, coef: np.ndarray) -> np.ndarray:
        if len(self.gram) == 1:
            return coef @ self.gram[0]
        out = np.empty_like(coef)
        if len(self._alone):
            # A Gram is symmetric, and a row times it is the faster product.
            out[self._alone] = np.matmul(coef[self._alone, None, :], self._grams_alone)[:, 0]
        for tasks, gram in self._several:
            out[tasks] = coef[tasks] @ gram
        return out


class GramPoint(Point):
    """A `GramLoss` at coefficients B, with B G; both are linear in B."""

    def __init__(self, loss: GramLoss, coef: np.ndarray, product: np.ndarray) -> None:
        self.loss, self.coef, self.product = loss, coef, product
        self._xty, self._yty = loss.xty, loss.yty

    @property
    def value(self) -> float:
        return self._yty / 2 - float(np.vdot(self.coef, self._xty - self.product / 2))

    @cached_property
    def slope(self) -> np.ndarray:  # type: ignore[override]
        return self._xty - self.product


def _largest_eigenvalue(gram: np.ndarray) -> float:
    """By the Lanczos method where the matrix is large."""
    if len(gram) <= 100 or not gram.any():
        return float(np.linalg.eigvalsh(gram)[-1]) if len(gram) else 0.0
    # A fixed start makes fits repeat exactly.
    start = np.random.default_rng(0).normal(size=len(gram))
    return 1.01 * float(eigsh(gram, k=1, v0=start, tol=1e-2, return_eigenvectors=False)[0])
