"""What every linear estimator must do, whatever its penalty."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import wide_problem
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from polytask.data import TaskData
from polytask.errors import DataError, SettingError
from polytask.linear import (
    GroupLasso,
    GroupLassoCV,
    MeanRegularized,
    MeanRegularizedCV,
    TaskLasso,
    TaskLassoCV,
    TaskRidge,
    TaskRidgeCV,
)

FIXED = [TaskRidge(), TaskLasso(0.05), GroupLasso(0.05), MeanRegularized()]
CHOSEN = [
    TaskRidgeCV(n_alphas=5),
    TaskLassoCV(n_alphas=5, eps=0.01),
    GroupLassoCV(n_alphas=5, eps=0.01),
    MeanRegularizedCV(n_alphas=4),
]
every = pytest.mark.parametrize("model", FIXED + CHOSEN, ids=lambda model: type(model).__name__)


@parametrize_with_checks([type(model)() for model in FIXED + CHOSEN])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@every
def test_missing_labels_are_those_rows_left_out(model):
    X, Y = wide_problem(n=40, q=2)
    Y[30:] = np.nan
    full = clone(model).fit(X[:30], Y[:30])
    folds = [(np.arange(10, 30), np.arange(10)), (np.arange(20), np.arange(20, 30))]
    if "cv" in model.get_params():
        full = clone(model).set_params(cv=folds).fit(X[:30], Y[:30])
        model = clone(model).set_params(cv=folds)
    np.testing.assert_allclose(clone(model).fit(X, Y).coef_, full.coef_, atol=1e-10)


@every
def test_weights_are_repetitions(model):
    X, Y = wide_problem(n=30, missing=0.2)
    weights = np.random.default_rng(0).integers(0, 4, 30)
    model = clone(model)
    if "tol" in model.get_params():
        model.set_params(tol=1e-12)
    again = clone(model)
    repeated = np.repeat(np.arange(30), weights)
    if "cv" in model.get_params():
        fold = np.arange(30) % 3
        model.set_params(cv=[(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)])
        fold = fold[repeated]
        again.set_params(cv=[(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)])
    model.fit(X, Y, sample_weight=weights)
    again.fit(X[repeated], Y[repeated])
    np.testing.assert_allclose(model.coef_, again.coef_, atol=1e-5)
    np.testing.assert_allclose(model.intercept_, again.intercept_, atol=1e-4)


@every
def test_sparse_and_dense_features_give_the_same_fit(model):
    X, Y = wide_problem(missing=0.2)
    X[np.random.default_rng(0).random(X.shape) < 0.6] = 0
    dense, thin = clone(model).fit(X, Y), clone(model).fit(sparse.csr_matrix(X), Y)
    np.testing.assert_allclose(thin.coef_, dense.coef_, atol=1e-6)
    np.testing.assert_allclose(thin.predict(sparse.csr_matrix(X)), dense.predict(X), atol=1e-5)


@every
def test_standardizing_makes_units_irrelevant(model):
    X, Y = wide_problem(missing=0.2)
    units = 10.0 ** np.arange(-4, 4)
    one = clone(model).set_params(standardize=True).fit(X, Y)
    other = clone(model).set_params(standardize=True).fit(X * units, Y)
    np.testing.assert_allclose(other.coef_ * units, one.coef_, atol=1e-6)
    np.testing.assert_allclose(other.predict(X * units), one.predict(X), atol=1e-5)


@every
def test_without_intercept_the_origin_is_predicted_as_zero(model):
    X, Y = wide_problem(missing=0.2)
    fitted = clone(model).set_params(fit_intercept=False).fit(X, Y)
    assert not fitted.predict(np.zeros((1, 8))).any()


@every
def test_names_shapes_and_predictions_by_task(model):
    X, Y = wide_problem(missing=0.2)
    X = pd.DataFrame(X, columns=[f"x{j}" for j in range(8)])
    fitted = clone(model).fit(X, pd.DataFrame(Y, columns=["a", "b", "c"]))
    assert fitted.task_names_ == ("a", "b", "c")
    assert fitted.feature_names_in_.tolist() == list(X.columns)
    assert fitted.coef_.shape == (3, 8)
    assert fitted.intercept_.shape == (3,)
    table, named = fitted.predict(X), fitted.predict_tasks(X)
    assert table.shape == Y.shape
    np.testing.assert_array_equal(np.column_stack(list(named.values())), table)
    part = fitted.predict_tasks(X, {"c": np.array([5, 2]), "a": None})
    np.testing.assert_array_equal(part["c"], table[[5, 2], 2])
    np.testing.assert_array_equal(part["a"], table[:, 0])
    with pytest.raises(DataError, match="No task named 'z'"):
        fitted.predict_tasks(X, {"z": None})


@every
def test_one_dimensional_y(model):
    X, Y = wide_problem(q=1)
    flat, table = clone(model).fit(X, Y[:, 0]), clone(model).fit(X, Y)
    assert flat.coef_.shape == (8,)
    assert isinstance(flat.intercept_, float)
    assert flat.predict(X).shape == (60,)
    assert table.predict(X).shape == (60, 1)
    np.testing.assert_array_equal(flat.predict(X), table.predict(X)[:, 0])


@every
def test_task_data_in_wide_form_equals_arrays(model):
    X, Y = wide_problem(missing=0.2)
    np.testing.assert_array_equal(
        clone(model).fit(TaskData.from_wide(X, Y)).coef_, clone(model).fit(X, Y).coef_
    )


@every
def test_tasks_with_their_own_rows_of_any_number(model):
    tables = {f"t{k}": wide_problem(n=n, q=1, seed=k) for k, n in enumerate([40, 25, 2, 1])}
    data = TaskData.from_dict({"t0": (tables["t0"][0], tables["t0"][1][:, 0])})
    X = np.vstack([X for X, _ in tables.values()])
    rows, targets, start = {}, {}, 0
    for name, (_, y) in tables.items():
        rows[name], targets[name] = np.arange(start, start + len(y)), y[:, 0]
        start += len(y)
    tasks = [data.tasks[0].with_(name=name) for name in tables]
    weights = {name: np.ones(len(index)) for name, index in rows.items()}
    data = TaskData(X, tasks, rows, targets, weights, form="dict", task_column="task")
    fitted = clone(model).fit(data)
    # With its own intercept every task's residuals sum to zero.
    for name, prediction in fitted.predict_tasks(X, rows).items():
        np.testing.assert_allclose(prediction.mean(), targets[name].mean(), atol=1e-8)


@every
def test_a_task_without_labels_in_task_data_is_predicted_at_the_level_of_the_others(model):
    data = TaskData.from_dict({f"t{k}": (X, Y[:, 0] + 100) for k, (X, Y) in enumerate(
        wide_problem(n=20, q=1, seed=s) for s in range(3))})  # fmt: skip
    part = data.subset(np.arange(40))
    fitted = clone(model).fit(part)
    pooled = np.concatenate([data.targets["t0"], data.targets["t1"]])
    prediction = fitted.predict_tasks(data.X[:40])["t2"]
    np.testing.assert_allclose(prediction.mean(), pooled.mean(), atol=1e-8)


@every
def test_constant_columns_and_few_rows(model):
    X, Y = wide_problem(n=7, p=12)
    X[:, 3] = 0.1
    Y[:, 1] = 2.0
    fitted = clone(model).set_params(standardize=True).fit(X, Y)
    assert np.isfinite(fitted.coef_).all()
    assert not fitted.coef_[:, 3].any()


@every
def test_score_ignores_missing_labels(model):
    X, Y = wide_problem()
    fitted = clone(model).fit(X, Y)
    holed = Y.copy()
    holed[:10, 0] = np.nan
    holed[:, 2] = np.nan
    residual = (Y - fitted.predict(X))[10:, 0]
    first = 1 - residual @ residual / ((Y[10:, 0] - Y[10:, 0].mean()) ** 2).sum()
    second = 1 - ((Y - fitted.predict(X))[:, 1] ** 2).sum() / ((Y[:, 1] - Y[:, 1].mean()) ** 2).sum()
    np.testing.assert_allclose(fitted.score(X, holed), (first + second) / 2)


def test_pipeline_and_grid_search_take_missing_labels():
    X, Y = wide_problem(missing=0.2)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GroupLasso()), {"grouplasso__alpha": [0.01, 1.0]}, cv=3
    )
    search.fit(X, Y)
    assert search.best_params_ == {"grouplasso__alpha": 0.01}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@every
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda X, Y: (X, np.where(np.arange(3) == 1, np.nan, Y)),
            "No label among 60 rows for the target 'y1'",
        ),
        (lambda X, Y: (X, np.where(Y[4, 1] == Y, np.inf, Y)), "infinity"),
        (lambda X, Y: (X, np.where(np.arange(60) == 3, np.nan, Y[:, 0])), "NaN in 1 of 60 rows"),
        (lambda X, Y: (X, None), "requires y to be passed"),
        (lambda X, Y: (X, Y[:50]), "inconsistent numbers of samples"),
        (lambda X, Y: (np.where(X[0, 0] == X, np.nan, X), Y), "NaN"),
    ],
)
def test_unusable_data_is_refused_with_its_place(model, spoil, words):
    with pytest.raises(ValueError, match=words):
        clone(model).fit(*spoil(*wide_problem()))


@every
def test_task_data_stands_alone_and_must_be_numbers_to_regress(model):
    X, Y = wide_problem()
    with pytest.raises(DataError, match=r"call fit\(data\) alone"):
        clone(model).fit(TaskData.from_wide(X, Y), Y)
    with pytest.raises(DataError, match="Task 'y0' is binary"):
        clone(model).fit(TaskData.from_wide(X, (Y[:, 0] > Y[:, 0].mean()).astype(int)))


@every
def test_negative_weights_are_refused(model):
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        clone(model).fit(*wide_problem(), sample_weight=np.full(60, -1.0))


@pytest.mark.parametrize("model", FIXED, ids=lambda model: type(model).__name__)
def test_bad_penalties_are_refused(model):
    for alpha in (-1.0, np.nan, np.ones(5)):
        with pytest.raises(SettingError, match="alpha must be"):
            clone(model).set_params(alpha=alpha).fit(*wide_problem())


@pytest.mark.parametrize("model", CHOSEN, ids=lambda model: type(model).__name__)
def test_bad_grids_are_refused(model):
    for alphas in ([], [-1.0], 3.0):
        with pytest.raises(SettingError, match="alphas must be"):
            clone(model).set_params(alphas=alphas).fit(*wide_problem())
