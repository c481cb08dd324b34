"""Weighted means and centred sums of products of one pattern, from dense or sparse features.

Sums are taken about the mean, never as E[x²] − E[x]²: a column far from zero would lose all its digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from polytask.linear.patterns import LabelPattern

#: A column whose spread is below this multiple of the rounding error of its mean is constant.
_CONSTANT = 8 * np.finfo(float).eps


class CentredSums(NamedTuple):
    """Sums of one pattern: weight (), x_mean (p,), gram (p, p), y_mean (k,), xty (k, p), yty (k,)."""

    weight: float
    x_mean: np.ndarray
    gram: np.ndarray
    y_mean: np.ndarray
    xty: np.ndarray
    yty: np.ndarray


def centred_sums(X: np.ndarray | sparse.csr_matrix, labels: LabelPattern) -> CentredSums:
    """Weighted means and centred second moments of the labelled rows.

    Parameters
    ----------
    X : (n, p) float array or CSR matrix
    labels : LabelPattern
        Which rows to use, their weights and their k targets.
    """
    n_features, n_tasks = X.shape[1], labels.targets.shape[1]
    weight = float(labels.weights.sum())
    if len(labels.rows) == 0:
        zeros = np.zeros
        gram, xty = zeros((n_features, n_features)), zeros((n_tasks, n_features))
        return CentredSums(0.0, zeros(n_features), gram, zeros(n_tasks), xty, zeros(n_tasks))
    y_mean, root_w_y = _centre(labels.targets, labels.weights)
    part = X if len(labels.rows) == X.shape[0] else X[labels.rows]
    if sparse.issparse(part):
        x_mean, gram, xty = _sparse_products(sparse.csc_matrix(part), labels.weights, root_w_y)
    else:
        x_mean, root_w_x = _centre(part, labels.weights)
        gram, xty = root_w_x.T @ root_w_x, root_w_y.T @ root_w_x
    return CentredSums(weight, x_mean, gram, y_mean, xty, np.einsum("ik,ik->k", root_w_y, root_w_y))


def _centre(table: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column means, and the centred table times √weight; constant columns come out exactly zero."""
    weight = weights.sum()
    mean = weights @ table / weight
    centred = table - mean
    # The rounding error of a large mean is itself the mean of what is left.
    correction = weights @ centred / weight
    centred -= correction
    mean = mean + correction
    if np.ptp(weights) > 0 or weights[0] != 1:
        centred *= np.sqrt(weights)[:, None]
    spread = np.einsum("ij,ij->j", centred, centred)
    centred[:, spread <= weight * (_CONSTANT * mean) ** 2] = 0.0
    return mean, centred


def _sparse_products(
    X: sparse.csc_matrix, weights: np.ndarray, root_w_y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means, centred Gram and XᵀY of a sparse table, never densifying its sparse columns.

    A column with at most half of its weight on nonzeros has a variance of at least its squared mean, so the
    textbook formula loses no digits there; the fuller columns cost no more memory when they are made dense.
    """
    weight, n_features = weights.sum(), X.shape[1]
    occupied = weights @ (X != 0) / weight
    full, thin = np.flatnonzero(occupied > 0.5), np.flatnonzero(occupied <= 0.5)
    mean = np.zeros(n_features)
    gram = np.zeros((n_features, n_features))
    xty = np.zeros((root_w_y.shape[1], n_features))
    mean[full], root_w_full = _centre(X[:, full].toarray(), weights)
    root_w_thin = sparse.diags(np.sqrt(weights)) @ X[:, thin]
    mean[thin] = weights @ X[:, thin] / weight
    gram[np.ix_(full, full)] = root_w_full.T @ root_w_full
    gram[np.ix_(thin, thin)] = (root_w_thin.T @ root_w_thin).toarray() - weight * np.outer(
        mean[thin], mean[thin]
    )
    # The centred side of a mixed product makes centring the thin side superfluous.
    gram[np.ix_(thin, full)] = root_w_thin.T @ root_w_full
    gram[np.ix_(full, thin)] = gram[np.ix_(thin, full)].T
    xty[:, full] = root_w_y.T @ root_w_full
    xty[:, thin] = (root_w_thin.T @ root_w_y).T
    return mean, gram, xty
