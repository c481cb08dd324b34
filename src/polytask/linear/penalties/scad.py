"""The group SCAD penalty: the group lasso up to its level, then ever less, and none for strong features."""

from __future__ import annotations

import numpy as np

from polytask.linear.penalties.concave import ConcavePenalty


class SCAD(ConcavePenalty):
    """Smoothly clipped absolute deviation of row norms, with λ = α f_j and γ > 2.

    pen(t) = λt for t ≤ λ, (2γλt − t² − λ²) / (2(γ − 1)) for λ < t ≤ γλ, λ²(γ + 1)/2 beyond.

    Fan & Li (2001), "Variable selection via nonconcave penalized likelihood", their a being γ; for norms of groups
    Huang, Breheny & Ma (2012) and Breheny & Huang (2015).
    """

    def values(self, norms: np.ndarray) -> np.ndarray:
        t = np.minimum(norms, self.gamma * self.level)
        above = np.maximum(t - self.level, 0.0)
        # (2γλt − t² − λ²) / (2(γ − 1)) = λt − (t − λ)² / (2(γ − 1)).
        return self.scale * (self.level * t - above * above / (2 * (self.gamma - 1)))

    def slopes(self, norms: np.ndarray) -> np.ndarray:
        fallen = np.clip((self.gamma * self.level - norms) / (self.gamma - 1), 0.0, self.level)
        return self.scale * fallen
