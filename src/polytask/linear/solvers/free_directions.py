"""Directions of the coefficients that a penalty leaves alone, and the best point along them.

Features of factor 0 are such directions, and so are vectors common to linked tasks where differences alone are
penalised. A dual point must have no slope along them: Newton's method gets there, in a few steps near the optimum, and
then the duality gap is true.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from polytask.linear.losses.base import Point, SmoothLoss
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.ridged import Ridged, RidgedPoint
from polytask.linear.losses.rows import RowLoss, RowPoint

#: Most directions whose second derivatives are worth a matrix.
_MOST = 2000
#: Newton steps at once, and halvings of a step.
_STEPS, _HALVINGS = 25, 30
#: Directions of less than this share of the largest curvature are rounding error.
_LOST = 1e-12
#: Share of the loss at zero that is rounding error.
_ROUNDING = 1e-15
#: Steps of the search with coefficients of zero or more, and its largest slope relative to that at zero.
_BOUNDED_STEPS, _BOUNDED_TOL = 1000, 1e-8


class FreeDirections:
    """Blocks of coefficients that may move together at no cost.

    Parameters
    ----------
    blocks : (q, p) int array
        The block of each coefficient, from 0, or −1 where it is penalised. A block has one feature.
    """

    def __init__(self, blocks: np.ndarray) -> None:
        self.blocks = blocks
        self.held = blocks >= 0
        self.n = int(blocks.max(initial=-1)) + 1
        self._counts = np.bincount(blocks[self.held], minlength=self.n)
        self._inverse: tuple[SmoothLoss, np.ndarray] | None = None

    def can_settle(self, loss: SmoothLoss) -> bool:
        """Whether Newton steps on this loss are known and affordable."""
        return self.n <= _MOST and _has_curvatures(loss)

    def sums(self, slope: np.ndarray) -> np.ndarray:
        """(n,) slope along each block."""
        return np.bincount(self.blocks[self.held], weights=slope[self.held], minlength=self.n)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(q, p) coefficients from a number per block."""
        return np.where(self.held, np.append(values, 0.0)[self.blocks], 0.0)

    def without(self, slope: np.ndarray) -> np.ndarray:
        """A slope (q, p) less its mean over every block."""
        return slope - self.spread(self.sums(slope) / self._counts)

    def settle(self, loss: SmoothLoss, point: Point, enough: float) -> tuple[Point, float]:
        """The best point along the blocks, up to `enough` of the loss, and what is left by the Newton decrement."""
        enough = max(enough, _ROUNDING * loss.null)
        worth = 0.0
        for _ in range(_STEPS):
            slope = self.sums(point.slope)
            step = self._inverse_at(loss, point) @ slope
            worth = float(slope @ step) / 2
            moved = self._search(loss, point, step, worth) if worth > enough else None
            if moved is None:
                break
            point = moved
        return point, max(worth, 0.0)

    def best(self, loss: SmoothLoss, positive: bool = False) -> Point:
        """The loss at the best coefficients along the blocks, all others zero."""
        null = loss.point(np.zeros(loss.shape))
        if self.n == 0:
            return null
        if self.can_settle(loss) and not positive:
            return self.settle(loss, null, 0.0)[0]
        return self._best_bounded(loss, null, positive)

    def _search(self, loss: SmoothLoss, point: Point, step: np.ndarray, worth: float) -> Point | None:
        """The first of the halved steps that lowers the loss as it should; None if there is none."""
        with np.errstate(over="ignore", invalid="ignore"):
            for share in 0.5 ** np.arange(_HALVINGS):
                moved = loss.point(point.coef + share * self.spread(step))
                if moved.value <= point.value - 1e-4 * share * worth:
                    return moved
        return None

    def _inverse_at(self, loss: SmoothLoss, point: Point) -> np.ndarray:
        """(n, n) pseudo-inverse of the second derivatives, which for squared loss from moments is made once."""
        if self._inverse is not None and self._inverse[0] is loss:
            return self._inverse[1]
        hessian = np.zeros((self.n, self.n))
        for t, held in enumerate(self.held):
            features, blocks = np.flatnonzero(held), self.blocks[t, held]
            if len(blocks):
                hessian[np.ix_(blocks, blocks)] += _curvatures(loss, point, t, features)
        inverse = _pseudo_inverse(hessian)
        if isinstance(loss, GramLoss):
            self._inverse = loss, inverse
        return inverse

    def _best_bounded(self, loss: SmoothLoss, null: Point, positive: bool) -> Point:
        # The steepest slope decides the unit of every block, as its curvature is not known.
        slope = self.sums(null.slope)
        unit = np.abs(slope).max(initial=0.0)
        if unit == 0 or loss.null <= 0:
            return null

        def value_and_gradient(values: np.ndarray) -> tuple[float, np.ndarray]:
            point = loss.point(self.spread(values))
            return point.value / loss.null, -self.sums(point.slope) / loss.null

        found = minimize(
            value_and_gradient, np.zeros(self.n), jac=True, method="L-BFGS-B",
            bounds=[(0.0 if positive else None, None)] * self.n,
            options={"maxiter": _BOUNDED_STEPS, "ftol": 0.0, "gtol": _BOUNDED_TOL * unit / loss.null, "maxcor": 30},
        )  # fmt: skip
        return loss.point(self.spread(found.x))


def _has_curvatures(loss: SmoothLoss) -> bool:
    return _has_curvatures(loss.loss) if isinstance(loss, Ridged) else isinstance(loss, (GramLoss, RowLoss))


def _curvatures(loss: SmoothLoss, point: Point, task: int, features: np.ndarray) -> np.ndarray:
    """Second derivatives of a task's loss in some features (u, u), its intercept profiled out."""
    if isinstance(loss, Ridged):
        assert isinstance(point, RidgedPoint)
        ridge = np.broadcast_to(loss.ridge, loss.shape)[task, features]
        return _curvatures(loss.loss, point.inner, task, features) + np.diag(ridge)
    if isinstance(loss, GramLoss):
        return loss.gram[loss.pattern[task]][np.ix_(features, features)]
    assert isinstance(loss, RowLoss)
    assert isinstance(point, RowPoint)
    for part, z in zip(loss.parts, point.predictors):
        column = np.flatnonzero(part.tasks == task)
        if len(column):
            X = part.X[:, features]
            X = (X if isinstance(X, np.ndarray) else X.toarray()) - loss.centre[features]
            weight = part.weights * loss.kind.variance(z[:, column[0]])
            weighted, total = weight[:, None] * X, weight.sum()
            profiled = (
                weighted.sum(axis=0) / np.sqrt(total) if loss.fit_intercept and total > 0 else 0.0 * X[0]
            )
            return X.T @ weighted - np.outer(profiled, profiled)
    return np.zeros((len(features), len(features)))


def _pseudo_inverse(hessian: np.ndarray) -> np.ndarray:
    """Of a positive semi-definite matrix, whatever the units of its rows."""
    scale = np.sqrt(hessian.diagonal())
    unit = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)
    values, vectors = np.linalg.eigh(hessian * np.outer(unit, unit))
    kept = values > _LOST * max(values.max(initial=0.0), np.finfo(float).tiny)
    root = unit[:, None] * vectors[:, kept] / np.sqrt(values[kept])
    return root @ root.T
