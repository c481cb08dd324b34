"""A loss with a smooth penalty added to it, for solvers that know losses alone."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from polytask.linear.losses.base import Evaluation, Point, SmoothLoss


class Penalised(SmoothLoss):
    """f(B) + R(B) with R smooth, R(0) = 0 its least value.

    Parameters
    ----------
    loss : SmoothLoss
    curvature : float
        A bound on the largest eigenvalue of R's Hessian.
    """

    def __init__(self, loss: SmoothLoss, curvature: float) -> None:
        self.loss = loss
        self.shape, self.null, self.curvature = loss.shape, loss.null, loss.curvature + curvature

    @abstractmethod
    def penalty(self, coef: np.ndarray) -> tuple[float, np.ndarray]:
        """R(B) and its gradient (q, p)."""

    def at(self, coef: np.ndarray) -> Evaluation:
        point = self.point(coef)
        return Evaluation(point.value, point.slope)

    def point(self, coef: np.ndarray) -> PenalisedPoint:
        return PenalisedPoint(self, self.loss.point(coef))

    def beyond(self, last: Point, here: Point, stride: float) -> PenalisedPoint:
        assert isinstance(last, PenalisedPoint)
        assert isinstance(here, PenalisedPoint)
        return PenalisedPoint(self, self.loss.beyond(last.inner, here.inner, stride))

    def bend(self, start: Point, end: Point) -> float:
        assert isinstance(start, PenalisedPoint)
        assert isinstance(end, PenalisedPoint)
        added = float(np.vdot(end.gradient - start.gradient, end.coef - start.coef))
        return self.loss.bend(start.inner, end.inner) + added

    def best_scale(self, coef: np.ndarray, limit: float) -> float:
        return min(limit, 1.0)

    def intercept(self, coef: np.ndarray) -> np.ndarray | None:
        return self.loss.intercept(coef)


class PenalisedPoint(Point):
    """A `Penalised` loss at a point of the loss inside; `gradient` (q, p) is that of the penalty."""

    def __init__(self, loss: Penalised, inner: Point) -> None:
        self.loss, self.inner, self.coef = loss, inner, inner.coef
        self._added, self.gradient = loss.penalty(inner.coef)

    @property
    def value(self) -> float:
        return self.inner.value + self._added

    @property
    def slope(self) -> np.ndarray:
        return self.inner.slope - self.gradient
