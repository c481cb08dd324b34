"""The training loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from polytask.balancing import Balancer, TaskLosses
from polytask.errors import ModelFolderError
from polytask.sharing import Sharing
from polytask.training.checkpoints import load_checkpoint, save_checkpoint
from polytask.training.clipping import clip_gradients
from polytask.training.optimizer import BlockAdamW
from polytask.training.packing import SHARED, Block, packed
from polytask.training.sampling import TaskSampler, every_task_batches, row_batches
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
        Per epoch: "epoch", "learning_rate", "train" and "validation" (loss of each task), "objective" (mean
        relative validation loss). Training losses are those seen during the epoch, before each step.

    Raises
    ------
    TrainingError
        For a loss or gradient that is not finite, before the step.
    """
    with seeded(seed, data.device), packed(sharing, data.tasks) as blocks:
        run = _Run(sharing, data, validation, balancer, settings, blocks, seed)
        run.resume()
        bar = tqdm(total=settings.max_epochs, initial=run.epoch, unit="epoch", disable=not settings.progress)
        with bar:
            while run.epoch < settings.max_epochs and not run.finished:
                record = run.one_epoch()
                run.save()
                _log(settings.log, record)
                bar.update()
                if settings.progress:
                    bar.set_postfix_str(_shown(record["validation"] or record["train"]))
                if callback is not None:
                    callback(record)
        run.restore_best()
    sharing.eval()
    return run.history


