"""Losses of one label and one linear predictor z, with what solvers need of them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.special import expit, xlogy

#: Newton steps on an intercept, from the last one found.
_NEWTON_STEPS = 100

#: How close to the border of its range a mean may come before its predictor is cut.
_BORDER = 1e-12


class Kind(ABC):
    """ℓ(y, z), convex in z; all methods work elementwise.

    `curvature` bounds ℓ'' where it is bounded; None otherwise. `range` holds the limits of μ.
    """

    curvature: float | None = None
    range: tuple[float, float] = (-np.inf, np.inf)

    @abstractmethod
    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """ℓ(y, z)."""

    @abstractmethod
    def mean(self, z: np.ndarray) -> np.ndarray:
        """μ, the expected label; ∂ℓ/∂z = μ − y."""

    @abstractmethod
    def variance(self, z: np.ndarray) -> np.ndarray:
        """∂²ℓ/∂z²."""

    @abstractmethod
    def link(self, mean: np.ndarray) -> np.ndarray:
        """The predictor z of a mean, which is drawn inside the range of μ where it lies on its border."""

    @abstractmethod
    def best_intercept(
        self, y: np.ndarray, z: np.ndarray, weights: np.ndarray, start: np.ndarray
    ) -> np.ndarray:
        """argmin_c Σ_i w_i ℓ(y_i, z_i + c) per column of y and z (m, k), started at (k,)."""

    @abstractmethod
    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """ℓ*(y, u) = sup_z uz − ℓ(y, z), at −u between 0 and the residual y − μ of some z."""

    def least(self, y: np.ndarray) -> np.ndarray:
        """inf_z ℓ(y, z): what a perfect fit costs."""
        return -self.conjugate(y, np.zeros_like(y))


class Squared(Kind):
    """½(y − z)²."""

    curvature = 1.0

    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return (y - z) ** 2 / 2

    def mean(self, z: np.ndarray) -> np.ndarray:
        return z

    def variance(self, z: np.ndarray) -> np.ndarray:
        return np.ones_like(z)

    def link(self, mean: np.ndarray) -> np.ndarray:
        return mean

    def best_intercept(
        self, y: np.ndarray, z: np.ndarray, weights: np.ndarray, start: np.ndarray
    ) -> np.ndarray:
        return weights @ (y - z) / weights.sum()

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        return u * u / 2 + u * y


class Logistic(Kind):
    """log(1 + e^z) − yz for labels between 0 and 1: the negative log-likelihood of a Bernoulli label."""

    curvature = 0.25
    range = (0.0, 1.0)

    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return np.logaddexp(0.0, z) - y * z

    def mean(self, z: np.ndarray) -> np.ndarray:
        return expit(z)

    def variance(self, z: np.ndarray) -> np.ndarray:
        mean = expit(z)
        return mean * (1 - mean)

    def link(self, mean: np.ndarray) -> np.ndarray:
        mean = np.clip(mean, _BORDER, 1 - _BORDER)
        return np.log(mean) - np.log1p(-mean)

    def best_intercept(
        self, y: np.ndarray, z: np.ndarray, weights: np.ndarray, start: np.ndarray
    ) -> np.ndarray:
        """By Newton steps kept between bounds that close in on the root."""
        total, whole = weights @ y, weights.sum()
        centre = self.link(total / whole)
        low, high = centre - z.max(axis=0), centre - z.min(axis=0)
        intercept = np.clip(start, low, high)
        for _ in range(_NEWTON_STEPS):
            mean = expit(z + intercept)
            slope = total - weights @ mean
            low, high = np.where(slope > 0, intercept, low), np.where(slope > 0, high, intercept)
            curve = weights @ (mean * (1 - mean))
            step = np.divide(slope, curve, out=np.zeros_like(slope), where=curve > 1e-300 * whole)
            moved = intercept + step
            inside = (moved >= low) & (moved <= high) & (curve > 1e-300 * whole)
            moved = np.where(inside, moved, (low + high) / 2)
            # Newton's error after a step is of the order of the step's square.
            done = np.abs(moved - intercept) <= 1e-8 * np.where(inside, 1.0, 1e-6)
            intercept = moved
            if done.all():
                break
        return intercept

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        p = np.clip(y + u, 0.0, 1.0)
        return xlogy(p, p) + xlogy(1 - p, 1 - p)


class Poisson(Kind):
    """e^z − yz for labels y ≥ 0: the negative log-likelihood of a count, less log y!."""

    range = (0.0, np.inf)

    def value(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(z) - y * z

    def mean(self, z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(z)

    def variance(self, z: np.ndarray) -> np.ndarray:
        return self.mean(z)

    def link(self, mean: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(mean, _BORDER))

    def best_intercept(
        self, y: np.ndarray, z: np.ndarray, weights: np.ndarray, start: np.ndarray
    ) -> np.ndarray:
        largest = z.max(axis=0)
        return np.log(weights @ y) - np.log(weights @ np.exp(z - largest)) - largest

    def conjugate(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        mean = np.maximum(y + u, 0.0)
        return xlogy(mean, mean) - mean


KINDS: dict[str, Kind] = {"squared": Squared(), "logistic": Logistic(), "poisson": Poisson()}
