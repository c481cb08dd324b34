"""Weights from learned homoscedastic uncertainty."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from polytask.balancing.adam import Moments, adam_change
from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_losses, check_positive, given_for
from polytask.balancing.state import PerTask
from polytask.errors import SettingError

#: Factor of ``e^{−s} L`` in the two forms.
FACTORS = {"regression": 0.5, "classification": 1.0}


class Uncertainty(LossBalancer):
    """``Σ_t (½ e^{−s_t} L_t + ½ s_t)`` for regression, ``Σ_t (e^{−s_t} L_t + ½ s_t)`` for classification.

    ``s_t = log σ_t²`` is the log variance of task t's noise, which is learned. At its optimum both forms have
    the weight ``1 / (2 L_t)``; they differ in the way there.

    Kendall, A., Gal, Y., & Cipolla, R. (2018). Multi-task learning using uncertainty to weigh losses for scene
    geometry and semantics. CVPR. Equations 7 and 10, in the log variance for stability as its section 3.2 says.
    The paper lets the network's optimizer learn s; here it has an Adam of its own, so weight decay, schedule
    and clipping do not reach it.

    Parameters
    ----------
    kinds : mapping of str to {"regression", "classification"}, optional
        The form of each task. Default: regression for all.
    lr : float
        Learning rate of s. The default is that of Adam.
    bound : float
        s stays in [−bound, bound], so a loss that goes to zero does not make its weight grow without end: at
        the default it is at most e^10 ≈ 22,000 times the first.

    Raises
    ------
    SettingError
        For a kind that is not known; in training, for a task that `kinds` does not name.
    TrainingError
        For a negative loss: there is no best σ.
    """

    name = "uncertainty"
    card = Card(
        "Kendall, Gal & Cipolla 2018, Multi-task learning using uncertainty to weigh losses, CVPR",
        "½ e^{−s_t} L_t + ½ s_t; e^{−s_t} L_t + ½ s_t for classification; s_t = log σ_t² learned",
    )
    STATE = ("s", "moments")

    def __init__(self, kinds: Mapping[str, str] | None = None, lr: float = 1e-3, bound: float = 10.0) -> None:
        for task, kind in (kinds or {}).items():
            if kind not in FACTORS:
                raise SettingError(
                    f"Task '{task}': its kind must be 'regression' or 'classification', got {kind!r}."
                )
        self.kinds = None if kinds is None else dict(kinds)
        self.lr = check_positive("lr", lr)
        self.bound = check_positive("bound", bound)
        #: Log variances.
        self.s = PerTask()
        self.moments: Moments = {}

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        factors = self._factors(tasks)
        check_losses(self.name, tasks, losses, zero=True)
        s = self.s.read(tasks)
        weights = factors * np.exp(-s)
        change = adam_change(self.moments, tasks, 0.5 - weights * losses, self.lr)
        self.s.write(tasks, np.clip(s + change, -self.bound, self.bound))
        return weights

    def _factors(self, tasks: tuple[str, ...]) -> np.ndarray:
        if self.kinds is None:
            return np.full(len(tasks), FACTORS["regression"])
        return np.array([FACTORS[kind] for kind in given_for("kinds", self.kinds, tasks)])
