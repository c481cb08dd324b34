"""A loss plus a ridge penalty, as the smooth part of elastic nets."""

from __future__ import annotations

import numpy as np

from polytask.linear.losses.base import Evaluation, Point, SmoothLoss


class Ridged(SmoothLoss):
    """f(B) + ½ Σ_tj ρ_tj b_tj².

    The ridge counts as rows of data, √ρ_tj for feature j of task t with squared loss and target 0, so that duality
    gaps stay true (Zou & Hastie 2005).

    Parameters
    ----------
    loss : SmoothLoss
        f.
    ridge : float, (p,) or (q, p) array
        ρ ≥ 0.
    """

    def __init__(self, loss: SmoothLoss, ridge: float | np.ndarray) -> None:
        self.loss, self.ridge = loss, np.asarray(ridge, dtype=float)
        self.shape, self.null = loss.shape, loss.null
        self.curvature = loss.curvature + float(self.ridge.max(initial=0.0))

    def at(self, coef: np.ndarray) -> Evaluation:
        value, slope = self.loss.at(coef)
        pull = self.ridge * coef
        return Evaluation(value + float(np.vdot(coef, pull)) / 2, slope - pull)

    def point(self, coef: np.ndarray) -> RidgedPoint:
        return RidgedPoint(self, self.loss.point(coef))

    def beyond(self, last: Point, here: Point, stride: float) -> RidgedPoint:
        assert isinstance(last, RidgedPoint)
        assert isinstance(here, RidgedPoint)
        return RidgedPoint(self, self.loss.beyond(last.inner, here.inner, stride))

    def bend(self, start: Point, end: Point) -> float:
        assert isinstance(start, RidgedPoint)
        assert isinstance(end, RidgedPoint)
        move = end.coef - start.coef
        return self.loss.bend(start.inner, end.inner) + float(np.vdot(move, self.ridge * move))

    def dual(self, coef: np.ndarray, scale: float) -> float:
        # The residuals of the added rows are −√ρ b; ℓ*(0, u) = u²/2.
        return self.loss.dual(coef, scale) - scale * scale * float(np.vdot(coef, self.ridge * coef)) / 2

    def best_scale(self, coef: np.ndarray, limit: float) -> float:
        return min(limit, 1.0)

    def intercept(self, coef: np.ndarray) -> np.ndarray | None:
        return self.loss.intercept(coef)


class RidgedPoint(Point):
    """A `Ridged` loss at a point of the loss inside."""

    def __init__(self, loss: Ridged, inner: Point) -> None:
        self.loss, self.inner, self.coef = loss, inner, inner.coef
        self._pull = loss.ridge * inner.coef

    @property
    def value(self) -> float:
        return self.inner.value + float(np.vdot(self.coef, self._pull)) / 2

    @property
    def slope(self) -> np.ndarray:
        return self.inner.slope - self._pull
