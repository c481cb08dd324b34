"""The master of distributed task-relationship learning: what happens between rounds of dual coordinate ascent.

The tasks' rows stay with the workers. In each round the master sends every task its coefficients c_t and a step κ_t;
the task's worker answers with the change of B_t = Σ_i w_i u_i x_i that its dual ascent brought. With Ω the
covariance of the tasks and S = (ridge I + coupling Ω⁻¹)⁻¹, C = S B at the optimum for that Ω.

`alternating_rounds` is the algorithm of Liu, Pan & Ho (2017): rounds with C = S B and κ_t = ρ S_tt for fixed Ω, then
Ω = (C Cᵀ)^{1/2} / tr, and so on. Two things differ from the paper: rounds for one Ω end when their own duality gap is
the smaller part of the whole, not after a set number; and Ω is taken after a proximal step, without which it would
never leave the range it has (see `mtrl`). Its Ω moves little where coefficients are shrunk a lot.

`joint_rounds` updates C and Ω together in every round, C ← prox_{R/μ}(C + B/μ) with R of `relationship_penalty`,
and sends κ_t = 1/μ and coefficients that run ahead, 2C − C_previous: the same local problems are then the dual
steps of a primal-dual hybrid gradient method (Chambolle & Pock 2011), which converges for any μ; μ is balanced
as in Goldstein, Li & Yuan (2015). On 139 schools it came within a gap of 1e-4 in 21 rounds, the alternation in 853.

References
----------
Liu, S., Pan, S. J., Ho, Q. (2017). Distributed Multi-Task Relationship Learning. KDD. arXiv:1612.04022.
Chambolle, A., Pock, T. (2011). A First-Order Primal-Dual Algorithm for Convex Problems. J. Math. Imaging Vision 40.
Goldstein, T., Li, M., Yuan, X. (2015). Adaptive Primal-Dual Splitting Methods for Statistical Learning and Image
Processing. NeurIPS 28.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from polytask.linear.solvers.debugging import assert_descent
from polytask.linear.solvers.relationship_penalty import RelationshipPenalty, task_covariance
from polytask.linear.solvers.task_site import Order, Report

#: How unequal the moves of C and B may be before μ changes, by how much at first, and how that share decays.
_IMBALANCE, _CHANGE, _DECAY = 1.5, 0.5, 0.95
#: Ω is updated when its own rounds have brought the gap for fixed Ω below this share of the whole gap.
_FIXED_SHARE = 0.5


class Team(Protocol):
    """Whatever lets the workers do a round for q tasks."""

    def work(self, order: Order) -> Report: ...


class Round(NamedTuple):
    """One round: coef (q, p) that were sent; products (q, p), B before it, and after (q, p), B thereafter; loss at
    `coef`, conjugate Σ w ℓ*(−u) before it, and the best intercept (q,) for `coef`."""

    coef: np.ndarray
    products: np.ndarray
    after: np.ndarray
    loss: float
    conjugate: float
    intercept: np.ndarray

    def gap(self, penalty: RelationshipPenalty) -> float:
        """Duality gap of the whole problem, in C and Ω."""
        size, dual_size = (np.linalg.svd(table, compute_uv=False) for table in (self.coef, self.products))
        return self.loss + penalty.value(size) + self.conjugate + penalty.conjugate(dual_size)

    def fixed_gap(self) -> float:
        """Duality gap of the problem in C alone, where C = S B."""
        return self.loss + self.conjugate + float(np.vdot(self.coef, self.products))


def joint_rounds(
    team: Team,
    penalty: RelationshipPenalty,
    coef: np.ndarray,
    products: np.ndarray,
    curvature: float,
    *,
    target: float,
    max_rounds: int,
) -> tuple[Round, float, int]:
    """Rounds that update coefficients and task covariance together: the last one, its gap and their number.

    Parameters
    ----------
    team : Team
    penalty : RelationshipPenalty
    coef, products : (q, p) arrays
        C, as the workers last saw it, and B.
    curvature : float
        Of the tasks' losses, about: the first μ is its geometric mean with that of the penalty.
    target : float
        Duality gap at which to stop.
    max_rounds : int
    """
    step, change, n_rounds = np.sqrt(max(penalty.ridge, penalty.coupling) * curvature), _CHANGE, 0
    while True:
        n_rounds += 1
        left, values, right = penalty.prox(coef + products / step, step)
        done = _round(team, (left * values) @ right, products, np.full(len(coef), 1 / step), lead=1.0)
        gap = done.gap(penalty)
        if gap <= target or n_rounds == max_rounds:
            return done, gap, n_rounds
        moved, answered = step * np.linalg.norm(done.coef - coef), np.linalg.norm(done.after - products)
        coef, products = done.coef, done.after
        if moved > _IMBALANCE * answered:
            step, change = step * (1 - change), change * _DECAY
        elif answered > _IMBALANCE * moved:
            step, change = step / (1 - change), change * _DECAY


def alternating_rounds(
    team: Team,
    penalty: RelationshipPenalty,
    products: np.ndarray,
    curvature: float,
    *,
    target: float,
    max_rounds: int,
) -> tuple[Round, float, int]:
    """Rounds for fixed task covariance, then the covariance, and so on: the last round, its gap and their number.

    Parameters
    ----------
    team : Team
    penalty : RelationshipPenalty
    products : (q, p) array
        B.
    curvature : float
        The largest of the tasks' losses.
    target : float
        Duality gap at which to stop.
    max_rounds : int
    """
    covariance, n_rounds = np.eye(len(products)) / len(products), 0
    while True:
        done, n_more = fixed_rounds(
            team, penalty, covariance, products, max_rounds - n_rounds,
            enough=lambda r: r.fixed_gap() <= _FIXED_SHARE * (gap := r.gap(penalty)) or gap <= target,
        )  # fmt: skip
        n_rounds, products, gap = n_rounds + n_more, done.after, done.gap(penalty)
        if gap <= target or n_rounds >= max_rounds:
            return done, gap, n_rounds
        # The proximal step opens directions outside the range of Ω, as in `mtrl`: B is the slope of the loss.
        left, values, right = penalty.prox(done.coef + done.products / curvature, curvature)
        covariance = task_covariance((left * values) @ right)


def fixed_rounds(
    team: Team,
    penalty: RelationshipPenalty,
    covariance: np.ndarray,
    products: np.ndarray,
    max_rounds: int,
    *,
    enough: Callable[[Round], bool],
) -> tuple[Round, int]:
    """Rounds for one task covariance Ω (q, q): the last one and their number.

    They can't lower the dual objective where ρ ≥ Σ_{s,t} S_st B_s·B_t / Σ_t S_tt ‖B_t‖² for any change of B.

    Parameters
    ----------
    team, penalty
    covariance : (q, q) array
        Ω, positive semidefinite.
    products : (q, p) array
        B.
    max_rounds : int
    enough : callable
        Whether a round was the last.
    """
    prior = penalty.prior(covariance)
    kappa = safe_scaling(prior) * prior.diagonal()
    falling: list[float] = []
    while True:
        done = _round(team, prior @ products, products, kappa, lead=0.0)
        falling.append(done.conjugate + float(np.vdot(done.coef, products)) / 2)
        assert_descent(falling, "Dual ascent")
        if enough(done) or len(falling) == max_rounds:
            return done, len(falling)
        products = done.after


def safe_scaling(prior: np.ndarray) -> float:
    """ρ of a prior covariance S (q, q): the largest eigenvalue of S_st / √(S_ss S_tt).

    Row sums bound eigenvalues, so it is no larger than max_t Σ_s |S_st| / S_tt.
    """
    root = np.sqrt(np.maximum(prior.diagonal(), 0.0))
    unit = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
    return float(max(np.linalg.eigvalsh(prior * np.outer(unit, unit))[-1], 1.0))


def _round(team: Team, coef: np.ndarray, products: np.ndarray, kappa: np.ndarray, lead: float) -> Round:
    report = team.work(Order(coef, kappa, lead))
    return Round(
        coef, products, products + report.products,
        float(report.loss.sum()), float(report.conjugate.sum()), report.intercept,
    )  # fmt: skip
