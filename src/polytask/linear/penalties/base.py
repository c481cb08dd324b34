"""What the proximal solver asks of a penalty."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np


class Penalty(ABC):
    """A convex function Ω of coefficients B (q, p), strength included.

    `factors` (p,) multiply the penalty of each feature; zero leaves it unpenalised.
    """

    @abstractmethod
    def value(self, coef: np.ndarray) -> float:
        """Ω(B)."""

    @abstractmethod
    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        """argmin_U ½‖U − B‖² + step · Ω(U)."""

    def polar(self, slope: np.ndarray) -> float | None:
        """max ⟨slope, B⟩ over Ω(B) ≤ 1, of a slope that is zero along the free blocks, for a (semi)norm Ω.

        The slope is dual feasible where this is at most 1. None where there is no formula; the solver then judges by
        the step it takes.
        """
        return None

    def free_blocks(self, shape: tuple[int, int]) -> np.ndarray | None:
        """(q, p) blocks of coefficients that may move together at no cost, −1 for the others; None if there is none."""
        return None

    def dual_norm(self, slope: np.ndarray) -> float | None:
        """max ⟨slope, B⟩ over Ω(B) ≤ 1 of any slope; None where Ω leaves coefficients free or there is no formula."""
        return self.polar(slope) if self.free_blocks(np.shape(slope)) is None else None


class NonNegative(Penalty):
    """A penalty with the constraint B ≥ 0, for penalties that depend on absolute values alone.

    For such an Ω, prox of the sum is the prox of Ω at the positive part.

    Parameters
    ----------
    penalty : Penalty
        A monotone function of |B|.
    """

    def __init__(self, penalty: Penalty) -> None:
        self.penalty = penalty

    def value(self, coef: np.ndarray) -> float:
        return self.penalty.value(coef)

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        return self.penalty.prox(np.maximum(coef, 0.0), step)

    def polar(self, slope: np.ndarray) -> float | None:
        # Free coefficients can't move below zero, so their slope need not vanish.
        return self.penalty.dual_norm(np.maximum(slope, 0.0))


class Free(Penalty):
    """No penalty: Ω = 0, for smooth problems and, with `NonNegative`, for the constraint alone."""

    def value(self, coef: np.ndarray) -> float:
        return 0.0

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        return coef


def blocks_alone(free: np.ndarray, shape: tuple[int, int]) -> np.ndarray | None:
    """Each free coefficient as a block of its own; free is (p,), (q, p) or what broadcasts to it."""
    if not np.any(free):
        return None
    free = np.broadcast_to(free, shape)
    blocks = np.full(shape, -1)
    blocks[free] = np.arange(np.count_nonzero(free))
    return blocks


def largest_ratio(norms: np.ndarray, threshold: np.ndarray) -> float:
    """The largest of norms / thresholds, where there is a threshold."""
    norms, threshold = np.broadcast_arrays(norms, threshold)
    held = threshold > 0
    return float((norms[held] / threshold[held]).max(initial=0.0))


def numbered(blocks: np.ndarray) -> np.ndarray:
    """Blocks (q, p) numbered from 0 without gaps; −1 stays."""
    out = np.full(blocks.shape, -1)
    held = blocks >= 0
    out[held] = np.unique(blocks[held], return_inverse=True)[1]
    return out
