"""Folders that results go to are checked before the work starts, not after it."""

from __future__ import annotations

import os
from pathlib import Path

from polytask.errors import SettingError


def check_result_folder(path: Path) -> None:
    """Make the folder if need be.

    Raises
    ------
    SettingError
        When something else is in the way or nothing can be written there.
    """
    if path.exists() and not path.is_dir():
        raise SettingError(f"--out: '{path}' is a file; name a folder.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"--out: the folder '{path}' cannot be made: {error.strerror or error}."
        ) from error
    if not os.access(path, os.W_OK):
        raise SettingError(f"--out: nothing can be written to '{path}'.")


def check_model_folder(path: Path) -> None:
    """Raise unless the folder is new, empty, or an older model that may be replaced.

    Raises
    ------
    SettingError
    """
    if path.is_file():
        raise SettingError(f"--out: '{path}' is a file; name a folder for the model.")
    if path.is_dir() and any(path.iterdir()) and not (path / "model.json").exists():
        raise SettingError(
            f"--out: the folder '{path}' holds something other than a model; name another one."
        )
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise SettingError(f"--out: nothing can be written to '{nearest}'.")
