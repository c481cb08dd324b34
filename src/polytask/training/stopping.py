"""Early stopping on validation losses: a rule for networks that tasks have apart, a rule for shared ones.

"per_task": a task whose validation loss has not improved for `patience` epochs leaves the objective; training
ends when all have left. Where nothing is shared every task goes back to its own best epoch, which is what
training it alone would give. "joint": training ends when the mean over tasks of the relative validation loss
(1 = the null model's) has not improved for `patience` epochs, and the whole network goes back to that epoch.
Where parameters are shared, or pulled towards each other, the weights always go back to the best *joint*
epoch, since a head fits only the encoder it was trained with; "per_task" then only decides how long a task
pulls at the encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from polytask.errors import SettingError

MODES = ("auto", "joint", "per_task")


def stopping_mode(mode: str, anything_shared: bool) -> str:
    """ "auto" is "joint" where tasks influence each other: a task's few validation rows are a noisy judge."""
    if mode not in MODES:
        raise SettingError(f"stopping must be one of {', '.join(MODES)}; got {mode!r}.")
    if mode != "auto":
        return mode
    return "joint" if anything_shared else "per_task"


class EarlyStopping:
    """Keeps the best epochs.

    Parameters
    ----------
    null_losses : ndarray of shape (T,)
        Losses of the null model, the units of relative losses; NaN for tasks without validation labels, which
        are not judged.
    patience : int
        Epochs without improvement.
    mode : {"joint", "per_task"}
    """

    def __init__(self, null_losses: np.ndarray, patience: int, mode: str) -> None:
        self.reference = np.where(null_losses > 1e-12, null_losses, 1.0)
        self.judged = np.isfinite(null_losses)
        self.patience = patience
        self.mode = mode
        n = len(null_losses)
        self.best = np.full(n, np.inf)
        self.best_epoch = np.full(n, -1)
        self.joint_best = np.inf
        self.joint_epoch = -1
        self.stopped = np.zeros(n, dtype=bool)
        self.stale = 0

    def update(self, epoch: int, losses: np.ndarray) -> tuple[np.ndarray, bool]:
        """Take note of an epoch's validation losses.

        Returns
        -------
        improved : bool ndarray of shape (T,)
            Tasks that are at their best.
        joint : bool
            Whether the mean is.
        """
        relative = np.where(self.judged, losses / self.reference, np.nan)
        improved = self.judged & ~self.stopped & (relative < self.best)
        self.best[improved] = relative[improved]
        self.best_epoch[improved] = epoch
        mean = float(np.nanmean(relative)) if self.judged.any() else np.inf
        joint = mean < self.joint_best
        if joint:
            self.joint_best, self.joint_epoch = mean, epoch
        if self.mode == "per_task":
            self.stopped |= self.judged & (epoch - self.best_epoch >= self.patience)
            self.stale = int(epoch - self.best_epoch.max())
        else:
            self.stale = epoch - self.joint_epoch
        return improved, joint

    @property
    def finished(self) -> bool:
        if self.mode == "per_task":
            return bool(self.judged.any() and self.stopped[self.judged].all())
        return self.stale >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Plain data; infinities as None."""
        return {
            "best": [None if np.isinf(v) else v for v in self.best.tolist()],
            "best_epoch": self.best_epoch.tolist(),
            "joint_best": None if np.isinf(self.joint_best) else self.joint_best,
            "joint_epoch": self.joint_epoch,
            "stopped": self.stopped.tolist(),
            "stale": self.stale,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = np.array([np.inf if v is None else v for v in state["best"]])
        self.best_epoch = np.array(state["best_epoch"])
        self.joint_best = np.inf if state["joint_best"] is None else state["joint_best"]
        self.joint_epoch = state["joint_epoch"]
        self.stopped = np.array(state["stopped"])
        self.stale = state["stale"]
