"""Smooth Tchebycheff scalarization."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_count, check_losses, check_positive, given_for
from polytask.balancing.simplex import softmax
from polytask.balancing.state import PerTask


class STCH(LossBalancer):
    """``F = μ log Σ_t exp(λ_t f_t / μ)``, ``f_t = (L_t − z_t) / n_t``: a smooth maximum of the losses.

    So ``w_t = (λ_t / n_t) softmax_t(λ f / μ)``. The smaller μ, the more the worst task counts alone. The paper
    normalises objectives beforehand; here n_t is the mean of ``L_t − z_t`` in a warm-up, the first steps in
    which the task has labels. A batch with a task in its warm-up takes a step on ``Σ_t log(L_t − z_t) / T``,
    which needs no scale.

    Lin, X., Zhang, X., Yang, Z., Liu, F., Wang, Z., & Zhang, Q. (2024). Smooth Tchebycheff scalarization for
    multi-objective optimization. ICML. The authors' code for networks also has a warm-up by log losses, but
    goes on with ``log(L_t / n_t)`` in place of the paper's f_t, and multiplies F by T.

    Parameters
    ----------
    mu : float
        Smoothing μ.
    preferences : mapping of str to float, optional
        λ_t: positive, used as given. Default: 1 for each task; dividing λ and μ by T gives the paper's, on the
        simplex, and F / T.
    ideal : mapping of str to float, optional
        z_t: the best value that each task's loss can have. Default: 0.
    warmup : int
        Steps of the warm-up; 0: none, n_t = 1.

    Raises
    ------
    SettingError
        For a μ or λ_t that is not positive; in training, for a task that `preferences` or `ideal` does not name.
    TrainingError
        For a loss that is not above z_t in the warm-up.
    """

    name = "stch"
    card = Card(
        "Lin et al. 2024, Smooth Tchebycheff scalarization for multi-objective optimization, ICML",
        "F = μ log Σ_t exp(λ_t (L_t − z_t) / (μ n_t)), n_t the mean in a warm-up",
    )
    STATE = ("sums", "counts")

    def __init__(
        self,
        mu: float = 1.0,
        preferences: Mapping[str, float] | None = None,
        ideal: Mapping[str, float] | None = None,
        warmup: int = 100,
    ) -> None:
        self.mu = check_positive("mu", mu)
        for task, value in (preferences or {}).items():
            check_positive(f"preferences of task '{task}'", value)
        self.preferences = None if preferences is None else dict(preferences)
        self.ideal = None if ideal is None else dict(ideal)
        self.warmup = check_count("warmup", warmup, 0)
        #: Of ``L_t − z_t`` in the warm-up.
        self.sums, self.counts = PerTask(), PerTask()

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        lam = np.ones(len(tasks))
        if self.preferences is not None:
            lam = np.array(given_for("preferences", self.preferences, tasks))
        above = losses
        if self.ideal is not None:
            above = losses - np.array(given_for("ideal", self.ideal, tasks))
        counts = self.counts.read(tasks)
        if (counts < self.warmup).any():
            return self._warm_up(tasks, above, counts)
        n = self.sums.read(tasks) / counts if self.warmup else np.ones(len(tasks))
        return lam / n * softmax(lam * above / n / self.mu)

    def _warm_up(self, tasks: tuple[str, ...], above: np.ndarray, counts: np.ndarray) -> np.ndarray:
        check_losses(self.name, tasks, above, zero=False, of="loss above its ideal")
        new = counts < self.warmup
        self.sums.write(tasks, self.sums.read(tasks) + new * above)
        self.counts.write(tasks, counts + new)
        return 1 / (above * len(tasks))
