"""What the network is told about a task: its descriptor z_t."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.conditioning.numbers import (
    OwnNumbers,
    ProjectedNumbers,
    TaskNumbers,
    Vector,
    own_values,
)
from polytask.sharing.parallel import Parallel
from polytask.sharing.parts import parameters_of

#: Length of a learned descriptor where nothing is said.
DIMENSION = 8

DescriptorSetting = str | Mapping[str, Sequence[float]]


class Descriptor(nn.Module, ABC):
    """A vector z_t for each task.

    Attributes
    ----------
    dimension : int
        Its length d.
    """

    dimension: int

    @abstractmethod
    def forward(self, tasks: Sequence[int]) -> Tensor:
        """Descriptors of the tasks at these positions: (len(tasks), d)."""

    def numbers(self, start: Tensor, bound: float = 0.0) -> TaskNumbers:
        """A learned linear function of z, see `polytask.sharing.conditioning.numbers`."""
        return ProjectedNumbers(self.dimension, start, bound)

    def parameters_of(self, task: int) -> tuple[nn.Parameter, ...]:
        """Parameters of one task's descriptor."""
        return ()


class OneHot(Descriptor):
    """``z_t = e_t``: nothing is known about a task but that it is another one than the rest."""

    identity: Tensor

    def __init__(self, n_tasks: int) -> None:
        super().__init__()
        self.dimension = n_tasks
        self.register_buffer("identity", torch.eye(n_tasks), persistent=False)

    def forward(self, tasks: Sequence[int]) -> Tensor:
        return self.identity[list(tasks)]

    def numbers(self, start: Tensor, bound: float = 0.0) -> TaskNumbers:
        return OwnNumbers(self.dimension, start, bound)


class Embedding(Descriptor):
    """A learned vector for each task, its own parameter; drawn from N(0, 1) as in `nn.Embedding`."""

    def __init__(self, n_tasks: int, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.vectors = Parallel([Vector(torch.randn(dimension)) for _ in range(n_tasks)])

    def forward(self, tasks: Sequence[int]) -> Tensor:
        return own_values(self.vectors, tasks)

    def parameters_of(self, task: int) -> tuple[nn.Parameter, ...]:
        return parameters_of(self.vectors.members[task])


class Features(Descriptor):
    """What is known about the tasks, as numbers that are not learned.

    Parameters
    ----------
    values : Tensor of shape (T, d)
    """

    values: Tensor

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.dimension = values.shape[1]
        self.register_buffer("values", values)

    def forward(self, tasks: Sequence[int]) -> Tensor:
        return self.values[list(tasks)]


def make_descriptor(
    descriptor: DescriptorSetting, tasks: Sequence[str], dimension: int | None = None
) -> Descriptor:
    """The descriptor that a setting asks for.

    Parameters
    ----------
    descriptor : {"one-hot", "embedding"} or mapping of str to sequence of float
        A mapping gives the numbers of each task, as many for all.
    tasks : sequence of str
    dimension : int, optional
        Length of an embedding (8 where it is not given); an error with another descriptor.

    Raises
    ------
    SettingError
        Naming the task whose numbers are missing, too few or not finite, or the setting at fault.
    """
    if dimension is not None and descriptor != "embedding":
        raise SettingError(
            "dimension is the length of a learned descriptor: leave it out, or set descriptor='embedding'."
        )
    if isinstance(descriptor, Mapping):
        return Features(_checked(descriptor, tasks))
    if descriptor == "one-hot":
        return OneHot(len(tasks))
    if descriptor != "embedding":
        raise SettingError(
            f"descriptor must be 'one-hot', 'embedding' or a mapping from tasks to numbers, got {descriptor!r}."
        )
    dimension = DIMENSION if dimension is None else dimension
    if dimension < 1:
        raise SettingError(f"dimension must be 1 or more, got {dimension}.")
    return Embedding(len(tasks), dimension)


def _checked(values: Mapping[str, Sequence[float]], tasks: Sequence[str]) -> Tensor:
    for task in values:
        if task not in tasks:
            raise SettingError(f"descriptor: no task '{task}'; the tasks are {', '.join(tasks)}.")
    for task in tasks:
        if task not in values:
            raise SettingError(f"descriptor: the numbers that describe task '{task}' are missing.")
        _check_numbers(task, values[task])
        wanted, found = len(values[tasks[0]]), len(values[task])
        if found != wanted:
            raise SettingError(
                f"descriptor: task '{task}' has {found} numbers, task '{tasks[0]}' has {wanted}; all tasks need "
                "the same ones."
            )
    return torch.tensor([list(values[task]) for task in tasks], dtype=torch.get_default_dtype())


def _check_numbers(task: str, numbers: Sequence[float]) -> None:
    plain = isinstance(numbers, (list, tuple)) and all(isinstance(v, (int, float)) for v in numbers)
    if not plain or not numbers:
        raise SettingError(
            f"descriptor: task '{task}' needs a list of numbers, got {numbers!r}. Turn an array into one by "
            ".tolist()."
        )
    if not all(math.isfinite(v) for v in numbers):
        raise SettingError(f"descriptor: task '{task}' has a number that is not finite: {list(numbers)}.")
