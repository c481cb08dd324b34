"""The smooth part of an objective, as a function of the coefficients alone: intercepts are profiled out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import NamedTuple

import numpy as np


class Evaluation(NamedTuple):
    """A loss at some coefficients: its value, and its slope −∇f (q, p)."""

    value: float
    slope: np.ndarray


class Point:
    """A loss at coefficients (q, p); its value and slope are computed when they are asked for, and once."""

    def __init__(self, loss: SmoothLoss, coef: np.ndarray) -> None:
        self.loss, self.coef = loss, coef

    @cached_property
    def _evaluation(self) -> Evaluation:
        return self.loss.at(self.coef)

    @property
    def value(self) -> float:
        return self._evaluation.value

    @property
    def slope(self) -> np.ndarray:
        """(q, p) −∇f."""
        return self._evaluation.slope


class SmoothLoss(ABC):
    """Σ_t Σ_i w_i ℓ(y_it, x_i·b_t + b0_t) minimised over the intercepts b0, convex and smooth in B.

    ℓ is ½(y − z)² for squared loss, log(1 + e^z) − yz for logistic and e^z − yz for Poisson loss.

    Attributes
    ----------
    shape : (q, p)
        Of the coefficients.
    null : float
        The value at zero coefficients, less the value of a perfect fit: what gaps are measured against.
    curvature : float
        An upper bound, or a first guess of one, on the largest eigenvalue of the Hessian.
    """

    shape: tuple[int, int]
    null: float
    curvature: float

    @abstractmethod
    def at(self, coef: np.ndarray) -> Evaluation:
        """Value and slope at coefficients (q, p)."""

    @abstractmethod
    def dual(self, coef: np.ndarray, scale: float) -> float:
        """The value of the Fenchel dual at the residuals of `coef` (q, p) times ``scale`` in [0, 1].

        With θ = scale · (y − μ) it is −Σ w ℓ*(y, −θ), a lower bound of the penalised objective wherever the
        scaled slope is feasible for the penalty.
        """

    def point(self, coef: np.ndarray) -> Point:
        """The loss at coefficients (q, p), evaluated lazily."""
        return Point(self, coef)

    def beyond(self, last: Point, here: Point, stride: float) -> Point:
        """The point here + stride · (here − last); losses of linear predictors get it without a product."""
        return self.point(here.coef + stride * (here.coef - last.coef))

    def bend(self, start: Point, end: Point) -> float:
        """⟨∇f(end) − ∇f(start), end − start⟩: how much the slope changes along a move."""
        return float(np.vdot(start.slope - end.slope, end.coef - start.coef))

    def best_scale(self, coef: np.ndarray, limit: float) -> float:
        """The scale in [0, limit] that `dual` should be taken at; the largest, unless a better one is known."""
        return limit

    def intercept(self, coef: np.ndarray) -> np.ndarray | None:
        """(q,) the best intercepts for these coefficients; None where centred data have profiled them out."""
        return None
