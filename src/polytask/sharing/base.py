"""The contract of every sharing architecture: which parameters tasks share, and how outputs are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polytask.errors import SettingError

Rows = Mapping[str, "Tensor | None"]


class Sharing(nn.Module, ABC):
    """Several tasks' networks, with some of their parameters in common.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs (1, the number of classes, or the number of labels).

    Notes
    -----
    A subclass implements `forward`, `shared_parameters` and `task_parameters`; `table` and `own` are the two
    forms that training uses, and are worth overriding where tasks can be computed together.

    Raises
    ------
    SettingError
        For no task, or a head without outputs.
    """

    name: str = ""

    def __init__(self, heads: Mapping[str, int]) -> None:
        super().__init__()
        if not heads:
            raise SettingError(
                "A sharing architecture needs at least one task: heads={name: number of outputs}."
            )
        for task, width in heads.items():
            if width < 1:
                raise SettingError(f"Task '{task}': a head needs at least one output, got {width}.")
        self.heads = dict(heads)
        self.tasks = tuple(heads)
        self.settings: dict[str, Any] | None = None
        self._features: Tensor | None = None

    # ------------------------------------------------------------------ to implement

    @abstractmethod
    def forward(self, x: Tensor, rows: Rows | None = None) -> dict[str, Tensor]:
        """Outputs of tasks.

        Parameters
        ----------
        x : Tensor of shape (n, …)
        rows : mapping of str to int64 Tensor or None, optional
            Task → the rows of `x` it is asked for (None: all rows). Tasks that are not named are not
            computed; no mapping: all tasks for all rows.

        Returns
        -------
        dict of str to Tensor of shape (n_t, outputs of the task)
        """

    @abstractmethod
    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that more than one task uses."""

    @abstractmethod
    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        """Parameters that only this task uses."""

    # ------------------------------------------------------------------ what training calls

    @property
    def columns(self) -> dict[str, slice]:
        """Where each task's outputs are in `table`."""
        out, start = {}, 0
        for task, width in self.heads.items():
            out[task] = slice(start, start + width)
            start += width
        return out

    def table(self, x: Tensor) -> Tensor:
        """Outputs of all tasks for all rows, side by side: (n, total outputs), see `columns`."""
        outputs = self(x)
        return torch.cat([outputs[task] for task in self.tasks], 1)

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        """Each row's output for its own task.

        Parameters
        ----------
        x : Tensor of shape (n, …)
        task_of_row : int64 Tensor of shape (n,)
            Positions in ``tasks``.

        Returns
        -------
        Tensor of shape (n, widest output)
            Zero beyond the width of a row's task.
        """
        rows = {}
        for k, task in enumerate(self.tasks):
            index = (task_of_row == k).nonzero().squeeze(1)
            if len(index):
                rows[task] = index
        outputs = self(x, rows)
        widest = max(self.heads.values())
        padded = [nn.functional.pad(outputs[t], (0, widest - self.heads[t])) for t in rows]
        order = torch.cat(list(rows.values()))
        return torch.cat(padded)[torch.argsort(order)]

    @property
    def takes_blocks(self) -> bool:
        """Whether every task has a network of its own and `own_blocks` computes them all together."""
        return False

    def own_blocks(self, x: Tensor, tasks: Sequence[int] | None = None) -> Tensor:
        """Outputs of tasks for rows of their own.

        Blocks may hold rows that only fill them up: no row's output may depend on another row.

        Parameters
        ----------
        x : Tensor of shape (T, m, …)
        tasks : sequence of int, optional
            Positions of the T tasks that are asked for; the others are not computed. None: all.

        Returns
        -------
        Tensor of shape (T, m, widest output)
            Zero beyond a task's width.
        """
        raise NotImplementedError(f"{type(self).__name__} takes rows and their tasks: own(x, task_of_row).")

    def features(self) -> Tensor | None:
        """The shared representation of the last forward pass, or None where nothing is shared."""
        return self._features

    def remember(self, h: Tensor) -> Tensor:
        """Keep `h` as the representation that `features` returns; called in forward passes."""
        # Not through Module.__setattr__, which takes longer than a small layer.
        self.__dict__["_features"] = h
        return h

    def penalty(self) -> Tensor | None:
        """A term to add to the objective, or None."""
        return None

    def after_step(self) -> None:
        """Called after every optimizer step: proximal steps, updates of covariances."""

    # ------------------------------------------------------------------ what it is

    def describe(self) -> dict[str, Any]:
        """Plain data: the architecture, its settings, and which tasks use which parameters."""
        blocks = []
        shared = sum(p.numel() for p in self.shared_parameters())
        if shared:
            blocks.append({"name": "shared", "tasks": list(self.tasks), "parameters": shared})
        for task in self.tasks:
            own = sum(p.numel() for p in self.task_parameters(task))
            blocks.append({"name": task, "tasks": [task], "parameters": own})
        return {
            "name": self.name,
            "heads": dict(self.heads),
            "settings": self.settings,
            "parameters": sum(p.numel() for p in self.parameters()),
            "blocks": blocks,
        }

    def check_rows(self, rows: Rows | None) -> dict[str, Tensor | None]:
        """`rows` as a dict, all tasks if it is None; raises for a task that is not known."""
        if rows is None:
            return dict.fromkeys(self.tasks)
        unknown = [task for task in rows if task not in self.heads]
        if unknown:
            raise SettingError(f"No task '{unknown[0]}'; this network has: {', '.join(self.tasks)}.")
        return dict(rows)

    def __getstate__(self) -> dict[str, Any]:
        # The last representation belongs to a graph and cannot be copied.
        return {**self.__dict__, "_features": None}


def take(x: Tensor, index: Tensor | None) -> Tensor:
    """The rows in `index`, or all."""
    return x if index is None else x[index]
