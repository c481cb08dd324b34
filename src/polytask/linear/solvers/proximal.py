"""Accelerated proximal gradient along a path of penalties, for any smooth loss and any penalty with a prox.

    min_{W_1..W_C}  f(W_1 + … + W_C) + Σ_c Ω_c(W_c)

One component is the common case; several are models that split the coefficients, as the dirty model does.
FISTA (Beck & Teboulle 2009) with the gradient restart of O'Donoghue & Candès (2015), and a curvature that is eased
before every step and raised where the step shows more (Scheinberg, Goldfarb & Bai 2014): along a sparse path it is
well below the largest eigenvalue of the Hessian. Predictors are linear in the coefficients, so that the point ahead
costs no product with the features.

A penalty level is done when the duality gap is small: the dual point is the residual, scaled until its slope is
feasible for every Ω_c. Directions that the penalties leave free are first set to their best by Newton's method, so
that no slope is left along them (`free_directions`).

Where a penalty gives no dual norm, the measure is the optimality residual r = ‖L (W − prox_{1/L}(W + slope/L))‖_F,
which vanishes only at the minimum, against the slope at zero. Near-collinear features make it small long before the
objective is near its minimum: by convexity the two are up to r ‖W − W*‖_F apart. With 2 ‖W‖_F in place of the unknown
distance this is to be as small, relative to the loss at zero, as r is relative to the slope there; the greater of the
two measures counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from polytask.linear.losses.base import Point, SmoothLoss
from polytask.linear.penalties.base import Penalty
from polytask.linear.solvers.free_directions import FreeDirections

#: Iterations between two evaluations of the duality gap.
_CHECK_EVERY = 10
#: Factors of the curvature before every step, and when a step was too long.
_EASE, _BACKTRACK = 0.95, 1.5
#: Share of the tolerance up to which free directions are set to their best.
_FREE_SHARE = 1e-3
#: Relative gap that is rounding error.
_FLOOR = 1e-13
#: Squared length of a step, relative to the coefficients, that is rounding error.
_STILL = 1e-30


class ProximalPath(NamedTuple):
    """Solutions along a path.

    components (k, C, q, p) sum to the coefficients; intercept (k, q) or None; gap (k,) and null (k,), a
    duality gap or, if `by_residual`, an optimality residual; n_iter (k,).
    """

    components: np.ndarray
    intercept: np.ndarray | None
    gap: np.ndarray
    null: np.ndarray
    n_iter: np.ndarray
    by_residual: bool


def proximal_path(
    loss: SmoothLoss,
    penalties_at: Callable[[np.ndarray], Sequence[Penalty]],
    grid: np.ndarray,
    *,
    start: np.ndarray | None = None,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> ProximalPath:
    """Solve for each grid point in turn, each solution starting the next.

    Parameters
    ----------
    loss : SmoothLoss
    penalties_at : callable
        The C penalties of a grid point.
    grid : (k, ...) array
        Fastest from strong to weak penalties.
    start : (q, p) or (C, q, p) array or None
        Coefficients to start from.
    tol : float
        Stop when gap ≤ tol · loss at zero coefficients.
    max_iter : int
        Largest number of iterations per grid point.
    """
    n_components = len(penalties_at(grid[0]))
    W = np.zeros((n_components, *loss.shape))
    if start is not None:
        W[: 1 if start.ndim == 2 else n_components] = start
    states, free = [], None
    # Where nothing bends any step will do.
    curvature = loss.curvature * n_components or 1.0
    for point in grid:
        penalties = penalties_at(point)
        free = _free_directions(loss, penalties, free)
        state = _Descent(loss, penalties, W, curvature, free)
        state.run(tol, max_iter)
        W, curvature = state.W, state.curvature
        states.append(state)
    intercepts = [loss.intercept(state.W.sum(axis=0)) for state in states]
    return ProximalPath(
        components=np.stack([state.W for state in states]),
        intercept=None if intercepts[0] is None else np.stack(intercepts),  # type: ignore[arg-type]
        gap=np.array([state.gap for state in states]),
        null=np.array([state.null for state in states]),
        n_iter=np.array([state.n_iter for state in states]),
        by_residual=any(state.by_residual for state in states),
    )


def _free_directions(
    loss: SmoothLoss, penalties: Sequence[Penalty], last: FreeDirections | None
) -> FreeDirections | None:
    """The directions that all penalties leave free, with the last ones' work if they are the same."""
    all_blocks = [penalty.free_blocks(loss.shape) for penalty in penalties]
    blocks = all_blocks[0]
    if blocks is None or any(other is None or not np.array_equal(other, blocks) for other in all_blocks):
        return None
    if last is not None and np.array_equal(last.blocks, blocks):
        return last
    free = FreeDirections(blocks)
    return free if free.can_settle(loss) else None


