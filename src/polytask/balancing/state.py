"""What balancers remember between steps, by task, so that tasks may come and go."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from polytask.errors import SettingError


class PerTask(dict[str, float]):
    """A number per task; tasks that a step does not name are left alone."""

    def read(self, tasks: Sequence[str], default: float = 0.0) -> np.ndarray:
        """The numbers of these tasks, shape (len(tasks),); `default` for those never written."""
        return np.array([self.get(task, default) for task in tasks], dtype=np.float64)

    def write(self, tasks: Sequence[str], values: np.ndarray) -> None:
        """Keep the numbers of these tasks."""
        self.update(zip(tasks, np.asarray(values, dtype=np.float64).tolist()))


def pack(owner: object, names: Sequence[str]) -> dict[str, Any]:
    """Copies of these attributes as tensors and plain data; a dict of tensors becomes one entry each."""
    state: dict[str, Any] = {}
    for name in names:
        value = getattr(owner, name)
        if isinstance(value, Draws):
            state[name] = value.state
        elif isinstance(value, dict) and any(isinstance(v, Tensor) for v in value.values()):
            state |= {f"{name}/{task}": v.detach().clone() for task, v in value.items()}
        elif isinstance(value, Tensor):
            state[name] = value.detach().clone()
        else:
            state[name] = dict(value) if isinstance(value, PerTask) else copy.deepcopy(value)
    return state


def unpack(owner: object, names: Sequence[str], state: Mapping[str, Any], subject: str) -> None:
    """Set the attributes that `pack` read.

    Raises
    ------
    SettingError
        For entries that are missing or not known: the state is another method's.
    """
    known = {key.split("/")[0] for key in state}
    if not known <= set(names):
        has = f"it has: {', '.join(names)}" if names else "it has no state"
        raise SettingError(
            f"{subject} does not know the entries {', '.join(sorted(known - set(names)))}; {has}."
        )
    for name in names:
        nested = {key.split("/", 1)[1]: v for key, v in state.items() if key.startswith(f"{name}/")}
        old = getattr(owner, name)
        if name not in state and not nested:
            raise SettingError(f"{subject}: the state lacks '{name}'.")
        if name not in state:
            setattr(owner, name, {task: v.detach().clone() for task, v in nested.items()})
        elif isinstance(old, Draws):
            old.state = state[name]
        elif isinstance(state[name], Tensor):
            setattr(owner, name, state[name].detach().clone())
        else:
            value = copy.deepcopy(state[name])
            setattr(owner, name, PerTask(value) if isinstance(old, PerTask) else value)


class Draws:
    """A random generator whose state is plain data.

    Ranks that make it with the same seed draw the same numbers.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    @property
    def state(self) -> dict[str, Any]:
        """The generator's state: numbers and strings only."""
        return dict(self.rng.bit_generator.state)

    @state.setter
    def state(self, value: Mapping[str, Any]) -> None:
        self.rng.bit_generator.state = dict(value)
