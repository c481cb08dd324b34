"""How batches are drawn: rows as they come, or first a task and then its rows.

Drawing tasks first is the basic algorithm of Stanford's CS 330 (Finn): sample a mini-batch of tasks, sample a
mini-batch of data points for each, step, repeat. What differs is the probability of a task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from polytask.errors import SettingError

if TYPE_CHECKING:
    from polytask.training.tensors import TaskTensors

#: Labels of a task in a step that holds all tasks, where it has as many. The products of so many rows take
#: about as long as the optimizer: with fewer a step is no cheaper, with more it learns no faster.
FEWEST_ROWS = 32

SCHEMES = ("uniform", "proportional", "temperature", "capped")


def row_batches(n: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """One epoch over n units in random order."""
    order = torch.randperm(n, generator=generator)
    # The last batch joins the one before it where it is too small to give a useful gradient.
    sizes = [batch_size] * (n // batch_size) + ([n % batch_size] if n % batch_size else [])
    if len(sizes) > 1 and sizes[-1] < batch_size // 4:
        sizes[-2:] = [sizes[-2] + sizes[-1]]
    return list(order.split(sizes))


def block_batches(counts: Sequence[int], rows_per_task: int, generator: torch.Generator) -> list[Tensor]:
    """One epoch of batches that hold every task, as blocks of equal size.

    Every task takes part in every step, as it would if it were trained alone. Its labels are dealt in random
    order, in parts of equal size, and anew when none are left. An epoch has as many steps as all labels
    fill: a task that is larger than the average shows some of its labels in it, a smaller one shows them
    again. An epoch that waited for the largest task would overfit the small ones before it is judged.

    Parameters
    ----------
    counts : sequence of int
        Labels of each task; they are numbered task by task.
    rows_per_task : int
        Labels of a task in a step, at most.

    Returns
    -------
    list of int64 Tensor of shape (T, B)
        Labels of each task, -1 for places that are left (all of them for a task without labels).
    """
    n = torch.as_tensor(counts, dtype=torch.int64)
    size = max(1, min(rows_per_task, int(n.max())))
    steps = max(1, math.ceil(int(n.sum()) / (max(1, int((n > 0).sum())) * size)))
    some = n.clamp(min=1)
    part = -(-some // -(-some // size))
    slot = torch.arange(size)
    place = (torch.arange(steps).view(-1, 1, 1) * part.view(-1, 1) + slot) % some.view(-1, 1)
    # A stable sort by task of labels in random order: a random order of each task's labels.
    drawn = torch.randperm(int(n.sum()), generator=generator)
    order = drawn[torch.argsort(torch.repeat_interleave(torch.arange(len(n)), n)[drawn], stable=True)]
    start = (torch.cumsum(n, 0) - n).view(-1, 1)
    used = (slot < part.view(-1, 1)) & (n > 0).view(-1, 1)
    labels = torch.where(used, order[torch.where(used, start + place, 0)], -1)
    return list(labels)


def task_probabilities(
    counts: Sequence[int], scheme: str, temperature: float = 2.0, cap: int | None = None
) -> Tensor:
    """Probability of drawing each task.

    Parameters
    ----------
    counts : sequence of int
        Labels n_t of each task.
    scheme : {"uniform", "proportional", "temperature", "capped"}
        1/T; ∝ n_t; ∝ n_t^(1/τ); ∝ min(n_t, cap) (Raffel et al. 2020, T5, for the last two).
    temperature : float
        τ ≥ 1: 1 is proportional, ∞ uniform.
    cap : int, optional

    Returns
    -------
    Tensor of shape (T,)
        Zero for tasks without labels.
    """
    if scheme not in SCHEMES:
        raise SettingError(f"Task sampling must be one of {', '.join(SCHEMES)}; got {scheme!r}.")
    n = torch.as_tensor(counts, dtype=torch.float64)
    if scheme == "uniform":
        weight = (n > 0).double()
    elif scheme == "temperature":
        if not temperature >= 1:
            raise SettingError(f"The temperature of task sampling must be 1 or more, got {temperature!r}.")
        weight = torch.where(n > 0, n ** (1 / temperature), 0.0)
    elif scheme == "capped":
        if cap is None or cap < 1:
            raise SettingError(f"Capped task sampling needs cap=… of at least one row, got {cap!r}.")
        weight = n.clamp(max=cap)
    else:
        weight = n
    return weight / weight.sum()


@dataclass(frozen=True)
class TaskSampler:
    """Draws tasks, then rows of each.

    Parameters
    ----------
    scheme : {"uniform", "proportional", "temperature", "capped"}
    tasks_per_batch : int
        Tasks drawn for a batch (with replacement); its rows are divided among them.
    temperature, cap
        See `task_probabilities`.
    """

    scheme: str = "uniform"
    tasks_per_batch: int = 4
    temperature: float = 2.0
    cap: int | None = None

    def __post_init__(self) -> None:
        if self.tasks_per_batch < 1:
            raise SettingError(f"tasks_per_batch must be at least 1, got {self.tasks_per_batch!r}.")
        task_probabilities([1], self.scheme, self.temperature, self.cap)

    def batches(self, counts: Sequence[int], batch_size: int, generator: torch.Generator) -> list[Tensor]:
        """As many batches as an epoch over all labels has; labels are numbered task by task.

        Every task deals its labels in random order and starts anew when it has none left, within an epoch.
        """
        probabilities = task_probabilities(counts, self.scheme, self.temperature, self.cap)
        steps = max(1, math.ceil(sum(counts) / batch_size))
        rows = max(1, batch_size // self.tasks_per_batch)
        drawn = torch.multinomial(
            probabilities, steps * self.tasks_per_batch, replacement=True, generator=generator
        )
        out = torch.empty(len(drawn), rows, dtype=torch.int64)
        start = 0
        for task, n in enumerate(counts):
            slots = (drawn == task).nonzero().squeeze(1)
            needed = len(slots) * rows
            if needed:
                rounds = [torch.randperm(n, generator=generator) for _ in range(math.ceil(needed / n))]
                out[slots] = start + torch.cat(rounds)[:needed].view(len(slots), rows)
            start += n
        return list(out.view(steps, -1))


def draw_batches(
    data: TaskTensors, sampling: str | TaskSampler, batch_size: int, generator: torch.Generator
) -> list[Tensor]:
    """The batches of an epoch, as units of `data`; see `Training.sampling`."""
    if isinstance(sampling, TaskSampler):
        return sampling.batches(data.pair_counts, batch_size, generator)
    if sampling == "every_task" or (sampling == "auto" and data.layout == "pairs"):
        return block_batches(data.pair_counts, max(FEWEST_ROWS, batch_size // len(data.tasks)), generator)
    return row_batches(data.n_units, batch_size, generator)
