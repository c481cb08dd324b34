"""Concave penalties of rows by local linear approximation, along a path.

    min_B  F(B) = f(B) + Σ_j pen_j(‖B_j‖₂)

A concave penalty lies below its tangents, so at B^s

    F(B) ≤ f(B) + Σ_j pen_j'(‖B_j^s‖) ‖B_j‖₂ + const,   with equality at B^s,

and the weighted group lasso on the right, solved for B^(s+1), can't raise F (Zou & Li 2008, "One-step sparse estimates
in nonconcave penalized likelihood models"; an MM algorithm). The first B is the group lasso with the slopes at zero,
which is the step from B = 0. What is found is a stationary point: a local minimum of F as a rule, not always the least.

Steps are judged by the optimality residual ‖L (B − prox(B + slope/L))‖_F, with the prox of the tangent penalty at B:
it vanishes only at stationary points of F.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from polytask.linear.losses.base import Evaluation, SmoothLoss
from polytask.linear.penalties.base import NonNegative, Penalty
from polytask.linear.penalties.concave import ConcavePenalty
from polytask.linear.penalties.group import Group
from polytask.linear.solvers.debugging import assert_descent, debugging
from polytask.linear.solvers.proximal import proximal_path

#: Objectives closer than this share of the loss at zero are equal but for rounding.
_ROUNDING = 1e-13
#: Share of the residual that is left by the next tangent problem.
_SHARE = 0.1
#: Relative residual that is exact enough for the group lasso to start from.
_CONVEX_TOL = 1e-6

#: A quick way to the weighted group lasso: (weights (p,), start (q, p), its slope, residual) to coefficients (q, p)
#: and the number of steps.
Shortcut = Callable[[np.ndarray, np.ndarray, np.ndarray, float], tuple[np.ndarray, int]]


class LocalLinearPath(NamedTuple):
    """Stationary points along a path.

    coef (k, q, p); intercept (k, q) or None; residual (k,), and null (k,) to measure it against; n_iter (k,)
    tangent problems and gradient steps.
    """

    coef: np.ndarray
    intercept: np.ndarray | None
    residual: np.ndarray
    null: np.ndarray
    n_iter: np.ndarray


def local_linear_path(
    loss: SmoothLoss,
    penalty_at: Callable[[np.ndarray], ConcavePenalty],
    grid: np.ndarray,
    *,
    positive: bool = False,
    shortcut: Shortcut | None = None,
    start: np.ndarray | None = None,
    tol: float = 1e-4,
    max_iter: int = 10_000,
) -> LocalLinearPath:
    """Solve for each grid point; group lassos start each other, concave problems start from theirs.

    So the solution at a point depends on no other point of the grid but through rounding.

    Parameters
    ----------
    loss : SmoothLoss
    penalty_at : callable
        The penalty of a grid point.
    grid : (k, ...) array
        Fastest from strong to weak penalties.
    positive : bool
        Only coefficients of zero or more.
    shortcut : callable, optional
        Solves the weighted group lasso nearly; gradient steps do the rest.
    start : (q, p) array, optional
        Coefficients to start from in place of the group lasso.
    tol : float
        Stop when the residual is at most tol times the norm of the slope at zero.
    max_iter : int
        Largest number of iterations per grid point.
    """
    convex = np.zeros(loss.shape)
    null = float(np.linalg.norm(loss.at(convex).slope))
    searches = []
    for point in grid:
        search = _Search(loss, penalty_at(point), positive, shortcut, null, tol, max_iter)
        if start is None:
            convex = search.group_lasso(convex)
        search.run(convex if start is None else np.maximum(start, 0.0) if positive else start)
        searches.append(search)
    intercepts = [loss.intercept(search.coef) for search in searches]
    return LocalLinearPath(
        coef=np.stack([search.coef for search in searches]),
        intercept=None if intercepts[0] is None else np.stack(intercepts),  # type: ignore[arg-type]
        residual=np.array([search.residual for search in searches]),
        null=np.full(len(searches), null),
        n_iter=np.array([search.n_iter for search in searches]),
    )


class Tangent(Penalty):
    """Σ_j w_j ‖B_j‖₂ without a dual norm: a gap of the tangent problem says nothing of the concave one.

    Parameters
    ----------
    weights : (p,) array
    """

    def __init__(self, weights: np.ndarray) -> None:
        self.weights, self.group = weights, Group(1.0, weights)

    def value(self, coef: np.ndarray) -> float:
        return self.group.value(coef)

    def prox(self, coef: np.ndarray, step: float) -> np.ndarray:
        return self.group.prox(coef, step)


class _Search:
    """The tangent steps at one grid point."""

    def __init__(
        self, loss: SmoothLoss, penalty: ConcavePenalty, positive: bool, shortcut: Shortcut | None, null: float,
        tol: float, max_iter: int,
    ) -> None:  # fmt: skip
        self.loss, self.penalty, self.positive, self.shortcut = loss, penalty, positive, shortcut
        self.null, self.tol, self.max_iter = null, tol, max_iter
        self.n_iter = 0
        self.residual = np.inf

    def group_lasso(self, start: np.ndarray) -> np.ndarray:
        """The tangent problem at zero."""
        tangent = self._tangent(np.zeros(self.loss.shape))
        return self._solve(tangent, start, self.loss.at(start), max(self.tol / 2, _CONVEX_TOL))[0]

    def run(self, coef: np.ndarray) -> None:
        """Tangent steps until the residual is small."""
        here = self.loss.at(coef)
        while True:
            self.coef = coef
            tangent = self._tangent(coef)
            self.residual = self._residual(tangent, coef, here)
            if self.residual <= self.tol * self.null or self.n_iter >= self.max_iter:
                return
            lower = self._lower(tangent, coef, here)
            if lower is None:
                return
            if debugging():
                objectives = [self._objective(coef, here), self._objective(*lower)]
                assert_descent(objectives, "Local linear approximation", _ROUNDING)
            coef, here = lower

    def _lower(
        self, tangent: Tangent, coef: np.ndarray, here: Evaluation
    ) -> tuple[np.ndarray, Evaluation] | None:
        """Coefficients that don't raise the tangent objective.

        The next tangent will differ, so this one is solved to a share of the residual, or as exactly as it takes.
        """
        bound = here.value + tangent.value(coef) + _ROUNDING * self.loss.null
        tol = max(self.tol / 2, _SHARE * self.residual / self.null)
        while self.n_iter < self.max_iter:
            coef, here = self._solve(tangent, coef, here, tol)
            if here.value + tangent.value(coef) <= bound:
                return coef, here
            tol /= 10
        return None

    def _solve(
        self, tangent: Tangent, coef: np.ndarray, here: Evaluation, tol: float
    ) -> tuple[np.ndarray, Evaluation]:
        """The tangent problem up to a relative residual."""
        self.n_iter += 1
        if self.shortcut is not None:
            coef, n_steps = self.shortcut(tangent.weights, coef, here.slope, tol * self.null / 2)
            here = self.loss.at(coef)
            self.n_iter += n_steps
        if self._residual(tangent, coef, here) > tol * self.null and self.n_iter < self.max_iter:
            path = proximal_path(
                self.loss, lambda _: [self._constrained(tangent)], np.zeros(1), start=coef, tol=tol,
                max_iter=self.max_iter - self.n_iter,
            )  # fmt: skip
            coef = path.components[0, 0]
            here = self.loss.at(coef)
            self.n_iter += int(path.n_iter[0])
        return coef, here

    def _residual(self, tangent: Tangent, coef: np.ndarray, here: Evaluation) -> float:
        """‖L (B − prox(B + slope/L))‖_F, L the curvature of the loss."""
        # Where nothing bends any step will do.
        curvature = self.loss.curvature or 1.0
        moved = self._constrained(tangent).prox(coef + here.slope / curvature, 1 / curvature)
        return curvature * float(np.linalg.norm(coef - moved))

    def _tangent(self, coef: np.ndarray) -> Tangent:
        return Tangent(self.penalty.slopes(np.linalg.norm(coef, axis=0)))

    def _constrained(self, tangent: Tangent) -> Penalty:
        return NonNegative(tangent) if self.positive else tangent

    def _objective(self, coef: np.ndarray, here: Evaluation) -> float:
        return here.value + float(self.penalty.values(np.linalg.norm(coef, axis=0)).sum())
