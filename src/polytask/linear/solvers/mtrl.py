"""Task-relationship learning on moments: alternation from both sides, with a proximal step in between.

For Grams G_t, with C = (c_1, …, c_q)ᵀ the coefficients and Ω the covariance of the tasks,

    min_{C, Ω}  Σ_t [½ c_tᵀ G_t c_t − xty_tᵀ c_t]  +  (ridge/2) ‖C‖_F²  +  (coupling/2) tr(Cᵀ Ω⁻¹ C)
    subject to  Ω ⪰ 0,  tr Ω = 1,  range C ⊆ range Ω

is jointly convex (Zhang & Yeung 2010), and with the best Ω put in it is a problem in C alone, with the penalty R
of `relationship_penalty`.

The paper alternates between C and Ω. Once Ω is singular, which with more tasks than features it is after a single
step, an alternation never leaves its range, though the optimum may lie elsewhere; and directions that vanish at
the optimum die out slowly. So each round here has three steps, none of which raises the objective:

1. a proximal gradient step of R, which opens new directions, sets vanishing ones to exactly zero and would
   converge to the optimum by itself;
2. the minimum over C given the covariance of the *features*, which R admits as well as that of the tasks: tasks
   then separate, and C may leave the range of Ω;
3. the minimum over C given Ω, in its range, from where the direction of the round is followed while that pays.

Nothing is smoothed: a singular Ω means that C is zero outside its range.

References
----------
Zhang, Y., Yeung, D.-Y. (2010). A Convex Formulation for Learning Task Relationships in Multi-Task Learning. UAI.
Argyriou, A., Evgeniou, T., Pontil, M. (2008). Convex Multi-Task Feature Learning. Machine Learning 73.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from polytask.linear.solvers.debugging import assert_descent, debugging
from polytask.linear.solvers.relationship_penalty import RelationshipPenalty
from polytask.linear.solvers.spectral import Spectrum, ridge_path

#: Residual of the conjugate gradients relative to their start. They only descend, so a rough solution will do.
_INNER_TOL = 0.03
#: Singular values below this share of the largest are rounding error.
_LOST = 1e-12


class MTRLPath(NamedTuple):
    """Solutions at k grid points: coef (k, q, p), gap (k,) duality gaps, n_iter (k,) rounds or Newton steps."""

    coef: np.ndarray
    gap: np.ndarray
    n_iter: np.ndarray


def mtrl_path(
    gram: np.ndarray,
    pattern: np.ndarray,
    xty: np.ndarray,
    grid: np.ndarray,
    *,
    target: float,
    max_iter: int = 1000,
    start: np.ndarray | None = None,
) -> MTRLPath:
    """Coefficients for each pair of penalties, each solution starting the next.

    Parameters
    ----------
    gram : (P, p, p) array
    pattern : (q,) int array
        The Gram of each task.
    xty : (q, p) array
    grid : (k, 2) array
        Rows (ridge, coupling), zero or more. Without coupling the tasks separate and have a closed form.
    target : float
        Duality gap at which to stop.
    max_iter : int
        Most rounds per pair.
    start : (q, p) array, optional
        Coefficients to begin with.
    """
    grams = RotatedGrams.of(gram, pattern)
    spectrum = Spectrum.of(gram) if np.any(grid[:, 1] == 0) else None
    rotated, coef = xty @ grams.basis, np.empty((len(grid), *xty.shape))
    gap, n_iter = np.zeros(len(grid)), np.ones(len(grid), dtype=np.int64)
    current = np.zeros_like(rotated) if start is None else start @ grams.basis
    for k, (ridge, coupling) in enumerate(grid):
        if spectrum is not None and coupling == 0:
            coef[k] = ridge_path(spectrum, pattern, xty, np.full((1, len(xty)), ridge))[0]
            continue
        penalty = RelationshipPenalty(ridge, coupling)
        current, gap[k], n_iter[k] = alternate(grams, rotated, penalty, current, target, max_iter)
        coef[k] = current @ grams.basis.T
    return MTRLPath(coef, gap, n_iter)


class RotatedGrams(NamedTuple):
    """The Grams of q tasks in the r eigenvectors of their mean that are not null.

    basis (p, r); diagonal (q, r), theirs in that basis; stack (P, r, r), rotated, or None when all tasks share one
    Gram, which is then diagonal; pattern (q,), which is 0, 1, … when no two share one; largest, the largest
    eigenvalue of all.
    """

    basis: np.ndarray
    diagonal: np.ndarray
    stack: np.ndarray | None
    pattern: np.ndarray
    largest: float

    @classmethod
    def of(cls, gram: np.ndarray, pattern: np.ndarray) -> RotatedGrams:
        """Rotate a stack of Grams (P, p, p)."""
        used, pattern = np.unique(pattern, return_inverse=True)
        share = np.bincount(pattern) / len(pattern)
        values, basis = np.linalg.eigh(np.tensordot(share, gram[used], axes=1))
        alive = values > max(values[-1], 0.0) * len(values) * np.finfo(float).eps
        values, basis = values[alive], basis[:, alive]
        if len(used) == 1:
            diagonal = np.tile(values, (len(pattern), 1))
            return cls(basis, diagonal, None, pattern, float(values.max(initial=0.0)))
        stack = basis.T @ gram[used] @ basis
        if len(used) == len(pattern):
            stack, pattern = stack[pattern], np.arange(len(pattern))
        largest = float(np.linalg.eigvalsh(stack).max(initial=0.0))
        return cls(basis, np.einsum("gjj->gj", stack)[pattern], stack, pattern, largest)

    def times(self, coef: np.ndarray) -> np.ndarray:
        """(G_1 c_1, …, G_q c_q)ᵀ of coefficients (q, r) in the basis."""
        if self.stack is None:
            return coef * self.diagonal
        if len(self.stack) == len(self.pattern):
            # A Gram is symmetric, and a row times it is the faster product.
            return np.matmul(coef[:, None, :], self.stack)[:, 0]
        out = np.empty_like(coef)
        for index, matrix in enumerate(self.stack):
            tasks = np.flatnonzero(self.pattern == index)
            out[tasks] = coef[tasks] @ matrix
        return out


def alternate(
    grams: RotatedGrams,
    xty: np.ndarray,
    penalty: RelationshipPenalty,
    coef: np.ndarray,
    target: float,
    max_iter: int,
) -> tuple[np.ndarray, float, int]:
    """Coefficients, their duality gap and the number of rounds, in the basis of the Grams.

    Parameters
    ----------
    grams : RotatedGrams
    xty, coef : (q, r) arrays
        Products with the targets, and where to start.
    penalty : RelationshipPenalty
    target : float
        Duality gap at which to stop.
    max_iter : int
    """
    curvature = grams.largest if grams.largest > 0 else 1.0
    slope, gap, n_iter, stretch = xty - grams.times(coef), 0.0, 0, 1.0
    for n_iter in range(1, max_iter + 1):
        left, values, right = penalty.prox(coef + slope / curvature, curvature)
        shrunk = (left * values) @ right
        slope = xty - grams.times(shrunk)
        gap = penalty.gap(shrunk, slope)
        if gap <= target:
            return shrunk, gap, n_iter
        freed = given_features(grams, xty, right, penalty.variances(values))
        slope = xty - grams.times(freed)
        left, values, _ = np.linalg.svd(freed, full_matrices=False)
        kept = values > _LOST * values[0]
        joint = given_tasks(grams, freed, slope, left[:, kept], penalty.variances(values[kept]))
        if debugging():
            _assert_descent(grams, xty, penalty, [coef, shrunk, freed, joint])
        coef, slope, stretch = _stretched(grams, xty, penalty, coef, joint, stretch)
    return shrunk, gap, n_iter


def given_features(
    grams: RotatedGrams, xty: np.ndarray, right: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """argmin_C Σ_t ½ c_tᵀ G_t c_t − xty_tᵀ c_t + ½ c_tᵀ (V S Vᵀ)⁻¹ c_t over C in the range of V.

    Parameters
    ----------
    right : (m, r) array
        Vᵀ.
    variances : (m,) array
        S.
    """
    factor = right.T * np.sqrt(variances)
    moved = xty @ factor
    if grams.stack is None:
        matrix = (factor.T * grams.diagonal[0]) @ factor
        matrix[np.diag_indices_from(matrix)] += 1.0
        return np.linalg.solve(matrix, moved.T).T @ factor.T
    stack = factor.T @ grams.stack @ factor + np.eye(len(variances))
    if len(stack) == len(moved):
        return np.linalg.solve(stack, moved[:, :, None])[:, :, 0] @ factor.T
    for index, matrix in enumerate(stack):
        tasks = np.flatnonzero(grams.pattern == index)
        moved[tasks] = np.linalg.solve(matrix, moved[tasks].T).T
    return moved @ factor.T


def given_tasks(
    grams: RotatedGrams, coef: np.ndarray, slope: np.ndarray, left: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """The same with tr(Cᵀ (U S Uᵀ)⁻¹ C) for C in the range of U: conjugate gradients from C = coef.

    With C = U S^{1/2} Z the system is (I + S^{1/2} Uᵀ G U S^{1/2}) Z = S^{1/2} Uᵀ xty. Its diagonal is its
    preconditioner; where all tasks share a Gram it is the whole of it, and one step is exact.

    Parameters
    ----------
    coef, slope : (q, r) arrays
        The start, and xty − G C there.
    left : (q, m) array
        U.
    variances : (m,) array
        S.
    """
    factor = left * np.sqrt(variances)
    inverse = 1.0 / (1.0 + (factor**2).T @ grams.diagonal)
    z = (left.T @ coef) / np.sqrt(variances)[:, None]
    residual = factor.T @ slope - z
    direction = inverse * residual
    product = float(np.vdot(residual, direction))
    enough = _INNER_TOL**2 * product
    for _ in range(residual.size):
        if product <= enough:
            break
        image = direction + factor.T @ grams.times(factor @ direction)
        length = product / float(np.vdot(direction, image))
        z, residual = z + length * direction, residual - length * image
        ahead = inverse * residual
        product, last = float(np.vdot(residual, ahead)), product
        direction = ahead + product / last * direction
    return factor @ z


def _stretched(
    grams: RotatedGrams,
    xty: np.ndarray,
    penalty: RelationshipPenalty,
    before: np.ndarray,
    after: np.ndarray,
    stretch: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Go on in the direction of a round if that pays: coefficients, their slope and the next factor to try.

    Alternations creep along one direction when they are slow.
    """
    beyond = after + stretch * (after - before)
    slope, further = (xty - grams.times(coef) for coef in (after, beyond))
    if _objective(beyond, further, xty, penalty) < _objective(after, slope, xty, penalty):
        return beyond, further, 2 * stretch
    return after, slope, max(stretch / 4, 0.5)


def _objective(coef: np.ndarray, slope: np.ndarray, xty: np.ndarray, penalty: RelationshipPenalty) -> float:
    """The objective less its constant ½ Σ y_tᵀy_t."""
    return -float(np.vdot(coef, xty + slope)) / 2 + penalty.value(np.linalg.svd(coef, compute_uv=False))


def _assert_descent(
    grams: RotatedGrams, xty: np.ndarray, penalty: RelationshipPenalty, steps: list[np.ndarray]
) -> None:
    values = [_objective(coef, xty - grams.times(coef), xty, penalty) for coef in steps]
    for count in range(2, len(values) + 1):
        assert_descent(values[:count], "MTRL")