class _Descent:
    """The iterations at one grid point."""

    def __init__(
        self,
        loss: SmoothLoss,
        penalties: Sequence[Penalty],
        W: np.ndarray,
        curvature: float,
        free: FreeDirections | None,
    ) -> None:
        self.loss, self.penalties, self.W, self.curvature = loss, penalties, W, curvature
        self.free, self.left = free, 0.0
        self.here = loss.point(W.sum(axis=0))
        self.n_iter = 0
        self.by_residual = False
        self.null = loss.null
        self.gap = np.inf

    def run(self, tol: float, max_iter: int) -> None:
        self._settle_free(tol)
        ahead, at, t = self.W, self.here, 1.0
        self._measure()
        while self.gap > max(tol, _FLOOR) * self.null and self.n_iter < max_iter:
            before = self.curvature
            self.curvature *= _EASE
            W, here = self._step(ahead, at)
            self.n_iter += 1
            if np.vdot(ahead - W, W - self.W) > 0:
                t = 1.0
            t_next = (1 + np.sqrt(1 + 4 * t * t * self.curvature / before)) / 2
            stride = (t - 1) / t_next
            ahead, at = W + stride * (W - self.W), self.loss.beyond(self.here, here, stride)
            self.W, self.here, t = W, here, t_next
            if self.n_iter % _CHECK_EVERY == 0 or self.n_iter == max_iter:
                moved = self._settle_free(tol)
                if moved is not None:
                    ahead, at = ahead + moved, self.loss.point(ahead.sum(axis=0) + moved[0])
                self._measure()

    def _settle_free(self, tol: float) -> np.ndarray | None:
        """Set what no penalty holds to its best; the move (C, q, p), all of the first component, if there is one."""
        if self.free is None:
            return None
        point, self.left = self.free.settle(self.loss, self.here, _FREE_SHARE * max(tol, _FLOOR) * self.null)
        if point is self.here:
            return None
        moved = np.zeros_like(self.W)
        moved[0] = point.coef - self.here.coef
        self.W, self.here = self.W + moved, point
        return moved

    def _step(self, ahead: np.ndarray, at: Point) -> tuple[np.ndarray, Point]:
        """A proximal step from a point, shortened until the slope bends no more than the curvature says."""
        with np.errstate(over="ignore", invalid="ignore"):  # exponentials on the way there
            if not np.isfinite(at.slope.sum()):
                ahead, at = self.W, self.here
            while True:
                W = self._prox(ahead + at.slope / self.curvature)
                here, move = self.loss.point(W.sum(axis=0)), W - ahead
                squared = float(np.vdot(move, move))
                still = squared <= _STILL * float(np.vdot(W, W))
                if still or self.loss.bend(at, here) <= self.curvature * squared:
                    return W, here
                self.curvature *= _BACKTRACK

    def _prox(self, W: np.ndarray) -> np.ndarray:
        out = np.empty_like(W)
        for part, penalty in enumerate(self.penalties):
            out[part] = penalty.prox(W[part], 1 / self.curvature)
        return out

    def _measure(self) -> None:
        """Duality gap at W, or the optimality residual where a penalty has no dual norm."""
        coef, slope = self.here.coef, self.here.slope
        if self.free is None:
            norms = [p.dual_norm(slope) for p in self.penalties]
        else:
            settled = self.free.without(slope)
            norms = [p.polar(settled) for p in self.penalties]
        if any(norm is None for norm in norms):
            if not self.by_residual:
                self.by_residual = True
                self.null = float(np.linalg.norm(self.loss.at(np.zeros(self.loss.shape)).slope))
            residual = self.curvature * float(
                np.linalg.norm(self.W - self._prox(self.W + slope / self.curvature))
            )
            reach = 2 * float(np.linalg.norm(self.W)) * self.null
            self.gap = residual * max(1.0, reach / self.loss.null if self.loss.null > 0 else 1.0)
            return
        worst = max(norm for norm in norms if norm is not None)
        scale = self.loss.best_scale(coef, 1.0 / worst if worst > 0 else 1.0)
        primal = self.here.value + sum(p.value(part) for p, part in zip(self.penalties, self.W))
        self.gap = max(primal - self.loss.dual(coef, scale), 0.0) + self.left
