"""Checks of penalty settings, and their shape as a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from polytask.errors import SettingError


def check_penalty(values: Any, name: str, *, positive: bool) -> np.ndarray:
    """Penalties as floats; refuses what is not finite, negative, or zero where a positive one is needed."""
    numbers = np.asarray(values, dtype=float)
    bad = ~np.isfinite(numbers) | ((numbers <= 0) if positive else (numbers < 0))
    if np.any(bad):
        wanted = "positive (for no penalty use TaskRidge with alpha=0)" if positive else "zero or more"
        raise SettingError(f"{name} must be {wanted}; got {numbers[bad].flat[0]:g}.")
    return numbers


def alpha_list(values: Any, name: str, *, positive: bool) -> np.ndarray:
    """A list of penalties in decreasing order, so that each solution starts the next."""
    numbers = check_penalty(values, name, positive=positive)
    if numbers.ndim != 1 or numbers.size == 0:
        raise SettingError(f"{name} must be a non-empty list of numbers, got shape {numbers.shape}.")
    return np.sort(numbers)[::-1].copy()


def alpha_per_task(alpha: Any, n_tasks: int, *, positive: bool) -> np.ndarray:
    """A penalty for each task as a grid of one point (1, q); a single number serves all tasks."""
    numbers = check_penalty(alpha, "alpha", positive=positive)
    if numbers.shape not in ((), (n_tasks,)):
        raise SettingError(
            f"alpha must be one number or one for each of the {n_tasks} tasks, got shape {numbers.shape}."
        )
    return np.broadcast_to(numbers, (1, n_tasks)).copy()


def grid_per_task(alphas: np.ndarray, n_tasks: int) -> np.ndarray:
    """The same list of penalties for every task: (k,) -> (k, q)."""
    return np.repeat(alphas[:, None], n_tasks, axis=1)


def check_relax(value: Any) -> float:
    """The weight of the penalised coefficients, between 0 and 1."""
    if not 0.0 <= value <= 1.0:
        raise SettingError(f"relax must lie between 0 and 1; got {value!r}.")
    return float(value)
