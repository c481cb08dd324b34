"""The default preprocessing of features: a scikit-learn transformer that the user can replace by any other.

Numbers: missing values become the median, with an indicator column, then zero mean and unit variance.
Categories: missing is a category of its own, then one-hot with rare ones together.
Sparse matrices: scaled by their largest absolute value, zeros stay zeros.
"""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler

from polytask.data import frames
from polytask.data.targets import parse_numbers
from polytask.errors import DataError

#: Categories of one column beyond this many most frequent ones share one indicator column.
MAX_CATEGORIES = 30


class TableReader(TransformerMixin, BaseEstimator):
    """Frame to one object array with numbers as floats and categories as text, so that the rest is plain.

    It lets pandas and polars frames (and object arrays) go through the same scikit-learn steps.
    """

    def __init__(self, numeric: tuple[int, ...] = ()) -> None:
        self.numeric = numeric

    def fit(self, X: Any, y: Any = None) -> TableReader:
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        names = frames.column_names(X)
        out = np.empty(X.shape, dtype=object)
        for j in range(X.shape[1]):
            values = frames.column(X, names[j]) if names else np.asarray(X)[:, j]
            label = names[j] if names else f"x{j}"
            out[:, j] = _as_numbers(values, label) if j in self.numeric else _as_categories(values)
        return out

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        names = [f"x{j}" for j in range(self.n_features_in_)] if input_features is None else input_features
        return np.asarray(names, dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def default_preprocessing(X: Any) -> Any:
    """An unfitted scikit-learn transformer that suits this table.

    Parameters
    ----------
    X : DataFrame, array or sparse matrix of shape (n, p)

    Returns
    -------
    transformer
        ``fit``/``transform`` give a finite float array of shape (n, p'), sparse where `X` is.
    """
    if sp.issparse(X):
        return MaxAbsScaler()
    if not frames.is_frame(X) and np.asarray(X).dtype.kind in "fiub":
        return make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    numeric = tuple(j for j in range(X.shape[1]) if is_numeric_column(X, j))
    other = [j for j in range(X.shape[1]) if j not in numeric]
    steps: list[tuple[str, Any, Any]] = []
    if numeric:
        imputer = SimpleImputer(strategy="median", add_indicator=True)
        steps.append(("numbers", make_pipeline(imputer, StandardScaler()), list(numeric)))
    if other:
        one_hot = OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=MAX_CATEGORIES,
            sparse_output=False,
            feature_name_combiner=category_name,
        )
        steps.append(("categories", one_hot, other))
    return make_pipeline(TableReader(numeric), ColumnTransformer(steps))


def category_name(feature: str, category: Any) -> str:
    """Name of the indicator column of a category, for OneHotEncoder."""
    return f"{feature}={'(rare)' if category == 'infrequent_sklearn' else category}"


def names_out(transformer: Any, names: list[str], width: int) -> list[str]:
    """Readable names of the preprocessed columns: ``age``, ``age missing``, ``city=Rome``.

    Parameters
    ----------
    transformer : fitted transformer
        Any; x0, x1, … are given where it does not tell its names.
    names : list of str
        Of the columns it was fitted on.
    width : int
        Number of columns it gives.
    """
    try:
        found = [str(n) for n in transformer.get_feature_names_out(names)]
    except Exception:  # a transformer may have no such method, or refuse these names: numbers do then
        found = []
    return [_readable(n) for n in found] if len(found) == width else [f"x{j}" for j in range(width)]


def _readable(name: str) -> str:
    """Without the marks that scikit-learn puts in front to keep the names apart."""
    name = name.removeprefix("numbers__").removeprefix("categories__")
    bare = name.removeprefix("missingindicator_")
    return name if bare == name else f"{bare} missing"


def is_numeric_column(X: Any, j: int) -> bool:
    """Whether column j is numeric: by its type, or by its entries where the type is object."""
    names = frames.column_names(X)
    if names is None:
        values = np.asarray(X)[:, j]
        return values.dtype.kind in "fiub" or not parse_numbers(values)[1].any()
    dtype = nw.from_native(X, eager_only=True)[names[j]].dtype
    if dtype.is_numeric() or dtype == nw.Boolean:
        return True
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return False
    return not parse_numbers(frames.column(X, names[j]))[1].any()


def _as_numbers(values: np.ndarray, name: str) -> np.ndarray:
    numbers, bad = parse_numbers(values)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"Feature '{name}' was numeric when the model was fitted but holds text in {int(bad.sum())} "
            f"rows, first in row {row}: {values[row]!r}."
        )
    return numbers


def _as_categories(values: np.ndarray) -> np.ndarray:
    missing = frames.is_missing(values)
    return np.array(["(missing)" if m else str(v) for v, m in zip(values, missing)], dtype=object)
