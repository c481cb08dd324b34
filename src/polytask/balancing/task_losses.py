"""The losses of the tasks of one batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from polytask.errors import SettingError, TrainingError


class TaskLosses(Mapping[str, Tensor]):
    """The losses of the tasks of one batch: a mapping of name to scalar, kept as one vector.

    Parameters
    ----------
    tasks : sequence of str
        The tasks that have labels in the batch; the others have no loss.
    vector : Tensor of shape (len(tasks),)
    scalars : sequence of scalar Tensor, optional
        The tensors that the vector was stacked from, for those who follow each task's graph.
    """

    def __init__(self, tasks: Sequence[str], vector: Tensor, scalars: Sequence[Tensor] | None = None) -> None:
        self.tasks = tuple(tasks)
        self.vector = vector
        self.scalars = None if scalars is None else tuple(scalars)

    @classmethod
    def of(cls, losses: Mapping[str, Tensor]) -> TaskLosses:
        """From any mapping of task name to scalar tensor.

        Raises
        ------
        SettingError
            For no loss at all, or one that is not a scalar (named).
        """
        if isinstance(losses, cls):
            return losses
        if not isinstance(losses, Mapping):
            raise SettingError(f"losses must map task names to scalars, got {type(losses).__name__}.")
        if not losses:
            raise SettingError("No losses to balance: give at least one task's loss.")
        for task, loss in losses.items():
            if not isinstance(loss, Tensor) or loss.dim() != 0:
                shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise SettingError(f"The loss of task '{task}' must be a scalar tensor, got {shape}.")
        # A node of its own for each task, even where a loss is used in another one.
        scalars = [loss.view(()) for loss in losses.values()]
        return cls(list(losses), torch.stack(scalars), scalars)

    def check_attached(self) -> None:
        """Raise a SettingError that names a loss without a graph."""
        for task, loss in zip(self.tasks, self.scalars or ()):
            if not loss.requires_grad:
                raise SettingError(
                    f"The loss of task '{task}' does not depend on any parameter that is trained; was it detached?"
                )
        if not self.vector.requires_grad:
            raise SettingError(
                "The losses do not depend on any parameter that is trained; were they detached?"
            )

    def __getitem__(self, task: str) -> Tensor:
        try:
            return self.vector[self.tasks.index(task)]
        except ValueError:
            raise KeyError(task) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def values_on_host(self) -> dict[str, float]:
        """The losses as numbers."""
        return dict(zip(self.tasks, self.vector.detach().tolist()))


def check_finite(values: Mapping[str, float]) -> None:
    """Raise before anything moves.

    Raises
    ------
    TrainingError
        Naming the tasks whose loss is NaN or infinite.
    """
    if math.isfinite(sum(values.values())):
        return
    bad = [f"'{t}' ({v})" for t, v in values.items() if not math.isfinite(v)]
    if bad:
        raise TrainingError(
            f"The loss is not finite for {len(bad)} of {len(values)} tasks: {', '.join(bad[:5])}. No step "
            "was taken. Lower the learning rate, or look for extreme values in the targets and features."
        )
