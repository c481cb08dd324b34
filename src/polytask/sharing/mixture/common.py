"""Mixtures in which all tasks see all experts; they differ in their gates."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from polytask.sharing.blocks import Encoder
from polytask.sharing.mixture.base import Mixture, at_least_one
from polytask.sharing.mixture.bottom import split
from polytask.sharing.mixture.gates import Gates, mix
from polytask.sharing.mixture.usage import warn_of_collapse, warn_of_twins
from polytask.sharing.modes import evaluated
from polytask.sharing.parallel import fresh_copies
from polytask.sharing.parts import Matrix, Part, parameters_of
from polytask.sharing.stacked import Stacked


class CommonExperts(Mixture, ABC):
    """``f^k(x) = Σ_i g^k(x)_i f_i(x)``: a subclass sets `gate`, which gives the weights.

    Parameters
    ----------
    heads, width, task_hidden, dropout, example
        As in `polytask.sharing.architecture.Architecture`.
    encoder, n_experts, bottom, blocks
        As in `polytask.sharing.mixture.MMoE`.
    """

    gate: Gates
    #: Whether gates leave experts out on purpose.
    sparse: ClassVar[bool] = False

    def __init__(
        self,
        heads: Mapping[str, int],
        encoder: Encoder,
        width: int | None,
        *,
        n_experts: int,
        bottom: int,
        task_hidden: Sequence[int],
        dropout: float,
        example: Tensor | None,
        blocks: Sequence[str] | None,
    ) -> None:
        at_least_one(n_experts=n_experts)
        cut = split(encoder, bottom, blocks=blocks, example=example, width=width)
        super().__init__(heads, cut, task_hidden, dropout)
        self.experts = Stacked(fresh_copies(cut.expert, n_experts))
        self.gate_width = cut.gate_width

    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        z, outputs = self._outputs(x)
        return mix(self.gate(z, tasks), outputs)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        self.check_input(x)
        z, outputs = self._outputs(x)
        # All gates, which are small, but a mixture only for the row's own task.
        weights = self.gate(z).expand(-1, len(x), -1)
        weights = weights[task_of_row, torch.arange(len(x), device=x.device)]
        return self.towers.own(mix(weights.unsqueeze(0), outputs).squeeze(0), task_of_row)

    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What gates see, and the experts' outputs (n, E, width)."""
        below = self.below(x)
        seen, outputs = self.seen(below), self.experts(below).transpose(0, 1)
        if self.bottom is None:
            (outputs,) = self.cut(outputs)
        else:
            seen, outputs = self.cut(seen, outputs)
        return seen, outputs

    @property
    def _expert_names(self) -> tuple[str, ...]:
        return tuple(f"expert {i + 1}" for i in range(len(self.experts)))

    def gates(self, x: Tensor) -> list[Matrix]:
        with evaluated(self):
            below = self.below(x)
            experts = self._expert_names
            weights = self.gate(self.seen(below)).mean(1).double().cpu().numpy()
            outputs = self.experts(below)
        used = Matrix("", self.tasks, experts, weights)
        warn_of_collapse(used, sparse=self.sparse)
        warn_of_twins(list(outputs), experts)
        return [used]

    def parts(self) -> list[Part]:
        out = self.bottom_parts()
        below = tuple(part.name for part in out[-1:])
        experts = parameters_of(self.experts)
        out.append(
            Part("experts", self.tasks, "expert", experts, below, shared=True, members=self._expert_names)
        )
        for k, task in enumerate(self.tasks):
            out.append(Part(f"gate of {task}", (task,), "gate", self.gate.parameters_of(k), below))
        return out + self.head_parts({task: ("experts", f"gate of {task}") for task in self.tasks})
