"""Checks of penalty settings, and their shape as a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from polytask.errors import SettingError


def check_penalty(values: Any, name: str, *, positive: bool) -> np.ndarray:
    """Penalties as floats; refuses what is not finite, negative, or zero where a positive one is needed."""
    numbers = _numbers(values, name)
    bad = ~np.isfinite(numbers) | ((numbers <= 0) if positive else (numbers < 0))
    if np.any(bad):
        wanted = "positive (for no penalty use TaskRidge with alpha=0)" if positive else "zero or more"
        raise SettingError(f"{name} must be {wanted}; got {numbers[bad].flat[0]:g}.")
    return numbers


def one_penalty(value: Any, name: str, *, positive: bool) -> float:
    """One penalty for all tasks."""
    numbers = check_penalty(value, name, positive=positive)
    if numbers.ndim:
        raise SettingError(f"{name} must be one number for all tasks, got shape {numbers.shape}.")
    return float(numbers)


def shares(values: Any, name: str, meaning: str) -> np.ndarray:
    """A list of numbers between 0 and 1; `meaning` says what the ends are."""
    numbers = _numbers(values, name)
    if numbers.ndim != 1 or numbers.size == 0 or not np.all((numbers >= 0) & (numbers <= 1)):
        raise SettingError(f"{name} must lie between {meaning}; got {values!r}.")
    return numbers


def check_factors(values: Any, n_features: int) -> np.ndarray:
    """Penalty factors (p,) of zero or more; None means ones."""
    if values is None:
        return np.ones(n_features)
    factors = _numbers(values, "penalty_factors")
    if factors.shape != (n_features,):
        raise SettingError(
            f"penalty_factors needs one number for each of the {n_features} features, got shape {factors.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(factors) | (factors < 0))
    if len(bad):
        raise SettingError(f"penalty_factors must be zero or more; feature {bad[0]} has {factors[bad[0]]:g}.")
    return factors


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
    number = _numbers(value, "relax")
    if number.ndim or not 0.0 <= number <= 1.0:
        raise SettingError(f"relax must lie between 0 and 1; got {value!r}.")
    return float(number)


def _numbers(values: Any, name: str) -> np.ndarray:
    """Floats; refuses text, None and lists of unequal lengths."""
    try:
        kind = np.asarray(values).dtype.kind
        if kind in "US" or values is None:
            raise TypeError
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise SettingError(f"{name} must be made of numbers; got {values!r}.") from None
