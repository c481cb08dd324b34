"""What a task is: a name, a kind, a loss and metrics.

A task is {p(x), p(y|x), loss}: tasks may share their rows or bring their own (see `polytask.data.TaskData`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from polytask.errors import SettingError

KINDS = ("regression", "binary", "multiclass", "multilabel", "counts")

#: The loss each kind is trained and compared with unless the task names another, and the ones it allows.
LOSSES: dict[str, tuple[str, ...]] = {
    "regression": ("squared_error", "absolute_error", "huber"),
    "binary": ("log_loss", "focal", "brier"),
    "multiclass": ("log_loss", "focal", "brier"),
    "multilabel": ("log_loss", "focal", "brier"),
    "counts": ("poisson", "squared_error"),
}

#: Where the Huber loss turns from squared to absolute error, in standard deviations of the target: 95 %
#: efficiency for Gaussian errors (Huber 1964). Networks are trained with it and all models compared with it.
HUBER_DELTA = 1.345

#: Metrics by kind; the first one is the default.
METRICS: dict[str, tuple[str, ...]] = {
    "regression": ("r2", "rmse", "mae", "mse"),
    "binary": ("roc_auc", "accuracy", "log_loss", "brier", "f1", "average_precision"),
    "multiclass": ("accuracy", "log_loss", "brier", "f1_macro"),
    "multilabel": ("roc_auc", "accuracy", "log_loss", "brier", "f1_macro"),
    "counts": ("d2_poisson", "rmse", "mae", "mse", "r2"),
}


@dataclass(frozen=True)
class Task:
    """One task of a multi-task problem.

    Parameters
    ----------
    name : str
        Unique within a problem; names the column of predictions.
    kind : {"regression", "binary", "multiclass", "multilabel", "counts"} or None
        None means: infer it from the target column.
    loss : str or None
        Loss per row, used to train networks and to compare models. None takes the first in
        ``LOSSES[kind]``.
    metric : str or tuple of str or None
        Metrics to report; None takes the first in ``METRICS[kind]``. The first one is the score.
    weight : float
        Weight of the task's loss under fixed balancing and in overall scores; must be positive.
    classes : tuple or None
        Labels of a binary or multiclass task, in the order of the predicted probabilities; None: sorted
        labels found in the data. For multilabel: the names of the labels.
    soft : bool
        The targets of a binary or multilabel task are probabilities in [0, 1] (for multiclass: rows of an
        (n, classes) table that sum to one), as a label model produces them.
    class_weight : {"balanced"} or dict or None
        Weights of the classes in the training loss of networks, for imbalanced tasks.
    scale : bool
        Put a regression target on unit scale while training (predictions come back in the target's units).
    """

    name: str
    kind: str | None = None
    loss: str | None = None
    metric: str | tuple[str, ...] | None = None
    weight: float = 1.0
    classes: tuple[Any, ...] | None = None
    soft: bool = False
    class_weight: Any = None
    scale: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise SettingError(f"A task needs a non-empty string as its name, got {self.name!r}.")
        if self.weight <= 0:
            raise SettingError(f"Task '{self.name}': weight must be positive, got {self.weight!r}.")
        if isinstance(self.metric, list):
            object.__setattr__(self, "metric", tuple(self.metric))
        if isinstance(self.classes, list):
            object.__setattr__(self, "classes", tuple(self.classes))
        if self.kind is None:
            return
        _check_choice(self.name, "kind", self.kind, KINDS)
        if self.loss is not None:
            _check_choice(self.name, f"loss of a {self.kind} task", self.loss, LOSSES[self.kind])
        for metric in self.metrics if self.metric is not None else ():
            _check_choice(self.name, f"metric of a {self.kind} task", metric, METRICS[self.kind])
        if self.soft and self.kind not in ("binary", "multiclass", "multilabel"):
            raise SettingError(
                f"Task '{self.name}': soft=True holds probabilities and needs kind 'binary', 'multiclass' or "
                f"'multilabel', not '{self.kind}'."
            )
        if self.soft and self.kind == "multiclass" and self.classes is None:
            raise SettingError(f"Task '{self.name}': a soft multiclass task needs classes=(...).")
        if self.class_weight is not None and not self.is_classification:
            raise SettingError(
                f"Task '{self.name}': class_weight applies to classification, not to '{self.kind}'."
            )

    @property
    def loss_name(self) -> str:
        """The loss in use: the one named, or the default of the kind."""
        return self.loss or LOSSES[self._known_kind()][0]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics in use; the first one is the score."""
        if self.metric is None:
            return METRICS[self._known_kind()][:1]
        return (self.metric,) if isinstance(self.metric, str) else tuple(self.metric)

    @property
    def is_classification(self) -> bool:
        return self.kind in ("binary", "multiclass", "multilabel")

    @property
    def n_outputs(self) -> int:
        """Width of the head a network needs: 1, the number of classes, or the number of labels."""
        if self.kind in ("multiclass", "multilabel"):
            if self.classes is None:
                raise SettingError(f"Task '{self.name}': classes are not known yet; build a TaskData first.")
            return len(self.classes)
        return 1

    def with_(self, **changes: Any) -> Task:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `Task(**d)` restores it (tuples come back from lists)."""
        out = {field: getattr(self, field) for field in self.__dataclass_fields__}
        for key in ("metric", "classes"):
            if isinstance(out[key], tuple):
                out[key] = [_plain(value) for value in out[key]]
        return out

    def _known_kind(self) -> str:
        if self.kind is None:
            raise SettingError(f"Task '{self.name}': its kind is not known yet; build a TaskData first.")
        return self.kind


def check_unique(tasks: Iterable[Task]) -> tuple[Task, ...]:
    """The tasks as a tuple; raises when two have the same name."""
    tasks = tuple(tasks)
    seen: set[str] = set()
    for task in tasks:
        if task.name in seen:
            raise SettingError(f"Two tasks are named '{task.name}'; names must be unique.")
        seen.add(task.name)
    return tasks


def _check_choice(name: str, what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingError(f"Task '{name}': {what} must be one of {', '.join(allowed)}; got {value!r}.")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
