"""The model that is handed back: which candidate predicts what, and tables in and out."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fakes import QUICK, Fake, long, long_frame, wide
from polytask import Task, TaskData, compare
from polytask.best_model import fit_model
from polytask.data import default_preprocessing
from polytask.errors import DataError, PolytaskWarning, SettingError

SMALL = {"folds": 3, "repeats": 1, "inner_folds": 2}


def classes(n=60, seed=0):
    """A long table with a yes/no target that the features tell."""
    frame = long_frame((n // 3,) * 3, seed)
    return frame.assign(y=np.where(frame["a"] > 0, 1, 0))


# ---------------------------------------------------------------------- which candidate predicts what


def test_tasks_that_sharing_hurts_keep_their_single_task_model():
    models = [Fake("apart", "single", {"t0": 2.0, "t1": 2.0}), Fake("together", "sharing", {"t2": 0.9})]
    comparison = compare(wide(200), models=models, **SMALL)
    assert comparison.verdicts() == {"t0": "helped", "t1": "helped", "t2": "hurt", "overall": "helped"}
    assert comparison.best_model().describe() == {"t0": "together", "t1": "together", "t2": "apart"}


def test_tasks_that_sharing_helps_keep_it_when_it_hurts_overall():
    models = [Fake("apart", "single", {"t0": 1.5}), Fake("together", "sharing", {"t1": 2.0, "t2": 2.0})]
    comparison = compare(wide(), models=models, **SMALL)
    assert comparison.verdicts()["overall"] == "hurt"
    assert comparison.best_model().describe() == {"t0": "together", "t1": "apart", "t2": "apart"}


def test_without_a_verdict_the_lower_mean_loss_wins():
    for better in ("apart", "together"):
        models = [
            Fake(n, r, {"t0": 0.0 if n == better else 0.05})
            for n, r in (("apart", "single"), ("together", "sharing"))
        ]
        comparison = compare(wide(), models=models, **SMALL)
        assert set(comparison.final_choice().values()) == {better}


def test_tasks_that_were_left_out_take_the_winning_side():
    models = [Fake("apart", "single", {"s0": 2.0, "s1": 2.0, "s2": 2.0}), Fake("together", "sharing")]
    with pytest.warns(PolytaskWarning, match="left out"):
        comparison = compare(long((20, 20, 20, 2)), models=models, **SMALL)
    assert comparison.final_choice()["s3"] == "together"


def test_a_sharing_model_learns_from_all_tasks_though_it_answers_for_some():
    data = wide()
    models = [Fake("apart", "single", {"t0": 2.0, "t1": 2.0}), Fake("together", "sharing", {"t2": 1.5})]
    model = compare(data, models=models, **SMALL).best_model()
    part = next(p for p in model.parts if p.candidate == "together")
    assert set(part.model.mean) == {"t0", "t1", "t2"}
    assert part.tasks == ["t0", "t1"]


def test_the_model_is_the_candidate_fitted_on_all_rows():
    data = wide()
    model = fit_model(data, [("ridge", Ridge(alpha=3.0))])
    scaled = StandardScaler().fit_transform(data.X)
    for t in data.task_names:
        y = data.targets[t]
        twin = Ridge(alpha=3.0).fit(scaled, (y - y.mean()) / y.std()).predict(scaled) * y.std() + y.mean()
        np.testing.assert_allclose(model.predict(data.X)[t], twin, rtol=1e-9)


def test_fit_model_chooses_by_inner_validation():
    models = [Fake("bad", "single", {"t0": 2.0, "t1": 2.0, "t2": 2.0}), Fake("good", "sharing")]
    assert set(fit_model(wide(), models).describe().values()) == {"good"}
    with pytest.raises(SettingError, match="No candidate can learn task"):
        fit_model(TaskData.from_long(classes(), task="school", target="y"), ["ridge"])


# ---------------------------------------------------------------------- tables in and out


@pytest.mark.parametrize("convert", [lambda f: f, pl.from_pandas])
def test_frames_come_back_as_the_callers_frame(convert):
    data = wide()
    model = fit_model(data, ["ridge"])
    out = model.predict(convert(data.X))
    assert type(out) is type(convert(data.X))
    assert list(out.columns) == ["t0", "t1", "t2"]
    np.testing.assert_allclose(np.asarray(out), np.asarray(model.predict(data.X)), rtol=1e-12)


def test_the_index_of_a_pandas_frame_is_kept():
    data = wide()
    X = data.X.set_index(pd.Index([f"row {i}" for i in range(60)]))
    assert fit_model(data, ["ridge"]).predict(X.iloc[5:8]).index.tolist() == ["row 5", "row 6", "row 7"]


def test_arrays_come_back_as_arrays_and_numbers_stay_numbers_next_to_labels():
    data = wide()
    X = data.X.to_numpy()
    out = fit_model(TaskData.from_wide(X, data.wide_targets()), ["ridge"]).predict(X)
    assert (type(out), out.shape, out.dtype) == (np.ndarray, (60, 3), float)
    mixed = TaskData.from_wide(X, {"number": data.targets["t0"], "label": np.where(X[:, 0] > 0, "yes", "no")})
    out = fit_model(mixed, ["ridge", "logistic"]).predict(X)
    assert {type(v) for v in out[:, 0]} == {float}
    assert set(out[:, 1]) == {"yes", "no"}


def test_order_of_columns_does_not_matter_missing_ones_are_named_extra_ones_are_told():
    data = wide()
    model = fit_model(data, ["ridge"])
    expected = model.predict(data.X)
    pd.testing.assert_frame_equal(model.predict(data.X[["f3", "f1", "f0", "f2"]]), expected)
    with pytest.raises(DataError, match=r"lacks 2 columns of the data the model was fitted on: 'f1', 'f3'"):
        model.predict(data.X[["f0", "f2"]])
    with pytest.warns(PolytaskWarning, match="does not know are not used: 'more'"):
        pd.testing.assert_frame_equal(model.predict(data.X.assign(more=1)), expected)
    with pytest.warns(PolytaskWarning, match="order is taken as given"):
        np.testing.assert_allclose(model.predict(data.X.to_numpy()), expected)


def test_pandas_frames_with_numbers_as_column_names():
    data = wide()
    X = pd.DataFrame(data.X.to_numpy())
    Y = pd.DataFrame(data.wide_targets(), columns=[10, 11, 12])
    whole = TaskData.from_frame(pd.concat([X, Y], axis=1), targets=[10, 11, 12])
    assert whole.task_names == ["10", "11", "12"]
    assert whole.feature_names == ["0", "1", "2", "3"]
    assert X.columns.tolist() == [0, 1, 2, 3]  # the caller's frame is as it was
    model = compare(whole, models=QUICK, **SMALL).best_model()
    out = model.predict(X)
    np.testing.assert_allclose(out, fit_like(whole, model).predict(X.rename(columns=str)))
    long_ = pd.concat([X, pd.DataFrame({4: np.repeat([7, 8], 30), 5: Y[10]})], axis=1)
    fitted = fit_model(TaskData.from_long(long_, task=4, target=5), ["ridge"])
    assert set(fitted.predict(long_.drop(columns=5))["4"]) == {7, 8}


def fit_like(data, model):
    """The same data with text as names from the start, fitted by the same candidates."""
    again = TaskData.from_wide(data.X.rename(columns=str), dict(zip(data.task_names, data.wide_targets().T)))
    return compare(again, models=QUICK, **SMALL).best_model()


def test_a_long_table_is_predicted_row_by_row_for_its_task(recwarn):
    frame = long_frame()
    model = fit_model(TaskData.from_long(frame, task="school", target="y"), ["ridge"])
    shuffled = frame.drop(columns="y").sample(frac=1, random_state=0)
    out = model.predict(shuffled)
    assert list(out.columns) == ["school", "prediction"]
    each = model.predict({"s1": shuffled[shuffled.school == "s1"]})["s1"]
    np.testing.assert_allclose(out["prediction"][shuffled.school == "s1"], each)
    assert not recwarn.list
    with pytest.raises(DataError, match=r"No task 's9' in this model\. It has: s0, s1, s2"):
        model.predict(shuffled.assign(school="s9"))
    with pytest.raises(DataError, match="No task 's9'"):
        model.predict({"s9": shuffled})
    with pytest.raises(DataError, match="No column 'school'"):
        model.predict(shuffled.drop(columns="school"))
    with pytest.raises(DataError, match="give it a data frame with the column 'school'"):
        model.predict(shuffled[["a", "b", "c"]].to_numpy())


def test_labels_of_a_long_table_keep_their_type(recwarn):
    frame = classes()
    model = fit_model(TaskData.from_long(frame, task="school", target="y"), ["logistic"])
    out = model.predict(frame.drop(columns="y"))
    assert out["prediction"].dtype == np.int64
    assert (out["prediction"] == frame["y"]).mean() > 0.9
    chances = model.predict_proba(frame.drop(columns="y"))
    assert list(chances.columns) == ["school", "0", "1"]
    np.testing.assert_allclose(chances["0"] + chances["1"], 1)
    assert not recwarn.list


def test_own_tables_of_different_kinds():
    rng = np.random.default_rng(0)
    X = {k: pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"]) for k in ("price", "sold")}
    y = {"price": rng.normal(size=30), "sold": np.where(X["sold"]["a"] > 0, "long ago", "no")}
    model = fit_model(TaskData.from_dict({k: (X[k], y[k]) for k in X}), ["ridge", "logistic"])
    both = model.predict(
        pd.concat([X["price"].head(2).assign(task="price"), X["sold"].head(2).assign(task="sold")])
    )
    assert [type(v) for v in both["prediction"]] == [float, float, str, str]
    assert set(both["prediction"][2:]) <= {"long ago", "no"}
    chances = model.predict_proba({"sold": X["sold"]})
    assert chances["sold"].shape == (30, 2)


def test_predict_proba_needs_classes():
    with pytest.raises(SettingError, match="needs a classification task"):
        fit_model(wide(), ["ridge"]).predict_proba(wide().X)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("named", [True, False])
def test_infinite_and_huge_values_are_named_when_predicting(value, named):
    data = wide()
    X = data.X if named else data.X.to_numpy()
    model = fit_model(TaskData.from_wide(X, data.wide_targets()), ["ridge"])
    bad = data.X.copy()
    bad.iloc[2, 1] = value
    with pytest.raises(DataError, match=f"'{'f1' if named else 'x1'}' has 1 .*first in row 2"):
        model.predict(bad if named else bad.to_numpy())


def test_missing_features_are_imputed_when_predicting_too():
    data = wide()
    X = data.X.copy()
    X.iloc[3, 0] = np.nan
    model = fit_model(TaskData.from_wide(X, data.wide_targets()), ["ridge"])
    assert np.isfinite(model.predict(X)).all(axis=None)


def test_the_users_preprocessing_replaces_the_default():
    data = wide(tasks=[Task("t0", "regression", scale=False)])
    doubled = FunctionTransformer(np.square)
    model = fit_model(data, ["ridge"], preprocessing=doubled)
    np.testing.assert_allclose(model.predict(-data.X), model.predict(data.X))
    assert model.preprocessing is not doubled
    other = default_preprocessing(data.X)
    assert not np.allclose(
        fit_model(data, ["ridge"], preprocessing=other).predict(-data.X), model.predict(data.X)
    )
