"""The training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from polytask.balancing import Balancer, TaskLosses
from polytask.errors import SettingError
from polytask.sharing import Sharing
from polytask.training.best import BestWeights
from polytask.training.clipping import clip_gradients
from polytask.training.logs import append_line, shown
from polytask.training.modes import Modes
from polytask.training.optimizer import BlockAdamW
from polytask.training.packing import Block, packed
from polytask.training.randomness import seeded
from polytask.training.resuming import resume_run, save_run
from polytask.training.sampling import draw_batches
from polytask.training.schedules import cosine_factor, plateau_factor
from polytask.training.settings import Training
from polytask.training.stopping import EarlyStopping, stopping_mode
from polytask.training.tensors import TaskTensors

History = list[dict[str, Any]]


def train(
    sharing: Sharing,
    data: TaskTensors,
    validation: TaskTensors | None,
    balancer: Balancer,
    settings: Training,
    *,
    seed: int = 0,
    callback: Callable[[dict[str, Any]], None] | None = None,
) -> History:
    """Train a network in place; it ends with its best weights.

    Parameters
    ----------
    sharing : Sharing
        On the device of `data`.
    data, validation : TaskTensors
        Without validation data the last weights stay.
    balancer : Balancer
    settings : Training
    seed : int
        The same seed, data and settings give the same weights, bit for bit, on the same machine.
    callback : callable, optional
        Called after every epoch with its record.

    Returns
    -------
    list of dict
        Per epoch: "epoch", "learning_rate", "train" and "validation" (loss of each task, None where it
        has no labels, or where it has stopped and is no longer computed), "objective" (mean relative
        validation loss). Training losses are from before each step.

    Raises
    ------
    TrainingError
        For a loss or gradient that is not finite, before the step.
    """
    with seeded(seed, data.device), packed(sharing, data.tasks) as blocks:
        run = Run(sharing, data, validation, balancer, settings, blocks, seed)
        resume_run(run)
        with tqdm(
            total=settings.max_epochs, initial=run.epoch, unit="epoch", disable=not settings.progress
        ) as bar:
            while run.epoch < settings.max_epochs and not run.finished:
                record = run.one_epoch()
                save_run(run)
                append_line(settings.log, record)
                if settings.progress:
                    bar.set_postfix_str(shown(record["validation"] or record["train"]), refresh=False)
                    bar.update()
                if callback is not None:
                    callback(record)
        run.restore_best()
    sharing.eval()
    return run.history


class Run:
    """The state of one training run."""

    def __init__(
        self,
        sharing: Sharing,
        data: TaskTensors,
        validation: TaskTensors | None,
        balancer: Balancer,
        settings: Training,
        blocks: list[Block],
        seed: int,
    ) -> None:
        self.sharing, self.data, self.validation = sharing, data, validation
        self.balancer, self.settings, self.blocks = balancer, settings, blocks
        self.optimizer = BlockAdamW(blocks, settings.weight_decay)
        self.best = BestWeights(blocks, sharing)
        self.generator = torch.Generator().manual_seed(seed)
        self.epoch, self.rate_factor = 0, 1.0
        self.history: History = []
        shared = list(sharing.shared_parameters())
        if not shared and balancer.needs not in ("losses", "losses_after_step"):
            raise SettingError(
                f"Balancing '{balancer.name}' works on what tasks share, and sharing '{sharing.name}' shares no "
                "parameters: take another sharing, or a balancing that looks at losses only, such as 'equal'."
            )
        self.shared = shared
        #: Whether no task's training changes another task's network.
        coupled = sharing.penalty() is not None or type(sharing).after_step is not Sharing.after_step
        self.independent = not coupled and not any(p.requires_grad for p in shared)
        self.mode = stopping_mode(settings.stopping, not self.independent)
        self.modes = Modes(sharing)
        self.stopping: EarlyStopping | None = None
        if validation is not None:
            self.stopping = EarlyStopping(_references(data, validation), settings.patience, self.mode)

    # ------------------------------------------------------------------ an epoch

    def one_epoch(self) -> dict[str, Any]:
        """Steps over all batches, then validation."""
        rate = self.settings.learning_rate * self._rate_factor()
        active = self._active()
        self.modes.train()
        numerator = torch.zeros(len(self.data.tasks), dtype=self.data.dtype, device=self.data.device)
        denominator = torch.zeros_like(numerator)
        sampling, size = self.settings.sampling, self.settings.batch_size
        for index in draw_batches(self.data, sampling, size, self.generator):
            n, d = self._step(index.to(self.data.device), rate, active)
            numerator += n
            denominator += d
        validation = self._validate()
        record = {
            "epoch": self.epoch,
            "learning_rate": rate,
            "train": self._by_task(ratio(numerator, denominator)),
            "validation": None if validation is None else self._by_task(validation),
            "objective": None if validation is None else self._judge(validation),
        }
        self.history.append(record)
        self.epoch += 1
        return record

    def _step(self, index: Tensor, rate: float, active: Tensor | None) -> tuple[Tensor, Tensor]:
        """One step of the optimizer; returns the batch's sums of losses and of weights per task."""
        self.optimizer.zero_grad()
        numerator, denominator = self.data.sums(self.sharing, index, active)
        present = self._present(denominator, active)
        losses = self._losses(numerator, denominator, present)
        if len(losses):
            # A parameter that only absent tasks use is not reached; with all tasks there, that is an error.
            unreached = "error" if present is None else "ignore"
            self.balancer.backward(losses, self.shared or None, self.sharing.features(), unreached=unreached)
            penalty = self.sharing.penalty()
            if penalty is not None:
                penalty.backward()
            clip_gradients(self.blocks, self.settings.clip_norm, self.data.tasks)
            self.optimizer.step(rate, present)
            self.sharing.step_size = rate
            self.sharing.after_step()
            if self.balancer.needs == "losses_after_step":
                with torch.no_grad():
                    self.balancer.after_step(self._losses(*self.data.sums(self.sharing, index), present))
        return numerator.detach(), denominator

    def _present(self, denominator: Tensor, active: Tensor | None) -> Tensor | None:
        """Mask of the tasks that have labels in the batch and still learn; None: all of them."""
        if self.data.complete:
            return active
        present = denominator > 0
        if active is not None:
            present = present & active
        return None if bool(present.all()) else present

    def _losses(self, numerator: Tensor, denominator: Tensor, present: Tensor | None) -> TaskLosses:
        """Masked losses of the tasks that take part; an absent task has no term at all."""
        if present is None:
            return TaskLosses(self.data.tasks, numerator / denominator)
        chosen = present.nonzero().squeeze(1)
        names = [self.data.tasks[i] for i in chosen.tolist()]
        return TaskLosses(names, numerator[chosen] / denominator[chosen])

    # ------------------------------------------------------------------ validation and stopping

    def _validate(self) -> np.ndarray | None:
        if self.validation is None:
            return None
        self.modes.eval()
        with torch.no_grad():
            return ratio(*self.validation.sums(self.sharing))

    def _judge(self, losses: np.ndarray) -> float | None:
        """Keep weights that are the best so far; returns the mean relative validation loss."""
        assert self.stopping is not None
        improved, joint = self.stopping.update(self.epoch, losses)
        if not self.independent or self.mode == "joint":
            if joint:
                self.best.keep()
        else:
            self.best.keep(improved | ~self.stopping.judged)
        if self.settings.schedule == "plateau":
            self.rate_factor = plateau_factor(self.stopping.stale, self.settings.patience, self.rate_factor)
        if not self.stopping.judged.any():
            return None
        return float(np.nanmean(losses / self.stopping.reference))

    def restore_best(self) -> None:
        """Go back to the best weights, where validation data told which these are."""
        if self.stopping is not None and self.stopping.judged.any():
            self.best.restore()

    @property
    def finished(self) -> bool:
        return self.stopping is not None and self.stopping.finished

    def _active(self) -> Tensor | None:
        """Mask of the tasks that have not stopped; None: all of them."""
        if self.stopping is None or not self.stopping.stopped.any():
            return None
        return torch.as_tensor(~self.stopping.stopped, device=self.data.device)

    def _rate_factor(self) -> float:
        if self.settings.schedule == "cosine":
            return cosine_factor(self.epoch, self.settings.max_epochs)
        return self.rate_factor

    def _by_task(self, losses: np.ndarray) -> dict[str, float | None]:
        return {t: None if np.isnan(v) else v for t, v in zip(self.data.tasks, losses.tolist())}


def _references(data: TaskTensors, validation: TaskTensors) -> np.ndarray:
    """The null model's loss of each task, NaN for those without validation labels.

    On the training labels: the one on two or three validation labels can be almost zero, and a task's
    relative loss would then outweigh all others' together.
    """
    train, held_out = ratio(*data.null_sums()), ratio(*validation.null_sums())
    return np.where(np.isnan(held_out) | np.isnan(train), held_out, train)


def ratio(numerator: Tensor, denominator: Tensor) -> np.ndarray:
    """Losses per task as numbers, NaN for a task without labels."""
    n, d = numerator.double().cpu().numpy(), denominator.double().cpu().numpy()
    return np.divide(n, d, out=np.full(len(n), np.nan), where=d > 0)
