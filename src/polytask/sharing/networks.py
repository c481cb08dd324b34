"""A network per task, computed together: what single-task and soft sharing have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from polytask.sharing.architecture import Architecture
from polytask.sharing.base import Rows, take
from polytask.sharing.blocks import input_shape, layer_parameters, output_width
from polytask.sharing.parallel import Parallel, fresh_copies
from polytask.sharing.parts import Part
from polytask.sharing.rows import group_rows, ungroup_rows


class TaskNetworks(Architecture, ABC):
    """T encoders of equal shape, each with a head; a subclass may pull them towards each other.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    encoder : Module
        Network of the first task up to its head; the other tasks get copies with weights drawn anew.
    width : int, optional
        Width of the encoder's output; found by running it on `example` where it is not given.
    task_hidden : sequence of int
        Widths of further layers before each output.
    dropout : float
        In these further layers.
    example : Tensor of shape (n, …), optional
        A few rows of input, from which the width is found.
    """

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: nn.Module,
        width: int | None = None,
        *,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
    ) -> None:
        shape = input_shape(encoder, example)
        super().__init__(heads, output_width(encoder, width, example), task_hidden, dropout, shape)
        self.encoders = Parallel(fresh_copies(encoder, len(self.tasks)))

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        return self.encoders(x, None if list(tasks) == list(range(len(self.tasks))) else tasks)

    def forward(self, x: Tensor, rows: Rows | None = None) -> dict[str, Tensor]:
        wanted = self.check_rows(rows)
        if all(index is None for index in wanted.values()):
            return super().forward(x, wanted)
        self.check_input(x)
        encoders = dict(zip(self.tasks, self.encoders.members))
        return self.towers({task: encoders[task](take(x, index)) for task, index in wanted.items()})

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        self.check_input(x)
        if self.encoders.path == "loop":
            # Each row through its own task's network alone: places that fill a group up would enter statistics.
            rows = {t: (task_of_row == t).nonzero().squeeze(1) for t in task_of_row.unique().tolist()}
            h = torch.cat([self.encoders.members[t](x[index]) for t, index in rows.items()])
            return self.towers.own(h[torch.argsort(torch.cat(list(rows.values())))], task_of_row)
        grouped, place = group_rows(x, task_of_row, len(self.tasks))
        return ungroup_rows(self.towers.own_grouped(self.encoders.forward_stacked(grouped)), place)

    @property
    def takes_blocks(self) -> bool:
        """Only where it is known that no row's output depends on another row."""
        return self.encoders.path == "batched"

    def own_blocks(self, x: Tensor, tasks: Sequence[int] | None = None) -> Tensor:
        return self.towers.own_grouped(self.encoders.forward_stacked(x, tasks), tasks)

    def parts(self) -> list[Part]:
        out: list[Part] = []
        last: dict[str, list[str]] = {}
        for task, encoder in zip(self.tasks, self.encoders.members):
            below: tuple[str, ...] = ()
            for i, parameters in enumerate(layer_parameters(encoder), start=1):
                out.append(Part(f"layer {i} of {task}", (task,), "layer", parameters, below))
                below = (out[-1].name,)
            last[task] = list(below)
        return out + self.head_parts(last)

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