class _Run:
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
        self.generator = torch.Generator().manual_seed(seed)
        self.epoch, self.rate_factor = 0, 1.0
        self.history: History = []
        self.shared = [p for p in sharing.shared_parameters() if p.requires_grad]
        self.mode = stopping_mode(settings.stopping, bool(self.shared))
        self.stopping = None
        if validation is not None:
            self.stopping = EarlyStopping(_ratio(*validation.null_sums()), settings.patience, self.mode)
        self.best = [b.values.clone() for b in blocks]
        self.best_buffers = [b.clone() for b in sharing.buffers()]
        self.counts = None
        if data.layout == "pairs":
            self.counts = torch.bincount(data.pair_task, minlength=len(data.tasks)).tolist()

    # ------------------------------------------------------------------ an epoch

    def one_epoch(self) -> dict[str, Any]:
        """Steps over all batches, then validation."""
        rate = self.settings.learning_rate * self._rate_factor()
        active = self._active()
        self.sharing.train()
        numerator = torch.zeros(len(self.data.tasks), dtype=self.data.dtype, device=self.data.device)
        denominator = torch.zeros_like(numerator)
        for index in self._batches():
            n, d = self._step(index.to(self.data.device), rate, active)
            numerator += n
            denominator += d
        validation = self._validate()
        record = {
            "epoch": self.epoch,
            "learning_rate": rate,
            "train": self._by_task(_ratio(numerator, denominator)),
            "validation": None if validation is None else self._by_task(validation),
            "objective": None if validation is None else self._judge(validation),
        }
        self.history.append(record)
        self.epoch += 1
        return record

    def _step(self, index: Tensor, rate: float, active: Tensor | None) -> tuple[Tensor, Tensor]:
        """One step of the optimizer; returns the batch's sums of losses and of weights per task."""
        self.optimizer.zero_grad()
        numerator, denominator = self.data.sums(self.sharing, index)
        present = self._present(denominator, active)
        losses = self._losses(numerator, denominator, present)
        if losses is not None:
            self.balancer.backward(losses, shared=self.shared, features=self._features())
            penalty = self.sharing.penalty()
            if penalty is not None:
                penalty.backward()
            clip_gradients(self.blocks, self.settings.clip_norm, self.data.tasks)
            self.optimizer.step(rate, present)
            self.sharing.after_step()
            if self.balancer.needs == "losses_after_step":
                with torch.no_grad():
                    after = self._losses(*self.data.sums(self.sharing, index), present)
                self.balancer.after_step(after)
        return numerator.detach(), denominator

    def _present(self, denominator: Tensor, active: Tensor | None) -> Tensor | None:
        """Mask of the tasks that have labels in the batch and still learn; None: all of them."""
        if self.data.complete:
            return active
        present = denominator > 0
        if active is not None:
            present = present & active
        return None if bool(present.all()) else present

    def _losses(self, numerator: Tensor, denominator: Tensor, present: Tensor | None) -> TaskLosses | None:
        """Masked losses of the tasks that take part; an absent task has no term at all."""
        if present is None:
            return TaskLosses(self.data.tasks, numerator / denominator)
        chosen = present.nonzero().squeeze(1)
        if len(chosen) == 0:
            return None
        names = [self.data.tasks[i] for i in chosen.tolist()]
        return TaskLosses(names, numerator[chosen] / denominator[chosen])

    def _features(self) -> Tensor | None:
        return self.sharing.features() if self.balancer.needs == "features" else None

    def _batches(self) -> list[Tensor]:
        sampling, size = self.settings.sampling, self.settings.batch_size
        if isinstance(sampling, TaskSampler):
            return sampling.batches(self._pair_counts(), size, self.generator)
        separate = self.counts is not None and not self.shared
        if sampling == "every_task" or (sampling == "auto" and separate):
            counts = self._pair_counts()
            return every_task_batches(counts, max(8, size // len(counts)), self.generator)
        return row_batches(self.data.n_units, size, self.generator)

    def _pair_counts(self) -> list[int]:
        assert self.counts is not None, "batches that are drawn task by task need the layout of pairs"
        return self.counts

    # ------------------------------------------------------------------ validation and stopping

    def _validate(self) -> np.ndarray | None:
        if self.validation is None:
            return None
        self.sharing.eval()
        with torch.no_grad():
            return _ratio(*self.validation.sums(self.sharing))

    def _judge(self, losses: np.ndarray) -> float | None:
        """Keep weights that are the best so far; returns the mean relative validation loss."""
        assert self.stopping is not None
        improved, joint = self.stopping.update(self.epoch, losses)
        if self.shared or self.mode == "joint":
            if joint:
                self._keep(None)
        else:
            self._keep(improved | ~self.stopping.judged)
        if self.settings.schedule == "plateau":
            self.rate_factor = plateau_factor(self.stopping.stale, self.settings.patience, self.rate_factor)
        return float(np.nanmean(losses / self.stopping.reference)) if self.stopping.judged.any() else None

    def _keep(self, tasks: np.ndarray | None) -> None:
        """Copy all weights, or the rows of some tasks, to the best ones."""
        chosen = None if tasks is None else torch.as_tensor(tasks, device=self.data.device)
        for best, block in zip(self.best, self.blocks):
            if chosen is None:
                best.copy_(block.values)
            else:
                rows = chosen[block.owners.clamp(min=0)] & (block.owners != SHARED)
                best[rows] = block.values[rows]
        for best, buffer in zip(self.best_buffers, self.sharing.buffers()):
            best.copy_(buffer)

    def restore_best(self) -> None:
        if self.stopping is None or not self.stopping.judged.any():
            return
        for best, block in zip(self.best, self.blocks):
            block.values.copy_(best)
        for best, buffer in zip(self.best_buffers, self.sharing.buffers()):
            buffer.copy_(best)

    @property
    def finished(self) -> bool:
        return self.stopping is not None and self.stopping.finished

    def _active(self) -> Tensor | None:
        if self.stopping is None or not self.stopping.stopped.any():
            return None
        return torch.as_tensor(~self.stopping.stopped, device=self.data.device)

    def _rate_factor(self) -> float:
        if self.settings.schedule == "cosine":
            return cosine_factor(self.epoch, self.settings.max_epochs)
        return self.rate_factor

    def _by_task(self, losses: np.ndarray) -> dict[str, float | None]:
        return {t: None if np.isnan(v) else v for t, v in zip(self.data.tasks, losses.tolist())}

    # ------------------------------------------------------------------ checkpoints

    def save(self) -> None:
        """Write everything that the next epoch depends on."""
        if self.settings.checkpoint is None:
            return
        tensors = {f"values.{i}": b.values for i, b in enumerate(self.blocks)}
        tensors |= {f"best.{i}": b for i, b in enumerate(self.best)}
        tensors |= {f"buffer.{i}": b for i, b in enumerate(self.sharing.buffers())}
        tensors |= {f"best_buffer.{i}": b for i, b in enumerate(self.best_buffers)}
        tensors |= {f"optimizer.{k}": v for k, v in self.optimizer.state_dict().items()}
        balancer = self.balancer.state_dict()
        tensors |= {f"balancer.{k}": v for k, v in balancer.items() if isinstance(v, Tensor)}
        tensors |= {f"random.{k}": v for k, v in _random_states(self.generator, self.data.device).items()}
        plain = {
            "tasks": list(self.data.tasks),
            "epoch": self.epoch,
            "rate_factor": self.rate_factor,
            "history": self.history,
            "stopping": None if self.stopping is None else self.stopping.state_dict(),
            "balancer": {k: v for k, v in balancer.items() if not isinstance(v, Tensor)},
        }
        save_checkpoint(self.settings.checkpoint, tensors, plain)

    def resume(self) -> None:
        """Go on from the checkpoint, if asked to and there is one."""
        path = self.settings.checkpoint
        if not self.settings.resume or path is None or not Path(path).exists():
            return
        tensors, plain = load_checkpoint(path)
        shapes = [tuple(tensors[f"values.{i}"].shape) for i in range(sum(k.startswith("values.") for k in tensors))]
        if plain["tasks"] != list(self.data.tasks) or shapes != [tuple(b.values.shape) for b in self.blocks]:
            raise ModelFolderError(f"{path} belongs to a run with other tasks or another network; delete or rename it.")
        for i, block in enumerate(self.blocks):
            block.values.copy_(tensors[f"values.{i}"])
            self.best[i].copy_(tensors[f"best.{i}"])
        for i, buffer in enumerate(self.sharing.buffers()):
            buffer.copy_(tensors[f"buffer.{i}"])
            self.best_buffers[i].copy_(tensors[f"best_buffer.{i}"])
        self.optimizer.load_state_dict(_part(tensors, "optimizer."))
        self.balancer.load_state_dict(plain["balancer"] | _part(tensors, "balancer."))
        self.epoch, self.rate_factor, self.history = plain["epoch"], plain["rate_factor"], plain["history"]
        if self.stopping is not None:
            self.stopping.load_state_dict(plain["stopping"])
        _set_random_states(_part(tensors, "random."), self.generator, self.data.device)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's random numbers from `seed`; the caller's own stream is left as it was."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _random_states(generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    states = {"batches": generator.get_state(), "cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random_states(states: dict[str, Tensor], generator: torch.Generator, device: torch.device) -> None:
    generator.set_state(states["batches"])
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


def _ratio(numerator: Tensor, denominator: Tensor) -> np.ndarray:
    """Losses per task as numbers, NaN for a task without labels."""
    n, d = numerator.double().cpu().numpy(), denominator.double().cpu().numpy()
    return np.divide(n, d, out=np.full(len(n), np.nan), where=d > 0)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _log(path: str | Path | None, record: dict[str, Any]) -> None:
    if path is not None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def _shown(losses: dict[str, float | None]) -> str:
    """Losses for the progress bar: all of a few tasks, or the worst of many."""
    known = {t: v for t, v in losses.items() if v is not None}
    names = list(known) if len(known) <= 6 else sorted(known, key=lambda t: -known[t])[:6]
    return " ".join(f"{t}={known[t]:.3g}" for t in names) + (" …" if len(known) > 6 else "")
