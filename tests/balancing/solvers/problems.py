"""Random Gramians, and how far a solution is from the optimality conditions: written from the problems alone.

Residuals are relative to the sums of absolute terms that they are differences of, so that 1e-16 is rounding and 1 is
a wrong answer, in any units.
"""

from __future__ import annotations

import numpy as np


def of_condition(rng: np.random.Generator, n: int, condition: float) -> np.ndarray:
    """Eigenvalues log-uniform in [1/condition, 1], both ends taken, in a random basis."""
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    exponents = np.concatenate([[0.0, 1.0], rng.uniform(size=max(0, n - 2))])[:n]
    root = q * condition ** (-exponents / 2)
    return root @ root.T


def conflicting(rng: np.random.Generator, n: int, condition: float) -> np.ndarray:
    """Gradients that nearly cancel, so that the multipliers are as large as the condition allows."""
    jacobian = rng.normal(size=(n, 2 * n))
    jacobian -= jacobian.mean(0) * (1 - condition**-0.5)
    return jacobian @ jacobian.T


def badly_scaled(rng: np.random.Generator, n: int, condition: float) -> np.ndarray:
    """Lengths of the gradients up to √condition apart."""
    jacobian = rng.normal(size=(n, 2 * n)) * condition ** (-rng.uniform(size=(n, 1)) / 2)
    return jacobian @ jacobian.T


FAMILIES = (of_condition, conflicting, badly_scaled)


def gramians(count: int, low: float, high: float, seed: int = 0) -> list[np.ndarray]:
    """Gramians of T = 2..40 tasks in turn from all families, conditions 10^low..10^high."""
    rng = np.random.default_rng(seed)
    return [
        FAMILIES[i % 3](rng, int(rng.integers(2, 41)), 10 ** rng.uniform(low, high)) for i in range(count)
    ]


def kkt_simplex(gradient: np.ndarray, size: np.ndarray, w: np.ndarray) -> float:
    """The gradient is equal on the support and nowhere lower, w is in the simplex."""
    level = gradient @ w
    size = size + size @ w
    off = np.where(w > 0, np.abs(gradient - level), np.maximum(level - gradient, 0)) / size
    return max(float(off.max()), abs(w.sum() - 1), float(-w.min()))


def kkt_min_norm(G: np.ndarray, w: np.ndarray) -> float:
    return kkt_simplex(G @ w, np.abs(G) @ w, w)


def kkt_cagrad(G: np.ndarray, c: float, w: np.ndarray) -> float:
    """Where ‖g_w‖ > 0."""
    mean = np.full(len(G), 1 / len(G))
    ratio = c * np.sqrt(mean @ G @ mean) / np.sqrt(w @ G @ w)
    return kkt_simplex(G @ (mean + ratio * w), np.abs(G) @ (mean + ratio * w), w)


def kkt_fair(G: np.ndarray, a: float, alpha: np.ndarray) -> float:
    power = alpha ** (-1 / a)
    return float((np.abs(G @ alpha - power) / (np.abs(G) @ alpha + power)).max())


def kkt_dual_cone(G: np.ndarray, u: np.ndarray, v: np.ndarray) -> float:
    """Gv ≥ 0, v ≥ u, and Gv = 0 where v > u."""
    residual = G @ v / (np.abs(G) @ np.abs(v))
    return float(np.where(v > u, np.abs(residual), np.maximum(-residual, np.maximum(u - v, 0))).max())


def objective_cagrad(G: np.ndarray, c: float, w: np.ndarray) -> float:
    mean = np.full(len(G), 1 / len(G))
    return float(w @ G @ mean + c * np.sqrt(mean @ G @ mean) * np.sqrt(max(0.0, w @ G @ w)))


def objective_fair(G: np.ndarray, a: float, alpha: np.ndarray) -> float:
    utility = np.log(alpha) if a == 1 else alpha ** (1 - 1 / a) / (1 - 1 / a)
    return float(0.5 * alpha @ G @ alpha - utility.sum())
