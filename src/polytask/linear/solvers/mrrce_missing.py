"""The E-step of MrRCE (see `mrrce`) where rows lack some labels.

Errors and coefficients no longer become independent at once, so the posterior of the p·q coefficients is that of one
linear system of this size. With B = ZLᵀ, LLᵀ = σ²C, the posterior precision of Z is

    H = I + Σ_k (Lᵀ Ω_k L) ⊗ X_kᵀX_k

over the patterns k of known labels, Ω_k the precision of the known errors with zeros elsewhere. Intercepts are fixed
effects at their generalised least squares values, found in the same system (Henderson's mixed-model equations).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import linalg

from polytask.linear.solvers.missing_labels import IncompleteRows, Part
from polytask.linear.solvers.mrrce import Expectations, RandomEffects, initial_parameters

_LOG_TWO_PI = float(np.log(2 * np.pi))


class _System(NamedTuple):
    """Sums over the rows: H (q, p, q, p); of Lᵀ Ω_k L-weighted y xᵀ (q, p), of Ω_k (q, q), of Lᵀ Ω_k ⊗ x
    (q, p, q), of Ω_k y (q,); and those terms of −2 log p(Y) that are quadratic in y or constant."""

    matrix: np.ndarray
    right: np.ndarray
    precision: np.ndarray
    border: np.ndarray
    targets: np.ndarray
    deviance: float


class IncompleteMrRCE(NamedTuple):
    """The data of EM where labels are missing."""

    rows: IncompleteRows

    @property
    def weight(self) -> float:
        return self.rows.weight

    @property
    def n_features(self) -> int:
        return self.rows.X.shape[1]

    def initial(self) -> RandomEffects:
        X, Y, weights = self.rows.X, self.rows.Y, self.rows.weights
        known = np.zeros_like(Y)
        for rows, tasks in self.rows.patterns:
            known[np.ix_(rows, tasks)] = weights[rows, None]
        total = np.maximum(known.sum(axis=0), np.finfo(float).tiny)
        mean = (known * Y).sum(axis=0) / total if self.rows.intercepts else 0.0
        variance = (known * (Y - mean) ** 2).sum(axis=0) / total
        return initial_parameters(variance, float(weights @ (X**2).sum(axis=1)) / self.weight)

    def error_covariance(self, coef: np.ndarray) -> np.ndarray:
        return self.rows.averages(coef, self.initial().precision).residuals(coef)

    def expectations(self, parameters: RandomEffects) -> Expectations:
        return self._posterior(parameters)[0]

    def intercept(self, parameters: RandomEffects) -> np.ndarray:
        """(q,) intercepts at the parameters, for the X kept in the rows."""
        return self._posterior(parameters)[1]

    def _posterior(self, parameters: RandomEffects) -> tuple[Expectations, np.ndarray]:
        root = np.linalg.cholesky(parameters.task_covariance())
        q, p = len(root), self.n_features
        parts = self.rows.parts(parameters.precision)
        system = self._system(root, parts)
        factor = linalg.cho_factor(system.matrix.reshape(q * p, q * p), lower=True)
        inverse = linalg.cho_solve(factor, np.eye(q * p))
        intercept = np.zeros(q)
        if self.rows.intercepts:
            border = system.border.reshape(q * p, q)
            through = inverse @ border
            schur = system.precision - border.T @ through
            # A task without labels has no equation; its intercept is zero.
            intercept = np.linalg.lstsq(schur, system.targets - through.T @ system.right.ravel(), rcond=None)[
                0
            ]
        right = system.right.ravel() - system.border.reshape(q * p, q) @ intercept
        scaled = (inverse @ right).reshape(q, p)
        quadratic = intercept @ (system.precision @ intercept - 2 * system.targets)
        deviance = system.deviance + quadratic + 2 * np.log(np.diag(factor[0])).sum() - right @ scaled.ravel()
        half = (root @ inverse.reshape(q, p * q * p)).reshape(q, p, q, p)
        # E[tr(Ω(Y − b)ᵀXB)] and E[tr(ΩBᵀXᵀXB)], by Z.
        signal = float(right @ scaled.ravel())
        energy = float(scaled.ravel() @ (right - scaled.ravel())) + q * p - float(np.trace(inverse))
        stretch = signal / energy if energy > 0 else 1.0
        spread = np.tensordot(half, root, axes=([2], [1])).transpose(0, 1, 3, 2)
        coef = root @ scaled
        coefs = coef @ coef.T + np.trace(spread, axis1=1, axis2=3)
        residuals = self._residuals(coef, intercept, spread, parts)
        return Expectations(coef, coefs, residuals, float(deviance), stretch, stretched=False), intercept

    def _system(self, root: np.ndarray, parts: list[Part]) -> _System:
        q, p = len(root), self.n_features
        matrix, right = np.zeros((q, p, q, p)), np.zeros((q, p))
        precision, border, targets = np.zeros((q, q)), np.zeros((q, p, q)), np.zeros(q)
        deviance = 0.0
        for (rows, tasks), known in parts:
            X, Y, weights = self.rows.X[rows], self.rows.Y[np.ix_(rows, tasks)], self.rows.weights[rows]
            padded = np.zeros((q, q))
            padded[np.ix_(tasks, tasks)] = known.precision
            weighted = X * weights[:, None]
            matrix += np.multiply.outer(root.T @ padded @ root, weighted.T @ X).transpose(0, 2, 1, 3)
            right += root[tasks].T @ known.precision @ (Y.T @ weighted)
            precision += weights.sum() * padded
            border += (root.T @ padded)[:, None, :] * weighted.sum(axis=0)[:, None]
            targets[tasks] += known.precision @ (weights @ Y)
            deviance += weights.sum() * (len(tasks) * _LOG_TWO_PI - known.log_det)
            deviance += float(weights @ np.einsum("ik,kl,il->i", Y, known.precision, Y))
        flat = matrix.reshape(q * p, q * p)
        flat[np.diag_indices(q * p)] += 1.0
        return _System(matrix, right, precision, border, targets, deviance)

    def _residuals(
        self, coef: np.ndarray, intercept: np.ndarray, spread: np.ndarray, parts: list[Part]
    ) -> np.ndarray:
        """E[RᵀR]: squares of the known errors at the posterior mean, the coefficients' spread, missing errors."""
        total = np.zeros((len(coef), len(coef)))
        for (rows, tasks), known in parts:
            X, weights = self.rows.X[rows], self.rows.weights[rows]
            error = self.rows.Y[np.ix_(rows, tasks)] - X @ coef[tasks].T - intercept[tasks]
            squares = (error * weights[:, None]).T @ error
            known_spread = spread[tasks][:, :, tasks]
            squares += np.tensordot(known_spread, (X * weights[:, None]).T @ X, axes=([1, 3], [0, 1]))
            total += known.slope @ squares @ known.slope.T + weights.sum() * known.left
        return total
