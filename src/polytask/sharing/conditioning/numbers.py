"""The numbers that a task's descriptor z_t turns into where it meets the network."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polytask.sharing.parallel import Parallel
from polytask.sharing.parts import parameters_of


class TaskNumbers(nn.Module, ABC):
    """Numbers of some shape for every task, a linear function of its descriptor.

    Attributes
    ----------
    shape : tuple of int
    """

    shape: tuple[int, ...]

    @abstractmethod
    def forward(self, tasks: Sequence[int], z: Tensor) -> Tensor:
        """Numbers of some tasks.

        Parameters
        ----------
        tasks : sequence of int
            Positions.
        z : Tensor of shape (len(tasks), d)
            Their descriptors.

        Returns
        -------
        Tensor of shape (len(tasks), *shape)
        """

    def parameters_of(self, task: int) -> tuple[nn.Parameter, ...]:
        """Parameters that only this task uses."""
        return ()

    def common_parameters(self) -> tuple[nn.Parameter, ...]:
        """Parameters that all tasks use."""
        return ()


class OwnNumbers(TaskNumbers):
    """``U z_t`` of a one-hot z_t: column t of U, which is the task's own parameter.

    A task that is absent from a batch so has no gradient, where a product with U would give it zeros.

    Parameters
    ----------
    n_tasks : int
    start : Tensor of shape `shape`
        What they begin with.
    bound : float
        They begin uniformly within ± `bound` around `start`.
    """

    def __init__(self, n_tasks: int, start: Tensor, bound: float = 0.0) -> None:
        super().__init__()
        self.shape = tuple(start.shape)
        self.columns = Parallel([Vector(drawn(start, bound)) for _ in range(n_tasks)])

    def forward(self, tasks: Sequence[int], z: Tensor) -> Tensor:
        return own_values(self.columns, tasks)

    def parameters_of(self, task: int) -> tuple[nn.Parameter, ...]:
        return parameters_of(self.columns.members[task])


class ProjectedNumbers(TaskNumbers):
    """``start + U z_t`` with a matrix U that all tasks share.

    Parameters
    ----------
    dimension : int
        Length d of the descriptors.
    start : Tensor of shape `shape`
        A constant: what a task with z_t = 0 has.
    bound : float
        U begins uniformly within ± `bound`.
    """

    start: Tensor

    def __init__(self, dimension: int, start: Tensor, bound: float = 0.0) -> None:
        super().__init__()
        self.shape = tuple(start.shape)
        self.register_buffer("start", start, persistent=False)
        self.weight = nn.Parameter(drawn(start.new_zeros(math.prod(self.shape), dimension), bound))

    def forward(self, tasks: Sequence[int], z: Tensor) -> Tensor:
        return self.start + nn.functional.linear(z, self.weight).view(-1, *self.shape)

    def common_parameters(self) -> tuple[nn.Parameter, ...]:
        return (self.weight,)


class FixedNumbers(TaskNumbers):
    """Numbers that are not learned.

    Parameters
    ----------
    values : Tensor of shape (T, *shape)
    """

    values: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.shape = tuple(values.shape[1:])
        self.register_buffer("values", values, persistent=False)

    def forward(self, tasks: Sequence[int], z: Tensor) -> Tensor:
        return self.values[list(tasks)]


class Vector(nn.Module):
    """One task's numbers; it only holds them."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)


def own_values(vectors: Parallel, tasks: Sequence[int]) -> Tensor:
    """The vectors of some tasks, one below the other: (len(tasks), *shape)."""
    every = list(tasks) == list(range(len(vectors)))
    return vectors.stacked(None if every else tasks)["value"]


def drawn(around: Tensor, bound: float) -> Tensor:
    """Numbers drawn uniformly within ± `bound` around others."""
    return around + torch.empty_like(around).uniform_(-bound, bound) if bound else around.clone()
