"""The contract of every sharing architecture: which parameters tasks share, and how outputs are computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.cards import Card
from polytask.sharing.cost import flops_per_row
from polytask.sharing.parts import Part, described

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
    #: What it is in a line, for the table of `sharing_methods`; a class of your own may have one.
    card: Card | None = None

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
        #: Learning rate of the last optimizer step, for proximal steps: training sets it, as does a loop of one's own.
        self.step_size: float | None = None
        #: Shape of one row of input, where it is known.
        self.input_shape: tuple[int, ...] | None = None
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
        """Called after every optimizer step: proximal steps (as long as `step_size`), updates of covariances."""

    def learning_rates(self) -> list[tuple[nn.Parameter, float]]:
        """Parameters that learn at another rate than the rest, with the factor; none by default."""
        return []

    # ------------------------------------------------------------------ what it is

    def parts(self) -> list[Part]:
        """What it is made of, an input before what takes it; here the shared rest and one part per task."""
        shared = tuple(self.shared_parameters())
        out = [Part("shared", self.tasks, parameters=shared, shared=True)] if shared else []
        for task in self.tasks:
            inputs = ("shared",) if shared else ()
            out.append(Part(task, (task,), "head", tuple(self.task_parameters(task)), inputs))
        return out

    def describe(self) -> dict[str, Any]:
        """The architecture as plain data.

        Returns
        -------
        dict
            "name", "heads", "settings" (None where it cannot be built from a name), "parameters",
            "shared_parameters", and "parts": what it is made of, each with "name", "kind", "layer", "tasks",
            "shared", "parameters", "inputs" and "members", see `polytask.sharing.parts`.
        """
        return {
            "name": self.name,
            "heads": dict(self.heads),
            "settings": self.settings,
            "parameters": sum(p.numel() for p in self.parameters()),
            "shared_parameters": sum(p.numel() for p in self.shared_parameters()),
            "parts": described(self.parts()),
        }

    def flops(self, tasks: Sequence[str] | None = None, example: Tensor | None = None) -> int:
        """Floating-point operations of one row's forward pass; see `polytask.sharing.cost`."""
        return flops_per_row(self, example, tasks)

    def check_rows(self, rows: Rows | None) -> dict[str, Tensor | None]:
        """`rows` as a dict, all tasks if it is None; raises for a task that is not known."""
        if rows is None:
            return dict.fromkeys(self.tasks)
        if not isinstance(rows, Mapping):
            raise SettingError(
                f"rows must map tasks to their rows, {{task: index or None}}; got a {type(rows).__name__}."
            )
        unknown = [task for task in rows if task not in self.heads]
        if unknown:
            raise SettingError(f"No task '{unknown[0]}'; this network has: {', '.join(self.tasks)}.")
        return {task: _as_index(task, index) for task, index in rows.items()}

    def check_input(self, x: Tensor) -> None:
        """Raise for a table with another number of columns than the network was built for."""
        known = self.input_shape
        if known is None or not x.is_floating_point():
            return
        if x.dim() != len(known) + 1 or (len(known) == 1 and x.shape[-1] != known[0]):
            rows = f"{known[0]} features per row" if len(known) == 1 else f"rows of shape {known}"
            raise SettingError(f"The network takes {rows}, but x has the shape {tuple(x.shape)}.")

    def __getstate__(self) -> dict[str, Any]:
        # The last representation belongs to a graph and cannot be copied.
        return {**self.__dict__, "_features": None}


def _as_index(task: str, index: Any) -> Tensor | None:
    """Rows as int64 positions; a mask stands for the places where it is true."""
    if index is None:
        return None
    index = torch.as_tensor(index)
    if index.dim() != 1 or (index.is_floating_point() and len(index)):
        raise SettingError(
            f"Task '{task}': rows must be positions of shape (n,) or None, got {index.dtype} of shape "
            f"{tuple(index.shape)}."
        )
    return index.nonzero().squeeze(1) if index.dtype == torch.bool else index.long()


def take(x: Tensor, index: Tensor | None) -> Tensor:
    """The rows in `index`, or all."""
    return x if index is None else x[index]
