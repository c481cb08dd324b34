"""Weighted means and centred sums of products of one pattern, from dense or sparse features.

Sums are taken about the mean, never as E[x²] − E[x]²: a column far from zero would lose all its digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import sparse
from scipy.linalg.blas import dgemm, dsyrk

from polytask.errors import DataError
from polytask.linear.patterns import LabelPattern

#: A column whose spread is below this multiple of the rounding error of its mean is constant.
_CONSTANT = 8 * np.finfo(float).eps

#: Numbers in one block of rows: few enough to stay in a core's cache while they are centred and multiplied.
_BLOCK = 2**17

#: Side of the squares in which a triangle is transposed.
_SQUARE = 32


class CentredSums(NamedTuple):
    """Sums of one pattern.

    weight (), x_mean (p,), gram (p, p), y_mean (k,), xty (k, p), target_gram (k, k); x_rest (p,) and y_rest (k,)
    are what rounding took from the means.
    """

    weight: float
    x_mean: np.ndarray
    x_rest: np.ndarray
    gram: np.ndarray
    y_mean: np.ndarray
    y_rest: np.ndarray
    xty: np.ndarray
    target_gram: np.ndarray


@np.errstate(invalid="ignore", over="ignore")
def centred_sums(X: np.ndarray | sparse.csr_matrix, labels: LabelPattern, gram: np.ndarray) -> CentredSums:
    """Weighted means and centred second moments of the labelled rows, in one pass over dense features.

    Features that are not finite give means that are not finite: see `check_finite`.

    Parameters
    ----------
    X : (n, p) array or CSR matrix
    labels : LabelPattern
        Which rows to use, their weights and their k targets.
    gram : (p, p) array of zeros in C order
        Becomes the Gram, so that nothing of its size is copied.
    """
    n_features, n_tasks = X.shape[1], labels.targets.shape[1]
    if len(labels.rows) == 0:
        x, y = np.zeros(n_features), np.zeros(n_tasks)
        return CentredSums(
            0.0, x, x, gram, y, y, np.zeros((n_tasks, n_features)), np.zeros((n_tasks, n_tasks))
        )
    if not sparse.issparse(X):
        return _dense_sums(X, labels, gram)
    (y_mean, y_rest), root_w_y = _centre(labels.targets, labels.weights)
    part = X if len(labels.rows) == X.shape[0] else X[labels.rows]
    (x_mean, x_rest), gram[:], xty = _sparse_products(sparse.csc_matrix(part), labels.weights, root_w_y)
    weight = float(labels.weights.sum())
    return CentredSums(weight, x_mean, x_rest, gram, y_mean, y_rest, xty, root_w_y.T @ root_w_y)


def check_finite(
    X: np.ndarray | sparse.csr_matrix,
    labels: LabelPattern,
    sums: CentredSums,
    task_names: Sequence[str],
    feature_names: Sequence[str] | None,
) -> None:
    """Refuse data whose means are not finite; that they are is known only now, and costs nothing.

    Raises
    ------
    DataError
        Naming the first feature or target at fault.
    """
    for column in np.flatnonzero(~np.isfinite(sums.x_mean)).tolist():
        values = X[labels.rows][:, [column]]
        values = values.toarray() if sparse.issparse(values) else values
        bad = labels.rows[~np.isfinite(values[:, 0])]
        name = f"'{feature_names[column]}'" if feature_names else f"{column}"
        raise DataError(
            f"feature {name} is NaN or infinite in {len(bad)} rows, first in row {bad[0]}: fill it in or leave "
            "the rows out. Only targets may be missing."
        )
    for task in labels.tasks[~np.isfinite(sums.y_mean)].tolist():
        raise DataError(f"the target '{task_names[task]}' holds infinite numbers; NaN is a missing label.")


def _dense_sums(X: np.ndarray, labels: LabelPattern, gram: np.ndarray) -> CentredSums:
    """Sums of dense features, block by block of rows.

    A block is centred about its own means while it is in the cache. What they are away from the means of the
    rows before (Chan, Golub & LeVeque 1983, eq. 2.1b) goes into the products as one more row.
    """
    rows, targets, weights = labels.rows, labels.targets, labels.weights
    size = min(len(rows), max(256, _BLOCK // (X.shape[1] + targets.shape[1])))
    x, y = _Columns(X, rows[0], size), _Columns(targets, 0, size)
    xty = np.zeros((targets.shape[1], X.shape[1]))
    target_gram = np.zeros((targets.shape[1], targets.shape[1]))
    weighted, total = bool(np.any(weights != 1)), 0.0
    for start in range(0, len(rows), size):
        chosen = slice(start, start + size)
        w = weights[chosen]
        root = np.sqrt(w)[:, None] if weighted else None
        block_x = x.centred(_take(X, rows[chosen]), w, root, total)
        block_y = y.centred(targets[chosen], w, root, total)
        total += w.sum()
        _add_gram(block_x, gram)
        _add_gram(block_y, target_gram)
        _add_cross(block_y, block_x, xty)
    (x_mean, x_rest), (y_mean, y_rest) = two_sum(x.first, x.mean), two_sum(y.first, y.mean)
    for products, mean in ((gram, x_mean), (target_gram, y_mean)):
        _fill_upper(products)
        constant = products.diagonal() <= total * (_CONSTANT * mean) ** 2
        products[constant] = 0.0
        products[:, constant] = 0.0
    xty *= (target_gram.diagonal() > 0)[:, None] * (gram.diagonal() > 0)
    return CentredSums(total, x_mean, x_rest, gram, y_mean, y_rest, xty, target_gram)


class _Columns:
    """Blocks of rows of one table, centred in a buffer; `first` + `mean` are the means of the rows so far."""

    def __init__(self, table: np.ndarray, first: int, size: int) -> None:
        # Numbers as small as the spread of the data lose nothing in the means; a constant column becomes zero.
        self.first = table[first].astype(float)
        self.mean = np.zeros(len(self.first))
        self.buffer = np.empty((size + 1, len(self.first)), order="F" if table.flags.f_contiguous else "C")

    def centred(self, rows: np.ndarray, w: np.ndarray, root: np.ndarray | None, total: float) -> np.ndarray:
        """√w (x − x̄) of the rows and one more row for the step of the means, after rows of weight total."""
        block = self.buffer[: len(rows) + 1]
        body, weight = block[:-1], w.sum()
        np.subtract(rows, self.first, out=body)
        mean = w @ body / weight
        body -= mean
        if root is not None:
            body *= root
        step, share = mean - self.mean, weight / (total + weight)
        np.multiply(step, np.sqrt(total * share), out=block[-1])
        self.mean += share * step
        return block


def _take(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Sorted rows of X: a view where they are consecutive."""
    if rows[-1] - rows[0] == len(rows) - 1:
        return X[rows[0] : rows[-1] + 1]
    return X[rows]


