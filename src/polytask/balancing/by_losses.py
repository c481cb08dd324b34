"""Balancers that look at the losses alone: one objective, one backward pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.base import Balancer, Part
from polytask.balancing.engines.gradients import Gradients, weighted_gradients
from polytask.balancing.task_losses import TaskLosses
from polytask.errors import TrainingError


class LossBalancer(Balancer, ABC):
    """A balancer whose gradient is ``Σ_t w_t ∇L_t``, with weights that are a function of the losses.

    For an objective F(L_1, …, L_T) the weights are its partial derivatives ``∂F/∂L_t``. All parameters, shared
    or not, receive the weighted gradient.
    """

    @abstractmethod
    def weights(self, tasks: tuple[str, ...], losses: np.ndarray) -> np.ndarray:
        """The weights of one step; the place to update what the method has learned.

        Parameters
        ----------
        tasks : tuple of str
            The tasks that have labels in the batch.
        losses : float64 array of shape (len(tasks),)
            Finite.

        Returns
        -------
        array of shape (len(tasks),)
        """

    def observe(self, tasks: tuple[str, ...], losses: np.ndarray) -> None:
        """The losses of the same batch after the step, where `needs` is "losses_after_step"."""

    def after_step(self, losses: Mapping[str, Tensor]) -> None:
        if losses or self._ranks is not None:
            part = Part(TaskLosses.of(losses) if losses else None, {}, None, 1.0, True)
            tasks, values = self._total((part,))
            if tasks:
                self.observe(tasks, values)

    def _gradients(self, tasks: tuple[str, ...], values: np.ndarray, parts: tuple[Part, ...]) -> Gradients:
        weights = np.asarray(self.weights(tasks, values), dtype=np.float64)
        self.last["weights"] = weights
        if not np.isfinite(weights).all():
            bad = [f"'{t}' ({w})" for t, w in zip(tasks, weights.tolist()) if not np.isfinite(w)]
            raise TrainingError(
                f"Balancing '{self.name}' gave a weight that is not finite: {', '.join(bad[:5])}."
            )
        gradients: Gradients = {}
        for part in parts:
            if part.losses is None:
                continue
            chosen = weights if part.losses.tasks == tasks else [weights[tasks.index(t)] for t in part.losses]
            outer = part.losses.vector.new_tensor(chosen).mul_(part.scale)
            if self._ranks is None:
                torch.autograd.backward(part.losses.vector, outer)
            else:
                weighted_gradients(part.losses.vector, outer, self._ranks.parameters, into=gradients)
        return gradients
