"""The last level of customized gate control, and the only one of CGC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from polytask.sharing.mixture.gates import SoftmaxGates, mix, mix_own
from polytask.sharing.mixture.usage import warn_of_collapse, warn_of_twins
from polytask.sharing.parallel import Parallel
from polytask.sharing.parts import Matrix, Part, parameters_of
from polytask.sharing.rows import group_rows, ungroup_rows
from polytask.sharing.stacked import Stacked


class TopLevel(nn.Module):
    """Experts that tasks share, experts that serve one task alone, and each task's gate over both.

    Parameters
    ----------
    experts : sequence of Module
        Equal ones: first those of the first task, of the second …, at last the shared ones.
    tasks : sequence of str
    n_own : int
        Number O of experts that each task has of its own.
    n_inputs : int
        Width of what gates see.
    gate_dropout : float
        As in `polytask.sharing.mixture.gates.SoftmaxGates`.
    """

    def __init__(
        self,
        experts: Sequence[nn.Module],
        tasks: Sequence[str],
        n_own: int,
        n_inputs: int,
        gate_dropout: float,
    ) -> None:
        super().__init__()
        self.tasks, self.n_own = tuple(tasks), n_own
        n_all = len(tasks) * n_own
        self.own = Parallel(experts[:n_all])
        self.common = Stacked(experts[n_all:])
        self.gate = SoftmaxGates(len(tasks), n_inputs, n_own + len(self.common), gate_dropout)

    def forward(
        self, x: Tensor, seen: Tensor, common: Tensor, tasks: Sequence[int], apart: bool = False
    ) -> Tensor:
        """The chosen tasks' mixtures.

        Parameters
        ----------
        x : Tensor of shape (n, …), or (K, n, …) an input for each chosen task where `apart`
        seen : Tensor of shape (n, d), or (K, n, d)
            What gates see of it.
        common : Tensor of shape (n, S, width)
            The shared experts' outputs.
        tasks : sequence of int
            Positions of the K tasks.

        Returns
        -------
        Tensor of shape (K, n, width)
        """
        return mix_own(self.gate(seen, tasks), self._own_outputs(x, tasks, apart), common)

    def of_rows(self, x: Tensor, seen: Tensor, common: Tensor, task_of_row: Tensor) -> Tensor:
        """Each row's mixture for its own task, whose experts see no other rows: (n, width)."""
        if self.own.path == "loop":
            own = self._own_of_rows(x, task_of_row)
        else:
            grouped, place = group_rows(x, task_of_row, len(self.tasks))
            own = self._own_outputs(grouped, range(len(self.tasks)), apart=True).transpose(1, 2)
            own = ungroup_rows(own, place)
        # All gates, which are small.
        weights = self.gate(seen)[task_of_row, torch.arange(len(x), device=x.device)]
        return mix(weights.unsqueeze(0), torch.cat([own, common], 1)).squeeze(0)

    def _own_of_rows(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        """Own experts' outputs (n, O, width), task by task: filled up groups would enter running statistics."""
        rows = [(task_of_row == t).nonzero().squeeze(1) for t in range(len(self.tasks))]
        parts = [self._own_outputs(x[i], [t], apart=False)[0] for t, i in enumerate(rows) if len(i)]
        order = torch.cat(rows)
        return torch.cat(parts, 1).transpose(0, 1)[torch.argsort(order)]

    def _own_outputs(self, x: Tensor, tasks: Sequence[int], apart: bool) -> Tensor:
        """Outputs of the chosen tasks' own experts: (K, O, n, width)."""
        members = [task * self.n_own + i for task in tasks for i in range(self.n_own)]
        chosen = None if members == list(range(len(self.own))) else members
        if apart:
            found = self.own.forward_stacked(x.repeat_interleave(self.n_own, 0), chosen)
        else:
            found = self.own(x, chosen)
        return found.unflatten(0, (len(tasks), self.n_own))

    # ------------------------------------------------------------------ what it is

    def usage(self, name: str, x: Tensor, seen: Tensor, common: Tensor, apart: bool = False) -> Matrix:
        """Mean gate weights, tasks by experts; warns of collapse. Arguments are those of `forward`."""
        n_tasks, n_shared = len(self.tasks), len(self.common)
        experts = expert_names(self.tasks, self.n_own, n_shared)
        weights = self.gate(seen).mean(1).double().cpu().numpy()
        values = np.full((n_tasks, len(experts)), np.nan)
        for k in range(n_tasks):
            values[k, k * self.n_own : (k + 1) * self.n_own] = weights[k, : self.n_own]
        values[:, n_tasks * self.n_own :] = weights[:, self.n_own :]
        found = Matrix(name, self.tasks, experts, values)
        warn_of_collapse(found)
        own = self._own_outputs(x, range(n_tasks), apart).flatten(0, 1)
        warn_of_twins([*own, *common.transpose(0, 1)], experts, name)
        return found

    def parts(self, prefix: str, below: Sequence[str], below_task: Mapping[str, Sequence[str]]) -> list[Part]:
        """Shared experts over `below`; each task's experts and gate over `below_task`."""
        common = parameters_of(self.common)
        names = tuple(f"{prefix}shared expert {i + 1}" for i in range(len(self.common)))
        out = [
            Part(
                f"{prefix}shared experts",
                self.tasks,
                "expert",
                common,
                tuple(below),
                shared=True,
                members=names,
            )
        ]
        for k, task in enumerate(self.tasks):
            own = parameters_of(list(self.own.members)[k * self.n_own : (k + 1) * self.n_own])
            inputs = tuple(below_task[task])
            out.append(Part(f"{prefix}experts of {task}", (task,), "expert", own, inputs))
            out.append(Part(f"{prefix}gate of {task}", (task,), "gate", self.gate.parameters_of(k), inputs))
        return out

    def outputs_of(self, prefix: str) -> dict[str, tuple[str, ...]]:
        """Names of the parts that a task's head takes."""
        return {
            t: (f"{prefix}shared experts", f"{prefix}experts of {t}", f"{prefix}gate of {t}")
            for t in self.tasks
        }


def expert_names(tasks: Sequence[str], n_own: int, n_shared: int) -> tuple[str, ...]:
    """Names of all experts, the tasks' own first."""
    own = [f"{task} {i + 1}" for task in tasks for i in range(n_own)]
    return (*own, *(f"shared {i + 1}" for i in range(n_shared)))
