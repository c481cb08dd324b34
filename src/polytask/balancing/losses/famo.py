"""Fast adaptive multitask optimization."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from polytask.balancing.adam import Moments, adam_change
from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_losses, check_positive, given_for
from polytask.balancing.simplex import softmax
from polytask.balancing.state import PerTask
from polytask.errors import PolytaskWarning, SettingError

EPSILON = 1e-8


class FAMO(LossBalancer):
    """A step on ``c Σ_t z_t log(L_t − b_t + ε)`` with ``z = softmax(ξ)``, ``c = (Σ_t z_t/(L_t − b_t + ε))⁻¹``.

    So ``w_t = c z_t / (L_t − b_t + ε)``, and the weights add up to 1. After the step ξ moves so that the task
    whose log loss fell least gains weight, along ``δ = Jᵀ(log(L − b + ε) − log(L⁺ − b + ε)) + γ ξ``: L⁺ are the
    losses of the same batch after the step and J = ∂z/∂ξ. Costs one more forward pass.

    Liu, B., Feng, Y., Stone, P., & Liu, Q. (2023). FAMO: fast adaptive multitask optimization. NeurIPS.
    Algorithm 1, with Adam for ξ as in the paper's experiments. The authors' code also clips the shared gradient
    to a norm of 1, which the paper does not have; clip in the loop if wanted.

    Parameters
    ----------
    lr : float
        Learning rate of ξ.
    gamma : float
        Decay γ of ξ; the authors' code has this default.
    minimum : mapping of str to float, optional
        b_t: the lowest value that each task's loss can have. Default: 0.

    Raises
    ------
    SettingError
        For an `lr` that is not positive or a negative `gamma`; in training, for a task that `minimum` does not
        name, and for losses after the step of tasks that were not in it.
    TrainingError
        For a loss below its minimum.

    Warns
    -----
    PolytaskWarning
        If ``after_step(losses)`` was not called since the step before: the weights do not adapt then.
    """

    name = "famo"
    needs = "losses_after_step"
    card = Card(
        "Liu, Feng, Stone & Liu 2023, FAMO: fast adaptive multitask optimization, NeurIPS",
        "w_t = c z_t / (L_t − b_t + ε), z = softmax(ξ), ξ along the change of the log losses",
        backward="1, and one more forward pass",
    )
    STATE = ("xi", "moments", "before")

    def __init__(
        self, lr: float = 0.025, gamma: float = 0.01, minimum: Mapping[str, float] | None = None
    ) -> None:
        self.lr = check_positive("lr", lr)
        self.gamma = 0.0 if gamma == 0 else check_positive("gamma", gamma)
        self.minimum = None if minimum is None else dict(minimum)
        self.xi = PerTask()
        self.moments: Moments = {}
        #: Log losses before the step, until those after it are known.
        self.before = PerTask()

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        above = self._above(tasks, losses)
        if self.before:
            warnings.warn(
                "Balancing 'famo' does not adapt: call balancer.after_step(losses) after every step of the "
                "optimizer, with the losses of the same batch.",
                PolytaskWarning,
                stacklevel=2,
            )
        self.before = PerTask(zip(tasks, np.log(above).tolist()))
        weights = softmax(self.xi.read(tasks)) / above
        return weights / weights.sum()

    def observe(self, tasks: tuple[str, ...], losses: np.ndarray) -> None:
        unknown = [task for task in tasks if task not in self.before]
        if unknown:
            raise SettingError(
                f"Balancing 'famo': task '{unknown[0]}' was not in the step; after_step takes the losses of the "
                "same batch, once after every step."
            )
        fall = self.before.read(tasks) - np.log(self._above(tasks, losses))
        xi = self.xi.read(tasks)
        z = softmax(xi)
        delta = z * (fall - z @ fall) + self.gamma * xi
        self.xi.write(tasks, xi + adam_change(self.moments, tasks, delta, self.lr))
        self.before = PerTask()

    def _above(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        """``L_t − b_t + ε``."""
        if self.minimum is not None:
            losses = losses - np.array(given_for("minimum", self.minimum, tasks))
        check_losses(self.name, tasks, losses, zero=True, of="loss above its minimum")
        return losses + EPSILON
