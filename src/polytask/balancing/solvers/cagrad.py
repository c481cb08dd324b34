"""The conflict-averse direction: the problem of CAGrad."""

from __future__ import annotations

import math

import numpy as np

from polytask.balancing.solvers.active_set import minimise
from polytask.balancing.solvers.cholesky import append_row, solve_in_place
from polytask.balancing.solvers.compiled import compiled
from polytask.balancing.solvers.duplicates import first_of_equals, share_evenly
from polytask.balancing.solvers.gramian import checked
from polytask.errors import SettingError

_EPS = float(np.finfo(np.float64).eps)


def cagrad(G: np.ndarray, c: float, start: np.ndarray | None = None) -> np.ndarray:
    """Minimise ``g_wᵀg_0 + √φ ‖g_w‖`` over the simplex, φ = c²‖g_0‖², g_0 the mean gradient.

    Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning" (NeurIPS 2021), eq. 4. With
    ``√φ ‖g_w‖ = min_{τ>0} ½ (τ ‖g_w‖² + φ/τ)`` it is a quadratic programme in w for every τ; the right τ is
    the root of the increasing ``τ²‖g_w(τ)‖² − φ``, which on the face of one programme has a closed form.

    Parameters
    ----------
    G : float64 array of shape (T, T)
        Gramian of the gradients; positive semidefinite with a positive diagonal, in any units.
    c : float
        Radius of the ball around g_0 in which the direction lies, in units of ‖g_0‖; not negative.
    start : float64 array of shape (T,) or None
        A guess, for instance the last step's weights.

    Returns
    -------
    w : float64 array of shape (T,)
        Non-negative, summing to one. Tasks with equal gradients share their weight equally; equal weights where g_0
        is zero, as any weights are a minimum.

    Raises
    ------
    SettingError
        If c is negative or not finite.
    TrainingError
        If G is not finite, or a diagonal entry is not positive.
    """
    if not 0 <= c < np.inf:
        raise SettingError(f"c of CAGrad must be a number of at least 0, got {c}. The paper uses 0.4.")
    G = checked(G)
    G = G / G.diagonal().mean()
    b = G.mean(1)
    square = b.mean()
    if square <= len(G) * _EPS:
        return np.full(len(G), 1 / len(G))
    guess = np.zeros(len(G)) if start is None else np.ascontiguousarray(start, dtype=np.float64)
    return share_evenly(first_of_equals(G), _search(G, b, c * math.sqrt(square), guess))


def _search(G: np.ndarray, b: np.ndarray, k: float, start: np.ndarray) -> np.ndarray:
    """Minimise ``bᵀw + k ‖g_w‖``: the root in τ, by steps that are exact on a face and stay inside a bracket."""
    squares = G.diagonal()
    H = G + squares.min()  # a constant on the simplex; keeps faces with 0 in their affine hull regular
    # ‖g_w‖ = k/τ is at most the longest gradient; at the upper end it is a billionth of that, which is zero
    low = max(k, 1e-12) / math.sqrt(squares.max())
    high = 1e9 * low
    tau = min(high, max(low, _first_guess(G, k, start)))
    best, least = start, np.inf
    for _ in range(100):
        w = minimise(H, b / -tau, True, best)
        square, level = max(0.0, float(w @ G @ w)), float(b @ w)
        if level + k * math.sqrt(square) < least:
            best, least = w, level + k * math.sqrt(square)
        if tau * tau * square > k * k:
            high = tau
        else:
            low = tau
        # on the face of w, ‖g_w(τ)‖² = near + far/τ²
        far = _far(H, b - level, w)
        near = square - far / tau**2
        root = math.sqrt((k * k - far) / near) if k * k > far and near > 0 else 0.0
        if abs(root - tau) <= 1e-9 * tau or high <= low * (1 + 1e-12):
            break
        tau = root if low < root < high else math.sqrt(low * high)
    return best


def _first_guess(G: np.ndarray, k: float, start: np.ndarray) -> float:
    """τ of the start, or of equal weights."""
    total = start.sum()
    square = start @ G @ start / total**2 if total > 0 else G.mean()
    return k / math.sqrt(max(1e-18, square))


@compiled
def _far(H, b, w):  # type: ignore[no-untyped-def]
    """bᵀ(H⁻¹ − H⁻¹11ᵀH⁻¹ / 1ᵀH⁻¹1)b on the face of w: the squared length of the part of g_0 along that face."""
    n, k = len(b), 0
    L, order = np.empty((n, n)), np.empty(n, np.int64)
    for j in range(n):
        if w[j] > 0 and append_row(H, L, order, k, j, 0.0):
            k += 1
    p, q = np.empty(k), np.ones(k)
    for i in range(k):
        p[i] = b[order[i]]
    solve_in_place(L, k, p)
    solve_in_place(L, k, q)
    square, sum_p, sum_q = 0.0, 0.0, 0.0
    for i in range(k):
        square += b[order[i]] * p[i]
        sum_p += p[i]
        sum_q += q[i]
    return max(0.0, square - sum_p * sum_p / sum_q)
