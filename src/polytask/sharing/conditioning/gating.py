"""Conditioning by multiplication: gates that the task's descriptor sets.

Finn, C. (2020). CS 330: Deep multi-task and meta learning, lecture 2, Stanford University: "multiplicative gating"
``y = Σ_j 1(z_i = j) y_j`` and "multiplicative conditioning".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.blocks import Blocks, Encoder
from polytask.sharing.cards import Card
from polytask.sharing.conditioning.base import Conditioned, at_the_end, chain, rest
from polytask.sharing.conditioning.descriptors import DescriptorSetting, OneHot
from polytask.sharing.conditioning.numbers import FixedNumbers
from polytask.sharing.conditioning.steps import Asked, Condition, Step


class Gating(Conditioned):
    """``h ← h ⊙ g(z_t)`` after blocks, with ``g(z) = 1 + U z``; U begins at zero, which is hard sharing.

    With a one-hot z every task so has a gate of its own for each unit (or channel of feature maps). Gates that
    are one for the task's own group of units and zero for the others, at all blocks, cut the network into T
    independent ones: no weight between two groups is used, and with one head for all tasks this is
    ``y = Σ_j 1(z_i = j) y_j``. Multiplication thus generalises independent networks; `groups` fixes these gates.

    Parameters
    ----------
    heads, encoder, width, descriptor, dimension, at, head, task_hidden, dropout, example, blocks
        As in `polytask.sharing.conditioning.base.Conditioned`.
    groups : bool
        Whether gates are fixed: the units of a block are divided into T groups, as equal as can be, and task t
        uses group t. Only with ``descriptor="one-hot"``. Blocks that `at` leaves out are shared as they are.

    Raises
    ------
    SettingError
        For `groups` with another descriptor, or at a block with fewer units than tasks; further as in the base.

    Notes
    -----
    With `groups` the weights of all tasks lie in the same parameters, which therefore count as shared, although
    no task's loss has a gradient for another group's weights; what is decayed is decayed for all.
    """

    name = "gating"
    card = Card(
        "Finn 2020, CS 330: Deep multi-task and meta learning, lecture 2 (multiplicative conditioning)",
        "h ← h ⊙ g(z_t)",
        "one network that is told the task",
    )

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None = None,
        *,
        descriptor: DescriptorSetting = "one-hot",
        dimension: int | None = None,
        at: str | Sequence[int] = "all",
        head: str = "multi",
        groups: bool = False,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        example: Tensor | None = None,
        blocks: Sequence[str] | None = None,
    ) -> None:
        super().__init__(
            heads,
            encoder,
            width,
            descriptor=descriptor,
            dimension=dimension,
            at=at,
            head=head,
            task_hidden=task_hidden,
            dropout=dropout,
            example=example,
            blocks=blocks,
        )
        if groups:
            self._fix_gates()

    def conditioned(self, number: int, blocks: Blocks) -> list[Step]:
        before, channels, dim, after = at_the_end(number, blocks)
        numbers = self.descriptor.numbers(torch.ones(channels))
        return [Step(chain(before), Gate(numbers, dim)), *rest(after)]

    def _fix_gates(self) -> None:
        if not isinstance(self.descriptor, OneHot):
            raise SettingError(
                "groups=True gives each task its own units, which only tells tasks apart: leave "
                "descriptor='one-hot'."
            )
        for number, steps in enumerate(self._blocks, start=1):
            for step in steps:
                if step.condition is not None:
                    (units,) = step.condition.numbers.shape
                    step.condition.numbers = FixedNumbers(group_masks(len(self.tasks), units, number))


class Gate(Condition):
    """``h ⊙ g``, unit by unit or channel by channel."""

    def forward(self, h: Tensor, asked: Asked, layer: nn.Module, taken: torch.Size) -> Tensor:
        return h * asked.spread(self.numbers(asked.tasks, asked.z), h, self.channel)

    def tables(self, asked: Asked) -> dict[str, Tensor]:
        return {"gates": self.numbers(asked.tasks, asked.z)}


def group_masks(n_tasks: int, units: int, number: int) -> Tensor:
    """One for the units of the task's group, zero for the others: (T, units)."""
    if units < n_tasks:
        raise SettingError(
            f"groups=True divides the units of block {number} among {n_tasks} tasks, but it has {units}."
        )
    out = torch.zeros(n_tasks, units)
    for row, group in zip(out, torch.arange(units).tensor_split(n_tasks)):
        row[group] = 1.0
    return out
