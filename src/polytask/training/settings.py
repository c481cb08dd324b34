"""Settings of the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from polytask.errors import SettingError, TrainingError
from polytask.training.sampling import TaskSampler
from polytask.training.schedules import check_schedule
from polytask.training.stopping import stopping_mode


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Parameters
    ----------
    learning_rate : float
        Of AdamW.
    weight_decay : float
    batch_size : int
        Rows in a step (labels, where tasks have rows of their own).
    max_epochs : int
    patience : int
        Epochs without improvement of the validation loss before it stops; unused without validation data.
    schedule : {"constant", "cosine", "plateau"}
        Of the learning rate.
    clip_norm : float or None
        Largest norm of the gradient of the shared parameters, and of each task's own.
    stopping : {"auto", "joint", "per_task"}
        See `polytask.training.stopping`.
    sampling : "rows", "every_task" or TaskSampler
        "rows": batches of rows at random. "every_task": batches that hold all tasks, for tasks with rows of
        their own: `batch_size` divided among them, but at least 32 rows of each (all where a task has
        fewer). A sampler draws tasks first. "auto" is "every_task" for tasks with rows of their own, else
        "rows": two rows of each of 65 tasks make a noisy gradient for the heads and many small steps.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps". "auto" takes a GPU where there is one.
    checkpoint : path or None
        File to which the state is written after every epoch.
    resume : bool
        Go on from `checkpoint` if it exists.
    log : path or None
        JSONL file with one line per epoch.
    progress : bool
        Show a progress bar with the tasks' losses.
    """

    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    batch_size: int = 128
    max_epochs: int = 200
    patience: int = 20
    schedule: str = "plateau"
    clip_norm: float | None = 5.0
    stopping: str = "auto"
    sampling: str | TaskSampler = "auto"
    device: str = "auto"
    checkpoint: str | Path | None = None
    resume: bool = False
    log: str | Path | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "max_epochs", "patience"):
            if not getattr(self, name) > 0:
                raise SettingError(f"{name} must be positive, got {getattr(self, name)!r}.")
        if not self.weight_decay >= 0:
            raise SettingError(f"weight_decay must be zero or more, got {self.weight_decay!r}.")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise SettingError(f"clip_norm must be positive or None, got {self.clip_norm!r}.")
        check_schedule(self.schedule)
        stopping_mode(self.stopping, True)
        if not isinstance(self.sampling, TaskSampler) and self.sampling not in ("auto", "rows", "every_task"):
            raise SettingError(
                f"sampling must be 'auto', 'rows', 'every_task' or a TaskSampler; got {self.sampling!r}."
            )
        if self.resume and self.checkpoint is None:
            raise SettingError("resume=True needs checkpoint=…, the file to go on from.")


def find_device(name: str) -> torch.device:
    """The device of this name; raises `TrainingError` where it is missing."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(
            f"Device '{name}' is not available here ({error}); use device='cpu' or 'auto'."
        ) from error
    return device
