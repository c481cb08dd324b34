import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from polytask.data import default_preprocessing
from polytask.errors import DataError


def frame(n=40):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(5, 3, n), "c": rng.choice(["u", "v", None], n), "k": rng.integers(0, 3, n)})
    table.loc[[1, 2], "x"] = np.nan
    return table


def test_numbers_are_imputed_with_the_median_marked_and_scaled():
    table = frame()
    out = default_preprocessing(table).fit_transform(table)
    x = table["x"].fillna(table["x"].median())
    np.testing.assert_allclose(out[:, 0], (x - x.mean()) / x.std(ddof=0))
    marks = out[:, 2] > 0
    np.testing.assert_array_equal(marks, table["x"].isna())


def test_pandas_and_polars_give_the_same_features():
    table = frame()
    one = default_preprocessing(table).fit_transform(table)
    two = default_preprocessing(pl.from_pandas(table)).fit_transform(pl.from_pandas(table))
    np.testing.assert_array_equal(one, two)
    assert one.dtype == float
    assert np.isfinite(one).all()


def test_a_new_category_is_no_error():
    table = frame()
    transformer = default_preprocessing(table).fit(table)
    new = table.head(3).assign(c=["w", "u", None])
    assert np.isfinite(transformer.transform(new)).all()


def test_text_in_a_numeric_column_is_named_when_predicting():
    table = frame()
    transformer = default_preprocessing(table).fit(table)
    with pytest.raises(DataError, match="'x' was numeric .* first in row 1: 'oops'"):
        transformer.transform(table.head(3).assign(x=["1", "oops", "2"]))


def test_sparse_tables_stay_sparse():
    X = sp.random(20, 4, density=0.5, random_state=0, format="csr")
    out = default_preprocessing(X).fit_transform(X)
    assert sp.issparse(out)
    assert abs(out).max() == 1.0
