"""One module per task; the equal-shaped ones among them are computed together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from polytask.sharing.parallel import Parallel, signature
from polytask.sharing.rows import group_rows, ungroup_rows

#: Up to this many outputs it is cheaper to compute all tasks' linear heads for every row than to group rows.
DENSE_OUTPUTS = 512


class Towers(nn.Module):
    """A module per task (heads, or whole networks), each with its own number of outputs.

    Parameters
    ----------
    modules : mapping of str to Module
        Task name → module from (n, d) to (n, outputs of the task).
    widths : mapping of str to int
        Outputs of each task.

    Attributes
    ----------
    columns : dict of str to slice
        Where a task's outputs are in the table that `table` returns.
    """

    _order: Tensor
    _inverse: Tensor
    _group: Tensor
    _member: Tensor

    def __init__(self, modules: Mapping[str, nn.Module], widths: Mapping[str, int]) -> None:
        super().__init__()
        self.tasks = tuple(modules)
        by_shape: dict[object, list[str]] = {}
        for task, module in modules.items():
            by_shape.setdefault(signature(module), []).append(task)
        self.group_tasks = list(by_shape.values())
        self._groups = nn.ModuleList(Parallel([modules[t] for t in names]) for names in self.group_tasks)
        self.widths = [widths[names[0]] for names in self.group_tasks]
        self.place = {t: (g, i) for g, names in enumerate(self.group_tasks) for i, t in enumerate(names)}
        self.columns: dict[str, slice] = {}
        start = 0
        for names, width in zip(self.group_tasks, self.widths):
            for task in names:
                self.columns[task] = slice(start, start + width)
                start += width
        order = torch.tensor([self.tasks.index(t) for names in self.group_tasks for t in names])
        self.register_buffer("_order", order, persistent=False)
        self.register_buffer("_inverse", torch.argsort(order), persistent=False)
        places = torch.tensor([self.place[t] for t in self.tasks])
        self.register_buffer("_group", places[:, 0].contiguous(), persistent=False)
        self.register_buffer("_member", places[:, 1].contiguous(), persistent=False)

    @property
    def groups(self) -> list[Parallel]:
        """Equal-shaped modules together."""
        return [cast("Parallel", group) for group in self._groups]

    def module(self, task: str) -> nn.Module:
        group, i = self.place[task]
        return self.groups[group].members[i]

    def parameters_of(self, task: str) -> Iterator[nn.Parameter]:
        return self.module(task).parameters()

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs of the tasks in `inputs`, each over its own rows (n_t, d); others are not computed."""
        return {task: self.module(task)(x) for task, x in inputs.items()}

    def forward_stacked(self, x: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
        """Outputs of `tasks`, equal ones together: (n, d) for all of them, or (T, n, d) → (n, width) each."""
        out: dict[str, Tensor] = {}
        for g, group in enumerate(self.groups):
            mine = [(i, self.place[task][1]) for i, task in enumerate(tasks) if self.place[task][0] == g]
            if not mine:
                continue
            members = None if len(mine) == len(group) and _ascending(mine) else [m for _, m in mine]
            if x.dim() == 2:
                found = group(x, members)
            else:
                places = [i for i, _ in mine]
                found = group.forward_stacked(x if len(places) == len(x) else x[places], members)
            out.update(zip([tasks[i] for i, _ in mine], found))
        return {task: out[task] for task in tasks}

    def table(self, x: Tensor) -> Tensor:
        """Outputs of all tasks for all rows: (n, d), or (T, n, d) an input per task → (n, total outputs)."""
        parts = self._per_group(x) if x.dim() == 3 else [group(x) for group in self.groups]
        flat = [part.transpose(0, 1).flatten(1) for part in parts]
        return flat[0] if len(flat) == 1 else torch.cat(flat, 1)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        """The output of each row's own task: (n, d) → (n, widest output), zero beyond a task's width."""
        if len(self.groups) == 1:
            return self._own_group(0, x, task_of_row)
        out = x.new_zeros(len(x), max(self.widths))
        group_of_row = self._group[task_of_row]
        for g, width in enumerate(self.widths):
            rows = (group_of_row == g).nonzero().squeeze(1)
            if len(rows):
                part = self._own_group(g, x[rows], self._member[task_of_row[rows]])
                out = out.index_copy(0, rows, nn.functional.pad(part, (0, out.shape[1] - width)))
        return out

    def own_grouped(self, x: Tensor, tasks: Sequence[int] | None = None) -> Tensor:
        """As `own` for rows that are grouped by task already: (T, m, d) → (T, m, widest output).

        `tasks` are the positions of the tasks in `x`; None: all of them.
        """
        if tasks is None:
            parts = self._per_group(x)
            inverse = self._inverse
        else:
            parts, order = self._some(x, tasks)
            inverse = torch.argsort(torch.tensor(order, device=x.device))
        if len(self.groups) == 1:
            return parts[0]
        widest = max(self.widths)
        padded = [nn.functional.pad(part, (0, widest - part.shape[-1])) for part in parts]
        return torch.cat(padded)[inverse]

    def _per_group(self, x: Tensor) -> list[Tensor]:
        """Outputs of each group from an input per task: (T, n, d) → (tasks of the group, n, width)."""
        if len(self.groups) == 1:
            return [self.groups[0].forward_stacked(x)]
        inputs = x[self._order].split([len(names) for names in self.group_tasks])
        return [group.forward_stacked(part) for group, part in zip(self.groups, inputs)]

    def _some(self, x: Tensor, tasks: Sequence[int]) -> tuple[list[Tensor], list[int]]:
        """The same for some tasks, and the positions in `x` that the outputs are for, in their order."""
        parts, order = [], []
        places = [self.place[self.tasks[t]] for t in tasks]
        for g, group in enumerate(self.groups):
            mine = [i for i, place in enumerate(places) if place[0] == g]
            if mine:
                inputs = x if len(mine) == len(tasks) else x[mine]
                parts.append(group.forward_stacked(inputs, [places[i][1] for i in mine]))
                order += mine
        return parts, order

    def _own_group(self, g: int, x: Tensor, member: Tensor) -> Tensor:
        group, width = self.groups[g], self.widths[g]
        single = isinstance(group.members[0], nn.Linear)
        if single and len(group) * width <= DENSE_OUTPUTS:
            every = group(x).transpose(0, 1)
            return every.gather(1, member.view(-1, 1, 1).expand(-1, 1, width)).squeeze(1)
        grouped, place = group_rows(x, member, len(group))
        return ungroup_rows(group.forward_stacked(grouped), place)


def _ascending(pairs: list[tuple[int, int]]) -> bool:
    return all(a[1] < b[1] for a, b in pairwise(pairs))
