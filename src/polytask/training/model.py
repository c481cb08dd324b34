"""From task data to a trained network that predicts in the targets' own units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from polytask.balancing import Balancer
from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.sharing import Sharing
from polytask.tasks import Task
from polytask.training.inputs import InputScaler, as_matrix
from polytask.training.loop import History, train
from polytask.training.randomness import seeded
from polytask.training.sampling import TaskSampler
from polytask.training.settings import Training, find_device
from polytask.training.tensors import TaskTensors
from polytask.training.units import Units, find_units

#: Rows predicted at a time.
CHUNK = 16384


class NetworkModel:
    """A trained network, its tasks and their units.

    Attributes
    ----------
    sharing : Sharing
    tasks : tuple of Task
    units : dict of str to Units
    inputs : InputScaler
    history : list of dict
        One record per epoch, see `polytask.training.loop.train`.
    """

    def __init__(
        self,
        sharing: Sharing,
        tasks: Sequence[Task],
        units: Mapping[str, Units],
        inputs: InputScaler,
        history: History,
    ) -> None:
        # Sums in double precision do not depend on how many rows are predicted at a time.
        self.sharing = sharing.double() if sharing.settings is not None else sharing
        self.tasks = tuple(tasks)
        self.units = dict(units)
        self.inputs = inputs
        self.history = history

    @classmethod
    def fit(
        cls,
        build: Callable[[int, dict[str, int]], Sharing],
        data: TaskData,
        validation: TaskData | None,
        balancer: Balancer,
        settings: Training,
        *,
        scale_inputs: bool = True,
        seed: int = 0,
        callback: Callable[[dict[str, Any]], None] | None = None,
    ) -> NetworkModel:
        """Build a network and train it.

        Parameters
        ----------
        build : callable
            ``(number of features, {task: outputs}) -> Sharing``; called under the seed.
        data, validation : TaskData
            Over finite float matrices with the same columns and tasks.
        scale_inputs : bool
            Standardise the features.
        """
        device = find_device(settings.device)
        heads = {task.name: task.n_outputs for task in data.tasks}
        with seeded(seed, device):
            sharing = build(data.X.shape[1], heads)
        if list(sharing.heads.items()) != list(heads.items()):
            raise SettingError(
                f"The network has heads {sharing.heads}, but the data needs {heads}, in this order."
            )
        sharing.to(device)
        if validation is not None:
            validation = _like(data, validation)
        units, inputs = find_units(data), InputScaler.fit(as_matrix(data.X), scale_inputs)
        layout = "pairs" if _needs_pairs(data, settings) else "rows"
        dtype = next((p.dtype for p in sharing.parameters()), torch.float32)

        def tensors(part: TaskData) -> TaskTensors:
            x = inputs.transform(as_matrix(part.X))
            return TaskTensors(part, x, units, sharing.columns, layout, device, dtype)

        held_out = None if validation is None else tensors(validation)
        history = train(sharing, tensors(data), held_out, balancer, settings, seed=seed, callback=callback)
        return cls(sharing.to("cpu"), data.tasks, units, inputs, history)

    def predict_tasks(
        self, X: Any, rows: Mapping[str, np.ndarray | None] | None = None
    ) -> dict[str, np.ndarray]:
        """Predictions per task in the target's own units.

        Parameters
        ----------
        X : ndarray or csr_matrix of shape (n, p)
        rows : mapping of str to ndarray of int or None, optional
            Task → rows it is asked for (None: all). No mapping: all tasks for all rows.

        Returns
        -------
        dict of str to ndarray
            Means (n,), probabilities of the second class (n,), or of all classes or labels (n, k).
        """
        rows = dict.fromkeys(t.name for t in self.tasks) if rows is None else rows
        known = {task.name for task in self.tasks}
        for name in rows:
            if name not in known:
                raise DataError(f"No task '{name}'; this model has: {', '.join(sorted(known))}.")
        x = self.network_input(X)
        self.sharing.eval()
        with torch.no_grad():
            outputs = self._outputs(x, rows)
        return {name: self.units[name].predict(outputs[name]) for name in rows}

    def network_input(self, X: Any) -> torch.Tensor:
        """A table as the network takes it, scaled and of its type: for `sharing.gates(x)` and the like."""
        parameter = next(self.sharing.parameters())
        return torch.as_tensor(self.inputs.transform(as_matrix(X)), dtype=parameter.dtype)

    def _outputs(self, x: torch.Tensor, rows: Mapping[str, np.ndarray | None]) -> dict[str, np.ndarray]:
        if len(rows) == len(self.tasks) and all(index is None for index in rows.values()):
            table = np.concatenate([self.sharing.table(part).numpy() for part in x.split(CHUNK)])
            return {name: table[:, columns] for name, columns in self.sharing.columns.items()}
        index = {
            t: None if r is None else torch.as_tensor(np.asarray(r), dtype=torch.int64)
            for t, r in rows.items()
        }
        return {name: out.numpy() for name, out in self.sharing(x, index).items()}

    # ------------------------------------------------------------------ to and from plain data

    def to_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Weights as arrays, everything else as data for JSON."""
        tensors = {f"network.{k}": _saved(v, self.sharing) for k, v in self.sharing.state_dict().items()}
        tensors["inputs.mean"], tensors["inputs.scale"] = self.inputs.mean, self.inputs.scale
        config = {
            "sharing": self.sharing.describe(),
            "tasks": [task.to_dict() for task in self.tasks],
            "units": {name: units.to_dict() for name, units in self.units.items()},
            "history": self.history,
        }
        return tensors, config

    @classmethod
    def from_state(
        cls, sharing: Sharing, tensors: Mapping[str, np.ndarray], config: Mapping[str, Any]
    ) -> NetworkModel:
        """Load weights into a network of the same architecture."""
        weights = {
            k.removeprefix("network."): torch.as_tensor(v)
            for k, v in tensors.items()
            if k.startswith("network.")
        }
        described = dict(config["sharing"]["heads"])
        if list(sharing.heads.items()) != list(described.items()):
            raise SettingError(
                f"The network has heads {sharing.heads}, but the stored one {described}, in this order."
            )
        sharing.load_state_dict(weights)
        inputs = InputScaler(np.asarray(tensors["inputs.mean"]), np.asarray(tensors["inputs.scale"]))
        sharing.eval()
        tasks = [Task(**state) for state in config["tasks"]]
        units = {name: Units.from_dict(state) for name, state in config["units"].items()}
        return cls(sharing, tasks, units, inputs, config["history"])


