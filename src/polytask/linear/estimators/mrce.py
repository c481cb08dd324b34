"""Sparse regression of several tasks together with the sparse precision of their errors (MRCE)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.errors import SettingError
from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.estimators.shared_rows import (
    check_not_profiled,
    has_few_rows,
    incomplete_rows,
    intercepts_of,
    is_complete,
    target_variance,
    variance_floor,
)
from polytask.linear.grids import decreasing
from polytask.linear.paths import Solution
from polytask.linear.penalty import check_penalty
from polytask.linear.problem import Problem
from polytask.linear.solvers.graphical_lasso import graphical_lasso
from polytask.linear.solvers.missing_labels import IncompleteRows
from polytask.linear.solvers.mrce import (
    Averages,
    CompleteRows,
    MRCEFit,
    Rows,
    mrce,
    one_step_mrce,
    with_floor,
)
from polytask.linear.table import LabelledTable

#: Default penalties of the precision to choose from, for targets of unit variance.
ERROR_ALPHAS = (0.3, 0.1, 0.03, 0.01)


@dataclass(eq=False, repr=False, kw_only=True)
class _MRCE(LinearTaskModel):
    """tr[(Y − XB)ᵀ(Y − XB)Ω]/n − log|Ω| + λ₁ Σ_{i≠j} |ω_ij| + λ₂ Σ |b_jk| on a grid of (λ₂, λ₁)."""

    # Both steps are exact descents, which keep no trace of rounding errors.
    final_tol: ClassVar[float] = 1e-9
    can: ClassVar[Capabilities] = Capabilities(
        own_rows="errors of different tasks are correlated within a row, which tasks must therefore share"
    )
    penalties = ("alpha", "error_alpha")
    tries: ClassVar[dict[str, tuple[float, ...]]] = {"error_alpha": ERROR_ALPHAS}

    one_step: bool = False

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        rows = self._rows(problem)
        fits: list[MRCEFit] = []
        row_start = 0
        for index, (alpha, error_alpha) in enumerate(grid):
            if self.one_step:
                start = _null(problem)
            elif index == 0:
                first = _null(problem)[0] if problem.start is None else problem.start
                start = _from_coefficients(rows, first, error_alpha, problem)
            else:
                same = error_alpha == grid[index - 1, 1]
                start = fits[index - 1 if same else row_start][:2]
                row_start = row_start if same else index
            fit = one_step_mrce if self.one_step else mrce
            fits.append(
                fit(
                    rows, error_alpha, alpha, start=start, positive=self.positive,
                    floor=_floor(problem, error_alpha), tol=self.tol, max_iter=self.max_iter,
                )
            )  # fmt: skip
        intercept = None
        if isinstance(rows, IncompleteRows):
            intercept = np.stack(
                [intercepts_of(problem, rows, f.coef, rows.intercept(f.coef, f.precision)) for f in fits]
            )
        return Solution(
            np.stack([f.coef for f in fits]),
            gap=np.array([f.gap for f in fits]),
            null=float(problem.n_tasks),
            n_iter=np.array([f.n_iter for f in fits]),
            intercept=intercept,
            learned={"error_precision": np.stack([f.precision for f in fits])},
        )

    def _rows(self, problem: Problem) -> Rows:
        free = self.penalty_factors is not None and not np.all(self.penalty_factors)
        if self.positive and free:
            raise SettingError(
                f"{type(self).__name__} can't take positive=True with penalty_factors of zero: positive coefficients "
                "can't be profiled out. Use small positive factors."
            )
        check_not_profiled(self, problem)
        return _complete(problem) if is_complete(problem.data) else incomplete_rows(problem)

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        rows = self._rows(problem)
        coef, precision = _from_coefficients(rows, _null(problem)[0], others["error_alpha"], problem)
        slopes = 2 * precision @ rows.averages(coef, precision).xty
        slope = (slopes if self.positive else np.abs(slopes)).max(initial=0.0)
        return decreasing(slope if slope > 0 else 1.0, n_points or 20, eps or 1e-3)

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        return check_penalty(values, name, positive=False)

    def _learned_in_units(
        self, learned: dict[str, np.ndarray], unit: np.ndarray, y_scale: np.ndarray
    ) -> dict[str, np.ndarray]:
        return {name: values / np.outer(y_scale, y_scale) for name, values in learned.items()}

    def _wants_rows(self, table: LabelledTable) -> bool:
        return super()._wants_rows(table) or not is_complete(table)


def _complete(problem: Problem) -> CompleteRows:
    moments = problem.moments
    weight = float(moments.weight[0]) or 1.0
    return CompleteRows(
        Averages(moments.gram[0] / weight, moments.xty / weight, moments.target_gram / weight)
    )


def _null(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Zero coefficients and independent errors."""
    return np.zeros((problem.n_tasks, problem.n_features)), np.diag(1 / target_variance(problem))


