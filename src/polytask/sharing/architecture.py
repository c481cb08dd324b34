"""The frame of the built-in architectures: a representation per task, a head on each."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.base import Rows, Sharing, take
from polytask.sharing.blocks import layer_parameters
from polytask.sharing.encoders import head, mlp
from polytask.sharing.parts import Part
from polytask.sharing.towers import Towers

#: Parameters that every architecture's constructor has, or may have.
_COMMON = ("self", "heads", "encoder", "width", "task_hidden", "dropout", "example", "blocks")


class Architecture(Sharing):
    """``y_t = h_t(r_t(x))``: a subclass says what r_t is and which parts it is made of.

    It implements `representations` and `parts`; owners of parameters, the three forms of the outputs and the
    description follow. Its constructor begins with ``heads, encoder, width`` and takes `task_hidden` and
    `dropout`; `for_table` passes all further settings on.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    width : int, or sequence of int with one for each task
        Width of the tasks' representations.
    task_hidden : sequence of int
        Widths of task-specific layers before each output; none: linear heads.
    dropout : float
        In the task-specific layers.
    input_shape : tuple of int, optional
        Shape of a row of input, where it is known.
    """

    def __init__(
        self,
        heads: Mapping[str, int],
        width: int | Sequence[int],
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        input_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(heads)
        if dropout and not task_hidden:
            raise SettingError(
                f"dropout={dropout} acts in the task-specific layers, and there are none: give task_hidden, or put "
                "dropout into the encoder."
            )
        self.input_shape = input_shape
        widths = [width] * len(self.heads) if isinstance(width, int) else list(width)
        modules = {t: head(w, task_hidden, k, dropout) for (t, k), w in zip(self.heads.items(), widths)}
        self.towers = Towers(modules, self.heads)

    @classmethod
    def for_table(
        cls,
        n_inputs: int,
        heads: Mapping[str, int],
        *,
        hidden: Sequence[int] = (64, 64),
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
        **settings: Any,
    ) -> Self:
        """Over an MLP for tables.

        Parameters
        ----------
        n_inputs : int
            Number of features.
        heads : mapping of str to int
        hidden : sequence of int
            Widths of the encoder's layers.
        task_hidden, dropout
            Further layers of each task; dropout after every hidden layer.
        **settings
            The architecture's own.
        """
        cls.check_settings(settings)
        make: Any = cls
        out: Self = make(
            heads,
            mlp(n_inputs, hidden, dropout),
            hidden[-1] if hidden else n_inputs,
            task_hidden=task_hidden,
            dropout=dropout if task_hidden else 0.0,
            example=torch.zeros(2, n_inputs),
            **settings,
        )
        table = {"hidden": hidden, "task_hidden": task_hidden, "dropout": dropout}
        out.settings = {name: _plain(value) for name, value in (table | settings).items()}
        return out

    @classmethod
    def own_settings(cls) -> list[str]:
        """Names of the settings that it has besides those of every architecture."""
        return [name for name in inspect.signature(cls.__init__).parameters if name not in _COMMON]

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        """Raise for a setting that the architecture does not have, naming those it has."""
        known = cls.own_settings()
        for name in settings:
            if name not in known:
                has = f"its settings are {', '.join(known)}" if known else "it has none of its own"
                raise SettingError(f"Sharing '{cls.name}' has no setting '{name}'; {has}.")

    # ------------------------------------------------------------------ to implement

    @abstractmethod
    def representations(self, x: Tensor, tasks: Sequence[int]) -> Tensor:
        """What the heads see.

        Parameters
        ----------
        x : Tensor of shape (n, …)
        tasks : sequence of int
            Positions of the tasks that are asked for; nothing is computed for the others alone.

        Returns
        -------
        Tensor of shape (len(tasks), n, width), or (n, width) where it is the same for all tasks
        """

    @abstractmethod
    def parts(self) -> list[Part]:
        """What it is made of; every parameter belongs to one part."""

    # ------------------------------------------------------------------ what follows

    @property
    def columns(self) -> dict[str, slice]:
        return self.towers.columns

    def forward(self, x: Tensor, rows: Rows | None = None) -> dict[str, Tensor]:
        wanted = self.check_rows(rows)
        self.check_input(x)
        if not wanted:
            return {}
        h = self.representations(x, [self.tasks.index(task) for task in wanted])
        if all(index is None for index in wanted.values()):
            return self.towers.forward_stacked(h, list(wanted))
        per_task = h if h.dim() == 3 else [h] * len(wanted)
        return self.towers({t: take(part, index) for part, (t, index) in zip(per_task, wanted.items())})

    def table(self, x: Tensor) -> Tensor:
        self.check_input(x)
        return self.towers.table(self.representations(x, range(len(self.tasks))))

    def own(self, x: Tensor, task_of_row: Tensor) -> Tensor:
        self.check_input(x)
        h = self.representations(x, range(len(self.tasks)))
        if h.dim() == 3:
            h = h[task_of_row, torch.arange(len(x), device=x.device)]
        return self.towers.own(h, task_of_row)

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        return _distinct(p for part in self.parts() if part.is_shared for p in part.parameters)

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        mine = [part for part in self.parts() if part.tasks == (task,) and not part.is_shared]
        return _distinct(p for part in mine for p in part.parameters)

    def trunk_parts(self, encoder: nn.Module) -> list[Part]:
        """A part for each layer of an encoder that all tasks share, input side first."""
        out: list[Part] = []
        for i, parameters in enumerate(layer_parameters(encoder), start=1):
            below = tuple(part.name for part in out[-1:])
            out.append(Part(f"layer {i}", self.tasks, "layer", parameters, below, shared=True))
        return out

    def head_parts(self, inputs: Mapping[str, Sequence[str]]) -> list[Part]:
        """A part for each task's head; `inputs` maps a task to the parts that its head takes."""
        return [
            Part(
                f"head of {task}",
                (task,),
                "head",
                tuple(self.towers.parameters_of(task)),
                tuple(inputs[task]),
            )
            for task in self.tasks
        ]


def _distinct(parameters: Iterable[nn.Parameter]) -> Iterator[nn.Parameter]:
    return iter({id(p): p for p in parameters}.values())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
