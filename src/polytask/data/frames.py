"""Tables of any make: pandas, polars (through narwhals), numpy arrays and scipy sparse matrices.

Everything that asks "what kind of table is this?" is asked here, so that the rest of the library does not.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import narwhals as nw
import numpy as np
import scipy.sparse as sp

from polytask.errors import DataError


def is_frame(X: Any) -> bool:
    """True for an eager data frame (pandas, polars, pyarrow, modin, cuDF)."""
    return isinstance(nw.from_native(X, eager_only=True, pass_through=True), nw.DataFrame)


def is_series(y: Any) -> bool:
    return isinstance(nw.from_native(y, series_only=True, pass_through=True), nw.Series)


def check_table(X: Any, what: str = "X") -> Any:
    """A table that the library can hold: frames as they come, sparse as CSR, anything else as a 2-D array.

    Raises
    ------
    DataError
        For duplicated column names, wrong dimensions, no rows or no columns.
    """
    if sp.issparse(X):
        table = sp.csr_matrix(X, dtype=np.float64)
    elif hasattr(X, "columns"):
        _refuse_duplicates([str(c) for c in X.columns], what)
        if not is_frame(X):
            raise DataError(
                f"{what}: a {type(X).__name__} is not an eager table; collect or convert it first."
            )
        table = _text_names(X)
    else:
        table = np.asarray(X)
        if table.ndim != 2:
            raise DataError(
                f"{what} must have two dimensions (rows, columns), got shape {table.shape}. "
                "For a single feature use X.reshape(-1, 1)."
            )
    if table.shape[0] == 0 or table.shape[1] == 0:
        raise DataError(f"{what} has shape {table.shape}: at least one row and one column are needed.")
    return table


def n_rows(X: Any) -> int:
    return int(X.shape[0])


def column_names(X: Any) -> list[str] | None:
    """Column names of a frame as strings; None for arrays and sparse matrices, which have none."""
    return [str(c) for c in nw.from_native(X, eager_only=True).columns] if is_frame(X) else None


def feature_names(X: Any) -> list[str]:
    """Column names, or x0, x1, … where the table has none (scikit-learn's names)."""
    return column_names(X) or [f"x{j}" for j in range(X.shape[1])]


def take_rows(X: Any, rows: np.ndarray) -> Any:
    """The rows of a table in the given order, in the same kind of table."""
    if is_frame(X):
        return nw.from_native(X, eager_only=True)[np.asarray(rows).tolist(), :].to_native()
    return X[rows]


def drop_columns(X: Any, names: list[str]) -> Any:
    return nw.from_native(X, eager_only=True).drop(names).to_native()


def select_columns(X: Any, names: list[str]) -> Any:
    return nw.from_native(X, eager_only=True).select(names).to_native()


def column(X: Any, name: str, what: str = "the table") -> np.ndarray:
    """One column of a frame as a numpy array; raises `DataError` with close matches if there is none."""
    names, name = column_names(X), str(name)
    if names is None:
        raise DataError(f"Column {name!r} was asked for by name, but {what} is not a data frame.")
    if name not in names:
        raise DataError(f"No column '{name}' in {what}.{suggest(name, names)}")
    # By position: pandas allows names that are not text.
    return series_values(nw.from_native(X, eager_only=True)[:, names.index(name)])


def series_values(series: Any) -> np.ndarray:
    """Values of a series: floats with NaN for numbers and booleans, objects with None for anything else."""
    series = nw.from_native(series, series_only=True)
    dtype = series.dtype
    if dtype.is_numeric():
        if series.null_count():
            series = series.cast(nw.Float64)
        return np.asarray(series.to_numpy())
    if dtype == nw.Boolean and not series.null_count():
        return np.asarray(series.to_numpy())
    if dtype.is_temporal() and dtype != nw.Duration:
        return np.asarray(series.to_numpy())
    return np.array(series.to_list(), dtype=object)


def suggest(name: str, names: list[str]) -> str:
    """' Did you mean …?' or the list of names, for error messages."""
    close = get_close_matches(str(name), names, n=3)
    if close:
        return " Did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return f" It has: {shown}."


def frame_like(reference: Any, columns: dict[str, np.ndarray]) -> Any:
    """A table with these columns in the kind of `reference`: a frame of the same library, or a 2-D array."""
    if is_frame(reference) or is_series(reference):
        native = nw.from_native(reference, eager_only=True, allow_series=True)
        frame = nw.from_dict(
            {k: list(v) if v.dtype == object else v for k, v in columns.items()},
            backend=native.implementation,
        ).to_native()
        if hasattr(reference, "index") and hasattr(frame, "index") and len(reference) == len(frame):
            frame.index = reference.index
        return frame
    values = list(columns.values())
    if any(v.dtype.kind not in "fiub" for v in values):  # as one type, numbers would turn into text
        values = [v.astype(object) for v in values]
    return np.column_stack(values)


def plain_column(values: np.ndarray) -> np.ndarray:
    """An object column as numbers or booleans where all of its entries are of one such type."""
    kinds = {type(v) for v in values.tolist()}
    return np.array(values.tolist()) if len(kinds) == 1 and kinds <= {bool, int, float} else values


def is_missing(values: np.ndarray) -> np.ndarray:
    """Mask of missing entries: NaN, None, NA, NaT and empty text."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        return np.isnan(values)
    if values.dtype.kind in "iub":
        return np.zeros(values.shape, dtype=bool)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    flat = [
        v is None or (isinstance(v, str) and not v.strip()) or _not_equal_to_itself(v) for v in values.ravel()
    ]
    return np.array(flat, dtype=bool).reshape(values.shape)


def _not_equal_to_itself(value: Any) -> bool:
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA refuses to be a truth value
        return True


def _text_names(X: Any) -> Any:
    """The frame with text as its column names: pandas allows numbers, which no other table knows."""
    if all(isinstance(name, str) for name in X.columns):
        return X
    renamed = X.copy(deep=False)
    renamed.columns = [str(name) for name in X.columns]
    return renamed


def _refuse_duplicates(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{what} has more than one column named '{name}'; rename or drop one of them.")
        seen.add(name)
