"""What all mixtures of experts have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from polytask.errors import SettingError
from polytask.sharing.architecture import Architecture
from polytask.sharing.mixture.bottom import Split, pooled
from polytask.sharing.parts import Matrix, Part


class Mixture(Architecture, ABC):
    """Experts and gates over an optional common bottom.

    Parameters
    ----------
    heads : mapping of str to int
        Task name → number of outputs.
    cut : Split
        The encoder's blocks below and in the experts.
    task_hidden, dropout, example
        As in `polytask.sharing.architecture.Architecture`.
    """

    def __init__(
        self,
        heads: Mapping[str, int],
        cut: Split,
        task_hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(heads, cut.width, task_hidden, dropout, cut.input_shape)
        self.bottom = cut.bottom
        self.channels = cut.channels

    @abstractmethod
    def gates(self, x: Tensor) -> list[Matrix]:
        """How much each task takes of each expert: the mean gate weight over rows.

        Parameters
        ----------
        x : Tensor of shape (n, …)

        Returns
        -------
        list of Matrix
            Tasks by experts, one for each level of the network.

        Warns
        -----
        PolytaskWarning
            If experts have collapsed: all tasks take one expert alone, an expert is used by no task, or two
            experts give the same outputs.
        """

    def below(self, x: Tensor) -> Tensor:
        """What experts take."""
        return x if self.bottom is None else self.bottom(x)

    def seen(self, x: Tensor) -> Tensor:
        """What gates see of it: (n, d)."""
        return pooled(x, self.channels)

    def cut(self, *pieces: Tensor) -> list[Tensor]:
        """Make tensors pieces of one, which `features` returns.

        Where more than one tensor lies between the shared parameters and the tasks' own, the representation
        is all of them side by side, and what follows takes its pieces.

        Parameters
        ----------
        *pieces : Tensor of shape (n, …)
        """
        if len(pieces) == 1:
            return [self.remember(pieces[0])]
        shapes = [piece.shape for piece in pieces]
        whole = self.remember(torch.cat([piece.flatten(1) for piece in pieces], 1))
        found = whole.split([shape[1:].numel() for shape in shapes], 1)
        return [piece.view(shape) for piece, shape in zip(found, shapes)]

    def bottom_parts(self) -> list[Part]:
        """The layers below the experts, input side first."""
        return [] if self.bottom is None else self.trunk_parts(self.bottom)


def at_least_one(**numbers: int) -> None:
    """Raise for a number of experts or levels below one."""
    for name, number in numbers.items():
        if number < 1:
            raise SettingError(f"{name} must be 1 or more, got {number}.")
