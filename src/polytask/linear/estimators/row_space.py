"""Fewer rows than features: the same problem in the space that the rows span.

Where the penalty is a quadratic form that treats all features alike, the best coefficients are combinations of the
rows (the representer theorem; Kimeldorf & Wahba 1971). With X − c = K Qᵀ, Q orthonormal in its columns, they are
b = Q b', and b' solves the problem of the features K, as many as there are rows, under the same penalty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from polytask.linear.moments import Moments
from polytask.linear.paths import Solution
from polytask.linear.problem import Problem

#: Directions with less than this share of the largest sum of squares are rounding error.
_LOST = 1e-13
#: And so is all that is left of the rows when their mean is taken out, below this share of it.
_CONSTANT = 1e-28


@dataclass(frozen=True)
class RowSpace:
    """A problem in few features, and the way back.

    Attributes
    ----------
    problem : Problem
        Of the features K.
    rows : (m, p) array or CSR matrix
        The labelled rows.
        Less c, where they are dense.
    centre, rest : (p,) array
        c, zero without intercepts, and what of it is still in `rows`.
    combine : (r, m) array
        Qᵀ = combine · (rows − rest).
    """

    problem: Problem
    rows: np.ndarray | sparse.csr_matrix
    centre: np.ndarray
    rest: np.ndarray
    combine: np.ndarray

    def lift(self, coef: np.ndarray) -> np.ndarray:
        """Coefficients (k, q, p) of the features from those (k, q, r) of K."""
        weights = coef @ self.combine
        flat = np.asarray(weights.reshape(-1, weights.shape[-1]) @ self.rows)
        return flat.reshape(*coef.shape[:-1], -1) - weights.sum(axis=-1)[..., None] * self.rest

    def lift_intercept(self, intercept: np.ndarray | None, coef: np.ndarray) -> np.ndarray | None:
        """Intercepts (k, q) for the features as they are, from those for K and lifted coefficients (k, q, p)."""
        return None if intercept is None else intercept - coef @ self.centre


def solve_in_row_space(problem: Problem, solve: Callable[[Problem], Solution]) -> Solution:
    """Solve a problem in the space of its rows where that is smaller, else as it is.

    Parameters
    ----------
    problem : Problem
        With a penalty Ω(B) = Ω(B U) for orthonormal U.
    solve : callable
        Whose learned values do not depend on features.
    """
    space = row_space(problem)
    if space is None:
        return solve(problem)
    found = solve(space.problem)
    coef = space.lift(found.coef)
    return replace(found, coef=coef, intercept=space.lift_intercept(found.intercept, coef))


def row_space(problem: Problem) -> RowSpace | None:
    """The problem in the space of its rows; None where that is no smaller."""
    if isinstance(problem.data, Moments) or problem.positive or not np.all(problem.factors == 1):
        return None
    labelled = np.unique(np.concatenate([labels.rows for labels in problem.data.patterns]))
    if len(labelled) >= problem.n_features:
        return None
    table = problem.table
    rows = table.X[labelled]
    centre = np.asarray(rows.mean(axis=0)).ravel() if problem.fit_intercept else np.zeros(problem.n_features)
    dense = not sparse.issparse(rows)
    total = float(rows.multiply(rows).sum() if not dense else np.vdot(rows, rows))
    rows, rest = (rows - centre, np.zeros_like(centre)) if dense else (rows, centre)
    values, vectors = np.linalg.eigh(_products(rows, rest))
    if values[-1] <= _CONSTANT * total:
        return None
    held = values > _LOST * values[-1]
    root, vectors = np.sqrt(values[held]), vectors[:, held]
    K = np.zeros((table.n_rows, len(root)))
    K[labelled] = vectors * root
    small = replace(
        problem, data=replace(table, X=K), x_scale=np.ones(len(root)), y_scale=np.ones(problem.n_tasks),
        factors=np.ones(len(root)), start=None,
    )  # fmt: skip
    return RowSpace(small, rows, centre, rest, (vectors / root).T)


def _products(rows: np.ndarray | sparse.csr_matrix, rest: np.ndarray) -> np.ndarray:
    """(rows − rest)(rows − rest)ᵀ, without making sparse rows dense."""
    products = rows @ rows.T
    if not sparse.issparse(rows):
        return products
    along = rows @ rest
    return products.toarray() - along[:, None] - along + rest @ rest
