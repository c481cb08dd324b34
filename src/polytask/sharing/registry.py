"""Architectures by name."""

from __future__ import annotations

from typing import Any

from polytask.errors import SettingError
from polytask.sharing.hard import HardSharing
from polytask.sharing.single import SingleTask
from polytask.sharing.soft import SoftSharing

#: Name → class; each class has ``for_table(n_inputs, heads, *, hidden, task_hidden, dropout)``.
SHARINGS: dict[str, Any] = {cls.name: cls for cls in (SingleTask, HardSharing, SoftSharing)}


def get_sharing(name: str) -> Any:
    """The class of this name; raises `SettingError` with the known names."""
    if name not in SHARINGS:
        raise SettingError(f"No sharing '{name}'; known: {', '.join(SHARINGS)}.")
    return SHARINGS[name]
