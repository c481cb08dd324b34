"""Elastic nets by proximal gradient steps: a norm with a prox, and a ridge that joins the smooth loss.

    min_B  f(B) + Ω(B) + ½ Σ_tj ρ_tj b_tj²

Zou & Hastie (2005), "Regularization and variable selection via the elastic net". Squared losses of moments have a
faster way, `gram_descent`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from polytask.linear.losses.base import SmoothLoss
from polytask.linear.losses.ridged import Ridged
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import Penalty
from polytask.linear.solvers.proximal import proximal_path


def elastic_net_path(
    loss: SmoothLoss,
    penalty_at: Callable[[np.ndarray], Penalty],
    ridge_at: Callable[[np.ndarray], np.ndarray],
    grid: np.ndarray,
    unit: float,
    *,
    start: np.ndarray | None = None,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> Solution:
    """Solve for each grid point in turn, each solution starting the next.

    Parameters
    ----------
    loss : SmoothLoss
    penalty_at : callable
        Ω of a grid point.
    ridge_at : callable
        ρ of a grid point, (p,) or (q, p).
    grid : (k, ...) array
    unit : float
        What the gaps are divided by.
    start, tol, max_iter
        As in `proximal_path`.
    """
    paths = []
    for point in grid:
        path = proximal_path(
            Ridged(loss, ridge_at(point)), lambda at: [penalty_at(at)], point[None],
            start=start, tol=tol, max_iter=max_iter,
        )  # fmt: skip
        start = path.components[0]
        paths.append(path)
    intercepts = [path.intercept for path in paths if path.intercept is not None]
    return Solution(
        coef=np.concatenate([path.components[:, 0] for path in paths]),
        gap=np.concatenate([path.gap for path in paths]) / unit,
        null=np.concatenate([path.null for path in paths]) / unit,
        n_iter=np.concatenate([path.n_iter for path in paths]),
        intercept=np.concatenate(intercepts) if intercepts else None,
        measure="optimality residual" if paths[0].by_residual else "duality gap",
    )
