"""Numbers that are positive and add up to one."""

from __future__ import annotations

import numpy as np


def softmax(x: np.ndarray) -> np.ndarray:
    """``e^{x_t} / Σ_s e^{x_s}``, shape (T,); no x is too large."""
    exponentials = np.exp(x - x.max())
    return exponentials / exponentials.sum()
