"""Moments on disk: one safetensors file with a JSON header, in which nothing can be run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from polytask.errors import DataError
from polytask.files import write_atomic

if TYPE_CHECKING:
    from polytask.linear.moments import Moments

#: Raised when what the file holds changes its meaning.
SCHEMA = 1

_ARRAYS = (
    "weight",
    "n_rows",
    "x_mean",
    "x_rest",
    "gram",
    "y_mean",
    "y_rest",
    "xty",
    "target_gram",
    "pattern",
)


def save_moments(moments: Moments, path: Path | str) -> None:
    """Write moments to a file, whole or not at all.

    Parameters
    ----------
    moments : Moments
    path : path
        Replaced if it exists.
    """
    header = {
        "schema": SCHEMA,
        "task_names": list(moments.task_names),
        "feature_names": None if moments.feature_names is None else list(moments.feature_names),
    }
    arrays = {name: np.ascontiguousarray(getattr(moments, name)) for name in _ARRAYS}
    write_atomic(path, save(arrays, metadata={"polytask.moments": json.dumps(header)}))


def load_moments(kind: type[Moments], path: Path | str) -> Moments:
    """Read what `save_moments` wrote.

    Raises
    ------
    DataError
        If the file is missing, damaged, of a newer schema, or holds something else.
    """
    try:
        with safe_open(str(path), framework="numpy") as content:
            header = json.loads((content.metadata() or {})["polytask.moments"])
            if not isinstance(header["schema"], int):
                raise ValueError("its schema is not a number")
            if header["schema"] > SCHEMA:
                raise DataError(
                    f"'{path}' has schema {header['schema']}; this version of polytask reads up to {SCHEMA}. "
                    "Upgrade polytask."
                )
            arrays = {name: content.get_tensor(name) for name in _ARRAYS}
            tasks, features = _names(header["task_names"]), header["feature_names"]
            features = None if features is None else _names(features)
            _check_shapes(arrays, tasks, features)
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'.") from None
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"'{path}' does not hold moments, or is damaged ({error}).") from None
    return kind(**arrays, task_names=tasks, feature_names=features)


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(name, str) for name in values):
        raise ValueError("its names are not a list of text")
    if len(set(values)) < len(values):
        raise ValueError("it names a task or feature twice")
    return tuple(values)


def _check_shapes(
    arrays: dict[str, np.ndarray], tasks: tuple[str, ...], features: tuple[str, ...] | None
) -> None:
    """Refuse arrays whose shapes don't go together, and patterns that are not there."""
    if arrays["x_mean"].ndim != 2:
        raise ValueError(f"x_mean has shape {arrays['x_mean'].shape}")
    (n_patterns, p), q = arrays["x_mean"].shape, len(tasks)
    shapes = {
        "weight": (n_patterns,), "n_rows": (n_patterns,), "x_rest": (n_patterns, p), "gram": (n_patterns, p, p),
        "y_mean": (q,), "y_rest": (q,), "xty": (q, p), "target_gram": (q, q), "pattern": (q,),
    }  # fmt: skip
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape} where {shape} is expected")
    for name, array in arrays.items():
        wanted = "iu" if name in ("n_rows", "pattern") else "f"
        if array.dtype.kind not in wanted:
            raise ValueError(f"{name} holds {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")
    if features is not None and len(features) != p:
        raise ValueError(f"it names {len(features)} of {p} features")
    if q and not (arrays["pattern"].min() >= 0 and arrays["pattern"].max() < n_patterns):
        raise ValueError("it has tasks of a pattern that is not there")
