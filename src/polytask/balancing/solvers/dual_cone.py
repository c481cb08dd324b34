"""Projections onto the cone of directions that hurt no task: the problem of UPGrad."""

from __future__ import annotations

import numpy as np

from polytask.balancing.solvers.active_set import minimise
from polytask.balancing.solvers.duplicates import first_of_equals, share_evenly
from polytask.balancing.solvers.gramian import checked


def dual_cone(G: np.ndarray, U: np.ndarray | None = None, start: np.ndarray | None = None) -> np.ndarray:
    """Minimise ``vᵀGv`` over ``v ≥ u``, exactly, for every row u of U.

    ``Jᵀv`` is then the projection of ``Jᵀu`` onto ``{d : Jd ≥ 0}``: Quinton & Rey, "Jacobian Descent for
    Multi-Objective Optimization" (2024), proposition 1.

    Parameters
    ----------
    G : float64 array of shape (T, T)
        Gramian of the gradients; positive semidefinite with a positive diagonal, in any units.
    U : float64 array of shape (m, T) or None
        Lower bounds; None means the identity, one row for each task's own gradient.
    start : float64 array of shape (m, T) or None
        A guess, for instance the last step's V; where it is above U tells the first faces.

    Returns
    -------
    V : float64 array of shape (m, T)
        What it adds to U is shared equally by tasks with equal gradients.

    Raises
    ------
    TrainingError
        If G is not finite, or a diagonal entry is not positive.
    """
    G = checked(G)
    U = np.eye(len(G)) if U is None else np.ascontiguousarray(U, dtype=np.float64)
    # z = v − u ≥ 0 turns the bound into a sign: ½ zᵀGz + (Gu)ᵀz
    guess = np.zeros_like(U) if start is None else np.ascontiguousarray(start - U, dtype=np.float64)
    Z = np.array([minimise(G, b, False, row) for b, row in zip(-U @ G, guess)])
    return U + share_evenly(first_of_equals(G), Z)
