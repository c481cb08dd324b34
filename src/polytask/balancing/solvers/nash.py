"""The bargaining problem of Nash-MTL."""

from __future__ import annotations

import numpy as np

from polytask.balancing.solvers.fair import fair


def nash(G: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """Solve ``Gα = 1/α`` (elementwise) for α > 0.

    Navon et al., "Multi-Task Learning as a Bargaining Game" (ICML 2022), claim 3.2. They approach it by a
    sequence of convex programmes; it is the stationary point of the convex ``½ αᵀGα − Σ log α``, which Newton's method
    minimises directly. At Pareto-stationary gradients the game has no solution: see `fair`.

    Parameters
    ----------
    G : float64 array of shape (T, T)
        Gramian of the gradients; positive semidefinite with a positive diagonal, in any units.
    start : float64 array of shape (T,) or None
        A guess, for instance the last step's α; used where it is positive.

    Returns
    -------
    alpha : float64 array of shape (T,)
        Scales as 1/√units of G.

    Raises
    ------
    TrainingError
        If G is not finite, or a diagonal entry is not positive.
    """
    return fair(G, 1.0, start)
