"""Smooth losses with a quadratic penalty that couples the tasks: Newton's method with conjugate gradients.

    min_B  f(B) + ½ Σ_j f_j B_jᵀ M B_j

In coordinates U with B = L U, L Lᵀ = M⁻¹, the penalty is ½ ‖U‖². Newton systems are solved by conjugate gradients
from products with the rows or Grams (Dembo & Steihaug 1983), preconditioned as `coordinates` says. Where all tasks
have one Gram, the first step is the solution.

What the penalty's strong convexity bounds is the duality gap: with g the gradient in U,

    f(B) + Ω(B) − min ≤ ½ ‖g‖² = Ω(B) + Ω*(−∇f(B)) − ⟨B, −∇f(B)⟩.

Where directions have no penalty, there is no such bound; the Newton decrement ½ gᵀ H⁻¹ g stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from polytask.linear.losses.base import Point
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.kinds import Squared
from polytask.linear.losses.rows import RowLoss, RowPoint
from polytask.linear.solvers.coordinates import Coordinates, Curvature
from polytask.linear.solvers.task_penalty import TaskPenalty

#: Most products of one Newton system, halvings of a step, and the share of the promised decrease it must bring.
_PRODUCTS, _HALVINGS, _ARMIJO = 1000, 40, 1e-4
#: Accuracy of a step that the decrement is read from; steps without a smaller gap after which there is none.
_DECREMENT, _IDLE = 1e-4, 5
#: Rounding error of an objective, as a share of it.
_ROUNDING = 1e-14


class NewtonPath(NamedTuple):
    """Solutions at k grid points.

    coef (k, q, p); intercept (k, q) or None; gap (k,), duality gaps or, if `by_decrement`, Newton decrements;
    n_iter (k,) Newton steps.
    """

    coef: np.ndarray
    intercept: np.ndarray | None
    gap: np.ndarray
    n_iter: np.ndarray
    by_decrement: bool


def newton_path(
    loss: GramLoss | RowLoss,
    penalties: Sequence[TaskPenalty],
    factors: np.ndarray,
    *,
    start: np.ndarray | None = None,
    tol: float = 1e-4,
    max_iter: int = 100,
) -> NewtonPath:
    """Solve for each penalty in turn, each solution starting the next.

    Parameters
    ----------
    loss : GramLoss or RowLoss
    penalties : sequence of k TaskPenalty
    factors : (p,) array
        The f_j; features of factor 0 are unpenalised.
    start : (q, p) array, optional
    tol : float
        Stop when gap ≤ tol · loss at zero coefficients.
    max_iter : int
        Most Newton steps per penalty.
    """
    coef = np.zeros(loss.shape) if start is None else start
    solver = NewtonSolver(loss, factors)
    coefs, intercepts, gaps, n_iter = [], [], [], []
    for penalty in penalties:
        coef, gap, steps = solver.solve(penalty, coef, tol * loss.null, max_iter)
        coefs.append(coef)
        intercepts.append(loss.intercept(coef))
        gaps.append(gap)
        n_iter.append(steps)
    found = None if intercepts[0] is None else np.array(intercepts)
    by_decrement = any(bool(np.any(penalty.values == 0)) for penalty in penalties) or not np.all(factors > 0)
    return NewtonPath(np.array(coefs), found, np.array(gaps), np.array(n_iter), by_decrement)


class NewtonSolver:
    """A loss whose preconditioners are made once.

    Parameters
    ----------
    loss : GramLoss or RowLoss
    factors : (p,) array
    """

    def __init__(self, loss: GramLoss | RowLoss, factors: np.ndarray) -> None:
        self.loss, self.factors, self.curvature = loss, factors, Curvature.of(loss, factors)

    def solve(
        self, penalty: TaskPenalty, start: np.ndarray, target: float, max_iter: int
    ) -> tuple[np.ndarray, float, int]:
        """Coefficients (q, p) of a gap of at most `target`, that gap, and the number of Newton steps."""
        return _descend(
            self.loss, Coordinates(penalty, self.factors, self.curvature), start, target, max_iter
        )

    def improve(self, penalty: TaskPenalty, coef: np.ndarray, share: float) -> np.ndarray:
        """One Newton step from `coef`, its system solved to a share of the gap there."""
        space = Coordinates(penalty, self.factors, self.curvature)
        here = _Place(space, self.loss, space.of_coef(coef))
        step = _newton_step(here, share * here.size)
        moved = _search(here, step)
        return coef if moved is None else moved.point.coef

    def free_decrement(self, coef: np.ndarray) -> float:
        """The Newton decrement in the unpenalised features alone: what their slopes are worth, zero at the best."""
        if np.all(self.factors > 0):
            return 0.0
        n_tasks = len(coef)
        held = TaskPenalty(np.full(n_tasks, np.inf), np.eye(n_tasks))
        space = Coordinates(held, self.factors, self.curvature)
        here = _Place(space, self.loss, space.inverse @ coef)
        return -float(np.vdot(here.gradient, _newton_step(here, _DECREMENT * here.size))) / 2


class _Place:
    """A loss and a quadratic penalty at U: value, gradient in U, and what the gradient is worth."""

    def __init__(self, space: Coordinates, loss: GramLoss | RowLoss, U: np.ndarray) -> None:
        self.space, self.loss, self.U = space, loss, U
        self.point = loss.point(space.coef(U))
        self.value = self.point.value + float((space.weight * U**2).sum()) / 2

    @cached_property
    def gradient(self) -> np.ndarray:
        space = self.space
        return np.where(space.moves, space.weight * self.U, 0.0) - space.pull_back(self.point.slope)

    @cached_property
    def size(self) -> float:
        return self.space.size(self.gradient, self.space.precondition(self.gradient))


def _descend(
    loss: GramLoss | RowLoss, space: Coordinates, coef: np.ndarray, target: float, max_iter: int
) -> tuple[np.ndarray, float, int]:
    """Coefficients, their gap and the number of Newton steps."""
    quadratic = isinstance(loss, GramLoss) or isinstance(loss.kind, Squared)
    here = _Place(space, loss, space.of_coef(coef))
    best, least, idle, n_iter = coef, np.inf, 0, 0
    while True:
        gap, step = here.size, None
        if not space.bounded:
            step = _newton_step(here, _DECREMENT * gap)
            gap = max(-float(np.vdot(here.gradient, step)) / 2, 0.0)
        idle = 0 if gap < least else idle + 1
        if gap < least:
            best, least = here.point.coef, gap
        if gap <= target or idle == _IDLE or n_iter == max_iter:
            return best, least, n_iter
        if step is None:
            # A quadratic is solved in one step; other losses need digits only near the end.
            share = 0.0 if quadratic else min(0.01, np.sqrt(gap / (loss.null or 1.0)))
            step = _newton_step(here, max(target / 4, share * gap))
        moved = _search(here, step)
        if moved is None:
            return best, least, n_iter
        here, n_iter = moved, n_iter + 1


def _newton_step(here: _Place, enough: float) -> np.ndarray:
    """−H⁻¹ g in U by preconditioned conjugate gradients, until what is left is worth at most `enough`."""
    space, times = here.space, hessian_product(here.loss, here.point)
    step, residual = np.zeros_like(here.gradient), -here.gradient
    z = space.precondition(residual)
    direction, length = z, float(np.vdot(residual, z))
    for _ in range(_PRODUCTS):
        if length <= 0 or space.size(residual, z) <= enough:
            break
        image = space.pull_back(times(space.coef(direction))) + space.weight * direction
        curvature = float(np.vdot(direction, image))
        if curvature <= 0:
            break
        step = step + length / curvature * direction
        residual = residual - length / curvature * image
        z = space.precondition(residual)
        last, length = length, float(np.vdot(residual, z))
        direction = z + length / last * direction
    return step


def _search(here: _Place, step: np.ndarray) -> _Place | None:
    """The first of U + step / 2^i that lowers the objective enough; None if there is none."""
    promised = float(np.vdot(here.gradient, step))
    for share in 0.5 ** np.arange(_HALVINGS):
        moved = _Place(here.space, here.loss, here.U + share * step)
        if moved.value <= here.value + _ARMIJO * share * promised + _ROUNDING * abs(here.value):
            return moved
    return None


def hessian_product(loss: GramLoss | RowLoss, point: Point) -> Callable[[np.ndarray], np.ndarray]:
    """(q, p) -> (q, p), the product with the loss's second derivatives at a point, intercepts profiled out."""
    if isinstance(loss, GramLoss):
        return lambda direction: loss.point(direction).product
    assert isinstance(point, RowPoint)
    parts = [
        (part, part.weights[:, None] * loss.kind.variance(z)) for part, z in zip(loss.parts, point.predictors)
    ]

    def times(direction: np.ndarray) -> np.ndarray:
        out = np.zeros(loss.shape)
        for part, weight in parts:
            change = part.product(direction[part.tasks])
            if loss.fit_intercept:
                total = weight.sum(axis=0)
                change = change - (weight * change).sum(axis=0) / np.where(total > 0, total, 1.0)
            out[part.tasks] = part.transposed_product(weight * change)
        return out

    return times
