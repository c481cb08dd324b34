import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp

from polytask.data import default_preprocessing
from polytask.data.preprocessing import names_out
from polytask.errors import DataError


def frame(n=40):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"x": rng.normal(5, 3, n), "c": rng.choice(["u", "v", None], n), "k": rng.integers(0, 3, n)}
    )
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
    with pytest.raises(DataError, match=r"'x' was numeric .* first in row 1: 'oops'"):
        transformer.transform(table.head(3).assign(x=["1", "oops", "2"]))


def test_sparse_tables_stay_sparse():
    X = sp.random(20, 4, density=0.5, random_state=0, format="csr")
    out = default_preprocessing(X).fit_transform(X)
    assert sp.issparse(out)
    assert abs(out).max() == 1.0


@pytest.mark.parametrize("convert", [lambda f: f, pl.from_pandas, lambda f: f.to_numpy(object)])
def test_preprocessed_columns_have_readable_names(convert):
    table = convert(frame())
    transformer = default_preprocessing(table).fit(table)
    given = ["x", "c", "k"]
    width = transformer.transform(table).shape[1]
    expected = ["x", "k", "x missing", "c=(missing)", "c=u", "c=v"]
    assert names_out(transformer, given, width) == expected


def test_rare_categories_share_a_name_and_names_stay_apart():
    table = pd.DataFrame({"c": [f"v{i}" for i in range(40)] + ["often"] * 60, "c=often": np.arange(100.0)})
    transformer = default_preprocessing(table).fit(table)
    names = names_out(transformer, ["c", "c=often"], transformer.transform(table).shape[1])
    assert names[0] == "c=often"
    assert names[-1] == "c=(rare)"
    assert len(names) == 31


def test_transformers_that_do_not_tell_get_numbers():
    assert names_out(object(), ["a", "b"], 3) == ["x0", "x1", "x2"]
    table = frame()[["x"]].dropna()
    assert names_out(default_preprocessing(table).fit(table), ["x"], 5) == ["x0", "x1", "x2", "x3", "x4"]
