"""The linear models of `polytask.linear` as candidates: a whole penalty path costs little more than one fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from polytask.candidates.base import Candidate, TaskModel, Tuned
from polytask.data import TaskData
from polytask.evaluation.folds import Fold
from polytask.tasks import Task


class Linear(Candidate):
    """A linear model with its penalty chosen along a path.

    Parameters
    ----------
    name : str
    role : {"single", "sharing"}
    search : callable
        Makes the estimator that chooses its penalties on the folds given as ``cv``.
    fixed : callable
        Makes the estimator at given penalties.
    chosen : sequence of str
        Parameters of `fixed`, read as ``<parameter>_`` from the fitted search.
    """

    def __init__(
        self,
        name: str,
        role: str,
        search: Callable[..., Any],
        fixed: Callable[..., Any],
        chosen: Sequence[str] = ("alpha",),
    ) -> None:
        self.name, self.role = name, role
        self.search, self.fixed, self.chosen = search, fixed, tuple(chosen)

    def supports(self, task: Task) -> bool:
        return task.kind == "regression"

    def applies(self, data: TaskData) -> bool:
        return self.role == "single" or len(data.tasks) > 1

    def settings(self, data: TaskData, n: int) -> list[Any]:
        return []  # the path takes their place

    def tune(self, data: TaskData, folds: Sequence[Fold], seed: int, n_settings: int) -> Tuned:
        search = self.search(cv=list(folds), standardize=True).fit(data)
        setting = {name: _plain(getattr(search, f"{name}_")) for name in self.chosen}
        return Tuned(setting, self.inner_losses(data, folds, setting, seed))

    def fit(self, data: TaskData, setting: Any, seed: int) -> TaskModel:
        return self.fixed(standardize=True, **setting).fit(data)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
