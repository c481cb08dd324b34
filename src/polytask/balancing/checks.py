"""What the methods ask of their settings and of the losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from polytask.errors import SettingError, TrainingError

Value = TypeVar("Value")


def is_number(value: Any) -> bool:
    """Whether it is a finite real number; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_positive(setting: str, value: Any) -> float:
    """A setting that must be a positive number.

    Raises
    ------
    SettingError
        If it is anything else.
    """
    if not (is_number(value) and value > 0):
        raise SettingError(f"{setting} must be a positive number, got {value!r}.")
    return float(value)


def check_count(setting: str, value: Any, least: int) -> int:
    """A setting that must be a whole number of at least `least`.

    Raises
    ------
    SettingError
        If it is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingError(f"{setting} must be a whole number of at least {least}, got {value!r}.")
    return value


def given_for(setting: str, given: Mapping[str, Value], tasks: Sequence[str]) -> list[Value]:
    """The values of a setting that is given by task.

    Raises
    ------
    SettingError
        For a task that the setting does not name: a misspelt name would be ignored otherwise.
    """
    missing = [task for task in tasks if task not in given]
    if missing:
        raise SettingError(f"{setting} has no value for task '{missing[0]}'; it has: {', '.join(given)}.")
    return [given[task] for task in tasks]


def check_losses(
    name: str, tasks: Sequence[str], values: np.ndarray, *, zero: bool, of: str = "loss"
) -> None:
    """Losses (or what stands for them) that must be positive, or at least not negative where `zero` is allowed.

    Raises
    ------
    TrainingError
        Naming the first task at fault. Nothing was updated.
    """
    wrong = values < 0 if zero else values <= 0
    if wrong.any():
        i = int(wrong.argmax())
        raise TrainingError(
            f"Balancing '{name}' needs {'losses that are not negative' if zero else 'positive losses'}; the "
            f"{of} of task '{tasks[i]}' is {values[i]:.6g}. Add a constant to that loss (a likelihood's lower "
            "bound), or use a method that takes any loss: 'equal', 'fixed', 'rlw', 'worst_case'."
        )
