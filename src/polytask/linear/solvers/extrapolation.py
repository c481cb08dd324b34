"""Anderson acceleration of an iteration x ← T(x) (Anderson 1965; Walker & Ni 2011)."""

from __future__ import annotations

from collections import deque

import numpy as np

#: Ridge of the least squares in which rounds are combined, as a share of its largest diagonal entry.
_RIDGE = 1e-12


class Extrapolation:
    """The affine combination of the last rounds whose combined step T(x) − x is least.

    Parameters
    ----------
    memory : int
        How many rounds to combine.
    """

    def __init__(self, memory: int) -> None:
        self._points: deque[np.ndarray] = deque(maxlen=memory + 1)
        self._steps: deque[np.ndarray] = deque(maxlen=memory + 1)

    def extrapolated(self, point: np.ndarray, image: np.ndarray) -> np.ndarray | None:
        """A guess of the fixed point once T(point) = image is known; None in the first round.

        With D the differences of steps and E those of images, it is image − E γ, γ = argmin ‖step − D γ‖.
        """
        self._points.append(image)
        self._steps.append(image - point)
        if len(self._steps) < 2:
            return None
        steps = np.stack([step.ravel() for step in self._steps])
        D, E = np.diff(steps, axis=0), np.diff(np.stack([point.ravel() for point in self._points]), axis=0)
        normal = D @ D.T
        normal[np.diag_indices(len(D))] += _RIDGE * max(normal.diagonal().max(), np.finfo(float).tiny)
        weights = np.linalg.solve(normal, D @ steps[-1])
        return image - (weights @ E).reshape(image.shape)