def _like(data: TaskData, validation: TaskData) -> TaskData:
    """Validation data with the tasks in the order of the training data."""
    missing = [name for name in data.task_names if name not in validation.task_names]
    if missing:
        raise DataError(f"The validation data has no task '{missing[0]}'; the training data has it.")
    if validation.X.shape[1] != data.X.shape[1]:
        raise DataError(
            f"The validation data has {validation.X.shape[1]} columns, the training data {data.X.shape[1]}."
        )
    return validation.select(data.task_names)


def _saved(value: torch.Tensor, sharing: Sharing) -> np.ndarray:
    """As an array; weights were trained in single precision, so nothing is lost by storing them so."""
    if sharing.settings is not None and value.dtype == torch.float64:
        value = value.float()
    return value.detach().cpu().numpy().copy()


def _needs_pairs(data: TaskData, settings: Training) -> bool:
    """Whether batches are sets of labels: tasks with rows of their own, or batches drawn task by task."""
    by_task = isinstance(settings.sampling, TaskSampler) or settings.sampling == "every_task"
    labels = sum(len(rows) for rows in data.rows.values())
    one_label_per_row = labels == len(np.unique(np.concatenate(list(data.rows.values()))))
    return by_task or (len(data.tasks) > 1 and one_label_per_row)
