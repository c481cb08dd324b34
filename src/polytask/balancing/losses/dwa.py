"""Dynamic weight averaging."""

from __future__ import annotations

import numpy as np

from polytask.balancing.by_losses import LossBalancer
from polytask.balancing.cards import Card
from polytask.balancing.checks import check_count, check_losses, check_positive
from polytask.balancing.simplex import softmax
from polytask.balancing.state import PerTask


class DWA(LossBalancer):
    """``w_t = T softmax_t(r / τ)``, ``r_t = L_t(e−1) / L_t(e−2)``: tasks whose loss falls slowly count more.

    L_t(e) is the mean loss of epoch e. An epoch here is `window` steps in which the task has labels, so that
    any loop can use the method and absent tasks wait. ``r_t = 1`` until a task has had two of them.

    Liu, S., Johns, E., & Davison, A. J. (2019). End-to-end multi-task learning with attention. CVPR.

    Parameters
    ----------
    window : int
        Steps of an epoch; the paper's is ``ceil(rows / batch size)``.
    tau : float
        Temperature τ; the larger, the more equal the weights.

    Raises
    ------
    SettingError
        For a window below 1 or a τ that is not positive.
    TrainingError
        For a negative loss: its ratio says nothing.
    """

    name = "dwa"
    card = Card(
        "Liu, Johns & Davison 2019, End-to-end multi-task learning with attention, CVPR",
        "w_t = T softmax_t(r/τ), r_t = L_t(e−1) / L_t(e−2)",
    )
    STATE = ("sums", "counts", "last_epoch", "epoch_before")

    def __init__(self, window: int = 100, tau: float = 2.0) -> None:
        self.window = check_count("window", window, 1)
        self.tau = check_positive("tau", tau)
        #: Of the epoch that is under way.
        self.sums, self.counts = PerTask(), PerTask()
        #: L(e−1) and L(e−2).
        self.last_epoch, self.epoch_before = PerTask(), PerTask()

    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        check_losses(self.name, tasks, losses, zero=True)
        ratios = np.array([self._ratio(task) for task in tasks])
        for task, loss in zip(tasks, losses.tolist()):
            self._record(task, loss)
        return len(tasks) * softmax(ratios / self.tau)

    def _ratio(self, task: str) -> float:
        before = self.epoch_before.get(task, 0.0)
        # A loss that was zero for a whole epoch has no rate.
        return self.last_epoch[task] / before if before > 0 else 1.0

    def _record(self, task: str, loss: float) -> None:
        self.sums[task] = self.sums.get(task, 0.0) + loss
        self.counts[task] = self.counts.get(task, 0) + 1
        if self.counts[task] < self.window:
            return
        if task in self.last_epoch:
            self.epoch_before[task] = self.last_epoch[task]
        self.last_epoch[task] = self.sums[task] / self.counts[task]
        self.sums[task], self.counts[task] = 0.0, 0
