"""Regression whose coefficients are random effects, alike over tasks, with correlated errors (MrRCE)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy import linalg

from polytask.errors import DataError, SettingError
from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.shared_rows import (
    check_not_profiled,
    incomplete_rows,
    intercepts_of,
    is_complete,
    target_variance,
)
from polytask.linear.grids import decreasing
from polytask.linear.paths import Solution
from polytask.linear.problem import Problem
from polytask.linear.solvers.graphical_lasso import largest_graphical_penalty
from polytask.linear.solvers.mrrce import (
    MrRCEData,
    MrRCEFit,
    RandomEffects,
    RotatedMoments,
    effects_of,
    mrrce,
)
from polytask.linear.solvers.mrrce_missing import IncompleteMrRCE
from polytask.linear.table import LabelledTable

#: Least share of a target's variance that is added to its error variance.
_LEAST_FLOOR = 1e-6
#: Share of the first guess of σ² below which no fit starts.
_LEAST_START = 1e-3
#: Coefficients whose joint posterior is one linear system: more would need too much memory.
_LARGEST_SYSTEM = 5000


@dataclass(eq=False, repr=False, kw_only=True)
class _MrRCE(LinearTaskModel):
    """−(2/n) log p(Y) + λ Σ_{i≠j} |ω_ij|, the coefficients integrated out."""

    can: ClassVar[Capabilities] = Capabilities(
        positive="its coefficients are the mean of a normal distribution, which has both signs"
    )
    # Steps of EM shrink slowly, and have no trace of rounding errors.
    final_tol: ClassVar[float] = 1e-7
    penalty_degree = 2
    zero_penalty = True

    error_basis: str = "tasks"

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        data, basis = self._data(problem), self._basis(problem.n_tasks)
        start = None if problem.start is None else _unfaded(effects_of(problem.start, data), data)
        fits: list[MrRCEFit] = []
        for alpha in grid:
            fits.append(self._fit_point(problem, data, float(alpha), basis, start))
            start = _unfaded(fits[-1].parameters, data)
        parameters = [f.parameters for f in fits]
        intercept = None
        if isinstance(data, IncompleteMrRCE):
            intercept = np.stack(
                [intercepts_of(problem, data.rows, f.coef, data.intercept(f.parameters)) for f in fits]
            )
        return Solution(
            np.stack([f.coef for f in fits]),
            gap=np.array([f.change for f in fits]),
            null=1.0,
            n_iter=np.array([len(f.objective) - 1 for f in fits]),
            intercept=intercept,
            learned={
                "error_precision": np.stack([each.precision for each in parameters]),
                "task_covariance": np.stack([each.task_covariance() for each in parameters]),
                "similarity": np.array([each.similarity for each in parameters]),
                "coef_variance": np.array([each.variance for each in parameters]),
            },
            measure="change of the parameters in one step",
        )

    def _fit_point(
        self, problem: Problem, data: MrRCEData, alpha: float, basis: np.ndarray, start: RandomEffects | None
    ) -> MrRCEFit:
        floor = _floor(problem)
        return mrrce(data, alpha, start=start, basis=basis, floor=floor, tol=self.tol, max_iter=self.max_iter)

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        data, basis = self._data(problem), self._basis(problem.n_tasks)
        # No covariance is as large as all variances together: the precision is diagonal.
        strongest = 10 * float(target_variance(problem).sum())
        independent = self._fit_point(problem, data, strongest, basis, None)
        residuals = data.expectations(independent.parameters).residuals / data.weight
        largest = largest_graphical_penalty(basis.T @ residuals @ basis)
        return decreasing(largest if largest > 0 else 1.0, n_points or 10, eps or 1e-3)

    def _data(self, problem: Problem) -> MrRCEData:
        check_not_profiled(self, problem)
        if is_complete(problem.data):
            moments = problem.moments
            weight = float(moments.weight[0]) or 1.0
            return RotatedMoments.of(moments.gram[0], moments.xty, moments.target_gram, weight)
        size = problem.n_tasks * problem.n_features
        if size > _LARGEST_SYSTEM:
            raise DataError(
                f"MrRCE with missing labels or tasks with their own rows solves for all {size} coefficients at once, "
                f"and takes at most {_LARGEST_SYSTEM}: drop features, or the rows with missing labels."
            )
        return IncompleteMrRCE(incomplete_rows(problem))

    def _basis(self, n_tasks: int) -> np.ndarray:
        if self.error_basis == "tasks":
            return np.eye(n_tasks)
        if self.error_basis == "contrasts":
            return contrasts(n_tasks)
        raise SettingError(f"error_basis must be 'tasks' or 'contrasts'; got {self.error_basis!r}.")

    def _learned_in_units(
        self, learned: dict[str, np.ndarray], unit: np.ndarray, y_scale: np.ndarray
    ) -> dict[str, np.ndarray]:
        squares = np.outer(y_scale, y_scale)
        covariance, precision = learned["task_covariance"], learned["error_precision"]
        return {**learned, "task_covariance": covariance * squares, "error_precision": precision / squares}

    def _wants_rows(self, table: LabelledTable) -> bool:
        return super()._wants_rows(table) or not is_complete(table)


def contrasts(n_tasks: int) -> np.ndarray:
    """(q, q) orthonormal eigenvectors of the equicorrelation matrix: 1/√q, then Helmert's contrasts, in columns."""
    return np.asarray(linalg.helmert(n_tasks, full=True)).T


