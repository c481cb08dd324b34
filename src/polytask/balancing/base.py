"""The contract of every balancer: it turns the tasks' losses into gradients."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.cards import Card
from polytask.balancing.engines.compiled import explained
from polytask.balancing.engines.gradients import Gradients, add_gradients
from polytask.balancing.engines.ranks import Ranks
from polytask.balancing.engines.shared import shared_parameters
from polytask.balancing.state import pack, unpack
from polytask.balancing.task_losses import TaskLosses, check_finite
from polytask.errors import SettingError

if TYPE_CHECKING:
    from polytask.balancing.watch import Watch

#: What a balancer can declare in `needs`.
NEEDS = ("losses", "losses_after_step", "gramian", "gradients", "features")


@dataclass
class Part:
    """What one call brings: the losses of a batch, or of one of its micro-batches.

    Attributes
    ----------
    losses : TaskLosses or None
        None on a rank that has no labels.
    shared : dict of Tensor to str
        Trainable shared parameters and their names; empty where none were given.
    features : Tensor or None
        As given to `Balancer.backward`.
    scale : float
        Factor of the gradients, from a `GradScaler`.
    strict : bool
        Whether shared parameters that no loss reaches are an error.
    work : object
        Whatever a kind of balancer has computed already.
    """

    losses: TaskLosses | None
    shared: dict[Tensor, str]
    features: Tensor | None
    scale: float
    strict: bool
    work: Any = None


class Balancer(ABC):
    """Combines the losses of several tasks, by weights or by a direction, and runs the backward pass.

    In any loop::

        optimizer.zero_grad()
        balancer.backward({"a": loss_a, "b": loss_b}, shared=encoder)
        optimizer.step()

    A subclass declares `needs`, one of

    - "losses": the losses of the batch;
    - "losses_after_step": also those of the same batch after the step, given to `after_step`;
    - "gramian", "gradients": gradients with respect to the shared parameters;
    - "features": gradients with respect to the shared representation.

    A task that is not among the losses is left out of the problem and its state is untouched.

    Attributes
    ----------
    last : dict
        Of the last step: "tasks", "losses", "weights" (None for a direction that is no weighted sum) and
        "gramian" (None for methods that do without).
    watch : Watch or None
        Set one to keep what happens in the steps, see `polytask.balancing.Watch`.
    """

    name: ClassVar[str] = ""
    needs: str = "losses"
    card: ClassVar[Card | None] = None
    #: Names of the attributes that a resumed run needs.
    STATE: ClassVar[tuple[str, ...]] = ()

    watch: Watch | None = None
    last: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed
    _pending: tuple[Part, ...] = ()
    _ranks: Ranks | None = None

    def backward(
        self,
        losses: Mapping[str, Tensor],
        shared: Any = None,
        features: Tensor | None = None,
        *,
        scaler: Any = None,
        unreached: str = "error",
    ) -> None:
        """Add this step's gradients to ``.grad`` of the parameters.

        Parameters
        ----------
        losses : mapping of str to scalar Tensor
            Only tasks that have labels in the batch.
        shared : Module, or iterable of Parameter, optional
            What the tasks share, for balancers that need gradients.
        features : Tensor, optional
            The shared representation, for balancers that need it; others use it to save work.
        scaler : torch.amp.GradScaler, optional
            Give the losses unscaled; the gradients come out scaled, as ``scaler.step`` expects them.
        unreached : {"error", "ignore"}
            What to do about shared parameters that no loss depends on.

        Raises
        ------
        TrainingError
            For a loss or gradient that is NaN or infinite, with the task's name; no gradient is added.
        SettingError
            For no losses, a loss that is not a scalar, a missing `shared` or `features`, or losses that do
            not depend on them.
        """
        with self._clearing(), explained():
            parts = (*self._pending, self._part(losses, shared, features, scaler, unreached))
            self._pending = ()
            self._step(parts)

    def accumulate(
        self,
        losses: Mapping[str, Tensor],
        shared: Any = None,
        features: Tensor | None = None,
        *,
        scaler: Any = None,
        unreached: str = "error",
    ) -> None:
        """Take a micro-batch; the next `backward` makes one step of all that were taken, and of its own.

        The step is the one that a single large batch would give, so each task's losses must add up to its loss
        on the large batch: divide sums over a micro-batch by the number of labels in the large batch.
        Parameters and errors are those of `backward`.
        """
        with self._clearing(), explained():
            part = self._part(losses, shared, features, scaler, unreached)
        self._pending = (*self._pending, part)

    def distribute(self, model: Any, tasks: Sequence[str], group: Any = None) -> None:
        """Make each step one of all ranks of a process group, as if one process held the whole batch.

        Call it once, on every rank, before training. The losses of a rank are its own sums divided by the
        number of labels on *all* ranks (`polytask.balancing.global_losses`), of the tasks it has labels of;
        that may be none: ``backward({})``. Gradients are summed over ranks here, and equal on all of them
        afterwards, so it does not matter whether the network is wrapped in `DistributedDataParallel`.

        Parameters
        ----------
        model : Module
            The whole network, heads included; parameters must be equal on all ranks. With FSDP2: the module
            that `fully_shard` was called on.
        tasks : sequence of str
            All tasks, in the same order on all ranks.
        group : ProcessGroup, optional
            Default: the default group.

        Raises
        ------
        SettingError
            If no process group was made, or ranks disagree about tasks or parameters.
        """
        self._ranks = Ranks(model, tasks, group)

    def after_step(self, losses: Mapping[str, Tensor]) -> None:  # noqa: B027 - few methods need it
        """The losses of the same batch after the step; called where `needs` is "losses_after_step"."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs: tensors and plain data."""
        if self._pending:
            raise SettingError(
                f"Balancing '{self.name}' holds {len(self._pending)} micro-batches: call backward for the last "
                "one before its state is saved."
            )
        return {"method": self.name, **pack(self, self.state_names)}

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the attributes that make the state."""
        return self.STATE

    def __repr__(self) -> str:
        # What a method keeps under another name, as Fixed does its weights, has no value to show.
        names = inspect.signature(type(self)).parameters
        shown = [f"{n}={getattr(self, n)!r}" for n in names if not callable(getattr(self, n, print))]
        return f"{type(self).__name__}({', '.join(shown)})"

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises
        ------
        SettingError
            For the state of another method.
        """
        if not isinstance(state, Mapping) or state.get("method") != self.name:
            whose = state.get("method") if isinstance(state, Mapping) else type(state).__name__
            raise SettingError(f"Balancing '{self.name}' cannot go on from the state of {whose!r}.")
        rest = {key: value for key, value in state.items() if key != "method"}
        unpack(self, self.state_names, rest, f"Balancing '{self.name}'")

    # ------------------------------------------------------------------ for kinds of balancers

    @contextmanager
    def _clearing(self) -> Iterator[None]:
        """A call that fails leaves no micro-batches behind for the next step."""
        try:
            yield
        except BaseException:
            self._pending = ()
            raise

    def _step(self, parts: tuple[Part, ...]) -> None:
        tasks, values = self._total(parts)
        if not tasks:  # no rank has a label
            add_gradients(self._ranks.sum({}) if self._ranks is not None else {})
            return
        self.last = {"tasks": tasks, "losses": values, "weights": None, "gramian": None}
        if self.watch is not None:
            self.watch.before(tasks, parts, self._ranks)
        gradients = self._gradients(tasks, values, parts)
        if self._ranks is not None:
            gradients = self._ranks.sum(gradients)
        add_gradients(gradients)
        if self.watch is not None:
            self.watch.after(self)

    @abstractmethod
    def _gradients(self, tasks: tuple[str, ...], values: np.ndarray, parts: tuple[Part, ...]) -> Gradients:
        """Gradients of this rank by parameter; the losses, totals over parts and ranks, are finite."""

    def _part(
        self,
        losses: Mapping[str, Tensor],
        shared: Any,
        features: Tensor | None,
        scaler: Any,
        unreached: str,
    ) -> Part:
        """Checked arguments."""
        if unreached not in ("error", "ignore"):
            raise SettingError(f"unreached must be 'error' or 'ignore', got {unreached!r}.")
        if self.needs in ("gramian", "gradients") and shared is None:
            raise SettingError(
                f"Balancing '{self.name}' needs the shared parameters: backward(losses, shared=…)."
            )
        here = bool(losses) or self._ranks is None
        if self.needs == "features" and (shared is None or (features is None and here)):
            raise SettingError(
                f"Balancing '{self.name}' needs the representation and what made it: backward(losses, shared=…, "
                "features=…)."
            )
        if self._ranks is not None:
            self._ranks.gather()
        _check_features(features, self._ranks)
        parameters = {} if shared is None else shared_parameters(shared)
        scale = _scale_of(scaler)
        if any(part.shared.keys() != parameters.keys() or part.scale != scale for part in self._pending):
            raise SettingError("All micro-batches of a step must have the same shared parameters and scale.")
        checked = TaskLosses.of(losses) if here else None
        if checked is not None:
            checked.check_attached()
        return Part(checked, parameters, features, scale, unreached == "error")

    def _total(self, parts: Sequence[Part]) -> tuple[tuple[str, ...], np.ndarray]:
        """Tasks and their losses as numbers, over all parts and ranks."""
        total: dict[str, float] = {}
        for part in parts:
            if part.losses is not None:
                for task, value in zip(part.losses.tasks, part.losses.vector.detach().tolist()):
                    total[task] = total.get(task, 0.0) + value
        if self._ranks is not None:
            total = self._ranks.total(total)
        check_finite(total)
        return tuple(total), np.array(list(total.values()), dtype=np.float64)


def _check_features(features: Any, ranks: Ranks | None) -> None:
    if features is None:
        return
    if not isinstance(features, Tensor):
        raise SettingError(f"features must be one tensor, got {type(features).__name__}.")
    # FSDP has hooks of its own on what its modules put out, and does nothing in them while parameters are whole.
    if features._backward_hooks and not (ranks is not None and ranks.shards.modules):
        raise SettingError(
            "The features have a gradient hook, which would run more than once in a step: register it on an "
            "earlier tensor, or leave features=… out."
        )


def _scale_of(scaler: Any) -> float:
    if scaler is not None and not hasattr(scaler, "scale"):
        raise SettingError(f"scaler must be a torch.amp.GradScaler, got {type(scaler).__name__}.")
    # scale() also makes the scaler's own tensor, which get_scale() does not.
    return 1.0 if scaler is None else float(scaler.scale(torch.ones((), device=scaler._device)))
