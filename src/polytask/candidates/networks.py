"""The networks of `polytask.networks` as candidates, one per way of sharing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polytask.candidates.base import Candidate, TaskModel
from polytask.data import TaskData
from polytask.tasks import Task


class Network(Candidate):
    """A network that shares its parameters in one of the ways of `polytask.sharing`.

    Parameters
    ----------
    name : str
    role : {"single", "sharing"}
    sharing : str
        A word of `MultiTaskNetwork`.
    grid : sequence of dict
        Parameters of `MultiTaskNetwork`, the best guess first; a "strength" among the "sharing_settings" is
        relative, see `fit`.
    """

    def __init__(self, name: str, role: str, sharing: str, grid: Sequence[dict[str, Any]]) -> None:
        self.name, self.role, self.sharing, self.grid = name, role, sharing, list(grid)

    def supports(self, task: Task) -> bool:
        return True

    def applies(self, data: TaskData) -> bool:
        return self.role == "single" or len(data.tasks) > 1

    def settings(self, data: TaskData, n: int) -> list[Any]:
        return self.grid[:n]

    def tune(self, data: TaskData, folds: Any, seed: int, n_settings: int) -> Any:
        tuned = super().tune(data, folds, seed, n_settings)
        if (
            self.role == "single"
        ):  # towers are trained as one batch, so they take the setting most tasks chose
            chosen = list(tuned.setting.values())
            tuned.setting = max(chosen, key=chosen.count)
            tuned.inner = (
                self.inner_losses(data, folds, tuned.setting, seed) if _differ(chosen) else tuned.inner
            )
        return tuned

    def fit(self, data: TaskData, setting: Any, seed: int) -> TaskModel:
        from polytask.networks import MultiTaskNetwork  # torch is loaded when a network takes part

        own = dict(setting.get("sharing_settings", {}))
        if "strength" in own:
            # The mean over T tasks divides each loss by T, and T − 1 pairs pull at each network: divided by T²
            # a strength holds a task equally close to the others, however many there are.
            own["strength"] = own["strength"] / len(data.tasks) ** 2
            setting = {**setting, "sharing_settings": own}
        return MultiTaskNetwork(sharing=self.sharing, random_state=seed, **setting).fit(data)


def _differ(chosen: list[Any]) -> bool:
    return any(c != chosen[0] for c in chosen)
