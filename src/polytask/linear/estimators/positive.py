"""Coefficients of zero or more where the rest of the objective is smooth: a projection after every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from polytask.linear.losses.base import SmoothLoss
from polytask.linear.paths import Solution
from polytask.linear.penalties.base import Free, NonNegative, Penalty
from polytask.linear.penalties.shared_vector import SharedVector
from polytask.linear.problem import Problem
from polytask.linear.solvers.proximal import proximal_path


def positive_path(
    problem: Problem,
    losses: Sequence[SmoothLoss],
    tol: float,
    max_iter: int,
    shared: Sequence[bool] | None = None,
) -> Solution:
    """Minimise each loss over B ≥ 0, each solution starting the next.

    Parameters
    ----------
    problem : Problem
    losses : sequence of k SmoothLoss
        With the smooth penalty of each grid point.
    tol, max_iter
        As in `proximal_path`; the measure is the optimality residual.
    shared : sequence of k bool, optional
        Where all tasks must have one vector of penalised coefficients.
    """
    paths, start = [], problem.start
    for k, loss in enumerate(losses):
        one_vector = shared is not None and shared[k]
        constraint: Penalty = SharedVector(problem.factors > 0) if one_vector else NonNegative(Free())
        path = proximal_path(loss, _always(constraint), np.zeros(1), start=start, tol=tol, max_iter=max_iter)
        start = path.components[0, 0]
        paths.append(path)
    intercepts = [path.intercept for path in paths if path.intercept is not None]
    return Solution(
        coef=np.concatenate([path.components[:, 0] for path in paths]),
        gap=np.concatenate([path.gap for path in paths]),
        null=np.concatenate([path.null for path in paths]),
        n_iter=np.concatenate([path.n_iter for path in paths]),
        # The means of the data give the intercepts of squared loss, also of tasks without labels.
        intercept=np.concatenate(intercepts) if intercepts and problem.loss != "squared" else None,
        measure="optimality residual",
    )


def _always(penalty: Penalty) -> Callable[[np.ndarray], list[Penalty]]:
    """The same penalty at every grid point."""
    return lambda point: [penalty]
