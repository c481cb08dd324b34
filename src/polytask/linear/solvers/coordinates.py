"""Coordinates in which a quadratic penalty that couples the tasks is a sum of squares, and preconditioners there.

    f(B) + ½ Σ_j f_j B_jᵀ M B_j  =  f(L U) + ½ Σ_j f_j ‖U_j‖²,   L Lᵀ = M⁻¹

Linear systems in the Hessian of this are preconditioned by the sum of two inverses. One is exact where every task has
the mean Hessian Ḡ times a share of its own: U can be rotated so that this problem is diagonal, in the eigenbasis of Ḡ.
The other is exact where tasks have little to do with each other. A sum of preconditioners is as good as the better of
the two, up to their largest eigenvalues: the first serves strong couplings, the second weak ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.solvers.task_penalty import TaskPenalty

#: Most features for which Grams are decomposed; beyond that the diagonal of their mean has to do.
_MOST_FEATURES = 1000
#: Least divisor of a preconditioner as a share of the largest: without a penalty, a Hessian may be zero.
_LEAST = 1e-14


class Curvature(NamedTuple):
    """What the Hessians at zero coefficients are like.

    Attributes
    ----------
    share : (q,) array
        How much of the mean Hessian stands for each task.
    values, vectors : (p,) array, (p, p) array or None
        Of the mean Hessian; None where only its diagonal is known.
    own_values, own : (q, p) array and Bases, or None
        Of every task's Hessian; None where one Gram is all there is, or for features too many to decompose.
    """

    share: np.ndarray
    values: np.ndarray
    vectors: np.ndarray | None
    own_values: np.ndarray | None
    own: Bases | None

    @classmethod
    def of(cls, loss: GramLoss | RowLoss, factors: np.ndarray) -> Curvature:
        """Of a loss whose features have these penalty factors (p,)."""
        grams, pattern, scale = _grams_at_zero(loss)
        labelled = pattern >= 0
        whole = grams.ndim == 3
        diagonals = np.einsum("gjj->gj", grams) if whole else grams
        trace = np.where(labelled, scale * diagonals.sum(axis=1)[pattern], 0.0)
        weight = np.bincount(pattern[labelled], scale[labelled], minlength=len(grams))
        mean = np.tensordot(weight, grams, axes=1) / len(pattern)
        share = trace / (trace.mean() or 1.0)
        if not whole:
            return cls(share, np.maximum(mean, 0.0), None, None, None)
        values, vectors = _eigen(mean[None], factors)
        if len(grams) == 1:
            return cls(share, values[0], vectors[0], None, None)
        own_values, own_vectors = _eigen(grams, factors)
        own_values = np.where(labelled[:, None], scale[:, None] * own_values[pattern], 0.0)
        return cls(share, values[0], vectors[0], own_values, Bases(own_vectors, pattern))


class Bases:
    """An orthonormal basis of the features for every task, that of its pattern; none where the pattern is −1."""

    def __init__(self, vectors: np.ndarray, pattern: np.ndarray) -> None:
        tasks = [np.flatnonzero(pattern == index) for index in range(len(vectors))]
        self._several = [(members, basis) for members, basis in zip(tasks, vectors) if len(members) > 1]
        # Patterns of one task are turned in one batch.
        self._alone = np.array([members[0] for members in tasks if len(members) == 1], dtype=np.int64)
        self._vectors = vectors[pattern[self._alone]]

    def turn(self, rows: np.ndarray) -> np.ndarray:
        """Rows (q, p) in the bases of their tasks."""
        out = rows.copy()
        out[self._alone] = np.matmul(rows[self._alone, None, :], self._vectors)[:, 0]
        for tasks, basis in self._several:
            out[tasks] = rows[tasks] @ basis
        return out

    def turn_back(self, rows: np.ndarray) -> np.ndarray:
        """What `turn` undoes."""
        out = rows.copy()
        out[self._alone] = np.matmul(self._vectors, rows[self._alone, :, None])[:, :, 0]
        for tasks, basis in self._several:
            out[tasks] = rows[tasks] @ basis.T
        return out


class Coordinates:
    """U with B = root U, rotated so that the problem of mean Hessians is diagonal.

    `weight` (q, p) is the penalty of each entry of U: ½ Σ weight U². Entries where `moves` is False stay zero: their
    penalty is infinite. `bounded` says whether every entry that moves has a penalty.
    """

    def __init__(self, penalty: TaskPenalty, factors: np.ndarray, curvature: Curvature) -> None:
        values = penalty.values
        # 0, 1 or ∞, as the scaled eigenvalues are.
        kind = np.where((values == 0) | np.isinf(values), values, 1.0)
        scale = np.where(kind == 1, values, 1.0) ** -0.5
        self.root, self.inverse = penalty.vectors * scale, (penalty.vectors / scale).T
        share = np.zeros(len(values))
        for level in np.unique(kind):
            columns = np.flatnonzero(kind == level)
            part = self.root[:, columns]
            share[columns], turn = np.linalg.eigh(part.T @ (curvature.share[:, None] * part))
            self.root[:, columns], self.inverse[columns] = part @ turn, turn.T @ self.inverse[columns]
        self.moves = ~np.logical_and.outer(np.isinf(kind), factors > 0)
        self.weight = np.where(self.moves, np.multiply.outer(np.minimum(kind, 1.0), factors), 1.0)
        self.bounded = bool(np.all(self.weight > 0))
        self._curvature = curvature
        mean = np.multiply.outer(np.maximum(share, 0.0), curvature.values)
        self._damped = _divisors(mean + self.weight)
        if curvature.own_values is not None:
            ridge = np.multiply.outer(penalty.matrix.diagonal(), factors)
            self._own_damped = _divisors(curvature.own_values + ridge)

    def coef(self, U: np.ndarray) -> np.ndarray:
        return self.root @ U

    def of_coef(self, coef: np.ndarray) -> np.ndarray:
        return np.where(self.moves, self.inverse @ coef, 0.0)

    def pull_back(self, slope: np.ndarray) -> np.ndarray:
        """The derivative with respect to U of one with respect to B."""
        return np.where(self.moves, self.root.T @ slope, 0.0)

    def precondition(self, residual: np.ndarray) -> np.ndarray:
        """About the inverse of the Hessian in U, times a residual (q, p)."""
        vectors, own = self._curvature.vectors, self._curvature.own
        if vectors is None:
            out = residual / self._damped
        else:
            out = residual @ vectors / self._damped @ vectors.T
        if own is not None:
            of_tasks = own.turn(self.inverse.T @ residual) / self._own_damped
            out += self.inverse @ own.turn_back(of_tasks)
        return np.where(self.moves, out, 0.0)

    def size(self, residual: np.ndarray, preconditioned: np.ndarray) -> float:
        """½ Σ r² / weight, the bound on what a gradient r is worth; by the preconditioner where that is infinite."""
        if self.bounded:
            return float((residual**2 / self.weight).sum()) / 2
        return float(np.vdot(residual, preconditioned)) / 2


def _divisors(damped: np.ndarray) -> np.ndarray:
    return np.maximum(damped, _LEAST * damped.max(initial=0.0) or 1.0)


def _eigen(matrices: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (P, p) and vectors (P, p, p), without what lies between features of different factors.

    A basis that mixes these would not leave the penalty a sum of squares.
    """
    values, vectors = np.zeros(matrices.shape[:2]), np.zeros_like(matrices)
    for factor in np.unique(factors):
        alike = np.flatnonzero(factors == factor)
        block = np.ix_(np.arange(len(matrices)), alike, alike)
        values[:, alike], vectors[block] = np.linalg.eigh(matrices[block])
    return np.maximum(values, 0.0), vectors


