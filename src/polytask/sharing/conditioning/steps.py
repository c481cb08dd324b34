"""An encoder in steps, after some of which the tasks' descriptors act."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polytask.sharing.conditioning.numbers import TaskNumbers


@dataclass(frozen=True)
class Asked:
    """Which tasks are asked for, and for which rows.

    Attributes
    ----------
    tasks : sequence of int
        Positions of T' tasks.
    z : Tensor of shape (T', d)
        Their descriptors.
    of_row : int64 Tensor of shape (m,), optional
        Each row for one task: a position in `tasks`. None: every row for every task.
    rows : int64 Tensor of shape (m,), optional
        The rows of x that are meant, with `of_row`; None: x has m rows.
    """

    tasks: Sequence[int]
    z: Tensor
    of_row: Tensor | None = None
    rows: Tensor | None = None

    def part(self, h: Tensor) -> Tensor:
        """Where tasks part: (n, …) → (T', n, …) without a copy, or one row for each of `of_row`: (m, …)."""
        if self.of_row is None:
            return h.expand(len(self.tasks), *h.shape)
        return h if self.rows is None else h[self.rows]

    def run(self, module: nn.Module, h: Tensor) -> Tensor:
        """Run a module after that place, all tasks in one batch."""
        if self.of_row is not None:
            return module(h)
        return module(h.flatten(0, 1)).unflatten(0, h.shape[:2])

    def spread(self, values: Tensor, h: Tensor, channel: int) -> Tensor:
        """Tasks' numbers in a form that broadcasts with what `part` and `run` return.

        Parameters
        ----------
        values : Tensor of shape (T', c), or (T', c, …) as long as rows of `h`
        h : Tensor of shape (T', n, …) or (m, …)
        channel : {1, -1}
            Whether c is the first or the last dimension of a row of `h`.
        """
        if self.of_row is None:
            values, lead = values.unsqueeze(1), 2
        else:
            values, lead = values.index_select(0, self.of_row), 1
        ones = [1] * (h.dim() - values.dim())
        at = values.dim() if channel == 1 else lead
        return values.reshape(*values.shape[:at], *ones, *values.shape[at:])


class Condition(nn.Module, ABC):
    """What a task's descriptor does to the output of a step.

    Parameters
    ----------
    numbers : TaskNumbers
    channel : {1, -1}
        Where channels are: the first dimension of a row (feature maps) or the last one.
    """

    def __init__(self, numbers: TaskNumbers, channel: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.channel = channel

    @abstractmethod
    def forward(self, h: Tensor, asked: Asked, layer: nn.Module, taken: torch.Size) -> Tensor:
        """The conditioned output, of the shape of `h`.

        Parameters
        ----------
        h : Tensor of shape (T', n, …) or (m, …)
        asked : Asked
        layer : Module
            The step's module, which has returned `h`.
        taken : Size
            Shape of what it took.
        """

    @abstractmethod
    def tables(self, asked: Asked) -> dict[str, Tensor]:
        """What to look at, by name: (T', channels)."""


class Step(nn.Module):
    """A piece of the encoder, and what happens to its output.

    Parameters
    ----------
    module : Module
    condition : Condition, optional
    """

    def __init__(self, module: nn.Module, condition: Condition | None = None) -> None:
        super().__init__()
        self.module = module
        self.condition = condition


# ---------------------------------------------------------------------- where to cut a block

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def cut_at_layer(block: nn.Module) -> tuple[list[nn.Module], Layer, list[nn.Module]] | None:
    """A block as what comes before its linear or convolutional layer, this layer, and what comes after.

    None where a block does not begin with such a layer; normalisation may come before it.
    """
    modules = _flat(block)
    for i, module in enumerate(modules):
        if isinstance(module, Layer):
            return modules[:i], module, modules[i + 1 :]
        if any(p.dim() > 1 for p in module.parameters()):
            return None
    return None


def cut_at_flatten(block: nn.Module) -> tuple[list[nn.Module], int, list[nn.Module]] | None:
    """A block of convolutions that ends in `nn.Flatten`: what has channels, how many, and what flattens them.

    None where channels are not known to reach the end of such a block.
    """
    modules = _flat(block)
    kept = [p for m in modules for p in m.modules() if isinstance(p, nn.modules.conv._ConvNd)]
    with_weights = [m for m in modules if any(p.dim() > 1 for p in m.parameters())]
    if not modules or not isinstance(modules[-1], nn.Flatten) or not kept or with_weights[-1] is not kept[-1]:
        return None
    return modules[:-1], kept[-1].out_channels, modules[-1:]


def _flat(block: nn.Module) -> list[nn.Module]:
    if type(block) is not nn.Sequential:
        return [block]
    return [module for child in block for module in _flat(child)]
