"""One step of several ranks, as if one process held the whole batch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from polytask.balancing.engines.gradients import Gradients
from polytask.balancing.engines.shards import Shards
from polytask.errors import PolytaskWarning, SettingError


class Ranks:
    """The ranks of a process group that train one network together.

    Parameters
    ----------
    model : Module
        The whole network; parameters are in the same order on all ranks.
    tasks : sequence of str
    group : ProcessGroup, optional

    Raises
    ------
    SettingError
        If there is no process group, or ranks disagree about tasks or parameters.
    """

    def __init__(self, model: Any, tasks: Sequence[str], group: Any = None) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            raise SettingError(
                "distribute() needs a process group: start with torchrun and call "
                "torch.distributed.init_process_group first."
            )
        self.group, self.tasks, self.shards = group, tuple(tasks), Shards(model)
        named = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.parameters = list(named.values())
        self.device = self.parameters[0].device if named else torch.device("cpu")
        self._check_agreement([(n.removeprefix("module."), tuple(p.shape)) for n, p in named.items()])

    @property
    def first(self) -> bool:
        """Whether this is the first rank."""
        return dist.get_rank(self.group) == 0

    def gather(self) -> None:
        """Have whole parameters; to be called before the graph is looked at."""
        self.parameters = self.shards.gather() or self.parameters

    def total(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Sums of the tasks' losses over ranks, for the tasks that any rank has, in one order for all."""
        unknown = [task for task in losses if task not in self.tasks]
        if unknown:
            raise SettingError(f"Task '{unknown[0]}' was not named in distribute(): {', '.join(self.tasks)}.")
        both = torch.zeros(2, len(self.tasks), dtype=torch.float64)
        for k, task in enumerate(self.tasks):
            if task in losses:
                both[0, k], both[1, k] = losses[task], 1.0
        values, present = self.sum_tensor(both).tolist()
        return {t: v for t, v, n in zip(self.tasks, values, present) if n}

    def sum_tensor(self, x: Tensor) -> Tensor:
        """Over ranks; bit-equal on all of them."""
        x = x.contiguous()
        moved = x.to(self.device) if dist.get_backend(self.group) == "nccl" else x
        dist.all_reduce(moved, group=self.group)
        return moved.to(x.device)

    def sum(self, gradients: Gradients) -> Gradients:
        """Over ranks; parameters that no rank has a gradient of stay without."""
        present = torch.tensor([float(p in gradients) for p in self.parameters])
        reached = [p for p, n in zip(self.parameters, self.sum_tensor(present).tolist()) if n]
        out: Gradients = {}
        for kind in dict.fromkeys((p.dtype, p.device) for p in reached):
            members = [p for p in reached if (p.dtype, p.device) == kind]
            flat = torch.cat([gradients.get(p, torch.zeros_like(p)).to(p.dtype).reshape(-1) for p in members])
            parts = self.sum_tensor(flat).split([p.numel() for p in members])
            out |= {p: part.view_as(p) for p, part in zip(members, parts)}
        return self.shards.release(out)

    def _check_agreement(self, named: list[tuple[str, tuple[int, ...]]]) -> None:
        mine = (self.tasks, named)
        all_of_them: list[Any] = [None] * dist.get_world_size(self.group)
        dist.all_gather_object(all_of_them, mine, group=self.group)
        for rank, other in enumerate(all_of_them):
            if other[0] != self.tasks:
                raise SettingError(
                    f"Rank {rank} has other tasks: {', '.join(other[0])}; name all, in one order."
                )
            if other[1] != named:
                raise SettingError(f"Rank {rank} has other parameters; build the same network on all ranks.")

    def __deepcopy__(self, memo: dict[int, Any]) -> Ranks:
        # A process group cannot be copied; a copy of the balancer works with the same ranks.
        return self


def warn_of_lonely_ranks(ranks: Ranks | None) -> None:
    """Warn, once in a place, where there are several ranks and a balancer was not told of them."""
    if ranks is None and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        warnings.warn(
            "There are several ranks, and this balancer sees only its own: their weights will drift apart. Call "
            "balancer.distribute(model, tasks) on every rank before training.",
            PolytaskWarning,
            stacklevel=2,
        )


def global_losses(
    sums: Mapping[str, Tensor], counts: Mapping[str, float], tasks: Sequence[str], group: Any = None
) -> dict[str, Tensor]:
    """This rank's part of each task's loss: its sum divided by the number of labels on all ranks.

    A mean of the ranks' means would weigh a label by how few of its kind its rank has.

    Parameters
    ----------
    sums : mapping of str to scalar Tensor
        Sum of a task's losses over the rows of this rank; only tasks with labels here.
    counts : mapping of str to float
        Number of labels (or sum of weights) of these tasks on this rank.
    tasks : sequence of str
        All tasks, in the same order on all ranks.

    Returns
    -------
    dict of str to scalar Tensor
    """
    total = torch.tensor([float(counts.get(task, 0.0)) for task in tasks], dtype=torch.float64)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total, group=group)
    whole = dict(zip(tasks, total.tolist()))
    return {task: s / whole[task] for task, s in sums.items()}
