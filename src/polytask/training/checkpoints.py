"""Checkpoints: tensors and plain data in one safetensors file, written under another name and then renamed.

The plain data are JSON in the file's header, so that both halves are always of the same epoch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from polytask.errors import ModelFolderError

#: Raised when the layout changes; files of a newer layout are refused.
SCHEMA = 1


def save_checkpoint(path: str | Path, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Write a checkpoint; a run that dies while writing leaves the previous one intact."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    header = {"polytask": json.dumps({"schema": SCHEMA, **plain})}
    try:
        save_file(
            {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, temporary, metadata=header
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and plain data of a checkpoint.

    Raises
    ------
    ModelFolderError
        If the file is damaged, is no checkpoint, or comes from a newer version.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            plain = json.loads((file.metadata() or {})["polytask"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ModelFolderError(
            f"{path} is not a checkpoint that can be read ({error}); delete it to start anew."
        ) from error
    if plain["schema"] > SCHEMA:
        raise ModelFolderError(
            f"{path} has schema {plain['schema']}, this version reads up to {SCHEMA}: upgrade polytask."
        )
    return tensors, plain
