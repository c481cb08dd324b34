"""The L1/Lq block norm: Lq norms of each feature's coefficients across tasks.

    Ω(B) = α Σ_j f_j ‖B_j‖_q,   1 ≤ q ≤ ∞

q = 1 is the lasso, q = 2 the group lasso (Yuan & Lin 2006), q = ∞ lets tasks share features whatever the sizes of
their coefficients (Turlach, Venables & Wright 2005). Other q: Liu & Ye (2010), "Efficient L1/Lq norm
regularization".
"""

from __future__ import annotations

import numpy as np

from polytask.linear.penalties.base import Penalty, blocks_alone, largest_ratio

#: Newton steps on the norm of a row, and on its entries given the norm; a handful is usual.
_OUTER, _INNER = 100, 100
#: Newton's method squares its error: a last step of this relative size leaves none in double precision.
_SMALL = 1e-9
#: How far ‖R‖_q^q may be from 1: what rounding leaves of rows on the verge of zero.
_ROUNDING = 1e-14


class BlockNorm(Penalty):
    """α Σ_j f_j ‖B_j‖_q, B_j the coefficients of feature j in all tasks.

    Parameters
    ----------
    alpha : float
    factors : (p,) array
    order : float in [1, inf]
        q.
    """

    def __init__(self, alpha: float, factors: np.ndarray, order: float) -> None:
        self.threshold = alpha * np.asarray(factors, dtype=float)
        self.order = float(order)

    def value(self, coef: np.ndarray) -> float:
        return float(self.threshold @ row_norms(coef, self.order))

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        return np.sign(coef) * shrink_rows(np.abs(coef), step * self.threshold, self.order)

    def polar(self, slope: np.ndarray) -> float | None:
        return largest_ratio(row_norms(slope, conjugate_order(self.order)), self.threshold)

    def free_blocks(self, shape: tuple[int, int]) -> np.ndarray | None:
        return blocks_alone(self.threshold == 0, shape)


def conjugate_order(order: float) -> float:
    """q' with 1/q + 1/q' = 1: ‖·‖_q' is the dual norm of ‖·‖_q."""
    if order == 1:
        return np.inf
    return 1.0 if np.isinf(order) else order / (order - 1)


def row_norms(table: np.ndarray, order: float) -> np.ndarray:
    """(p,) Lq norms of the columns of a table (q, p), one for each feature."""
    size = np.abs(table)
    largest = size.max(axis=0, initial=0.0)
    if np.isinf(order):
        return largest
    # Powers of numbers up to 1 don't overflow.
    unit = np.where(largest > 0, largest, 1.0)
    return largest * ((size / unit) ** order).sum(axis=0) ** (1 / order)


def shrink_rows(size: np.ndarray, threshold: np.ndarray, order: float) -> np.ndarray:
    """argmin_U ½‖U − V‖² + Σ_j τ_j ‖U_j‖_q for non-negative V.

    Parameters
    ----------
    size : (q, p) array
        V ≥ 0.
    threshold : (p,) array
        τ ≥ 0.
    order : float in [1, inf]
    """
    if order == 1:
        return np.maximum(size - threshold, 0.0)
    if np.isinf(order):
        return np.minimum(size, _cap(size, threshold))
    out = np.zeros_like(size)
    # U_j = 0 just where V_j lies in the dual ball of radius τ_j.
    norms = row_norms(size, conjugate_order(order))
    held = norms > threshold
    if order == 2:
        out[:, held] = size[:, held] * (1 - threshold[held] / norms[held])
        return out
    free = threshold == 0
    out[:, free] = size[:, free]
    curved = held & ~free
    out[:, curved] = _shrink(size[:, curved], threshold[curved], order)
    return out


def _cap(size: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """(p,) c with Σ_t (V_t − c)₊ = τ, what the L∞ norm cuts entries to; 0 where V sums to less than τ."""
    ordered = -np.sort(-size, axis=0)
    total = np.cumsum(ordered, axis=0) - threshold
    count = np.arange(1, len(size) + 1)[:, None]
    last = np.maximum((ordered * count > total).sum(axis=0), 1) - 1
    return np.maximum(total[last, np.arange(size.shape[1])] / (last + 1), 0.0)


def _shrink(size: np.ndarray, threshold: np.ndarray, order: float) -> np.ndarray:
    """The prox where it is not zero, for 1 < q < ∞.

    With s = ‖U_j‖_q and R = U_j / s, optimality is s R + τ R^(q−1) = V entry by entry. Its R falls as s grows, so
    the norm ‖R‖_q = 1 singles out one s, found by Newton's method between bounds.
    """
    unit = size.max(axis=0)
    size, threshold = size / unit, threshold / unit
    low, high = np.zeros_like(threshold), row_norms(size, order)
    norm = high * (1 - threshold / row_norms(size, conjugate_order(order)))
    for _ in range(_OUTER):
        ratio = _entries(size, norm, threshold, order)
        power = ratio**order
        excess = power.sum(axis=0) - 1.0
        low, high = np.where(excess > 0, norm, low), np.where(excess > 0, high, norm)
        pull = norm * ratio + (order - 1) * threshold * ratio ** (order - 1)
        fall = order * np.divide(power * ratio, pull, out=np.zeros_like(pull), where=pull > 0).sum(axis=0)
        moved = norm + np.divide(excess, fall, out=np.zeros_like(fall), where=fall > 0)
        moved = np.where((moved >= low) & (moved <= high), moved, (low + high) / 2)
        done = (np.abs(moved - norm) <= _SMALL * norm) | (np.abs(excess) <= _ROUNDING)
        norm = moved
        if done.all():
            break
    return unit * norm * _entries(size, norm, threshold, order)


def _entries(size: np.ndarray, norm: np.ndarray, threshold: np.ndarray, order: float) -> np.ndarray:
    """R ≥ 0 with s R + τ R^(q−1) = V.

    In x = R for q > 2, x = R^(q−1) for q < 2 this is a x + b x^m = V with m > 1, convex: Newton steps from above
    fall to the root.
    """
    steep = order > 2
    a, b, m = (norm, threshold, order - 1) if steep else (threshold, norm, 1 / (order - 1))
    with np.errstate(divide="ignore", over="ignore"):
        # Both terms are at most V at the root; in doubles the powers may overflow where b is tiny.
        x = np.minimum(size / a, (size / b) ** (1 / m))
    for _ in range(_INNER):
        power = b * x ** (m - 1)
        step = (x * (a + power) - size) / (a + m * power)
        x = np.maximum(x - step, 0.0)
        if np.all(np.abs(step) <= _SMALL * x):
            break
    return x if steep else x**m
