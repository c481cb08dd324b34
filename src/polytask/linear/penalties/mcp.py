"""The group minimax concave penalty: the group lasso for weak features, no penalty for strong ones."""

from __future__ import annotations

import numpy as np

from polytask.linear.penalties.concave import ConcavePenalty


class MCP(ConcavePenalty):
    """pen(t) = λt − t²/(2γ) for t ≤ γλ, γλ²/2 beyond, with λ = α f_j and γ > 1.

    Zhang (2010), "Nearly unbiased variable selection under minimax concave penalty"; for norms of groups Breheny &
    Huang (2009; 2015) and Huang, Breheny & Ma (2012).
    """

    def values(self, norms: np.ndarray) -> np.ndarray:
        t = np.minimum(norms, self.gamma * self.level)
        return self.scale * (self.level * t - t * t / (2 * self.gamma))

    def slopes(self, norms: np.ndarray) -> np.ndarray:
        return self.scale * np.maximum(self.level - norms / self.gamma, 0.0)
