"""The constraint that all tasks have one vector of coefficients, of zero or more."""

from __future__ import annotations

import numpy as np

from polytask.linear.penalties.base import Penalty


class SharedVector(Penalty):
    """0 where B ≥ 0 and b_1j = … = b_qj for the features concerned, ∞ elsewhere.

    Parameters
    ----------
    features : (p,) bool array
        Features whose coefficients all tasks must share.
    """

    def __init__(self, features: np.ndarray) -> None:
        self.features = features

    def value(self, coef: np.ndarray) -> float:
        return 0.0

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        # The nearest common vector is the mean.
        return np.maximum(np.where(self.features, coef.mean(axis=0), coef), 0.0)
