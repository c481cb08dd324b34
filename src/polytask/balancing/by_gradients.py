"""Balancers that look at the tasks' gradients themselves with respect to what they share.

Parameters that are not shared (heads) receive the plain gradient of the loss, as in the papers: a weight on a
head's loss would only change the head's learning rate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.base import Balancer, Part
from polytask.balancing.engines.gradients import Gradients, add_to
from polytask.balancing.engines.problem import Problem
from polytask.balancing.engines.ranks import Ranks, warn_of_lonely_ranks
from polytask.balancing.engines.totals import total_per_task
from polytask.balancing.watch import Watch
from polytask.errors import TrainingError


class GradientBalancer(Balancer, ABC):
    """A balancer whose direction is a function of the gradients themselves, not of their Gramian.

    It holds a gradient of all shared parameters for each task: memory T × P.
    """

    needs = "gradients"

    @abstractmethod
    def direction(self, tasks: tuple[str, ...], losses: np.ndarray, jacobian: Tensor) -> Tensor:
        """The direction of one step; the place to update what the method has learned.

        Parameters
        ----------
        tasks : tuple of str
            The m tasks that have labels in the batch.
        losses : float64 array of shape (m,)
        jacobian : Tensor of shape (m, P)
            The tasks' gradients with respect to all shared parameters, in their order. Finite.

        Returns
        -------
        Tensor of shape (P,)
        """

    def _part(self, *arguments: Any) -> Part:
        part = super()._part(*arguments)
        part.work = problem_of(part, self.watch, self._ranks)
        if part.work is not None:
            part.work.sweep()
        return part

    def _gradients(self, tasks: tuple[str, ...], values: np.ndarray, parts: tuple[Part, ...]) -> Gradients:
        problems = [part.work for part in parts if part.work is not None]
        shared = parts[0].shared
        gradients: Gradients = {}
        for problem in problems:
            problem.add_own(gradients)
        if not shared:
            return gradients
        wholes = [total_per_task(p, tasks, problems, self._ranks) for p in shared]
        jacobian = torch.cat([w.flatten(1) for w in wholes], 1)
        finite = finite_rows(jacobian)
        if not all(finite) and parts[0].scale == 1.0:
            raise not_finite([t for t, good in zip(tasks, finite) if not good], len(tasks))
        if self.watch is not None and self.watch.due:
            self.last["gramian"] = (jacobian @ jacobian.T).double().cpu().numpy()
        if len(tasks) == 1 or not all(finite):  # what is not finite is for the scaler to see, not to remember
            flat = jacobian.sum(0)
        else:
            flat = self.direction(tasks, values, jacobian)
            if flat.shape != jacobian.shape[1:] or not all(finite_rows(flat[None])):
                raise TrainingError(
                    f"Balancing '{self.name}' gave a direction of shape {tuple(flat.shape)} for {jacobian.shape[1]} "
                    "parameters, or one that is not finite."
                )
        # Every rank finds the same direction; one of them brings it in, and the sum over ranks is it.
        if self._ranks is not None and not self._ranks.first:
            return gradients
        for p, piece in zip(shared, (flat * parts[0].scale).split([p.numel() for p in shared])):
            add_to(gradients, p, piece.view_as(p))
        return gradients


def finite_rows(table: Tensor) -> list[bool]:
    """Which rows have neither NaN nor infinity; one number of each row tells, unless it overflows itself."""
    finite = torch.isfinite(table.sum(1))
    return (finite if bool(finite.all()) else torch.isfinite(table).all(1)).tolist()


def not_finite(bad: Sequence[str], n_tasks: int) -> TrainingError:
    """The error for gradients that are NaN or infinite."""
    names = ", ".join(f"'{t}'" for t in bad[:5])
    return TrainingError(
        f"The gradient is not finite for {len(bad)} of {n_tasks} tasks: {names}, although the losses are. No "
        "step was taken. Lower the learning rate, or clip what the losses are taken of."
    )


def problem_of(
    part: Part, watch: Watch | None, ranks: Ranks | None, at_features: bool = False
) -> Problem | None:
    """The tasks' gradients of a part; None where no task is there."""
    if part.losses is None:
        return None
    warn_of_lonely_ranks(ranks)
    return Problem(
        part.losses,
        part.shared,
        part.features,
        at_features=at_features,
        scale=part.scale,
        strict=part.strict,
        keep=watch is not None and watch.gradients and watch.due,
    )
