"""The levels of progressive layered extraction below the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from polytask.sharing.mixture.gates import SoftmaxGates, mix, mix_own
from polytask.sharing.mixture.top_level import expert_names
from polytask.sharing.mixture.usage import warn_of_collapse, warn_of_twins
from polytask.sharing.parts import Matrix, Part, parameters_of
from polytask.sharing.stacked import Stacked


@dataclass(frozen=True)
class Streams:
    """What flows into a level: one input for all, or one for each task and one for the shared experts.

    Attributes
    ----------
    x : Tensor of shape (n, …), or (T + 1, n, width) where they are apart, the shared one at last
    seen : Tensor of shape (n, d), or (T + 1, n, width)
        What gates see of it.
    apart : bool
    """

    x: Tensor
    seen: Tensor
    apart: bool

    def of_tasks(self, tasks: Sequence[int]) -> Tensor:
        """What the tasks' gates see: (n, d), or (K, n, width)."""
        return self.seen[list(tasks)] if self.apart else self.seen

    @property
    def of_shared(self) -> Tensor:
        """What the shared gate sees: (n, d)."""
        return self.seen[-1] if self.apart else self.seen


class LowerLevel(nn.Module):
    """Its shared gate sees all experts, so through it all tasks use all of them.

    Parameters
    ----------
    experts, tasks, n_own, n_inputs, gate_dropout
        As in `polytask.sharing.mixture.top_level.TopLevel`.
    below_top : bool
        Whether the next level is the top one. Then a task's gate serves this task alone.
    """

    def __init__(
        self,
        experts: Sequence[nn.Module],
        tasks: Sequence[str],
        n_own: int,
        n_inputs: int,
        gate_dropout: float,
        below_top: bool,
    ) -> None:
        super().__init__()
        self.tasks, self.n_own, self.below_top = tuple(tasks), n_own, below_top
        self.n_shared = len(experts) - len(tasks) * n_own
        self.experts = Stacked(experts)
        n_seen = n_own + self.n_shared
        self.gate = SoftmaxGates(len(tasks), n_inputs, n_seen, gate_dropout, common=not below_top)
        self.shared_gate = SoftmaxGates(1, n_inputs, len(experts), gate_dropout, common=True)

    def outputs(self, streams: Streams) -> Tensor:
        """All experts' outputs: (n, E, width)."""
        if not streams.apart:
            return self.experts(streams.x).transpose(0, 1)
        counts = torch.tensor([self.n_own] * len(self.tasks) + [self.n_shared], device=streams.x.device)
        return self.experts.forward_stacked(streams.x.repeat_interleave(counts, 0)).transpose(0, 1)

    def shared_stream(self, seen: Tensor, outputs: Tensor) -> Tensor:
        """What the next level's shared experts take: (n, width)."""
        return mix(self.shared_gate(seen), outputs).squeeze(0)

    def task_streams(self, seen: Tensor, outputs: Tensor, tasks: Sequence[int]) -> Tensor:
        """What the next level's experts and gates of the chosen tasks take.

        Parameters
        ----------
        seen : Tensor of shape (n, d), or (K, n, d) for the chosen tasks
        outputs : Tensor of shape (n, E, width)
        tasks : sequence of int
            Positions of the K tasks.

        Returns
        -------
        Tensor of shape (K, n, width)
        """
        n_tasks = len(self.tasks)
        own, common = outputs.split([n_tasks * self.n_own, self.n_shared], 1)
        own = own.unflatten(1, (n_tasks, self.n_own)).permute(1, 2, 0, 3)
        if list(tasks) != list(range(n_tasks)):
            own = own[list(tasks)]
        return mix_own(self.gate(seen, tasks), own, common)

    def next_streams(self, streams: Streams, outputs: Tensor) -> Streams:
        """What flows out of this level, for all tasks."""
        every = range(len(self.tasks))
        of_tasks = self.task_streams(streams.of_tasks(every), outputs, every)
        x = torch.cat([of_tasks, self.shared_stream(streams.of_shared, outputs).unsqueeze(0)])
        return Streams(x, x, apart=True)

    # ------------------------------------------------------------------ what it is

    def usage(self, name: str, streams: Streams, outputs: Tensor) -> Matrix:
        """Mean gate weights, tasks and at last the shared gate by experts; warns of collapse."""
        n_tasks, n_own = len(self.tasks), self.n_own
        experts = expert_names(self.tasks, n_own, self.n_shared)
        weights = self.gate(streams.of_tasks(range(n_tasks))).mean(1).double().cpu().numpy()
        values = np.full((n_tasks + 1, len(experts)), np.nan)
        for k in range(n_tasks):
            values[k, k * n_own : (k + 1) * n_own] = weights[k, :n_own]
        values[:n_tasks, n_tasks * n_own :] = weights[:, n_own:]
        values[n_tasks] = self.shared_gate(streams.of_shared).mean(1).double().cpu().numpy()
        found = Matrix(name, (*self.tasks, "shared"), experts, values)
        warn_of_collapse(found)
        warn_of_twins(list(outputs.transpose(0, 1)), experts, name)
        return found

    def parts(self, prefix: str, below: Sequence[str], below_task: Mapping[str, Sequence[str]]) -> list[Part]:
        """Experts, the shared gate over `below` and the tasks' gates over `below_task`."""
        every = tuple(dict.fromkeys([*below, *(name for task in self.tasks for name in below_task[task])]))
        names = tuple(prefix + name for name in expert_names(self.tasks, self.n_own, self.n_shared))
        experts = parameters_of(self.experts)
        out = [
            Part(f"{prefix}experts", self.tasks, "expert", experts, every, shared=True, members=names),
            Part(
                f"{prefix}shared gate",
                self.tasks,
                "gate",
                parameters_of(self.shared_gate),
                tuple(below),
                shared=True,
            ),
        ]
        if not self.below_top:
            gates = parameters_of(self.gate)
            out.append(Part(f"{prefix}gates", self.tasks, "gate", gates, every, shared=True))
            return out
        for k, task in enumerate(self.tasks):
            gate = self.gate.parameters_of(k)
            out.append(Part(f"{prefix}gate of {task}", (task,), "gate", gate, tuple(below_task[task])))
        return out

    def outputs_of(self, prefix: str) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
        """Names of the parts that the next level's shared experts take, and its experts of each task."""
        shared = (f"{prefix}experts", f"{prefix}shared gate")
        gates = {t: f"{prefix}gate of {t}" if self.below_top else f"{prefix}gates" for t in self.tasks}
        return shared, {t: (f"{prefix}experts", gates[t]) for t in self.tasks}
