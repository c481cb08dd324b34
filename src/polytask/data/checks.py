"""What is refused or warned about in a feature table: leakage, infinite values, mixed text, id columns."""

from __future__ import annotations

import warnings
from typing import Any

import narwhals as nw
import numpy as np
import scipy.sparse as sp

from polytask.data import frames
from polytask.data.targets import LARGEST, beyond, parse_numbers
from polytask.errors import DataError, PolytaskWarning


def check_features(X: Any) -> None:
    """Refuse infinite values, dates and numbers mixed with text; warn of columns that look like an id.

    Raises
    ------
    DataError
        Naming the column, the number of rows and the first one.
    """
    if not frames.is_frame(X):
        _check_array(X)
        return
    for name in frames.column_names(X) or ():
        _check_column(name, frames.series_values(nw.from_native(X, eager_only=True)[name]))


def check_finite_features(X: Any) -> None:
    """Refuse infinite and huge values in the numeric columns of a table."""
    if not frames.is_frame(X):
        _refuse_infinite_entries(X)
        return
    for name in frames.column_names(X) or ():
        _refuse_infinite(name, frames.series_values(nw.from_native(X, eager_only=True)[name]))


def _check_array(X: Any) -> None:
    _refuse_infinite_entries(X)
    if X.dtype.kind not in "fiub":
        for j in range(X.shape[1]):
            _check_column(f"x{j}", X[:, j])


def _refuse_infinite_entries(X: Any) -> None:
    """For arrays and sparse matrices of numbers; the first column at fault is named."""
    values = X.data if sp.issparse(X) else X
    if values.dtype.kind != "f" or not beyond(values).any():
        return
    table = X.tocsc() if sp.issparse(X) else X
    for j in range(X.shape[1]):
        _refuse_infinite(f"x{j}", table[:, [j]].toarray().ravel() if sp.issparse(X) else table[:, j])


def _check_column(name: str, values: np.ndarray) -> None:
    if values.dtype.kind == "M":
        raise DataError(
            f"Feature '{name}' holds dates. Drop it, turn it into numbers (year, month, …), or name it as "
            "the time."
        )
    if values.dtype.kind in "fiub":
        _refuse_infinite(name, values)
    else:
        _refuse_mixed_text(name, values)
    if _looks_like_id(values):
        warnings.warn(
            f"Feature '{name}' looks like an identifier ({len(values)} different values in {len(values)} "
            "rows): drop it unless it carries information.",
            PolytaskWarning,
            stacklevel=4,
        )


def _refuse_infinite(name: str, values: np.ndarray) -> None:
    if values.dtype.kind != "f" or not beyond(values).any():
        return
    rows = np.flatnonzero(np.isinf(values))
    if len(rows):
        raise DataError(
            f"Feature '{name}' has {len(rows)} infinite values, first in row {rows[0]}; correct them or "
            "leave them empty."
        )
    rows = np.flatnonzero(beyond(values))
    raise DataError(
        f"Feature '{name}' has {len(rows)} values beyond ±{LARGEST:g}, first in row {rows[0]}, too large to "
        "compute with; correct them or change its unit."
    )


def _refuse_mixed_text(name: str, values: np.ndarray) -> None:
    numbers, bad = parse_numbers(values)
    if not bad.any():
        _refuse_infinite(name, numbers)
    present = int((~frames.is_missing(values)).sum())
    n_bad = int(bad.sum())
    if n_bad and n_bad < 0.5 * present:
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"Feature '{name}' holds numbers but also text in {n_bad} of {present} rows, first in row {row}: "
            f"{values[row]!r}. Correct these entries or leave them empty."
        )


def _looks_like_id(values: np.ndarray) -> bool:
    """All different and in steps of one (a running number), or all different texts."""
    n = len(values)
    if n < 20 or frames.is_missing(values).any():
        return False
    if values.dtype.kind in "iu":
        return bool((np.diff(np.sort(values)) == 1).all())
    return values.dtype.kind == "O" and len({str(v) for v in values}) == n


def refuse_targets_among_features(X: Any, targets: dict[str, np.ndarray]) -> None:
    """A target that is also a feature (by name, or by its values) makes every model look perfect: refuse."""
    if sp.issparse(X):
        return
    names = frames.column_names(X)
    both = [name for name in targets if names and name in names]
    if both:
        raise DataError(f"Target '{both[0]}' is also a column of the features (leakage); drop it from X.")
    for j, feature in enumerate(frames.feature_names(X)):
        values = frames.column(X, feature) if names else X[:, j]
        for name, y in targets.items():
            if _same_values(values, y):
                raise DataError(
                    f"Feature '{feature}' is a copy of target '{name}' (leakage); drop it from X."
                )


def _same_values(x: np.ndarray, y: np.ndarray) -> bool:
    """Equal wherever the target is known, and not merely a pair of constant or two-valued columns."""
    if y.ndim != 1 or len(x) != len(y) or x.dtype.kind not in "fiu" or y.dtype.kind not in "fiu":
        return False
    known = ~np.isnan(y.astype(float))
    return bool(known.sum() > 2 and len(np.unique(y[known])) > 2 and np.array_equal(x[known], y[known]))


def stack_tables(tables: dict[str, Any]) -> Any:
    """The tables one below the other; raises when columns or kinds of tables differ, naming the task."""
    first_name, first = next(iter(tables.items()))
    names = frames.column_names(first)
    for task, X in tables.items():
        if frames.is_frame(X) != (names is not None) or sp.issparse(X) != sp.issparse(first):
            raise DataError(
                f"Tasks '{first_name}' and '{task}' bring different kinds of tables; convert one of them."
            )
        check_same_columns(X, names, first.shape[1], f"X of task '{task}'", f"that of task '{first_name}'")
    if names is not None:
        parts = [nw.from_native(X, eager_only=True).select(names) for X in tables.values()]
        return nw.concat(parts, how="vertical").to_native()
    if sp.issparse(first):
        return sp.vstack(list(tables.values())).tocsr()
    return np.vstack(list(tables.values()))


def check_same_columns(X: Any, names: list[str] | None, width: int, what: str, reference: str) -> None:
    """Raise when `X` lacks columns; extra ones are the caller's to decide about.

    Raises
    ------
    DataError
        Naming the missing columns, or the two widths where columns have no names.
    """
    found = frames.column_names(X)
    if names is not None and found is not None:
        missing = [n for n in names if n not in found]
        if missing:
            shown = ", ".join(f"'{m}'" for m in missing[:8]) + (", …" if len(missing) > 8 else "")
            raise DataError(f"{what} lacks {len(missing)} columns of {reference}: {shown}.")
    elif X.shape[1] != width:
        raise DataError(f"{what} has {X.shape[1]} columns, {reference} has {width}.")
