"""EM for regression with random coefficients that are alike over tasks, and correlated errors (MrRCE).

    Y = XB + E,  rows of B ~ N(0, σ²C),  C = (1 − ρ)I + ρ11ᵀ,  rows of E ~ N(0, Ω⁻¹)

minimises over σ², ρ ∈ [0, 1), Ω the penalised marginal likelihood  −(2/n) log p(Y) + λ Σ_{i≠j} |ω_ij| + tr(DΩ),
with a small diagonal D that bounds Ω where a target does not vary.

With the tasks rotated and scaled so that both Ω⁻¹ and σ²C become diagonal (I and diag d: a generalised
eigenproblem of size q) and the features rotated into the eigenbasis of XᵀX (eigenvalues s), the coefficients are
independent given Y, with p·q posterior variances 1/(s_j + 1/d_t). One E-step costs O(pq² + q³); no matrix of size
nq or pq is formed. Steps are those of parameter-expanded EM: Y = γXB + E is maximised over γ as well, and γ goes into
σ². This keeps EM from crawling where coefficients fade.

References
----------
Navon, A., Rosset, S. (2020). Capturing between-tasks covariance and similarities using multivariate linear mixed
models. Electronic Journal of Statistics 14, 3821-3844 (arXiv 1812.03662).
Liu, C., Rubin, D. B., Wu, Y. N. (1998). Parameter expansion to accelerate EM. Biometrika 85, 755-770.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numba import njit

from polytask.linear.solvers.debugging import assert_descent
from polytask.linear.solvers.graphical_lasso import descend, log_det

#: Coefficients whose variance is below this share of the first guess are zero.
_FADED = 1e-9
#: Share of the first guess of the errors' covariance in that of given coefficients.
_SHARE_OF_FIRST = 1e-3
#: No smaller change is waited for.
_ROUNDING = 1e-10
#: C must stay positive definite.
LARGEST_SIMILARITY = 1 - 1e-6
#: Sweeps of the graphical lasso in one M-step: any decrease keeps EM monotone.
_SWEEPS = 4
_GAP = 1e-10
_LOG_TWO_PI = float(np.log(2 * np.pi))


class RandomEffects(NamedTuple):
    """Parameters: variance σ² of the coefficients, similarity ρ, precision Ω (q, q) of the errors."""

    variance: float
    similarity: float
    precision: np.ndarray

    def task_covariance(self) -> np.ndarray:
        """(q, q) σ²C."""
        q = len(self.precision)
        return self.variance * ((1 - self.similarity) * np.eye(q) + self.similarity * np.ones((q, q)))


class MrRCEFit(NamedTuple):
    """coef (q, p), the posterior mean; parameters; the penalised objective before and after every step
    (n_iter + 1,); and the change of the parameters in the last step."""

    coef: np.ndarray
    parameters: RandomEffects
    objective: np.ndarray
    change: float


class Expectations(NamedTuple):
    """Given Y: the posterior mean (q, p), E[BᵀB] and E[(Y − γXB)ᵀ(Y − γXB)] (q, q) at the best γ, −2 log p(Y), γ.

    Where errors of missing labels are expected values too, they are so at γ = 1 (`stretched` is false), and residuals
    are those at γ = 1.
    """

    coef: np.ndarray
    coefs: np.ndarray
    residuals: np.ndarray
    deviance: float
    stretch: float
    stretched: bool = True


class ErrorPenalty(NamedTuple):
    """λ Σ_{i≠j} |(UᵀΩU)_ij| + tr(DΩ): λ, U (q, q), and the diagonal (q,) of D."""

    alpha: float
    basis: np.ndarray
    floor: np.ndarray

    def value(self, precision: np.ndarray) -> float:
        rotated = np.abs(self.basis.T @ precision @ self.basis)
        return self.alpha * float(rotated.sum() - np.trace(rotated)) + float(self.floor @ np.diag(precision))


class MrRCEData(Protocol):
    """What EM needs to know of the data."""

    @property
    def weight(self) -> float:
        """Number of rows, or their weight."""

    @property
    def n_features(self) -> int: ...

    def expectations(self, parameters: RandomEffects) -> Expectations:
        """The E-step."""

    def initial(self) -> RandomEffects:
        """Where EM starts."""

    def error_covariance(self, coef: np.ndarray) -> np.ndarray:
        """(q, q) mean products of the errors of given coefficients (q, p)."""


class RotatedMoments(NamedTuple):
    """Weighted sums in the eigenbasis of XᵀX: values (p,), vectors (p, p), xty (q, p) rotated, yty (q, q), n."""

    values: np.ndarray
    vectors: np.ndarray
    xty: np.ndarray
    yty: np.ndarray
    weight: float

    @classmethod
    def of(cls, gram: np.ndarray, xty: np.ndarray, yty: np.ndarray, weight: float) -> RotatedMoments:
        """From XᵀX (p, p), (XᵀY)ᵀ (q, p), YᵀY (q, q) and the number of rows or their weight."""
        values, vectors = np.linalg.eigh(gram)
        rotated = np.ascontiguousarray(xty @ vectors)
        return cls(np.maximum(values, 0.0), vectors, rotated, np.ascontiguousarray(yty), float(weight))

    @property
    def n_features(self) -> int:
        return len(self.values)

    def initial(self) -> RandomEffects:
        return initial_parameters(np.diag(self.yty) / self.weight, float(self.values.sum()) / self.weight)

    def error_covariance(self, coef: np.ndarray) -> np.ndarray:
        rotated = coef @ self.vectors
        cross = rotated @ self.xty.T
        return (self.yty - cross - cross.T + (rotated * self.values) @ rotated.T) / self.weight

    def expectations(self, parameters: RandomEffects) -> Expectations:
        return expectations(self, parameters)


def mrrce(
    data: MrRCEData,
    alpha: float,
    *,
    start: RandomEffects | None = None,
    basis: np.ndarray | None = None,
    floor: np.ndarray | float = 0.0,
    tol: float = 1e-6,
    max_iter: int = 10_000,
) -> MrRCEFit:
    """Fit by EM.

    Parameters
    ----------
    data : MrRCEData
        `RotatedMoments` where every row has all labels.
    alpha : float
        λ ≥ 0, on the off-diagonal elements of Ω.
    start : RandomEffects, optional
    basis : (q, q) array, optional
        Orthonormal columns U: λ then acts on UᵀΩU, the precision of the rotated errors. The tasks' own by default.
    floor : (q,) array or float
        The diagonal of D.
    tol : float
        Stop when one step changes σ² by at most this share, ρ by at most this, and the covariance of the errors by
        at most this share of the targets' variances.
    max_iter : int

    Returns
    -------
    MrRCEFit
    """
    first = data.initial()
    # The first guess of the errors is half of the targets' variance.
    spread = np.sqrt(2 / np.diag(first.precision))
    parameters = first if start is None else start
    basis = np.eye(len(parameters.precision)) if basis is None else basis
    penalty = ErrorPenalty(alpha, basis, np.broadcast_to(floor, len(basis)))
    least = _FADED * parameters.variance
    objective: list[float] = []
    change = np.inf
    while True:
        given = data.expectations(parameters)
        objective.append(given.deviance / data.weight + penalty.value(parameters.precision))
        assert_descent(objective, "MrRCE", 1e-9)
        if change <= max(tol, _ROUNDING) or len(objective) > max_iter:
            return MrRCEFit(given.coef, parameters, np.array(objective), change)
        updated = maximise(given, data, penalty, parameters.precision, least)
        change, parameters = largest_change(parameters, updated, spread), updated


def initial_parameters(target_variance: np.ndarray, feature_variance: float) -> RandomEffects:
    """σ² that explains half of the targets' variance (q,), ρ = ½, independent errors with the other half.

    feature_variance is summed over the features.
    """
    variance = np.where(target_variance > 0, target_variance, 1.0)
    explained = variance.mean() / 2 / feature_variance if feature_variance > 0 else 1.0
    return RandomEffects(float(explained), 0.5 if len(variance) > 1 else 0.0, np.diag(2 / variance))


def expectations(moments: RotatedMoments, parameters: RandomEffects) -> Expectations:
    """The E-step, in the coordinates where errors and coefficients are independent."""
    coef, coefs, residuals, deviance, stretch = _expectations(
        moments.values,
        moments.xty,
        moments.yty,
        moments.weight,
        parameters.task_covariance(),
        parameters.precision,
    )
    return Expectations(coef @ moments.vectors.T, coefs, residuals, deviance, stretch)


@njit(cache=True)
def _expectations(
    values: np.ndarray,
    xty: np.ndarray,
    yty: np.ndarray,
    weight: float,
    task_covariance: np.ndarray,
    precision: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
    """`Expectations` with the coefficients of rotated features."""
    q, p = xty.shape
    root = np.linalg.cholesky(np.linalg.inv(precision))
    inverse = np.linalg.inv(root)
    prior, rotation = np.linalg.eigh(inverse @ task_covariance @ inverse.T)
    to_tasks = root @ rotation
    from_tasks = np.ascontiguousarray(rotation.T) @ inverse
    whitened = from_tasks @ xty
    products = from_tasks @ yty @ from_tasks.T
    coef = np.empty((q, p))
    coefs_spread, fitted_spread = np.zeros((q, q)), np.zeros((q, q))
    log_dets, explained = 0.0, 0.0
    for t in range(q):
        d = max(prior[t], 1e-300)
        for j in range(p):
            variance = d / (1.0 + d * values[j])
            coef[t, j] = variance * whitened[t, j]
            coefs_spread[t, t] += variance
            fitted_spread[t, t] += variance * values[j]
            log_dets += np.log1p(d * values[j])
            explained += variance * whitened[t, j] ** 2
    cross = coef @ whitened.T
    fitted = (coef * values) @ coef.T + fitted_spread
    energy = np.trace(fitted)
    stretch = np.trace(cross) / energy if energy > 0 else 1.0
    residuals = products - stretch * (cross + cross.T) + stretch**2 * fitted
    deviance = weight * (q * _LOG_TWO_PI - log_det(precision)) + log_dets + np.trace(products) - explained
    back = np.ascontiguousarray(to_tasks.T)
    return (
        to_tasks @ coef,
        to_tasks @ (coef @ coef.T + coefs_spread) @ back,
        to_tasks @ residuals @ back,
        deviance,
        stretch,
    )


def maximise(
    given: Expectations, data: MrRCEData, penalty: ErrorPenalty, precision: np.ndarray, least: float
) -> RandomEffects:
    """The M-step: ρ and σ² in closed form, Ω by the graphical lasso from where it stood.

    With missing labels the two are separate steps, with an E-step between them.
    """
    variance, similarity = equicorrelated(given.coefs, data.n_features)
    variance *= given.stretch**2
    if variance <= least:
        variance, similarity = least, 0.0
    if not given.stretched:
        given = data.expectations(RandomEffects(variance, similarity, precision))
    U = penalty.basis
    S = np.ascontiguousarray(U.T @ (given.residuals / data.weight + np.diag(penalty.floor)) @ U)
    if penalty.alpha > 0:
        rotated = np.ascontiguousarray(U.T @ precision @ U)
        descend(S, penalty.alpha, rotated, _GAP, _SWEEPS)
    else:
        rotated = np.linalg.inv(S)
    rotated = U @ rotated @ U.T
    return RandomEffects(variance, similarity, (rotated + rotated.T) / 2)


def effects_of(coef: np.ndarray, data: MrRCEData) -> RandomEffects:
    """Parameters to start from, given coefficients (q, p)."""
    first = data.initial()
    variance, similarity = equicorrelated(coef @ coef.T, data.n_features)
    # A little of the first guess keeps the covariance of a perfect fit positive definite.
    covariance = data.error_covariance(coef) + _SHARE_OF_FIRST * np.linalg.inv(first.precision)
    return RandomEffects(variance, similarity, np.linalg.inv(covariance))


def equicorrelated(coefs: np.ndarray, n_features: int) -> tuple[float, float]:
    """σ² and ρ ∈ [0, 1) that maximise the likelihood of p rows of N(0, σ²C) with sum of squares BᵀB (q, q).

    σ²C has the eigenvalues σ²(1 − ρ + qρ), of 1, and σ²(1 − ρ), q − 1 times; their estimates are the mean squares
    of B along 1/√q and across it. Where the first is the smaller, ρ = 0 and all are one.
    """
    q = len(coefs)
    along = coefs.sum() / q / n_features
    total = np.trace(coefs) / n_features
    if q == 1 or total == 0.0:
        return float(total / q), 0.0
    across = (total - along) / (q - 1)
    similarity = (along - across) / total
    if similarity <= 0:
        return float(total / q), 0.0
    return float(total / q), float(min(similarity, LARGEST_SIMILARITY))


def largest_change(before: RandomEffects, after: RandomEffects, spread: np.ndarray) -> float:
    """How far one step moved the parameters, without units: spread (q,) are standard deviations of the targets.

    Errors count by their covariance: the precision of a target with hardly any error goes on growing.
    """
    moved = np.abs(np.linalg.inv(after.precision) - np.linalg.inv(before.precision))
    errors = float((moved / np.outer(spread, spread)).max())
    similarity = abs(after.similarity - before.similarity)
    variance = abs(float(np.log(after.variance / before.variance)))
    return max(errors, similarity, variance)
