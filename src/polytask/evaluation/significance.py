"""Intervals for cross-validated differences, and Holm's correction.

References
----------
[Bayle2020] Bayle, Bayle, Janson, Mackey. Cross-validation confidence intervals for test error. NeurIPS 2020.
[Holm1979] Holm. A simple sequentially rejective multiple test procedure. Scand. J. Statist. 6, 1979.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval and two-sided p-value against zero."""

    estimate: float
    low: float
    high: float
    p: float
    standard_error: float
    n: int


def cluster_sums(values: np.ndarray, clusters: np.ndarray, n_clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the known entries of each column within each cluster.

    Parameters
    ----------
    values : ndarray of shape (n, T)
        NaN = no entry.
    clusters : ndarray of int, shape (n,)

    Returns
    -------
    sums, counts : ndarrays of shape (n_clusters, T)
    """
    known = ~np.isnan(values)
    sums = np.zeros((n_clusters, values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, clusters, np.where(known, values, 0.0))
    np.add.at(counts, clusters, known)
    return sums, counts


def difference_interval(
    values: np.ndarray, clusters: np.ndarray | None = None, *, level: float = 0.95, inflation: float = 1.0
) -> Interval:
    """Interval for the mean over columns of the columns' means, by the cross-validation central limit theorem.

    The out-of-fold differences of rows are treated as independent given the training sets: for stable
    learners their mean over √(variance/n) is asymptotically standard normal [Bayle2020]. Rows of a cluster
    may depend on each other; columns (tasks) of a row too. The standard error is the one of the cluster
    totals, ``se² = C/(C−1) Σ_c ψ_c²``, ``ψ_c = 1/T Σ_t (S_ct − n_ct m_t)/N_t``, with Student's t on C−1
    degrees of freedom.

    Parameters
    ----------
    values : ndarray of shape (n,) or (n, T)
        Differences; NaN = no label.
    clusters : ndarray of int, shape (n,), optional
        Default: each row is its own.
    level : float
    inflation : float
        Factor on the standard error, for what the theorem leaves out in small samples.

    Returns
    -------
    Interval
    """
    values = values.reshape(len(values), -1)
    clusters = np.arange(len(values)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    sums, counts = cluster_sums(values, clusters, int(clusters.max()) + 1)
    used = counts.sum(axis=1) > 0
    sums, counts = sums[used], counts[used]
    total = counts.sum(axis=0)
    means = sums.sum(axis=0) / total
    influence = ((sums - counts * means) / total).mean(axis=1)
    n = len(influence)
    estimate = float(means.mean())
    if n < 2:
        return Interval(estimate, -np.inf, np.inf, 1.0, np.inf, n)
    se = float(np.sqrt(n / (n - 1) * (influence**2).sum())) * inflation
    return from_standard_error(estimate, se, n, level)


def from_standard_error(estimate: float, se: float, n: int, level: float = 0.95) -> Interval:
    """Student's interval with n − 1 degrees of freedom; a zero error with a zero estimate is p = 1."""
    if se == 0.0:
        p = 1.0 if estimate == 0.0 else 0.0
        return Interval(estimate, estimate, estimate, p, se, n)
    half = float(stats.t.ppf(0.5 + level / 2, n - 1)) * se
    p = float(2 * stats.t.sf(abs(estimate) / se, n - 1))
    return Interval(estimate, estimate - half, estimate + half, p, se, n)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values, in the order given: ``max_{j ≤ i} min(1, (m − j + 1) p_(j))`` [Holm1979]."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    out = np.empty_like(adjusted)
    out[order] = adjusted
    return out


def rows_to_settle(interval: Interval, level: float = 0.95, power: float = 0.8) -> float:
    """Rows (clusters) at which the estimate, if true, would be told from zero with this power; inf if it is zero."""
    if interval.estimate == 0.0 or not np.isfinite(interval.standard_error):
        return float("inf")
    quantiles = stats.norm.ppf(0.5 + level / 2) + stats.norm.ppf(power)
    return float(np.ceil(interval.n * (quantiles * interval.standard_error / interval.estimate) ** 2))
