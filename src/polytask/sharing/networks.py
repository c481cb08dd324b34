"""A network per task, computed together: what single-task and soft sharing have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from polytask.sharing.base import Rows, take
from polytask.sharing.encoders import head
from polytask.sharing.parallel import Parallel, fresh_copies
from polytask.sharing.rows import group_rows, ungroup_rows
from polytask.sharing.towers import Towers


class TaskNetworks(nn.Module):
    """T encoders of equal shape, each with a head.

    Parameters
    ----------
    heads : mapping of str to int
    encoder : Module
        Network of the first task up to its head; the other tasks get copies with weights drawn anew.
    width : int
        Width of the encoder's output.
    task_hidden : sequence of int
    dropout : float
    """

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: nn.Module,
        width: int,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.tasks = tuple(heads)
        self.encoders = Parallel(fresh_copies(encoder, len(self.tasks)))
        self.towers = Towers({t: head(width, task_hidden, k, dropout) for t, k in heads.items()}, heads)

    def forward(self, x: Tensor, rows: Rows) -> dict[str, Tensor]:
        """Outputs of the tasks in `rows`; see `Sharing.forward`."""
        members = [self.tasks.index(task) for task in rows]
        if rows and all(index is None for index in rows.values()):
            return self.towers(dict(zip(rows, self.encoders(x, members))))
        features = {
            task: self.encoders.members[i](take(x, index)) for i, (task, index) in zip(members, rows.items())
        }
        return self.towers(features)

    def table(self, x: Tensor) -> Tensor:
        """Outputs of all tasks for all rows: (n, total outputs)."""
        return self.towers.table(self.encoders(x))

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        """Outputs of each row's own task: (n, widest output)."""
        grouped, place = group_rows(x, task_of_row, len(self.tasks))
        return ungroup_rows(self.towers.own_grouped(self.encoders.forward_stacked(grouped)), place)

    @property
    def takes_blocks(self) -> bool:
        """Only where it is known that no row's output depends on another row."""
        return self.encoders.path == "batched"

    def own_blocks(self, x: Tensor, tasks: Sequence[int] | None = None) -> Tensor:
        """See `Sharing.own_blocks`."""
        return self.towers.own_grouped(self.encoders.forward_stacked(x, tasks), tasks)

    def parameters_of(self, task: str) -> Iterator[nn.Parameter]:
        yield from self.encoders.members[self.tasks.index(task)].parameters()
        yield from self.towers.parameters_of(task)

    def layers(self) -> list[list[Tensor]]:
        """The encoders' parameters layer by layer, each stacked over tasks: (T, *shape)."""
        out: dict[str, list[Tensor]] = {}
        for name, stacked in self.encoders.stacked().items():
            out.setdefault(name.rpartition(".")[0], []).append(stacked)
        return list(out.values())


def spread(stacked: Tensor) -> Tensor:
    """``Σ_t ‖W_t − W̄‖²`` of (T, *shape); times T it is the sum of ``‖W_s − W_t‖²`` over all pairs."""
    return _Spread.apply(stacked)


class _Spread(torch.autograd.Function):
    """With its gradient ``2 (W_t − W̄)`` written out: autograd's takes four times as long for many tasks."""

    @staticmethod
    def forward(ctx: Any, stacked: Tensor) -> Tensor:
        difference = stacked - stacked.mean(0, keepdim=True)
        ctx.save_for_backward(difference)
        flat = difference.reshape(-1)
        return torch.dot(flat, flat)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (difference,) = ctx.saved_tensors
        return difference * (2 * grad)