def _floor(problem: Problem, error_alpha: float) -> np.ndarray:
    """(q,) added to the error variances: λ₁ ω_ii in the objective is λ₁ more variance."""
    floor = variance_floor(problem)
    return np.where(floor > 0, np.maximum(floor, error_alpha), 0.0) if has_few_rows(problem) else floor


def _from_coefficients(
    rows: Rows, coef: np.ndarray, error_alpha: float, problem: Problem
) -> tuple[np.ndarray, np.ndarray]:
    """The coefficients, and the precision that their errors have."""
    S = with_floor(rows.averages(coef, _null(problem)[1]).residuals(coef), _floor(problem, error_alpha))
    return coef, graphical_lasso(S, error_alpha).precision


@dataclass(eq=False, repr=False, kw_only=True)
class MRCE(FixedPenaltyModel, _MRCE):
    """Multivariate regression with covariance estimation: sparse coefficients, sparse precision of the errors.

    Minimises ``tr[(Y − XB)ᵀ(Y − XB)Ω]/n − log|Ω| + λ₁ Σ_{i≠j} |ω_ij| + λ₂ Σ |b_jk|`` over B and Ω ≻ 0 with
    λ₂ = alpha and λ₁ = error_alpha (Rothman, Levina & Zhu 2010, "Sparse multivariate regression with covariance
    estimation"), n the total weight of the rows and Y, X less their means. It pays where errors of tasks are
    correlated. At independent errors of variance v it is `TaskLasso` with the penalty alpha v / 2. The authors' R
    package MRCE penalises coefficients by 2 lam2 |b_jk|, so its lam2 is alpha / 2, and its lam1 is error_alpha.

    The objective is convex in B and in Ω but not in both: the fit is a point that neither alone can improve,
    reached from zero coefficients (or the last fit's), and ``dual_gap_`` bounds how much either can. The objective
    never increases. Rows with missing labels count by the likelihood of those they have (expectation-maximisation).

    Where a task has no more labels than there are features, the diagonal of Ω is penalised as well, as in the
    authors' R package: features could fit the task exactly. In any case 1e-6 of a target's variance is added to
    its error variance, so that its precision is finite.

    Parameters
    ----------
    alpha : float
        λ₂, on the coefficients; positive.
    error_alpha : float
        λ₁, on the elements of the precision off its diagonal; zero or more, in squared units of the (scaled)
        targets.
    one_step : bool
        The paper's approximate MRCE: a lasso per task, the precision of its residuals, and the lasso that this
        weights. The first lasso has the penalty alpha here, where the paper chooses one by cross-validation.
    scale_targets : bool
        Divide each target by its standard deviation while fitting: one alpha then suits all tasks.
    loss, fit_intercept, standardize, penalty_factors, positive, warm_start, tol, max_iter
        As in `LinearTaskModel`; `max_iter` counts rounds of the two steps.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    error_precision_ : (q, q) array
        Ω, in units of the targets.
    dual_gap_ : float
        Sum of the duality gaps of B given Ω and of Ω given B, of the scaled objective.
    n_iter_ : int
        Rounds.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names

    Raises
    ------
    DataError
        For tasks with their own rows, labels of one row with different weights, and for missing labels where only
        `Moments` are given or some penalty factor is zero.
    SettingError
        For positive coefficients with penalty factors of zero.
    """

    alpha: float = field(default=0.1, kw_only=False)
    error_alpha: float = field(default=0.1, kw_only=False)
    scale_targets: bool = True
    max_iter: int = 1000


@dataclass(eq=False, repr=False, kw_only=True)
class MRCECV(CrossValidatedModel, _MRCE):
    """MRCE with both penalties chosen by cross-validation.

    The objective is that of `MRCE`. The pair with the least squared error over all tasks (of scaled targets if
    `scale_targets`) is chosen, as in the paper; each fit starts from the one with the next larger alpha.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`. By default 20 values of alpha from where all coefficients are zero to 0.001
        of it, for each value of error_alpha.
    error_alphas : list of float
        Penalties of the precision to choose from.
    one_step, scale_targets, loss, fit_intercept, standardize, penalty_factors, positive, warm_start, tol, max_iter
        As in `MRCE`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_, error_alpha_ : float
        The chosen pair.
    grid_ : (k, 2) array
        The pairs tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units; NaN where a fold tested no label of a task.
    coef_, intercept_, error_precision_, dual_gap_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `MRCE`.
    """

    error_alphas: Any = ERROR_ALPHAS
    scale_targets: bool = True
    max_iter: int = 1000
