"""The contract of every balancer: it turns the tasks' losses into gradients."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from polytask.errors import SettingError, TrainingError

#: What a balancer can declare in `needs`.
NEEDS = ("losses", "losses_after_step", "gramian", "gradients", "features")


class TaskLosses(Mapping[str, Tensor]):
    """The losses of the tasks of one batch: a mapping of name to scalar, kept as one vector.

    Parameters
    ----------
    tasks : sequence of str
        The tasks that have labels in the batch; the others have no loss.
    vector : Tensor of shape (len(tasks),)
    """

    def __init__(self, tasks: Sequence[str], vector: Tensor) -> None:
        self.tasks = tuple(tasks)
        self.vector = vector

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
        if not losses:
            raise SettingError("No losses to balance: give at least one task's loss.")
        for task, loss in losses.items():
            if not isinstance(loss, Tensor) or loss.dim() != 0:
                shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise SettingError(f"The loss of task '{task}' must be a scalar tensor, got {shape}.")
        return cls(list(losses), torch.stack(list(losses.values())))

    def __getitem__(self, task: str) -> Tensor:
        try:
            return self.vector[self.tasks.index(task)]
        except ValueError:
            raise KeyError(task) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def check_finite(self) -> None:
        """Raise before anything moves.

        Raises
        ------
        TrainingError
            Naming the tasks whose loss is NaN or infinite.
        """
        # One number tells; the vector is looked at only when it says that something is wrong.
        if math.isfinite(self.vector.detach().sum().item()):
            return
        values = self.vector.detach().tolist()
        bad = [f"'{t}' ({v})" for t, v in zip(self.tasks, values) if not math.isfinite(v)]
        if bad:
            raise TrainingError(
                f"The loss is not finite for {len(bad)} of {len(self)} tasks: {', '.join(bad[:5])}. No step "
                "was taken. Lower the learning rate, or look for extreme values in the targets and features."
            )


class Balancer(ABC):
    """Combines the losses of several tasks, by weights or by a direction, and runs the backward pass.

    In any loop::

        optimizer.zero_grad()
        balancer.backward({"a": loss_a, "b": loss_b})
        optimizer.step()

    A subclass declares `needs`, one of

    - "losses": the losses of the batch;
    - "losses_after_step": also those of the same batch after the step, given to `after_step`;
    - "gramian", "gradients": gradients with respect to the shared parameters;
    - "features": gradients with respect to the shared representation.

    A task that is not among the losses is left out of the problem and its state is untouched.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[str] = "losses"

    def backward(
        self,
        losses: Mapping[str, Tensor],
        shared: Iterable[Tensor] | None = None,
        features: Tensor | None = None,
    ) -> None:
        """Add this step's gradients to ``.grad`` of the parameters.

        Parameters
        ----------
        losses : mapping of str to scalar Tensor
            Only tasks that have labels in the batch.
        shared : iterable of Parameter, optional
            The shared parameters, for balancers that need gradients.
        features : Tensor, optional
            The shared representation, for balancers that need it.

        Raises
        ------
        TrainingError
            For a loss that is NaN or infinite, with the task's name, before any gradient is computed.
        SettingError
            For no losses, a loss that is not a scalar, or a missing `shared` or `features`.
        """
        checked = TaskLosses.of(losses)
        checked.check_finite()
        if self.needs in ("gramian", "gradients") and shared is None:
            raise SettingError(
                f"Balancing '{self.name}' needs the shared parameters: backward(losses, shared=…)."
            )
        if self.needs == "features" and features is None:
            raise SettingError(
                f"Balancing '{self.name}' needs the representation: backward(losses, features=…)."
            )
        self._backward(checked, shared, features)

    @abstractmethod
    def _backward(self, losses: TaskLosses, shared: Iterable[Tensor] | None, features: Tensor | None) -> None:
        """The method itself; the losses are finite."""

    def after_step(self, losses: Mapping[str, Tensor]) -> None:  # noqa: B027 - few methods need it
        """The losses of the same batch after the step; called where `needs` is "losses_after_step"."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs: tensors and plain data."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        if state:
            raise SettingError(f"Balancing '{self.name}' has no state, but was given: {', '.join(state)}.")


class LossBalancer(Balancer, ABC):
    """A balancer that is a function of the losses alone: one objective, one backward pass."""

    def _backward(self, losses: TaskLosses, shared: Iterable[Tensor] | None, features: Tensor | None) -> None:
        self.objective(losses).backward()

    @abstractmethod
    def objective(self, losses: TaskLosses) -> Tensor:
        """The scalar to minimise."""