def _add_gram(block: np.ndarray, products: np.ndarray) -> None:
    """Add blockᵀ block to the lower triangle of products (C order), in place and without copying either."""
    a, trans = _for_blas(block)
    dsyrk(1.0, a, beta=1.0, c=products.T, trans=trans, overwrite_c=True)


def _add_cross(left: np.ndarray, right: np.ndarray, products: np.ndarray) -> None:
    """Add leftᵀ right to products (C order), in place and without copying any of them."""
    (a, trans_a), (b, trans_b) = _for_blas(right), _for_blas(left)
    dgemm(1.0, a, b, beta=1.0, c=products.T, trans_a=trans_a, trans_b=not trans_b, overwrite_c=True)


def _for_blas(block: np.ndarray) -> tuple[np.ndarray, bool]:
    """The block's transpose as BLAS wants it: an array in Fortran order, and whether it must be transposed."""
    return (block.T, False) if block.flags.c_contiguous else (block, True)


@njit(cache=True)
def _fill_upper(products: np.ndarray) -> None:
    """Copy the lower triangle to the upper one, in squares that fit into the cache."""
    n = len(products)
    for top in range(0, n, _SQUARE):
        for left in range(0, top + 1, _SQUARE):
            for i in range(top, min(top + _SQUARE, n)):
                for j in range(left, min(left + _SQUARE, i)):
                    products[j, i] = products[i, j]


def two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a + b, rounded, and what rounding took from it, exactly (Knuth 1969)."""
    total = a + b
    rest = total - a
    return total, (a - (total - rest)) + (b - rest)


def column_sums(X: np.ndarray | sparse.csr_matrix, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means (p,) and centred sums of squares (p,) of the columns of a table with positive weights."""
    total = weights.sum()
    mean = np.asarray(weights @ X).ravel() / total
    if not sparse.issparse(X):
        (mean, _), centred = _centre(X, weights)
        return mean, np.einsum("ij,ij->j", centred, centred)
    squares = np.zeros(X.shape[1])
    columns = sparse.csc_matrix(X)
    for j in range(X.shape[1]):
        part = slice(columns.indptr[j], columns.indptr[j + 1])
        w = weights[columns.indices[part]]
        # Zeros of the table lie at -mean once centred.
        squares[j] = w @ (columns.data[part] - mean[j]) ** 2 + max(total - w.sum(), 0.0) * mean[j] ** 2
    constant = squares <= total * (_CONSTANT * mean) ** 2
    return mean, np.where(constant, 0.0, squares)


def _centre(table: np.ndarray, weights: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Column means (and their rests), and the centred table times √weight.

    Constant columns come out exactly zero.
    """
    weight = weights.sum()
    mean = weights @ table / weight
    centred = table - mean
    # The rounding error of a large mean is itself the mean of what is left.
    correction = weights @ centred / weight
    centred -= correction
    mean, rest = two_sum(mean, correction)
    if np.any(weights != 1):
        centred *= np.sqrt(weights)[:, None]
    spread = np.einsum("ij,ij->j", centred, centred)
    centred[:, spread <= weight * (_CONSTANT * mean) ** 2] = 0.0
    return (mean, rest), centred


def _sparse_products(
    X: sparse.csc_matrix, weights: np.ndarray, root_w_y: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Means (and their rests), centred Gram and XᵀY of a sparse table, never densifying its sparse columns.

    A column with at most half of its weight on nonzeros has a variance of at least its squared mean, so the
    textbook formula loses no digits there; the fuller columns cost no more memory when they are made dense.
    """
    weight, n_features = weights.sum(), X.shape[1]
    occupied = weights @ (X != 0) / weight
    full, thin = np.flatnonzero(occupied > 0.5), np.flatnonzero(occupied <= 0.5)
    mean, rest = np.zeros(n_features), np.zeros(n_features)
    gram = np.zeros((n_features, n_features))
    xty = np.zeros((root_w_y.shape[1], n_features))
    (mean[full], rest[full]), root_w_full = _centre(X[:, full].toarray(), weights)
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
    return (mean, rest), gram, xty
