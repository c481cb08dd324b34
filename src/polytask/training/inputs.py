"""Features as networks see them: a dense float matrix, standardised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from polytask.errors import DataError


def as_matrix(X: Any) -> np.ndarray:
    """A finite dense float matrix; raises `DataError` for anything else."""
    values = X.toarray() if sp.issparse(X) else np.asarray(X)
    if values.dtype.kind not in "fiub":
        raise DataError(f"Networks need numbers as features, got {values.dtype}; preprocess the table first.")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        column = int(np.argwhere(~np.isfinite(values))[0][1])
        raise DataError(f"Feature {column} has missing or infinite values; preprocess the table first.")
    return values


@dataclass(frozen=True)
class InputScaler:
    """Zero mean and unit variance per feature; indicators are only centred.

    An indicator that is rarely on has a tiny variance: dividing by it would make its rows outliers.

    Attributes
    ----------
    mean, scale : ndarray of shape (p,)
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray, active: bool = True) -> InputScaler:
        """From training features; the identity where it is not active."""
        p = x.shape[1]
        if not active:
            return cls(np.zeros(p), np.ones(p))
        x = x.astype(np.float64)
        scale = x.std(axis=0)
        low, high = x.min(axis=0), x.max(axis=0)
        two_values = ((x == low) | (x == high)).all(axis=0)
        scale = np.where(two_values, high - low, scale)
        return cls(x.mean(axis=0), np.where(scale > 0, scale, 1.0))

    def transform(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) / self.scale