def _grams_at_zero(loss: GramLoss | RowLoss) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grams (P, p, p), or their diagonals (P, p); and pattern (q,), −1 for none, and scale (q,) of tasks' Hessians."""
    n_tasks, n_features = loss.shape
    if isinstance(loss, GramLoss):
        return loss.gram, loss.pattern, np.ones(n_tasks)
    grams, pattern, scale = [], np.full(n_tasks, -1), np.zeros(n_tasks)
    for index, (part, z) in enumerate(zip(loss.parts, loss.predictors(np.zeros(loss.shape)))):
        # At zero the predictors of a task are all the same, and so are the second derivatives of its labels.
        pattern[part.tasks], scale[part.tasks] = index, loss.kind.variance(z)[0]
        grams.append(_centred_gram(part.X, part.weights, loss.fit_intercept, n_features <= _MOST_FEATURES))
    # Where no task has labels of both classes, nothing depends on the coefficients.
    return np.stack(grams) if grams else np.zeros((1, n_features)), pattern, scale


def _centred_gram(
    X: np.ndarray | sparse.csr_matrix, weight: np.ndarray, centred: bool, whole: bool
) -> np.ndarray:
    """Σ w (x − x̄)(x − x̄)ᵀ, or its diagonal; rounding is of no consequence here."""
    mean = np.asarray(weight @ X).ravel() / (weight.sum() or 1.0) if centred else np.zeros(X.shape[1])
    if not sparse.issparse(X):
        X = X - mean
        return X.T @ (weight[:, None] * X) if whole else weight @ X**2
    thin = sparse.csr_matrix(X)
    if not whole:
        return np.maximum(np.asarray(weight @ thin.power(2)).ravel() - weight.sum() * mean**2, 0.0)
    return (thin.T @ sparse.diags(weight) @ thin).toarray() - weight.sum() * np.outer(mean, mean)
