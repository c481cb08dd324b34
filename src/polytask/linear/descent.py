"""Coordinate descent for squared loss, on Grams or on rows, whichever is cheaper; Newton steps for other losses.

All solve ``min Σ_t Σ_i w ℓ(y, x·b_t + b0_t) + Σ_j f_j (α ‖B_j‖₂ + ½ ρ ‖B_j‖²)``, with a true duality gap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from polytask.linear.losses.rows import RowLoss
from polytask.linear.moments import Moments
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import blocks_alone
from polytask.linear.problem import Problem, is_wide
from polytask.linear.solvers.free_directions import FreeDirections
from polytask.linear.solvers.gram_descent import DescentPath, group_path, lasso_paths
from polytask.linear.solvers.proximal_newton import proximal_newton_path
from polytask.linear.solvers.residual_descent import residual_path

#: Numbers in the Grams up to which they are formed however few the labels.
_SMALL_GRAMS = 4_000_000


def descends(problem: Problem) -> bool:
    """Whether coordinate descent solves this problem; other steps are left for what it doesn't."""
    if problem.loss != "squared" or _bounds_free_features(problem):
        return False
    return grams_serve(problem) or _rows_serve(problem)


def takes_newton_steps(problem: Problem) -> bool:
    """Whether `newton_descent` solves this problem; proximal gradient steps are left for what it doesn't."""
    if problem.loss == "squared" or _bounds_free_features(problem):
        return False
    blocks = blocks_alone(problem.factors == 0, (problem.n_tasks, problem.n_features))
    return blocks is None or FreeDirections(blocks).can_settle(problem.smooth)


def newton_descent(
    problem: Problem, norms: np.ndarray, ridges: np.ndarray | float = 0.0, *, tol: float, max_iter: int
) -> Solution:
    """A path for logistic or Poisson loss.

    Parameters
    ----------
    problem : Problem
        One that `takes_newton_steps`.
    norms, ridges : (k,) arrays, or (k, q) for penalty levels of each task
        The α and ρ of each grid point.
    tol, max_iter
        As in `proximal_newton_path`.
    """
    loss = problem.smooth
    assert isinstance(loss, RowLoss)
    return proximal_newton_path(
        loss, norms, ridges, problem.factors, problem.mean_weight,
        positive=problem.positive, start=problem.start, tol=tol, max_iter=max_iter,
    )  # fmt: skip


def group_descent(
    problem: Problem, norms: np.ndarray, ridges: np.ndarray | float = 0.0, *, tol: float, max_iter: int
) -> DescentPath:
    """A path with one penalty level for all tasks.

    Parameters
    ----------
    problem : Problem
        One that `descends`.
    norms, ridges : (k,) arrays
        The α and ρ of each grid point.
    tol, max_iter
        As in `group_path`.
    """
    settings: dict[str, Any] = {
        "penalty_factors": problem.factors, "start": problem.start, "positive": problem.positive,
        "ridge": ridges, "tol": tol, "max_iter": max_iter,
    }  # fmt: skip
    if grams_serve(problem):
        moments = problem.moments
        total = float(moments.yty.sum())
        return group_path(moments.gram, moments.pattern, moments.xty, total, norms, **settings)
    X, Y, weights = _centred_rows(problem)
    return residual_path(X, Y, norms, weights=weights, **settings)


def task_descent(
    problem: Problem, norms: np.ndarray, ridges: np.ndarray | float = 0.0, *, tol: float, max_iter: int
) -> DescentPath:
    """A path of every task alone, with penalty levels of its own.

    Parameters
    ----------
    problem : Problem
        One that `descends`.
    norms : (k, q) array
    ridges : (k, q) array or float
    tol, max_iter
        As in `lasso_paths`.
    """
    settings: dict[str, Any] = {
        "penalty_factors": problem.factors,
        "positive": problem.positive,
        "tol": tol,
        "max_iter": max_iter,
    }
    if grams_serve(problem):
        moments = problem.moments
        return lasso_paths(
            moments.gram, moments.pattern, moments.xty, moments.yty, norms,
            start=problem.start, ridge=ridges, **settings,
        )  # fmt: skip
    X, Y, weights = _centred_rows(problem)
    ridges = np.broadcast_to(ridges, norms.shape)
    paths = [
        residual_path(
            X, Y[:, t : t + 1], norms[:, t], weights=weights, ridge=ridges[:, t],
            start=None if problem.start is None else problem.start[t : t + 1], **settings,
        )
        for t in range(problem.n_tasks)
    ]  # fmt: skip
    return DescentPath(
        np.concatenate([path.coef for path in paths], axis=1),
        np.column_stack([path.gap for path in paths]),
        np.array([path.null for path in paths]),
        np.column_stack([path.n_iter for path in paths]),
    )


def grams_serve(problem: Problem) -> bool:
    """Whether moments stand for the rows: squared loss, and labels outnumber features or the Grams are small."""
    if problem.loss != "squared":
        return False
    if isinstance(problem.data, Moments) or not is_wide(problem.data):
        return True
    return problem.n_features**2 * len(problem.data.patterns) <= _SMALL_GRAMS


def _bounds_free_features(problem: Problem) -> bool:
    """Whether signs are given to unpenalised features, which coordinate descent eliminates."""
    return problem.positive and bool(np.any(problem.factors == 0))


def _rows_serve(problem: Problem) -> bool:
    """Whether all tasks are labelled on the same rows of a dense table."""
    data = problem.data
    return not isinstance(data, Moments) and len(data.patterns) == 1 and not sparse.issparse(data.X)


def _centred_rows(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (m, p) and targets (m, q) less their weighted means, and weights (m,), of the labelled rows."""
    (labels,) = problem.table.patterns
    X = problem.table.X[labels.rows]
    Y = np.empty(labels.targets.shape)
    Y[:, labels.tasks] = labels.targets
    if problem.fit_intercept:
        X = X - np.average(X, axis=0, weights=labels.weights)
        Y = Y - np.average(Y, axis=0, weights=labels.weights)
    return X, Y, labels.weights