def _floor(problem: Problem) -> np.ndarray:
    """(q,) added to the error variances: the share 1/n_t² of a target's variance, n_t the weight of its labels.

    The likelihood of a task with a label or two would grow without bound as its error vanishes.
    """
    share = np.clip(1 / np.maximum(problem.task_weight, 1.0) ** 2, _LEAST_FLOOR, 1.0)
    return np.where(problem.task_weight > 0, share * target_variance(problem), 0.0)


def _unfaded(parameters: RandomEffects, data: MrRCEData) -> RandomEffects:
    """Parameters to start from: coefficients that have faded would need many steps to come back."""
    return parameters._replace(variance=max(parameters.variance, _LEAST_START * data.initial().variance))


@dataclass(eq=False, repr=False, kw_only=True)
class MrRCE(FixedPenaltyModel, _MrRCE):
    """Multivariate random regression with covariance estimation: a mixed model of coefficients alike over tasks.

    In Y = XB + E the coefficients of one feature in the q tasks are N(0, σ²C), C = (1 − ρ)I + ρ11ᵀ, and the
    errors of one row N(0, Ω⁻¹). σ², ρ ∈ [0, 1) and Ω minimise
    ``−(2/n) log p(Y | σ², ρ, Ω) + alpha Σ_{i≠j} |ω_ij|``, with B integrated out, by expectation-maximisation with
    a graphical lasso for Ω; the coefficients are their posterior mean, the best linear unbiased predictor (Navon &
    Rosset 2020, "Capturing between-tasks covariance and similarities using multivariate linear mixed models").
    It pays where tasks have coefficients of like sign and size, and correlated errors. The objective never
    increases. Intercepts are fixed effects.

    1/n² of a target's variance, n the weight of its labels, is added to its error variance: the likelihood of tasks
    with a label or two is otherwise unbounded.

    The authors' code bounds ρ ≥ 0 without the variance that is then best; here σ² is the maximiser at ρ = 0. It
    scores penalties at the starting values, `MrRCECV` fits each.

    Rows with missing labels, and tasks with their own rows, count by the labels they have; that takes one linear
    system of all p·q coefficients per step, at most 5000. Complete labels take p·q² operations per step.

    Parameters
    ----------
    alpha : float
        λ, on the precision of the errors off its diagonal; zero or more, in squared units of the (scaled) targets.
    error_basis : {"tasks", "contrasts"}
        Which errors have the sparse precision: those of the tasks, or, as in the authors' code, those of their
        mean and contrasts YU, with U the eigenvectors of C (its q − 1 equal ones fixed to Helmert's contrasts).
    loss, fit_intercept, standardize, scale_targets, penalty_factors, warm_start, tol, max_iter
        As in `LinearTaskModel`. `penalty_factors` f give feature j the variance σ²/f_j; `tol` bounds the last
        change of σ² as a share of it, of ρ, and of the errors' covariance as a share of the targets' variances.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    task_covariance_ : (q, q) array
        σ²C in units of the targets, for the features that the penalty sees (standardised ones if `standardize`).
    error_precision_ : (q, q) array
        Ω in units of the targets.
    similarity_ : float
        ρ, the correlation of a feature's coefficients between tasks.
    coef_variance_ : float
        σ², of scaled targets if `scale_targets`.
    residual_ : float
        The change of the parameters in the last step.
    n_iter_ : int
        Steps.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names

    Raises
    ------
    DataError
        For labels of one row with different weights, and for missing labels where there are more than 5000
        coefficients, only `Moments` are given, or some penalty factor is zero.
    """

    alpha: float = field(default=0.1, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class MrRCECV(CrossValidatedModel, _MrRCE):
    """MrRCE with the penalty of the precision chosen by cross-validation.

    The model is that of `MrRCE`. The penalty with the least squared error over all tasks (of scaled targets if
    `scale_targets`) is chosen.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default 10 values from where the precision is diagonal to 0.001 of it.
    error_basis, loss, fit_intercept, standardize, scale_targets, penalty_factors, warm_start, tol, max_iter
        As in `MrRCE`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_ : float
    alphas_ : (k,) array
        The penalties tried, decreasing.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units; NaN where a fold tested no label of a task.
    coef_, intercept_, task_covariance_, error_precision_, similarity_, coef_variance_, residual_, n_iter_,
    task_names_, n_features_in_, feature_names_in_
        As in `MrRCE`.
    """
