"""Task-relationship learning for tasks whose rows stay where they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from polytask.errors import SettingError
from polytask.linear.base import FixedPenaltyModel
from polytask.linear.capabilities import Capabilities
from polytask.linear.estimators.mtrl import RelationshipModel, covariances, ridge_and_coupling, target_gap
from polytask.linear.estimators.workers import SiteSettings, Workers, workers_for
from polytask.linear.paths import Solution
from polytask.linear.problem import Problem
from polytask.linear.solvers.relationship_penalty import RelationshipPenalty
from polytask.linear.solvers.relationship_rounds import alternating_rounds, joint_rounds

UPDATES = ("joint", "alternating")


@dataclass(eq=False, repr=False, kw_only=True)
class DistributedMTRL(FixedPenaltyModel, RelationshipModel):
    """`MTRL` by rounds of communication with the workers that hold the tasks' rows (Liu, Pan & Ho 2017).

    The objective is that of `MTRL`. In each round every worker improves its tasks' dual variables by stochastic dual
    coordinate ascent and exchanges 2p + 4 numbers per task with the master, which then updates the coefficients and
    the covariance of the tasks. Rows never leave their worker. See `polytask.linear.solvers.relationship_rounds` for
    the two kinds of update.

    Parameters
    ----------
    alpha : float
        Strength, positive.
    sharing : float in [0, 1]
        As in `MTRL`.
    client : dask.distributed.Client or str, optional
        Whose workers to use, or the address of its scheduler. By default all tasks stay in this process. Rows are
        sent once, each task's to one worker; results are the same wherever tasks are.
    updates : {"joint", "alternating"}
        Coefficients and task covariance together in every round; or the algorithm of the paper, which runs rounds
        until they have converged for one task covariance before it takes the next.
    epochs : int
        Steps of dual ascent per row in a round.
    random_state : int
        Decides the order of the steps.
    loss, fit_intercept, standardize, scale_targets, warm_start
        As in `LinearTaskModel`.
    penalty_factors : (p,) array, optional
        As in `LinearTaskModel`, but positive.
    positive : bool
        Only False.
    tol : float
        Duality gap, relative to the loss at zero coefficients, at which to stop. The default is below that of other
        models: rounds are few, and a relative gap of 1e-4 may leave coefficients a hundredth off.
    max_iter : int
        Most rounds.

    Attributes
    ----------
    coef_, intercept_, task_covariance_, task_correlation_, task_names_, n_features_in_, feature_names_in_
        As in `MTRL`.
    dual_gap_ : float
        Upper bound on how far the (scaled, halved) objective is from its minimum.
    n_rounds_ : int
        Rounds of communication; `n_iter_` is the same.
    communicated_ : int
        Bytes of numbers sent to the workers and received from them, the rows themselves apart.
    """

    can: ClassVar[Capabilities] = Capabilities(
        losses=("squared", "logistic", "poisson"),
        positive="its task covariance comes from singular values, which depend on all coefficients together",
        unpenalised="its dual variables know of no unpenalised features; use MTRL",
        moments="its workers need the rows of their tasks",
    )
    zero_penalty = False

    alpha: float = field(default=1.0, kw_only=False)
    sharing: float = field(default=0.8, kw_only=False)
    client: Any = None
    updates: str = "joint"
    epochs: int = 1
    random_state: int = 0
    tol: float = 1e-6

    def _check_own_settings(self) -> None:
        if self.updates not in UPDATES:
            raise SettingError(f"updates must be 'joint' or 'alternating', got {self.updates!r}.")
        for name, least in (("epochs", 1), ("random_state", 0)):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < least:
                raise SettingError(f"{name} must be a whole number of {least} or more, got {value!r}.")

    def _solve(self, problem: Problem, grid: np.ndarray) -> Solution:
        self._check_own_settings()
        settings = SiteSettings(self.loss, self.fit_intercept, int(self.epochs), int(self.random_state))
        workers = workers_for(problem.table, settings, self.client)
        try:
            return self._rounds(problem, workers, grid)
        finally:
            workers.close()

    def _rounds(self, problem: Problem, workers: Workers, grid: np.ndarray) -> Solution:
        shape = (problem.n_tasks, problem.n_features)
        coef = np.zeros(shape) if problem.start is None else problem.start
        begun = workers.start(coef)
        products, null, curvature = begun.products, float(begun.null.sum()), begun.curvature
        rounds, gaps, numbers, sent = [], [], [], []
        for pair in ridge_and_coupling(grid, problem.n_tasks):
            penalty = RelationshipPenalty(*pair)
            if self.updates == "joint":
                last, gap, number = joint_rounds(
                    workers, penalty, coef, products, float(curvature.mean()) or 1.0,
                    target=target_gap(self.tol, null), max_rounds=self.max_iter,
                )  # fmt: skip
            else:
                last, gap, number = alternating_rounds(
                    workers, penalty, products, float(curvature.max()) or 1.0,
                    target=target_gap(self.tol, null), max_rounds=self.max_iter,
                )  # fmt: skip
            coef, products = last.coef, last.after
            rounds.append(last)
            gaps.append(max(gap, 0.0))
            numbers.append(number)
            sent.append(workers.communicated)
        coefs, counts = np.array([last.coef for last in rounds]), np.array(numbers)
        intercept = np.array([last.intercept for last in rounds]) if self.loss != "squared" else None
        learned = {
            "task_covariance": covariances(coefs, problem.factors),
            "n_rounds": counts,
            "communicated": np.array(sent),
        }
        return Solution(coefs, np.array(gaps), null, counts, intercept, learned)
