"""Grids of penalties, scaled to the data."""

from __future__ import annotations

import numpy as np

from polytask.linear.moments import Moments

#: Signal-to-noise ratio below which a ridge grid does not look: its largest penalty answers to it.
_LEAST_SIGNAL = 1e-3


def decreasing(largest: float | np.ndarray, n: int, eps: float) -> np.ndarray:
    """n penalties from `largest` to ``eps * largest``, evenly spaced in logarithm; shape (n, ...)."""
    steps = np.geomspace(1.0, eps, n) if n > 1 else np.ones(1)
    return np.multiply.outer(steps, largest)


def default_eps(moments: Moments) -> float:
    """Least share of the largest sparse penalty worth trying: the far end only interpolates when n < p."""
    return 1e-3 if moments.task_weight.mean() >= moments.n_features else 1e-2


def largest_ridge(moments: Moments) -> float:
    """The ridge penalty that fits coefficients of equal variance with a signal-to-noise ratio of 0.001.

    With var(x·b) = v Σ_j var(x_j) and noise variance s, the Bayes penalty of Σ(y − xb)² is s / v.
    """
    total = float(moments.variance.sum())
    return total / _LEAST_SIGNAL if total > 0 else 1.0


def largest_lasso(moments: Moments) -> np.ndarray:
    """(q,) the least lasso penalty per task at which all its coefficients are zero."""
    weight = moments.task_weight
    largest = np.abs(moments.xty).max(axis=1, initial=0.0) / np.where(weight > 0, weight, 1.0)
    return np.where(largest > 0, largest, 1.0)


def largest_group_lasso(moments: Moments) -> float:
    """The least L1/L2 penalty at which all coefficients are zero."""
    weight = moments.task_weight.mean()
    largest = float(np.linalg.norm(moments.xty, axis=0).max(initial=0.0)) / (weight if weight > 0 else 1.0)
    return largest if largest > 0 else 1.0
