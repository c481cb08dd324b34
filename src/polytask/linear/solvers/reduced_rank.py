"""Least squares, with or without a ridge, over coefficients of a given rank.

    min  ½ Σ_t ‖y_t − X_t b_t‖² + (α/2) ‖B‖²_F    over B (q, p) of rank ≤ r

Where all tasks share their rows this has a closed form: the least-squares coefficients, projected on the leading
principal directions of what they fit (Izenman 1975; with a ridge Mukherjee & Zhu 2011). Otherwise B = A C is found
by alternating least squares, which is not convex: it descends from the truncated ridge solution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from polytask.linear.solvers.debugging import assert_descent, debugging
from polytask.linear.solvers.spectral import Spectrum, ridge_path

#: Unknowns up to which C is found by a factorisation; above by conjugate gradients, which only descend, so a rough
#: solution will do: their residual relative to its start.
_DIRECT, _INNER_TOL = 600, 0.03
#: Pivots and eigenvalues below this share of the largest are rounding error.
_LOST = 1e-13


class Alternated(NamedTuple):
    """Coefficients (q, p) of rank ≤ r, the norm of the objective's slope along them, and the rounds taken."""

    coef: np.ndarray
    residual: float
    n_iter: int


def truncated(coef: np.ndarray, fitted: np.ndarray, rank: int, root: np.ndarray | None = None) -> np.ndarray:
    """The rank-r coefficients nearest to what the full ones fit: Γ^(-1/2) V Vᵀ Γ^(1/2) B.

    Parameters
    ----------
    coef : (q, p) array
        B, the (ridge) least-squares coefficients.
    fitted : (q, q) array
        B Xᵀy, products of the tasks' fitted values (and of the ridge's pseudo-observations).
    rank : int
    root : (q, q) array or None
        Γ^(1/2), symmetric and invertible; None is the identity. V holds the r leading eigenvectors of
        Γ^(1/2) B Xᵀy Γ^(1/2).
    """
    weighted = fitted if root is None else root @ fitted @ root
    leading = np.linalg.eigh(weighted)[1][:, ::-1][:, :rank]
    if root is None:
        return leading @ (leading.T @ coef)
    return np.linalg.solve(root, leading) @ (leading.T @ (root @ coef))


def inverse_root(matrix: np.ndarray) -> np.ndarray | None:
    """M^(-1/2) of a positive definite matrix; None where it is singular, whatever the scales of its rows."""
    scale = np.sqrt(matrix.diagonal())
    if not np.all(scale > 0):
        return None
    if np.linalg.eigvalsh(matrix / np.outer(scale, scale))[0] <= 1e-10:
        return None
    values, vectors = np.linalg.eigh(matrix)
    return (vectors / np.sqrt(values)) @ vectors.T if values[0] > 0 else None


