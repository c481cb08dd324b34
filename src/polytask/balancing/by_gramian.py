"""Balancers that look at the Gramian of the tasks' gradients with respect to what they share.

Parameters that are not shared (heads) receive the plain gradient of the loss, as in the papers: a weight on a
head's loss would only change the head's learning rate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.base import Balancer, Part
from polytask.balancing.by_gradients import not_finite, problem_of
from polytask.balancing.engines.gradients import Gradients
from polytask.balancing.engines.totals import total_gramian
from polytask.balancing.state import PerTask
from polytask.errors import SettingError, TrainingError

WHERE = ("parameters", "features")


class GramianBalancer(Balancer, ABC):
    """A balancer whose direction ``d = Σ_t w_t g_t`` has weights that are a function of the Gramian.

    ``G_st = ⟨g_s, g_t⟩`` of the tasks' gradients with respect to the shared parameters, or to the shared
    representation. `polytask.balancing.engines` computes it without the gradients themselves where it can.

    Parameters
    ----------
    gradients : {"parameters", "features"}
        What the gradients are taken with respect to. "features" costs hardly more than a plain step: all
        tasks' gradients are known where the heads begin, and one backward pass goes on from there. It is an
        upper bound of the problem on the parameters (Sener & Koltun 2018).
    update_every : int
        Steps between two updates of the weights; in between the last ones are kept, while batches hold the
        same tasks.
    """

    needs = "gramian"
    #: "all" shared layers, or the "last" one before the heads, make the Gramian.
    layer: ClassVar[str] = "all"
    _OF_ALL: ClassVar[tuple[str, ...]] = ("steps", "kept")

    def __init__(self, gradients: str = "parameters", update_every: int = 1) -> None:
        if gradients not in WHERE:
            raise SettingError(f"gradients must be 'parameters' or 'features', got {gradients!r}.")
        if isinstance(update_every, bool) or not (isinstance(update_every, int) and update_every >= 1):
            raise SettingError(f"update_every must be a whole number of at least 1, got {update_every!r}.")
        self.needs, self.gradients = "gramian" if gradients == "parameters" else "features", gradients
        self.update_every = update_every
        self.steps = 0
        #: The weights of the last update, where they are used again.
        self.kept = PerTask()

    @abstractmethod
    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        """The weights of one step; the place to update what the method has learned.

        Parameters
        ----------
        tasks : tuple of str
            The m ≥ 2 tasks that have labels in the batch and a gradient that is not zero.
        losses : float64 array of shape (m,)
        gramian : float64 array of shape (m, m)
            Symmetric, finite, with a positive diagonal; often singular.

        Returns
        -------
        array of shape (m,)
        """

    def weights_on_device(self, gramian: Tensor) -> Tensor | None:
        """As `weights` in torch operations, for gradients on a GPU that the host should not wait for.

        None: the Gramian is brought to the host. A task without a gradient stands for the mean of the others.
        """
        return None

    @property
    def state_names(self) -> tuple[str, ...]:
        return (*self._OF_ALL, *self.STATE)

    @property
    def report(self) -> list[dict[str, Any]]:
        """How the last Gramian was computed: parameters of each layer, way, and why."""
        return self._report

    _report: list[dict[str, Any]] = []  # noqa: RUF012 - replaced, never changed

    def _part(self, *arguments: Any) -> Part:
        part = super()._part(*arguments)
        if part.losses is not None:
            part.work = problem_of(part, self.watch, self._ranks, self.needs == "features")
            if part.work is not None and self._due(part.losses.tasks):
                part.work.sweep(self.layer == "last")
        return part

    def _due(self, tasks: Sequence[str]) -> bool:
        # Weights of other tasks than these are no answer: one of them may have had all the weight.
        return self.steps % self.update_every == 0 or set(tasks) != set(self.kept)

    def _gradients(self, tasks: tuple[str, ...], values: np.ndarray, parts: tuple[Part, ...]) -> Gradients:
        problems = [part.work for part in parts if part.work is not None]
        if self._due(tasks):
            for problem in problems:  # a task may be new on another rank only
                problem.sweep(self.layer == "last")
            at_features = self.needs == "features"
            gramian = total_gramian(tasks, problems, parts[0].shared, at_features, self._ranks)
            weights = self._weigh(tasks, values, gramian, any(part.scale != 1.0 for part in parts))
            if self.update_every > 1:
                self.kept = PerTask(zip(tasks, weights.tolist()))
        else:
            weights = self.kept.read(tasks)
        self.steps += 1
        self.last["weights"] = weights
        self._report = problems[0].report if problems else []
        gradients: Gradients = {}
        for problem in problems:
            problem.add_own(gradients)
            problem.add_weighted(weights[[tasks.index(t) for t in problem.tasks]], gradients)
        return gradients

    def _weigh(
        self, tasks: tuple[str, ...], losses: np.ndarray, gramian: Tensor, scaled: bool
    ) -> np.ndarray | Tensor:
        """Weights of all tasks; zero for those without a gradient, who take no part in the problem."""
        if gramian.device.type != "cpu":
            filled, mixing = _filled(gramian)
            on_device = self.weights_on_device(filled)
            if on_device is not None:
                if self.watch is not None and self.watch.due:
                    self.last["gramian"] = gramian.cpu().numpy()
                return torch.nan_to_num(mixing.T @ on_device)
        g = gramian.detach().cpu().numpy()
        self.last["gramian"] = g
        norms = np.diagonal(g)
        if not np.isfinite(g).all():
            if scaled:  # the scaler's business: it will see the gradients and skip the step
                return np.ones(len(tasks))
            raise not_finite([t for t, n in zip(tasks, norms) if not np.isfinite(n)], len(tasks))
        chosen = np.flatnonzero(norms > 0)
        out = np.zeros(len(tasks))
        if len(chosen) == 1:
            out[chosen] = 1.0
        elif len(chosen) > 1:
            names = tuple(tasks[i] for i in chosen)
            out[chosen] = self._checked(names, self.weights(names, losses[chosen], g[np.ix_(chosen, chosen)]))
        return out

    def _checked(self, tasks: tuple[str, ...], weights: Any) -> np.ndarray:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (len(tasks),):
            raise SettingError(
                f"Balancing '{self.name}' gave weights of shape {weights.shape} for {len(tasks)} tasks."
            )
        if not np.isfinite(weights).all():
            bad = [f"'{t}' ({w})" for t, w in zip(tasks, weights.tolist()) if not np.isfinite(w)]
            raise TrainingError(
                f"Balancing '{self.name}' gave a weight that is not finite: {', '.join(bad[:5])}."
            )
        return weights


def _filled(gramian: Tensor) -> tuple[Tensor, Tensor]:
    """The Gramian with the mean of the others for tasks without a gradient, and that mixing of tasks.

    On a device nobody can look which tasks these are without waiting for it. The mean adds nothing to the
    tasks' convex hull, cone and mean, so that most methods give the direction that they give without them.
    """
    there = (gramian.diagonal() > 0).to(gramian)
    mixing = torch.diag(there) + torch.outer(1 - there, there / there.sum().clamp(min=1))
    return mixing @ gramian @ mixing.T, mixing
