"""What every solver asks of a Gramian."""

from __future__ import annotations

import numpy as np

from polytask.errors import TrainingError


def checked(G: np.ndarray) -> np.ndarray:
    """The Gramian as a contiguous float64 array.

    Parameters
    ----------
    G : array of shape (T, T)

    Raises
    ------
    TrainingError
        If an entry is not finite or a diagonal entry not positive. The compiled loops do not look.
    """
    G = np.ascontiguousarray(G, dtype=np.float64)
    if np.isfinite(G).all() and (G.diagonal() > 0).all():
        return G
    wrong = np.flatnonzero(~(np.isfinite(G).all(1) & (G.diagonal() > 0))).tolist()
    raise TrainingError(
        f"The Gramian of {len(G)} tasks cannot be solved for weights: in rows {wrong} something is not finite "
        "or the squared length of the gradient is not positive. Leave tasks without a gradient out of it."
    )
