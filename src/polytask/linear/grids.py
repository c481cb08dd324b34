"""Grids of penalties, scaled to the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from polytask.errors import DataError, SettingError
from polytask.linear.problem import Problem

if TYPE_CHECKING:
    from polytask.linear.base import LinearTaskModel

#: Signal-to-noise ratio below which a ridge grid does not look: its largest penalty answers to it.
_LEAST_SIGNAL = 1e-3


def decreasing(largest: float | np.ndarray, n: int, eps: float) -> np.ndarray:
    """n penalties from `largest` to ``eps * largest``, evenly spaced in logarithm; shape (n, ...)."""
    steps = np.geomspace(1.0, eps, n) if n > 1 else np.ones(1)
    return np.multiply.outer(steps, largest)


def grid_over(
    model: LinearTaskModel,
    problem: Problem,
    n_points: int | None,
    eps: float | None,
    others: Mapping[str, Iterable[float]],
) -> np.ndarray:
    """Levels of a model's first penalty for every choice of the others; (k, d), or (k, ...) for one penalty."""
    _check_size(n_points, eps)
    if not others:
        return _finite(model._grid(problem, n_points, eps, {}))
    rows = []
    for choice in product(*others.values()):
        levels = model._grid(problem, n_points, eps, dict(zip(others, choice)))
        rows += [(level, *choice) for level in levels]
    return _finite(np.array(rows, dtype=float))


def _check_size(n_points: int | None, eps: float | None) -> None:
    """Refuse a number of levels that is not whole and positive, and a least share outside (0, 1)."""
    whole = isinstance(n_points, Integral) and not isinstance(n_points, bool)
    if n_points is not None and (not whole or n_points < 1):
        raise SettingError(
            f"The number of penalties, n_alphas, must be a whole number of at least 1; got {n_points!r}."
        )
    if eps is not None and (not isinstance(eps, Real) or not 0 < eps < 1):
        raise SettingError(
            f"eps, the least penalty as a share of the largest, must lie between 0 and 1; got {eps!r}."
        )


def _finite(grid: np.ndarray) -> np.ndarray:
    if not np.isfinite(grid).all():
        raise DataError(
            "No grid of penalties suits these data: it is not finite. Rescale the data or give alphas."
        )
    return grid


def grid_of(levels: np.ndarray, others: Mapping[str, Iterable[float]]) -> np.ndarray:
    """Given levels of the first penalty for every choice of the others; (k, d), or (k,) for one penalty."""
    if not others:
        return levels
    return np.array([(level, *choice) for choice in product(*others.values()) for level in levels])


def default_eps(problem: Problem) -> float:
    """Least share of the largest sparse penalty worth trying: the far end only interpolates when n < p."""
    return 1e-3 if problem.task_weight.mean() >= problem.n_features else 1e-2


def largest_ridge(problem: Problem) -> float:
    """The ridge penalty that fits coefficients of equal variance with a signal-to-noise ratio of 0.001.

    With var(x·b) = v Σ_j var(x_j) and noise variance s, the Bayes penalty of Σ(y − xb)² is s / v.
    """
    total = float((problem.data.variance / problem.x_scale**2).sum())
    return total / _LEAST_SIGNAL if total > 0 else 1.0


def largest_lasso(problem: Problem) -> np.ndarray:
    """(q,) the least lasso penalty per task at which all its coefficients are zero."""
    weight = problem.task_weight
    slope = np.abs(_rising(problem)) / np.where(problem.factors > 0, problem.factors, np.inf)
    largest = slope.max(axis=1, initial=0.0) / np.where(weight > 0, weight, 1.0)
    return np.where(largest > 0, largest, 1.0)


def largest_penalty(problem: Problem, dual_norm: Callable[[np.ndarray], float]) -> float:
    """The least strength of a norm, per mean weight of a task, at which all coefficients are zero.

    Parameters
    ----------
    problem : Problem
    dual_norm : callable
        Of a slope (q, p), by its absolute values alone where coefficients are positive.
    """
    slope = _rising(problem) * (problem.factors > 0)
    largest = float(dual_norm(slope)) / problem.mean_weight
    return largest if largest > 0 else 1.0


def _rising(problem: Problem) -> np.ndarray:
    """(q, p) slope at zero coefficients; only upwards where they can't be negative."""
    return np.maximum(problem.null_slope, 0.0) if problem.positive else problem.null_slope
