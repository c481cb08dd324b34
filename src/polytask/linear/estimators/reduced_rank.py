"""Reduced-rank regression: the coefficients of all tasks are combinations of a few."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.errors import DataError, SettingError
from polytask.linear.base import FixedPenaltyModel, LinearTaskModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.cv import CrossValidatedModel
from polytask.linear.grids import decreasing, grid_of, grid_over, largest_ridge
from polytask.linear.moments import Moments
from polytask.linear.paths import Solution
from polytask.linear.penalties.trace_norm import numerical_rank
from polytask.linear.penalty import alpha_list
from polytask.linear.problem import Problem
from polytask.linear.solvers.reduced_rank import alternate, inverse_root, truncated
from polytask.linear.solvers.spectral import Spectrum, ridge_path
from polytask.linear.table import LabelledTable
from polytask.linear.units import scaled_problem

#: The metrics of the targets in which a fit is judged.
WEIGHTS = ("identity", "canonical")


@dataclass(eq=False, repr=False, kw_only=True)
class _ReducedRank(LinearTaskModel):
    """Σ_t Σ w (y − x b_t)² + α‖B‖² over B of a given rank, on a grid of (alpha, rank)."""

    can: ClassVar[Capabilities] = Capabilities(positive="the leading directions have entries of both signs")
    penalties = ("alpha", "rank")
    penalty_degree = 2
    zero_penalty = True

    weight: str = "identity"

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        _check_weight(self.weight)
        _check_ranks(grid[:, 1], problem)
        if len(problem.moments.weight) == 1:
            coef = self._in_closed_form(problem.moments, grid)
            return Solution(coef, n_iter=np.ones(len(grid), dtype=int), learned={"rank": _ranks_of(coef)})
        if self.weight == "canonical":
            raise DataError(
                "weight='canonical' needs the errors of all tasks on the same rows, but some labels are missing in "
                "some tasks only, or tasks have their own rows; use weight='identity'."
            )
        return self._by_alternation(problem, grid)

    def _in_closed_form(self, moments: Moments, grid: np.ndarray) -> np.ndarray:
        """(k, q, p) coefficients where all tasks share their rows."""
        levels, level_of = np.unique(grid[:, 0], return_inverse=True)
        full = _ridge(moments, levels)
        fitted = [coef @ moments.xty.T for coef in full]
        # The residuals of the rows and of the ridge's pseudo-observations together.
        roots = [_root(moments, table) if self.weight == "canonical" else None for table in fitted]
        return np.stack([
            truncated(full[k], (fitted[k] + fitted[k].T) / 2, round(rank), roots[k])
            for k, rank in zip(level_of, grid[:, 1])
        ])  # fmt: skip

    def _by_alternation(self, problem: Problem, grid: np.ndarray) -> Solution:
        moments = problem.moments
        levels, level_of = np.unique(grid[:, 0], return_inverse=True)
        full = _ridge(moments, levels) if problem.start is None else [problem.start] * len(levels)
        fits = [
            alternate(
                moments.gram, moments.pattern, moments.xty, levels[k], round(rank), full[k],
                tol=self.tol, max_iter=self.max_iter,
            )
            for k, rank in zip(level_of, grid[:, 1])
        ]  # fmt: skip
        coef = np.stack([fit.coef for fit in fits])
        return Solution(
            coef=coef,
            gap=np.array([fit.residual for fit in fits]),
            null=float(np.linalg.norm(moments.xty)),
            n_iter=np.array([fit.n_iter for fit in fits]),
            learned={"rank": _ranks_of(coef)},
            measure="optimality residual",
        )

    def default_grid(
        self, data: Moments | LabelledTable, n_points: int | None = None, eps: float | None = None
    ) -> np.ndarray:
        """A grid of (alpha, rank), scaled to the data; ranks to 8 and the largest there is.

        Parameters
        ----------
        data : Moments or LabelledTable
        n_points : int, optional
            Number of ridge strengths.
        eps : float, optional
            The least strength as a share of the largest.

        Returns
        -------
        (k, 2) array
        """
        problem = scaled_problem(self, data)
        return grid_over(self, problem, n_points, eps, {"rank": _ranks_to_try(_largest_rank(problem))})

    def _grid(
        self, problem: Problem, n_points: int | None, eps: float | None, others: dict[str, float]
    ) -> np.ndarray:
        return decreasing(largest_ridge(problem), n_points or 6, eps or 1e-5)

    def _check_penalties(self, name: str, values: Any) -> np.ndarray:
        ranks = np.asarray(values, dtype=float)
        if ranks.ndim != 1 or ranks.size == 0 or not np.all((ranks >= 1) & (ranks == np.round(ranks))):
            raise SettingError(f"{name} must be a whole number from 1; got {values!r}.")
        return ranks


def _ridge(moments: Moments, levels: np.ndarray) -> np.ndarray:
    """(k, q, p) ridge coefficients of every task; least squares of least norm at 0."""
    alphas = np.repeat(levels[:, None], moments.n_tasks, axis=1)
    return ridge_path(Spectrum.of(moments.gram), moments.pattern, moments.xty, alphas)


def _root(moments: Moments, fitted: np.ndarray) -> np.ndarray:
    """The inverse root of the residual products of the unrestricted fit."""
    root = inverse_root(moments.target_gram - (fitted + fitted.T) / 2)
    if root is None:
        raise DataError(
            "weight='canonical' needs residuals of full rank, but those of the unrestricted fit are not: a task is "
            "constant, a combination of others, or fitted perfectly. Leave out such tasks, raise alpha, or use "
            "weight='identity'."
        )
    return root


def _ranks_of(coef: np.ndarray) -> np.ndarray:
    return np.array([numerical_rank(table) for table in coef])


def _largest_rank(problem: Problem) -> int:
    return min(problem.n_tasks, problem.n_features)


def _ranks_to_try(largest: int) -> list[float]:
    """A few dimensions, and the largest rank, where the tasks separate."""
    return [float(rank) for rank in (1, 2, 3, 4, 6, 8) if rank < largest] + [float(largest)]


def _check_weight(weight: str) -> None:
    if weight not in WEIGHTS:
        raise SettingError(f"weight must be 'identity' or 'canonical'; got {weight!r}.")


def _check_ranks(ranks: np.ndarray, problem: Problem) -> None:
    if ranks.max() > _largest_rank(problem):
        raise SettingError(
            f"rank={ranks.max():g} is more than {problem.n_tasks} tasks with {problem.n_features} penalised features "
            f"can have; use at most {_largest_rank(problem)}."
        )


@dataclass(eq=False, repr=False, kw_only=True)
class ReducedRank(FixedPenaltyModel, _ReducedRank):
    """Least squares of several tasks over coefficients of a given rank, with an optional ridge.

    Minimises ``Σ_t Σ_i w_i (y_it − x_i·b_t − b0_t)² + alpha ‖B‖²_F`` over B of rank at most `rank`: every
    task's coefficients combine the same few vectors. Where all tasks share their labelled rows this is solved
    in closed form (Izenman 1975, "Reduced-rank regression for the multivariate linear model"; with a ridge
    Mukherjee & Zhu 2011). With labels missing in some tasks, or tasks of their own rows, by alternating least
    squares from the truncated ridge coefficients; that problem is not convex, so the result is a stationary
    point which need not be the best. `TraceNorm` is the convex relative.

    Parameters
    ----------
    rank : int
        At most the number of tasks and of features; there it is `TaskRidge(alpha)`.
    alpha : float
        Ridge penalty, on the scale of `TaskRidge`; zero or more.
    weight : {"identity", "canonical"}
        Γ of the criterion tr[(Y − XB)Γ(Y − XB)ᵀ] + alpha tr[BΓBᵀ] (Izenman's letters, B of features × tasks) that
        is minimised. "canonical" is Γ = (RᵀR + alpha B̂ᵀB̂)⁻¹ with the unrestricted ridge fit B̂ and its residuals
        R = Y − XB̂: the ridge counts as rows of data, whose residuals are √alpha B̂. At alpha = 0 it is the inverse
        of the residual products, the maximum likelihood of Gaussian errors that are correlated between tasks,
        whatever the targets' units. It needs complete labels. "identity" is the sum above.
    fit_intercept, standardize, scale_targets, penalty_factors, warm_start, tol, max_iter
        As in `LinearTaskModel`; `tol` is for the residual below. Unpenalised features are not restricted in
        rank. A warm start is where alternation starts.
    loss : str
        Only "squared".
    positive : bool
        Only False.

    Attributes
    ----------
    coef_ : (q, p) array, (p,) for one-dimensional y
    intercept_ : (q,) array, float for one-dimensional y
    rank_ : int
        Of the penalised coefficients: singular values above a millionth of the largest.
    residual_ : float
        Where alternation was needed, the norm of the slope of half the objective along coefficients of this
        rank; `tol` compares it with the slope at zero.
    n_iter_ : int
        Rounds of alternation; 1 in closed form.
    task_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : (p,) array of str, when X has string column names
    """

    rank: int = field(default=1, kw_only=False)
    alpha: float = field(default=0.0, kw_only=False)


@dataclass(eq=False, repr=False, kw_only=True)
class ReducedRankCV(CrossValidatedModel, _ReducedRank):
    """Reduced-rank regression with rank and ridge chosen by cross-validation.

    The objective is that of `ReducedRank`. With complete labels one eigendecomposition per fold serves all
    ridge strengths, and one per strength all ranks; errors on a fold are quadratic forms in its moments.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, selection
        As in `CrossValidatedModel`; 6 ridge strengths by default, and ``alphas=[0]`` for none. "1se" chooses
        a stronger ridge at the same rank.
    ranks : list of int, optional
        Ranks to choose from. By default 1, 2, 3, 4, 6, 8 and the largest there is.
    weight, loss, fit_intercept, standardize, scale_targets, penalty_factors, positive, warm_start, tol, max_iter
        As in `ReducedRank`; `tol` is that of a fold's fit.

    Attributes
    ----------
    alpha_ : float
        The chosen ridge strength.
    rank_ : int
        Of the coefficients, which have the chosen rank unless the labels allow less.
    grid_ : (k, 2) array
        The pairs (alpha, rank) tried.
    mse_path_ : (k, folds, q) array
        Mean squared errors in the targets' units; NaN where a fold tested no label of a task.
    coef_, intercept_, residual_, n_iter_, task_names_, n_features_in_, feature_names_in_
        As in `ReducedRank`.
    """

    ranks: Any = None

    def _search_grid(self, data: Moments | LabelledTable) -> np.ndarray:
        if self.alphas is None and self.ranks is None:
            return self.default_grid(data, self.n_alphas, self.eps)
        problem = scaled_problem(self, data)
        ranks: Any = _ranks_to_try(_largest_rank(problem))
        if self.ranks is not None:
            ranks = self._check_penalties("rank", self.ranks)
        if self.alphas is None:
            return grid_over(self, problem, self.n_alphas, self.eps, {"rank": ranks})
        return grid_of(alpha_list(self.alphas, "alphas", positive=False), {"rank": ranks})
