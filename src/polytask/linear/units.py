"""From the data's units to the solver's, and back: scales, penalty factors, unpenalised features, means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from polytask.errors import SettingError
from polytask.linear.moments import Moments
from polytask.linear.partialling import PartialledOut
from polytask.linear.paths import CoefPath, Solution
from polytask.linear.penalty import check_factors
from polytask.linear.problem import Problem
from polytask.linear.table import LabelledTable

if TYPE_CHECKING:
    from polytask.linear.base import LinearTaskModel

Data = Moments | LabelledTable

#: Standard deviation of a target below this share of its mean is rounding error.
_CONSTANT = 1e-13


def scaled_problem(model: LinearTaskModel, data: Data) -> Problem:
    """The problem that a model's solver sees, where no feature is unpenalised: what grids are made for."""
    rest, _, keep = _without_free(model, data)
    x_scale, y_scale, factors = _scales(model, data)
    return _problem(model, rest, x_scale[keep], y_scale, factors[keep], None)


def path_in_units(model: LinearTaskModel, data: Data, grid: np.ndarray) -> CoefPath:
    """Solve on the scaled problem and bring the coefficients back to the data's units.

    Unpenalised features are profiled out of squared losses as intercepts are; other solvers see factors of 0.
    """
    rest, recover, keep = _without_free(model, data)
    x_scale, y_scale, factors = _scales(model, data)
    start = _last_fit(model, data)
    problem = _problem(model, rest, x_scale[keep], y_scale, factors[keep], start)
    solution = model._solve(problem, grid)
    # Eigenbases leave rounding error where a feature tells nothing.
    unit = y_scale[:, None] / problem.x_scale * _matters(rest, model.fit_intercept)
    coef = solution.coef * unit
    if recover is not None:
        coef = recover.recover(coef)
    intercept = _intercepts(model, data, coef, solution, y_scale)
    learned = model._learned_in_units(solution.learned, unit, y_scale)
    # Rounding may leave a gap just below zero.
    gap = None if solution.gap is None else np.maximum(solution.gap, 0.0)
    return CoefPath(grid, coef, intercept, gap, solution.null, solution.n_iter, learned, solution.measure)


def _matters(data: Data, fit_intercept: bool) -> np.ndarray:
    """(p,) which features can have a coefficient: without an intercept, constant ones that are not zero too."""
    varies = data.variance > 0
    return varies if fit_intercept else varies | np.any(data.task_x_mean != 0, axis=0)


def target_scales(model: LinearTaskModel, data: Data) -> np.ndarray:
    """(q,) divisors of the targets."""
    if not model.scale_targets:
        return np.ones(len(data.task_names))
    # About a mean of 1e8 a constant has a variance of rounding errors.
    varies = data.target_variance > (_CONSTANT * data.y_mean) ** 2
    return _root_or_one(np.where(varies, data.target_variance, 0.0))


def _problem(
    model: LinearTaskModel, data: Data, x_scale: np.ndarray, y_scale: np.ndarray, factors: np.ndarray,
    start: np.ndarray | None,
) -> Problem:  # fmt: skip
    if model.penalty_degree is not None:
        # α f |b| is α |b'| for the coefficient b' = f b of the feature x / f.
        x_scale = x_scale * np.where(factors > 0, factors, 1.0) ** (1 / model.penalty_degree)
        factors = (factors > 0).astype(float)
    if start is not None:
        start = start * x_scale / y_scale[:, None]
    return Problem(data, model.loss, model.fit_intercept, x_scale, y_scale, factors, model.positive, start)


def _scales(model: LinearTaskModel, data: Data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divisors of the features (p,) and targets (q,), and the checked penalty factors (p,)."""
    x_scale = _root_or_one(data.variance) if model.standardize else np.ones(data.n_features)
    return x_scale, target_scales(model, data), check_factors(model.penalty_factors, data.n_features)


def _without_free(model: LinearTaskModel, data: Data) -> tuple[Data, PartialledOut | None, np.ndarray]:
    """The data less its unpenalised features, how to recover their coefficients, and which are left."""
    keep = check_factors(model.penalty_factors, data.n_features) > 0
    if keep.all() or model.loss != "squared" or model.positive:
        return data, None, np.ones_like(keep)
    if not keep.any():
        raise SettingError(
            "penalty_factors are zero for all features; use TaskRidge(alpha=0) for no penalty."
        )
    moments = data if isinstance(data, Moments) else Moments.from_table(data)
    out = (moments if model.fit_intercept else moments.about_zero()).partial_out(~keep)
    return out.moments, out, keep


def _last_fit(model: LinearTaskModel, data: Data) -> np.ndarray | None:
    """The last fit's coefficients (q, p), for a warm start."""
    if not (model.warm_start and hasattr(model, "coef_")):
        return None
    coef = np.atleast_2d(np.asarray(model.coef_, dtype=float))
    if coef.shape != (len(data.task_names), data.n_features):
        raise SettingError(
            f"warm_start=True, but the last fit has coefficients of shape {coef.shape}, and these data need "
            f"{(len(data.task_names), data.n_features)}; fit a new model instead."
        )
    keep = check_factors(model.penalty_factors, data.n_features) > 0
    profiled = model.loss == "squared" and not model.positive and not keep.all()
    return coef[:, keep] if profiled else coef


def _intercepts(
    model: LinearTaskModel, data: Data, coef: np.ndarray, solution: Solution, y_scale: np.ndarray
) -> np.ndarray:
    """(k, q) the solver's intercepts, or those with which every task's residuals sum to zero."""
    if solution.intercept is not None:
        return solution.intercept * y_scale
    if not model.fit_intercept:
        return np.zeros(coef.shape[:2])
    x_mean, y_mean = _task_means(data)
    return y_mean - np.einsum("ktj,tj->kt", coef, x_mean)


def _task_means(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Means per task; a task without labels borrows those of all labels, so that it can be predicted."""
    x_mean, y_mean, weight = data.task_x_mean, data.y_mean, data.task_weight
    unlabelled = weight == 0
    if unlabelled.any() and not unlabelled.all():
        x_mean = np.where(unlabelled[:, None], weight @ x_mean / weight.sum(), x_mean)
        y_mean = np.where(unlabelled, weight @ y_mean / weight.sum(), y_mean)
    return x_mean, y_mean


def _root_or_one(variance: np.ndarray) -> np.ndarray:
    """Standard deviations; 1 for what does not vary, which then keeps its zero coefficient."""
    return np.sqrt(np.where(variance > 0, variance, 1.0))
