"""Convex clustered multi-task learning by alternation.

    min_{B, M}  f(B) + (α/2) (1 + γ) tr(Bᵀ (I + γM)⁻¹ B)   over   tr M = k,  0 ⪯ M ⪯ I

is jointly convex (Jacob, Bach & Vert 2008, "Clustered multi-task learning: a convex formulation", with the
parametrisation of Zhou, Chen & Ye 2011, "Clustered multi-task learning via alternating structure optimization"). For
given M it is a ridge problem whose tasks are coupled, for given B a formula in the singular values of B. I + γM ⪰ I,
so alternating reaches the optimum. Rounds are extrapolated where that lowers the objective.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from polytask.linear.losses.base import Evaluation
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.solvers.cluster_penalty import ClusterPenalty
from polytask.linear.solvers.coupled import solve_rotated
from polytask.linear.solvers.debugging import assert_descent
from polytask.linear.solvers.extrapolation import Extrapolation
from polytask.linear.solvers.newton import NewtonSolver
from polytask.linear.solvers.spectral import Spectrum
from polytask.linear.solvers.task_penalty import TaskPenalty

#: Share of the gap to which the Newton system of a round is solved.
_INNER = 1e-6
#: Rounds that are remembered for extrapolation.
_MEMORY = 8
#: Rounding error of an objective, as a share of it; rounds without progress after which there is none to be made.
_ROUNDING, _IDLE = 1e-14, 10


class ClusteredPath(NamedTuple):
    """Solutions at k grid points: coef (k, q, p), intercept (k, q) or None, gap (k,) duality gaps, n_iter (k,)."""

    coef: np.ndarray
    intercept: np.ndarray | None
    gap: np.ndarray
    n_iter: np.ndarray


def clustered_path(
    loss: GramLoss | RowLoss,
    penalties: Sequence[ClusterPenalty],
    factors: np.ndarray,
    *,
    start: np.ndarray | None = None,
    tol: float = 1e-4,
    max_iter: int = 1000,
) -> ClusteredPath:
    """Solve for each penalty in turn, each solution starting the next.

    Parameters
    ----------
    loss : GramLoss or RowLoss
    penalties : sequence of k ClusterPenalty
    factors : (p,) array of 0 and 1
        0 leaves a feature unpenalised; what its slopes are worth is then added to the gap.
    start : (q, p) array, optional
    tol : float
        Stop when gap ≤ tol · loss at zero coefficients.
    max_iter : int
        Most rounds per penalty.
    """
    one_gram = isinstance(loss, GramLoss) and len(loss.gram) == 1
    rounds: _Rounds = _OneGram(loss) if one_gram else _AnyLoss(loss, factors)  # type: ignore[arg-type]
    coef = rounds.turn(np.zeros(loss.shape) if start is None else start)
    coefs, intercepts, gaps, n_iter = [], [], [], []
    for penalty in penalties:
        coef, gap, steps = _alternate(rounds, penalty, coef, tol * loss.null, max_iter)
        coefs.append(rounds.turn_back(coef))
        intercepts.append(loss.intercept(coefs[-1]))
        gaps.append(gap)
        n_iter.append(steps)
    found = None if intercepts[0] is None else np.array(intercepts)
    return ClusteredPath(np.array(coefs), found, np.array(gaps), np.array(n_iter))


def _alternate(
    rounds: _Rounds, penalty: ClusterPenalty, coef: np.ndarray, target: float, max_iter: int
) -> tuple[np.ndarray, float, int]:
    """The coefficients of the least gap met, that gap and the number of rounds."""
    penalised, best, least, idle, n_iter = rounds.penalised, coef, np.inf, 0, 0
    reached, memory = np.inf, Extrapolation(_MEMORY)
    while True:
        value, slope = rounds.at(coef)
        value += penalty.value(coef[:, penalised])
        gap = penalty.gap(coef[:, penalised], slope[:, penalised]) + rounds.free_decrement(coef)
        assert_descent([reached, value], "Convex clustering", _ROUNDING)
        idle = 0 if gap < least or value < reached - _ROUNDING * abs(value) else idle + 1
        reached = value
        if gap < least:
            best, least = coef, gap
        if gap <= target or idle == _IDLE or n_iter == max_iter:
            return best, least, n_iter
        n_iter += 1
        quadratic = penalty.best(coef[:, penalised])
        moved = rounds.minimum(quadratic, coef)
        guess = memory.extrapolated(coef, moved)
        coef = moved
        if guess is not None and rounds.at(guess).value + penalty.value(guess[:, penalised]) < value:
            coef = guess


class _Rounds(ABC):
    """What a round asks of a loss; features may be rotated, which the penalty does not see."""

    penalised: np.ndarray

    @abstractmethod
    def at(self, coef: np.ndarray) -> Evaluation:
        """Value and slope of the loss."""

    @abstractmethod
    def minimum(self, penalty: TaskPenalty, coef: np.ndarray) -> np.ndarray:
        """Coefficients that minimise the loss and a quadratic penalty, or come nearer to it than `coef`."""

    def free_decrement(self, coef: np.ndarray) -> float:
        """What the slopes of unpenalised features are worth."""
        return 0.0

    def turn(self, coef: np.ndarray) -> np.ndarray:
        """Rotated coefficients."""
        return coef

    def turn_back(self, coef: np.ndarray) -> np.ndarray:
        return coef


class _OneGram(_Rounds):
    """Squared loss of tasks with one Gram, in its eigenbasis: a round is a closed form."""

    def __init__(self, loss: GramLoss) -> None:
        self.values, self.vectors = (part[0] for part in Spectrum.of(loss.gram))
        self.rotated, self.yty = loss.xty @ self.vectors, loss.yty
        self.penalised = np.ones(len(self.values), dtype=bool)

    def at(self, coef: np.ndarray) -> Evaluation:
        slope = self.rotated - coef * self.values
        return Evaluation((self.yty - float(np.vdot(coef, self.rotated + slope))) / 2, slope)

    def minimum(self, penalty: TaskPenalty, coef: np.ndarray) -> np.ndarray:
        return solve_rotated(self.values, self.rotated, penalty)

    def turn(self, coef: np.ndarray) -> np.ndarray:
        return coef @ self.vectors

    def turn_back(self, coef: np.ndarray) -> np.ndarray:
        return coef @ self.vectors.T


class _AnyLoss(_Rounds):
    """Any loss: a round is a Newton step."""

    def __init__(self, loss: GramLoss | RowLoss, factors: np.ndarray) -> None:
        self.loss, self.newton, self.penalised = loss, NewtonSolver(loss, factors), factors > 0

    def at(self, coef: np.ndarray) -> Evaluation:
        return self.loss.at(coef)

    def minimum(self, penalty: TaskPenalty, coef: np.ndarray) -> np.ndarray:
        return self.newton.improve(penalty, coef, _INNER)

    def free_decrement(self, coef: np.ndarray) -> float:
        return self.newton.free_decrement(coef)
