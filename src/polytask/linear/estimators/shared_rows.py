"""Data of models whose errors are correlated between tasks: whole rows, with or without all their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from polytask.errors import DataError
from polytask.linear.moments import Moments
from polytask.linear.problem import Problem
from polytask.linear.solvers.missing_labels import IncompleteRows
from polytask.linear.table import LabelledTable

if TYPE_CHECKING:
    from polytask.linear.base import LinearTaskModel

#: Share of a target's variance that is added to its error variance: bounds the precision of a perfect fit.
_FLOOR = 1e-6


def is_complete(data: Moments | LabelledTable) -> bool:
    """Whether every row that has labels has all of them, and one weight."""
    return len(data.weight if isinstance(data, Moments) else data.patterns) == 1


def check_not_profiled(model: LinearTaskModel, problem: Problem) -> None:
    """Refuse unpenalised features where labels are missing: their rows are not kept when they are profiled out."""
    factors = model.penalty_factors
    if factors is not None and not np.all(factors) and not is_complete(problem.data):
        raise DataError(
            f"{type(model).__name__} can't take penalty_factors of zero where labels are missing: the errors are "
            "correlated, and rows with different labels can't profile features out alike. Use small positive factors."
        )


def incomplete_rows(problem: Problem) -> IncompleteRows:
    """The scaled rows with the labels that they have.

    Raises
    ------
    DataError
        Where there are only moments, which don't tell which labels of other tasks a row has, and for rows whose
        labels have different weights.
    """
    if isinstance(problem.data, Moments):
        raise DataError(
            "Correlated errors with missing labels are fitted from rows, which moments don't hold: call fit(X, y)."
        )
    table = problem.table
    X = sparse.csr_matrix(table.X).toarray() if sparse.issparse(table.X) else np.asarray(table.X)
    Y = np.full((table.n_rows, table.n_tasks), np.nan)
    weights = np.zeros(table.n_rows)
    for labels in table.patterns:
        before = weights[labels.rows]
        differ = (before > 0) & (before != labels.weights)
        if differ.any():
            raise DataError(
                f"Row {labels.rows[np.argmax(differ)]} has labels of different weights; with correlated errors "
                "all labels of a row share one weight."
            )
        weights[labels.rows] = labels.weights
        Y[np.ix_(labels.rows, labels.tasks)] = labels.targets
    return IncompleteRows.of(X, Y, weights, intercepts=problem.fit_intercept)


def intercepts_of(
    problem: Problem, rows: IncompleteRows, coef: np.ndarray, centred: np.ndarray
) -> np.ndarray:
    """(q,) intercepts for the features as they are, from those for centred features.

    A task without labels is predicted at the mean level of all labels.
    """
    intercept = centred - coef @ rows.x_mean
    weight = problem.task_weight
    unlabelled = weight == 0
    if problem.fit_intercept and unlabelled.any():
        level = weight @ problem.data.y_mean / weight.sum() / problem.y_scale
        middle = weight @ problem.data.task_x_mean / weight.sum() / problem.x_scale
        intercept = np.where(unlabelled, level - coef @ middle, intercept)
    return intercept


def target_variance(problem: Problem) -> np.ndarray:
    """(q,) variance of the scaled targets (mean square without intercepts); their mean for one that does not vary."""
    variance = problem.data.target_variance
    if not problem.fit_intercept:
        variance = variance + problem.data.y_mean**2
    variance = variance / problem.y_scale**2
    varies = variance > 0
    return np.where(varies, variance, variance[varies].mean() if varies.any() else 1.0)


def variance_floor(problem: Problem) -> np.ndarray:
    """(q,) what is added to the error variances; nothing to a task without labels, whose would grow for ever."""
    return np.where(problem.task_weight > 0, _FLOOR * target_variance(problem), 0.0)


def has_few_rows(problem: Problem) -> bool:
    """Whether some task has no more labels than there are features, which can then fit it exactly."""
    data = problem.data
    if isinstance(data, Moments):
        counts = data.n_labels
    else:
        counts = np.array([len(labels.rows) for labels in data.patterns])
    return bool(np.any((counts > 0) & (counts <= data.n_features)))
