"""Rows that lack some labels: what the others say of them under correlated Gaussian errors.

With errors N(0, Σ), Σ = Ω⁻¹, a row whose labels o are known has the likelihood of N(·, Σ_oo), and its missing
errors have the mean Σ_mo Σ_oo⁻¹ r_o and the covariance Σ_mm − Σ_mo Σ_oo⁻¹ Σ_om (Little & Rubin 2002, chapter 11).
Rows that lack the same labels are treated together. The intercepts that fit best have a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from polytask.linear.solvers.graphical_lasso import log_det
from polytask.linear.solvers.mrce import Averages


class KnownLabels(NamedTuple):
    """Rows (m,) that have the same labels, and these labels (k,), as positions."""

    rows: np.ndarray
    tasks: np.ndarray


class Regression(NamedTuple):
    """Of all errors on the known ones: slope (q, k), covariance (q, q) of what is left, and the known errors'
    precision (k, k) and its log determinant."""

    slope: np.ndarray
    left: np.ndarray
    precision: np.ndarray
    log_det: float

    @classmethod
    def of(cls, covariance: np.ndarray, tasks: np.ndarray) -> Regression:
        """For errors with a covariance (q, q), given those of some tasks."""
        precision = np.linalg.inv(covariance[np.ix_(tasks, tasks)])
        slope = covariance[:, tasks] @ precision
        return cls(slope, covariance - slope @ covariance[tasks], precision, log_det(precision))


class Part(NamedTuple):
    """Rows with the same labels, and what these say of all errors."""

    labels: KnownLabels
    known: Regression


@dataclass(frozen=True)
class IncompleteRows:
    """Features and labels of rows with at least one label each.

    Attributes
    ----------
    X : (n, p) array
        Less `x_mean`.
    Y : (n, q) array
        Zero where missing.
    weights : (n,) array
    patterns : tuple of KnownLabels
    intercepts : bool
        Whether tasks have one.
    x_mean : (p,) array
        Weighted means of the features, zero without intercepts.
    """

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray
    patterns: tuple[KnownLabels, ...]
    intercepts: bool
    x_mean: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, Y: np.ndarray, weights: np.ndarray, *, intercepts: bool) -> IncompleteRows:
        """From Y with NaN = missing; rows of weight zero and those without any label are left out."""
        used = (weights > 0) & ~np.isnan(Y).all(axis=1)
        X, Y, weights = X[used], Y[used], weights[used]
        known, pattern = np.unique(~np.isnan(Y), axis=0, return_inverse=True)
        pattern = pattern.ravel()
        patterns = tuple(
            KnownLabels(np.flatnonzero(pattern == index), np.flatnonzero(tasks))
            for index, tasks in enumerate(known)
        )
        x_mean = np.average(X, axis=0, weights=weights) if intercepts else np.zeros(X.shape[1])
        return cls(X - x_mean, np.nan_to_num(Y, nan=0.0), weights, patterns, intercepts, x_mean)

    @property
    def weight(self) -> float:
        return float(self.weights.sum())

    def parts(self, precision: np.ndarray) -> list[Part]:
        """The patterns with their regressions, for a precision (q, q) of the errors."""
        covariance = np.linalg.inv(precision)
        return [Part(pattern, Regression.of(covariance, pattern.tasks)) for pattern in self.patterns]

    def intercept(self, coef: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """(q,) generalised least squares given the rest: Σ_i w_i Ω_oo(r_i − b)_o = 0; for the X kept here."""
        return self._intercept(self.Y - self.X @ coef.T, self.parts(precision))

    def _intercept(self, errors: np.ndarray, parts: list[Part]) -> np.ndarray:
        """errors (n, q) are those without intercept; what they hold of missing labels is not read."""
        q = errors.shape[1]
        if not self.intercepts:
            return np.zeros(q)
        matrix, right = np.zeros((q, q)), np.zeros(q)
        for (rows, tasks), known in parts:
            weights = self.weights[rows]
            matrix[np.ix_(tasks, tasks)] += weights.sum() * known.precision
            right[tasks] += known.precision @ (weights @ errors[np.ix_(rows, tasks)])
        # A task without labels has no equation; its intercept is zero.
        return np.linalg.lstsq(matrix, right, rcond=None)[0]

    def averages(self, coef: np.ndarray, precision: np.ndarray) -> Averages:
        """Expected products given the known labels, at the intercepts that fit best.

        The excess makes tr(SΩ) − log|Ω| the observed labels' deviance: Σ w [r_oᵀ Σ_oo⁻¹ r_o + log|Σ_oo|] / Σ w.
        """
        fitted = self.X @ coef.T
        parts = self.parts(precision)
        intercept = self._intercept(self.Y - fitted, parts)
        left, deviance = np.zeros_like(precision), 0.0
        completed = fitted.copy()
        for (rows, tasks), known in parts:
            error = self.Y[np.ix_(rows, tasks)] - fitted[np.ix_(rows, tasks)] - intercept[tasks]
            completed[rows] += error @ known.slope.T
            weight = self.weights[rows]
            left += weight.sum() * known.left
            deviance += float(weight @ np.einsum("ik,kl,il->i", error, known.precision, error))
            deviance -= weight.sum() * known.log_det
        # With the best intercepts the expected errors average zero, so products need no centring.
        weighted = completed * (self.weights / self.weight)[:, None]
        given = Averages(
            gram=(self.X * (self.weights / self.weight)[:, None]).T @ self.X,
            xty=weighted.T @ self.X,
            yty=weighted.T @ completed + left / self.weight,
        )
        complete = float(np.sum(given.residuals(coef) * precision)) - log_det(precision)
        return given._replace(excess=deviance / self.weight - complete)