def alternate(
    gram: np.ndarray,
    pattern: np.ndarray,
    xty: np.ndarray,
    alpha: float,
    rank: int,
    start: np.ndarray,
    *,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> Alternated:
    """Descend to coefficients B = A C of rank r: A given C, then C given A, each by least squares.

    Parameters
    ----------
    gram : (P, p, p) array
        XᵀX of every pattern.
    pattern : (q,) int array
        The pattern of each task.
    xty : (q, p) array
    alpha : float
        Ridge penalty, zero or more.
    rank : int
    start : (q, p) array
        Coefficients to truncate and to start from.
    tol : float
        Stop when the slope of the objective along the coefficients of rank r is at most tol times ‖Xᵀy‖_F.
    max_iter : int

    Notes
    -----
    A round solves an (r p) × (r p) system, if that is large by conjugate gradients, and P of r × r, twice. The row
    space then goes on in the direction in which it moved while that pays, as alternations creep along one
    direction when they are slow. At the largest rank the tasks separate, and the ridge solution is exact.
    """
    if rank >= min(xty.shape):
        spectrum, alphas = Spectrum.of(gram), np.full((1, len(xty)), alpha)
        return Alternated(ridge_path(spectrum, pattern, xty, alphas)[0], 0.0, 1)
    problem = _Problem(gram, pattern, xty, alpha)
    null = float(np.linalg.norm(xty))
    here, stretch = problem.at_rows(_leading_rows(gram, pattern, start, rank)), 1.0
    n_iter = 0
    while True:
        n_iter += 1
        basis, triangle = np.linalg.qr(here.A)
        C = given_columns(gram, pattern, xty, alpha, basis, triangle @ here.C)
        coef, rows = basis @ C, _orthonormal_rows(C)
        slope = xty - times_gram(gram, pattern, coef) - alpha * coef
        residual = _slope_along(slope, basis, rows)
        there = problem.at_rows(rows)
        if debugging():
            assert_descent([here.objective, problem.objective(coef)], "reduced rank, rows of B")
            assert_descent([problem.objective(coef), there.objective], "reduced rank, columns of B")
        if residual <= tol * null or n_iter >= max_iter:
            return Alternated(coef, residual, n_iter)
        here, stretch = problem.beyond(here, there, stretch)


class _Rows(NamedTuple):
    """Orthonormal rows C (r, p), the best A (q, r) for them, and the objective there."""

    C: np.ndarray
    A: np.ndarray
    objective: float


class _Problem(NamedTuple):
    gram: np.ndarray
    pattern: np.ndarray
    xty: np.ndarray
    alpha: float

    def objective(self, coef: np.ndarray) -> float:
        """½ Σ_t b_tᵀ G_t b_t − xty_tᵀ b_t + (α/2) ‖B‖²."""
        half = (times_gram(self.gram, self.pattern, coef) + self.alpha * coef) / 2
        return float(np.vdot(coef, half - self.xty))

    def at_rows(self, C: np.ndarray) -> _Rows:
        A = given_rows(self.gram, self.pattern, self.xty, self.alpha, C)
        # At the best A the objective is half of its linear part.
        return _Rows(C, A, -float(np.vdot(A, self.xty @ C.T)) / 2)

    def beyond(self, before: _Rows, after: _Rows, stretch: float) -> tuple[_Rows, float]:
        """Go on in the direction in which the row space moved if that pays, and the next factor to try."""
        left, _, right = np.linalg.svd(after.C @ before.C.T)
        further = self.at_rows(_orthonormal_rows(after.C + stretch * (after.C - left @ right @ before.C)))
        if further.objective < after.objective:
            return further, 2 * stretch
        return after, max(stretch / 4, 0.5)


def given_rows(
    gram: np.ndarray, pattern: np.ndarray, xty: np.ndarray, alpha: float, C: np.ndarray
) -> np.ndarray:
    """argmin_A of the objective at A C, for C (r, p) with orthonormal rows: a small ridge for every task."""
    spectrum = Spectrum.of(C @ gram @ C.T)
    values, vectors = spectrum.values[pattern], spectrum.vectors[pattern]
    rotated = np.matmul((xty @ C.T)[:, None, :], vectors)[:, 0]
    # A null direction carries no signal: what rotated holds there is rounding error.
    scaled = np.divide(rotated, values + alpha, out=np.zeros_like(rotated), where=values > 0)
    return np.matmul(vectors, scaled[:, :, None])[:, :, 0]


def given_columns(
    gram: np.ndarray,
    pattern: np.ndarray,
    xty: np.ndarray,
    alpha: float,
    basis: np.ndarray,
    start: np.ndarray,
) -> np.ndarray:
    """argmin_C of the objective at Q C, for Q (q, r) with orthonormal columns: least squares of r p unknowns.

    From `start` (r, p) where it is found by conjugate gradients, preconditioned by the diagonal.
    """
    rank, n_features = start.shape
    if start.size <= _DIRECT:
        shares = np.zeros((len(gram), rank, rank))
        np.add.at(shares, pattern, basis[:, :, None] * basis[:, None, :])
        system = np.tensordot(shares, gram, axes=(0, 0)).transpose(0, 2, 1, 3).reshape(start.size, start.size)
        return _solved(system, (basis.T @ xty).ravel(), alpha).reshape(rank, n_features)

    def image_of(C: np.ndarray) -> np.ndarray:
        return basis.T @ times_gram(gram, pattern, basis @ C) + alpha * C

    diagonal = (basis**2).T @ np.einsum("gjj->gj", gram)[pattern] + alpha
    inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)
    C, residual = start, basis.T @ xty - image_of(start)
    direction = inverse * residual
    product = float(np.vdot(residual, direction))
    enough = _INNER_TOL**2 * product
    for _ in range(start.size):
        if product <= enough:
            break
        image = image_of(direction)
        length = product / float(np.vdot(direction, image))
        C, residual = C + length * direction, residual - length * image
        ahead = inverse * residual
        product, last = float(np.vdot(residual, ahead)), product
        direction = ahead + product / last * direction
    return C


def times_gram(gram: np.ndarray, pattern: np.ndarray, coef: np.ndarray) -> np.ndarray:
    """(q, p) G_t b_t of every task."""
    if len(gram) == len(pattern):
        return np.matmul(coef[:, None, :], gram[pattern])[:, 0]
    out = np.empty_like(coef)
    for index, matrix in enumerate(gram):
        tasks = pattern == index
        out[tasks] = coef[tasks] @ matrix
    return out


def _leading_rows(gram: np.ndarray, pattern: np.ndarray, coef: np.ndarray, rank: int) -> np.ndarray:
    """(r, p) orthonormal basis of the rows of the truncated coefficients, which fit best in the mean Gram."""
    mean = np.tensordot(np.bincount(pattern, minlength=len(gram)) / len(pattern), gram, axes=1)
    values, vectors = np.linalg.eigh(mean)
    fitted = (coef @ vectors) * np.sqrt(np.maximum(values, 0.0))
    left = np.linalg.svd(fitted, full_matrices=False)[0][:, :rank]
    return _orthonormal_rows(left.T @ coef)


def _slope_along(slope: np.ndarray, basis: np.ndarray, rows: np.ndarray) -> float:
    """Norm of the part of a slope (q, p) along matrices Q M + N R, with the columns of Q or the rows of R."""
    columns = basis.T @ slope
    return float(np.hypot(np.linalg.norm(slope @ rows.T), np.linalg.norm(columns - columns @ rows.T @ rows)))


def _orthonormal_rows(C: np.ndarray) -> np.ndarray:
    return np.linalg.qr(C.T)[0].T


def _solved(matrix: np.ndarray, target: np.ndarray, alpha: float) -> np.ndarray:
    """(M + α I)⁻¹ v; of least norm where that is singular."""
    shifted = matrix + alpha * np.eye(len(matrix))
    try:
        factor = cho_factor(shifted, lower=True)
        pivots = factor[0].diagonal() ** 2
        if pivots.min() > _LOST * pivots.max() * len(matrix):
            return cho_solve(factor, target)
    except np.linalg.LinAlgError:
        pass
    spectrum = Spectrum.of(matrix[None])
    return ridge_path(spectrum, np.zeros(1, dtype=int), target[None], np.array([[alpha]]))[0, 0]
