"""The shortest vector in the convex hull of the gradients: the problem of MGDA."""

from __future__ import annotations

import numpy as np

from polytask.balancing.solvers.active_set import minimise
from polytask.balancing.solvers.duplicates import first_of_equals, share_evenly
from polytask.balancing.solvers.gramian import checked


def min_norm(G: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Minimise ``wᵀGw`` over the simplex, exactly.

    Désidéri, "Multiple-gradient descent algorithm for multiobjective optimization" (2012); the problem as in Sener &
    Koltun, "Multi-Task Learning as Multi-Objective Optimization" (NeurIPS 2018), eq. 4. Two tasks in closed form
    (their Algorithm 1), more by an active set instead of their Frank–Wolfe, which only gets near.

    Parameters
    ----------
    G : float64 array of shape (T, T)
        Gramian of the gradients; positive semidefinite with a positive diagonal, in any units.
    start : float64 array of shape (T,) or None
        A guess, for instance the last step's weights; its positive entries are the first face.

    Returns
    -------
    float64 array of shape (T,)
        Non-negative, summing to one. Tasks with equal gradients share their weight equally.

    Raises
    ------
    TrainingError
        If G is not finite, or a diagonal entry is not positive.
    """
    G = checked(G)
    if len(G) == 2:
        return _of_two(G[0, 0], G[0, 1], G[1, 1])
    zeros = np.zeros(len(G))
    # On the simplex a constant added to G changes nothing but its rank: faces with 0 in their affine hull stay
    # regular. The minimum is at most the smallest diagonal entry, so this constant is of the size of the answer.
    lifted = G + G.diagonal().min()
    w = minimise(
        lifted, zeros, True, zeros if start is None else np.ascontiguousarray(start, dtype=np.float64)
    )
    return share_evenly(first_of_equals(G), w)


def _of_two(a: float, b: float, c: float) -> np.ndarray:
    """Weights for the Gramian [[a, b], [b, c]]."""
    across = a + c - 2 * b
    w = 0.5 if across <= 0 else min(1.0, max(0.0, (c - b) / across))
    return np.array([w, 1 - w])
