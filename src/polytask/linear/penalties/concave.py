"""What local linear approximation asks of a concave penalty of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np


class ConcavePenalty(ABC):
    """Σ_j pen_j(‖B_j‖₂), pen_j increasing and concave from pen_j(0) = 0, its slope continuous.

    Parameters
    ----------
    alpha : float
        The slope at zero of a feature of factor 1.
    gamma : float
        How far from zero the penalty goes on to grow, in multiples of alpha.
    factors : (p,) array
        Multiply the alpha of each feature; zero leaves it unpenalised.
    scale : float
        Multiplies the whole penalty.
    """

    def __init__(self, alpha: float, gamma: float, factors: np.ndarray, scale: float = 1.0) -> None:
        self.level = alpha * np.asarray(factors, dtype=float)
        self.gamma, self.scale = gamma, scale

    @abstractmethod
    def values(self, norms: np.ndarray) -> np.ndarray:
        """(p,) pen_j at norms (p,)."""

    @abstractmethod
    def slopes(self, norms: np.ndarray) -> np.ndarray:
        """(p,) derivatives of pen_j at norms (p,), from the right at zero."""
