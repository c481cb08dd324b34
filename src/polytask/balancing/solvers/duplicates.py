"""Tasks with one and the same gradient, found in the Gramian."""

from __future__ import annotations

import numpy as np

_EPS = float(np.finfo(np.float64).eps)


def first_of_equals(G: np.ndarray) -> np.ndarray:
    """For each row the first one with the same gradient up to rounding: ‖g_i − g_j‖² ≤ 64ε(‖g_i‖² + ‖g_j‖²).

    Parameters
    ----------
    G : float64 array of shape (T, T)
        Gramian of the gradients.

    Returns
    -------
    int array of shape (T,)
        A row's own number where no row before it is equal.
    """
    squares = G.diagonal()
    both = np.add.outer(squares, squares)
    return (both - 2 * G <= 64 * _EPS * both).argmax(1)


def share_evenly(first: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Give every row the mean of its equals, along the last axis: sums stay as they are."""
    if (first == np.arange(len(first))).all():
        return weights
    equals = (first[:, None] == first).astype(np.float64)
    return weights @ (equals / equals.sum(1))
