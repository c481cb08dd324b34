"""What every linear estimator must do, whatever its penalty: what it says it can, it does; the rest it refuses."""

from __future__ import annotations

import warnings

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
from polytask.errors import DataError, PolytaskWarning, SettingError
from polytask.linear import (
    LINEAR_MODELS,
    GroupLasso,
    GroupLassoCV,
    Moments,
    TaskLasso,
    TaskLassoCV,
    TaskRidge,
)

#: Models whose penalties are norms, which leave nothing unless they are small.
_NORMS = {"alpha": 0.05}
_QUADRATIC = (
    "ridge", "mean-regularized", "graph", "clustered", "MTRL", "distributed MTRL", "reduced rank", "MrRCE",
)  # fmt: skip


def _chosen(kind):
    """A quick search: few levels of the first penalty, the first choice of the others."""
    tries = {f"{name}s": values[:1] for name, values in kind.tries.items()}
    return kind(n_alphas=3, cv=3, **tries)


FIXED = [entry.fixed(**({} if name in _QUADRATIC else _NORMS)) for name, entry in LINEAR_MODELS.items()]
CHOSEN = [_chosen(entry.chosen) for entry in LINEAR_MODELS.values() if entry.chosen]
GLM = [
    clone(model).set_params(loss=loss) for model in FIXED for loss in model.can.losses if loss != "squared"
]
#: Classes for every other model and counts for the rest, where one of them tells as much as both.
SOME_GLM = [model for k, model in enumerate(GLM) if k % 4 in (0, 3)]
#: Models whose errors covary: a task's missing labels then bear on the fit of the others.
COVARY = ("MRCE", "MRCECV", "MrRCE", "MrRCECV")


def name_of(model):
    return type(model).__name__ + ("" if model.loss == "squared" else f"-{model.loss}")


every = pytest.mark.parametrize("model", FIXED + CHOSEN, ids=name_of)
fixed = pytest.mark.parametrize("model", FIXED, ids=name_of)
chosen = pytest.mark.parametrize("model", CHOSEN, ids=name_of)
with_any_loss = pytest.mark.parametrize("model", FIXED + SOME_GLM, ids=name_of)


def precise(model):
    """The same model solved to more digits than a comparison looks at; a search does so by itself."""
    return clone(model) if "cv" in model.get_params() else clone(model).set_params(tol=1e-10)


def share_missing(model):
    """Of labels, where missing ones leave the property intact."""
    return 0.0 if model.can.missing or type(model).__name__ in COVARY else 0.2


def problem_of(loss, n=60, p=8, q=3, missing=0.0, seed=0):
    """X and labels of the kind that a loss needs."""
    X, Y = wide_problem(n, p, q, seed=seed)
    if loss != "squared":
        rng = np.random.default_rng(seed)
        X = X - X.mean(axis=0)
        Z = (Y - Y.mean(axis=0)) / Y.std(axis=0)
        Y = (
            (rng.random(Z.shape) < 1 / (1 + np.exp(-2 * Z)))
            if loss == "logistic"
            else rng.poisson(np.exp(Z / 2))
        )
        Y = Y.astype(float)
    Y[np.random.default_rng(seed + 1).random(Y.shape) < missing] = np.nan
    return X, Y


def exact(model):
    """Solved to the digits that scikit-learn's checks compare; where errors covary that takes too long."""
    return model if type(model).__name__ in COVARY else clone(model).set_params(tol=1e-12)


#: Judged by an objective that is flat at its minimum: coefficients agree to the root of a gap of 1e-13.
_FLAT = ("TraceNorm", "RobustTasks", "DistributedMTRL")


def expected_failures(estimator):
    if estimator.loss == "poisson":
        return {"check_regressor_multioutput": "its labels are negative, which counts are not"}
    if type(estimator).__name__ in _FLAT:
        reason = "compares to 1e-7; test_weights_are_repetitions compares to 1e-4"
        return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")}
    return {}


@parametrize_with_checks(
    [
        *map(exact, FIXED),
        *CHOSEN,
        exact(GroupLasso(0.05, loss="logistic")),
        exact(TaskLasso(0.05, loss="poisson")),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


# ------------------------------------------------------------------ rows, weights, units


@every
def test_missing_labels_are_those_rows_left_out(model):
    X, Y = wide_problem(n=40, q=2)
    Y[30:] = np.nan
    model = precise(model)
    full = clone(model)
    if "cv" in model.get_params():
        model.set_params(cv=[(np.arange(10, 30), np.arange(10)), (np.arange(20), np.arange(20, 30))])
        full.set_params(cv=model.cv)
    np.testing.assert_allclose(model.fit(X, Y).coef_, full.fit(X[:30], Y[:30]).coef_, atol=1e-8)


@every
def test_weights_are_repetitions(model):
    X, Y = wide_problem(n=30, missing=share_missing(model))
    weights = np.random.default_rng(0).integers(0, 4, 30)
    model = precise(model)
    again = clone(model)
    repeated = np.repeat(np.arange(30), weights)
    if "cv" in model.get_params():
        fold = np.arange(30) % 3
        model.set_params(cv=[(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)])
        fold = fold[repeated]
        again.set_params(cv=[(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)])
    model.fit(X, Y, sample_weight=weights)
    again.fit(X[repeated], Y[repeated])
    np.testing.assert_allclose(model.coef_, again.coef_, atol=1e-4)
    np.testing.assert_allclose(model.intercept_, again.intercept_, atol=1e-3)


@with_any_loss
def test_sparse_and_dense_features_give_the_same_fit(model):
    X, Y = problem_of(model.loss, missing=share_missing(model))
    X[np.random.default_rng(0).random(X.shape) < 0.6] = 0
    model = precise(model)
    dense, thin = clone(model).fit(X, Y), clone(model).fit(sparse.csr_matrix(X), Y)
    np.testing.assert_allclose(thin.coef_, dense.coef_, atol=1e-6)
    np.testing.assert_allclose(thin.predict(sparse.csr_matrix(X)), dense.predict(X), atol=1e-5)


@with_any_loss
def test_standardizing_makes_units_irrelevant(model):
    X, Y = problem_of(model.loss, missing=share_missing(model))
    units = 10.0 ** np.arange(-4, 4)
    model = precise(model).set_params(standardize=True)
    one, other = clone(model).fit(X, Y), clone(model).fit(X * units, Y)
    np.testing.assert_allclose(other.coef_ * units, one.coef_, atol=1e-6)
    np.testing.assert_allclose(other.predict(X * units), one.predict(X), atol=1e-5)


@fixed
def test_without_intercept_the_origin_is_predicted_as_zero(model):
    X, Y = wide_problem(missing=share_missing(model))
    fitted = clone(model).set_params(fit_intercept=False).fit(X, Y)
    assert not fitted.predict(np.zeros((1, 8))).any()


@with_any_loss
def test_the_intercepts_make_the_mean_residuals_vanish(model):
    X, Y = problem_of(model.loss, missing=share_missing(model))
    weights = np.random.default_rng(0).uniform(0.2, 3, 60)
    fitted = clone(model).fit(X, Y, sample_weight=weights)
    predicted = np.column_stack(list(fitted.predict_tasks(X).values()))
    residual = np.where(np.isnan(Y), 0.0, Y - predicted)
    np.testing.assert_allclose(weights @ residual, 0.0, atol=1e-6 * weights.sum())


@fixed
def test_single_precision_in_single_precision_out(model):
    X, Y = wide_problem()
    X -= X.mean(axis=0)
    double, single = clone(model).fit(X, Y), clone(model).fit(X.astype(np.float32), Y)
    assert single.coef_.dtype == single.intercept_.dtype == np.float32
    assert single.predict(X.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(single.coef_, double.coef_, atol=1e-3)


# ------------------------------------------------------------------ forms of data


@every
def test_names_shapes_and_predictions_by_task(model):
    X, Y = wide_problem()
    X = pd.DataFrame(X, columns=[f"x{j}" for j in range(8)])
    fitted = clone(model).fit(X, pd.DataFrame(Y, columns=["a", "b", "c"]))
    assert fitted.task_names_ == ("a", "b", "c")
    assert fitted.feature_names_in_.tolist() == list(X.columns)
    assert fitted.coef_.shape == (3, 8)
    assert fitted.intercept_.shape == (3,)
    assert fitted.n_iter_ >= 1
    table, named = fitted.predict(X), fitted.predict_tasks(X)
    assert table.shape == Y.shape
    np.testing.assert_array_equal(np.column_stack(list(named.values())), table)
    part = fitted.predict_tasks(X, {"c": np.array([5, 2]), "a": None})
    np.testing.assert_array_equal(part["c"], table[[5, 2], 2])
    np.testing.assert_array_equal(part["a"], table[:, 0])
    with pytest.raises(DataError, match="No task named 'z'"):
        fitted.predict_tasks(X, {"z": None})


@fixed
def test_columns_of_y_are_scored_by_name(model):
    X, Y = wide_problem()
    Y = pd.DataFrame(Y, columns=["a", "b", "c"])
    fitted = clone(model).fit(X, Y)
    assert fitted.score(X, Y[["c", "a", "b"]]) == fitted.score(X, Y)
    with pytest.raises(DataError, match="lacks the task 'c'"):
        fitted.score(X, Y.rename(columns={"c": "z"}))


@every
def test_one_dimensional_y(model):
    X, Y = wide_problem(q=1)
    flat, table = clone(model).fit(X, Y[:, 0]), clone(model).fit(X, Y)
    assert flat.coef_.shape == (8,)
    assert isinstance(flat.intercept_, float)
    assert flat.predict(X).shape == (60,)
    assert table.predict(X).shape == (60, 1)
    np.testing.assert_array_equal(flat.predict(X), table.predict(X)[:, 0])


@with_any_loss
def test_task_data_in_wide_form_equals_arrays(model):
    X, Y = problem_of(model.loss, missing=share_missing(model))
    data = TaskData.from_wide(X, Y)
    np.testing.assert_array_equal(clone(model).fit(data).coef_, clone(model).fit(X, Y).coef_)


@with_any_loss
def test_moments_stand_for_rows_where_the_loss_allows_it(model):
    X, Y = problem_of(model.loss, missing=share_missing(model))
    moments = Moments.from_arrays(X, Y)
    if model.can.moments or model.loss != "squared":
        with pytest.raises(DataError, match="from moments"):
            clone(model).fit(moments)
        return
    fitted, rows = clone(model).fit(moments), clone(model).fit(X, Y)
    np.testing.assert_allclose(fitted.coef_, rows.coef_, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(fitted.predict(X), rows.predict(X), rtol=1e-10, atol=1e-10)


@chosen
def test_folds_need_rows(model):
    with pytest.raises(DataError, match="moments"):
        clone(model).fit(Moments.from_arrays(*wide_problem()))


def own_rows(loss="squared", sizes=(40, 25, 30)):
    """{task: (X, y)}."""
    return {
        f"t{k}": (X, Y[:, 0])
        for k, (X, Y) in enumerate(problem_of(loss, n, q=1, seed=k) for k, n in enumerate(sizes))
    }


@every
def test_a_table_with_a_task_column_is_a_dict_of_tables(model):
    tables = own_rows()
    frame = pd.concat(
        [pd.DataFrame(X).assign(task=name) for name, (X, _) in tables.items()], ignore_index=True
    )
    frame.columns = [str(name) for name in frame.columns]
    y = np.concatenate([y for _, y in tables.values()])
    order = np.append(np.arange(0, 95, 2), np.arange(1, 95, 2))  # mixed, the tasks appearing in their order
    frame, y = frame.iloc[order], y[order]
    long = clone(model).set_params(task_column="task")
    if model.can.own_rows:
        with pytest.raises(DataError, match="own rows"):
            long.fit(frame, y)
        return
    if "cv" in model.get_params():
        long.set_params(cv=3)
    long.fit(frame, y)
    assert long.task_names_ == ("t0", "t1", "t2")
    assert long.predict(frame).shape == y.shape
    for name in tables:
        own = (frame["task"] == name).to_numpy()
        table = frame[own].drop(columns="task")
        np.testing.assert_allclose(long.predict(frame)[own], long.predict_tasks(table)[name], atol=1e-10)
    if "cv" not in model.get_params():
        by_dict = precise(model).fit(tables)
        again = precise(long).fit(frame, y)
        np.testing.assert_allclose(again.coef_, by_dict.coef_, atol=1e-5)
    assert np.isfinite(long.score(frame, y))
    with pytest.raises(DataError, match="3 of 95 rows belong to tasks that were not fitted: 'z'"):
        long.predict(frame.assign(task=["z"] * 3 + ["t0"] * 92))


@every
def test_tasks_with_their_own_rows_of_any_number(model):
    tables = own_rows(sizes=(40, 25, 2, 1))
    frame = pd.concat([pd.DataFrame(X).assign(task=name) for name, (X, _) in tables.items()])
    frame.columns = [str(name) for name in frame.columns]
    y = np.concatenate([y for _, y in tables.values()])
    model = clone(model).set_params(task_column="task")
    if model.can.own_rows:
        with pytest.raises(DataError, match="own rows"):
            model.fit(frame, y)
        return
    prediction = model.fit(frame, y).predict(frame)
    # With its own intercept every task's residuals sum to zero.
    for name, (_, target) in tables.items():
        own = (frame["task"] == name).to_numpy()
        np.testing.assert_allclose(prediction[own].mean(), target.mean(), atol=1e-8)


@fixed
def test_a_task_without_labels_is_predicted_at_the_level_of_the_others(model):
    if model.can.own_rows:
        return
    data = TaskData.from_dict({name: (X, y + 100) for name, (X, y) in own_rows(sizes=(20, 20, 20)).items()})
    part = data.subset(np.arange(40))
    fitted = clone(model).fit(part)
    pooled = np.concatenate([data.targets["t0"], data.targets["t1"]])
    prediction = fitted.predict_tasks(data.X[:40])["t2"]
    np.testing.assert_allclose(prediction.mean(), pooled.mean(), atol=1e-6)


# ------------------------------------------------------------------ settings that all share


@with_any_loss
def test_no_coefficient_is_negative_with_positive(model):
    X, Y = problem_of(model.loss)
    model = clone(model).set_params(positive=True)
    if model.can.positive:
        with pytest.raises(SettingError, match="positive=True"):
            model.fit(X, Y)
        return
    free = clone(model).set_params(positive=False).fit(X, Y)
    fitted = model.fit(X, Y)
    assert free.coef_.min() < 0 or model.loss != "squared"
    assert fitted.coef_.min() >= 0
    assert fitted.coef_.max() > 0 or model.loss != "squared"


@with_any_loss
def test_a_penalty_factor_of_zero_leaves_a_feature_free(model):
    X, Y = problem_of(model.loss, missing=share_missing(model))
    weights = np.random.default_rng(0).uniform(0.2, 3, 60)
    model = precise(model).set_params(penalty_factors=[0.0, 1, 1, 1, 1, 1, 1, 1])
    if model.can.factors or model.can.unpenalised:
        with pytest.raises(SettingError, match="penalty_factors"):
            model.fit(X, Y)
        return
    fitted = model.fit(X, Y, sample_weight=weights)
    predicted = np.column_stack(list(fitted.predict_tasks(X).values()))
    residual = np.where(np.isnan(Y), 0.0, Y - predicted) * weights[:, None]
    # Without a penalty the slope of the loss vanishes at the minimum.
    scale = np.abs(np.where(np.isnan(Y), 0.0, Y - np.nanmean(Y, axis=0))).sum()
    np.testing.assert_allclose((X[:, 0] - X[:, 0].mean()) @ residual, 0.0, atol=1e-5 * scale)


@fixed
def test_free_features_are_partialled_out(model):
    if model.can.factors or model.can.unpenalised:
        return
    X, Y = wide_problem()
    free = np.column_stack([np.ones(60), X[:, [0]]])
    rest = [table - free @ np.linalg.lstsq(free, table, rcond=None)[0] for table in (X[:, 1:], Y)]
    model = precise(model).set_params(scale_targets=False)  # the scale would be that of what is left
    whole = clone(model).set_params(penalty_factors=[0.0, 1, 1, 1, 1, 1, 1, 1]).fit(X, Y)
    np.testing.assert_allclose(whole.coef_[:, 1:], clone(model).fit(*rest).coef_, atol=1e-5)


@with_any_loss
def test_penalty_factors_are_units_of_features(model):
    if model.can.factors or model.penalty_degree is None:
        return
    X, Y = problem_of(model.loss)
    factors = np.array([1, 4.0, 0.25, 1, 1, 1, 1, 1])
    given = precise(model).set_params(penalty_factors=factors).fit(X, Y)
    units = factors ** (1 / model.penalty_degree)
    np.testing.assert_allclose(given.coef_, precise(model).fit(X / units, Y).coef_ / units, atol=1e-6)


@fixed
def test_a_warm_start_takes_no_more_iterations_and_ends_where_a_cold_one_does(model):
    X, Y = wide_problem()
    warm = clone(model).set_params(warm_start=True, tol=1e-8).fit(X, Y)
    coef, n_iter = warm.coef_, warm.n_iter_
    warm.fit(X, Y)
    # Covariances are not among the coefficients that a fit starts from.
    assert warm.n_iter_ <= n_iter + (type(model).__name__ in COVARY)
    np.testing.assert_allclose(warm.coef_, coef, atol=1e-4)
    with pytest.raises(SettingError, match="warm_start"):
        warm.fit(X[:, :5], Y)


@fixed
def test_the_scale_of_targets_does_not_decide_when_they_are_scaled(model):
    X, Y = wide_problem()
    if model.penalty_per_task or model.can.scale_targets:
        return
    model = precise(model).set_params(scale_targets=True)
    units = np.array([1e-3, 1.0, 1e3])
    np.testing.assert_allclose(
        clone(model).fit(X, Y * units).coef_ / units[:, None], clone(model).fit(X, Y).coef_, atol=1e-5
    )


# ------------------------------------------------------------------ classes and counts


@fixed
def test_losses_that_a_model_cannot_take_are_refused(model):
    for loss in {"logistic", "poisson", "hinge"} - set(model.can.losses):
        with pytest.raises(SettingError, match="loss"):
            clone(model).set_params(loss=loss).fit(*problem_of("logistic"))


@pytest.mark.parametrize("model", GLM, ids=name_of)
def test_classes_and_counts_are_predicted_in_their_range_and_beat_the_mean(model):
    X, Y = problem_of(model.loss, n=200, missing=share_missing(model))
    fitted = clone(model).set_params(alpha=0.01).fit(X, Y)
    if model.loss == "logistic":
        chance = np.mean([max(np.nanmean(y), 1 - np.nanmean(y)) for y in Y.T])
        assert set(np.unique(fitted.predict(X))) <= {0.0, 1.0}
        assert fitted.score(X, Y) > chance
        probability = fitted.predict_proba(X)
        assert probability.min() >= 0
        assert probability.max() <= 1
        np.testing.assert_array_equal(fitted.predict(X), (probability > 0.5).astype(float))
    else:
        assert fitted.predict(X).min() >= 0
        assert fitted.score(X, Y) > 0


# ------------------------------------------------------------------ hard and bad data


@with_any_loss
def test_constant_and_duplicated_columns_and_few_rows(model):
    X, Y = problem_of(model.loss, n=9, p=12)
    X[:, 3] = 0.1
    X[:, 5] = X[:, 4]
    if model.loss == "squared":
        Y[:, 1] = 2.0
    else:
        Y[:2] = [[0], [1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", PolytaskWarning)
        fitted = clone(model).set_params(standardize=True).fit(X, Y)
    assert np.isfinite(fitted.coef_).all()
    assert not fitted.coef_[:, 3].any()


@fixed
def test_many_more_features_than_rows(model):
    X, Y = wide_problem(n=15, p=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PolytaskWarning)
        fitted = clone(model).fit(X, Y)
    assert np.isfinite(fitted.coef_).all()
    np.testing.assert_allclose(fitted.predict(X).mean(axis=0), Y.mean(axis=0), atol=1e-6)


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


@fixed
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda X, Y: (X, np.where(np.arange(3) == 1, np.nan, Y)),
            "No label among 60 rows for the target 'y1'",
        ),
        (lambda X, Y: (X, np.where(Y[4, 1] == Y, np.inf, Y)), "infinity"),
        (lambda X, Y: (np.where(X[3, 1] == X, np.inf, X), Y), "infinity"),
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
def test_unusable_weights_are_refused(model):
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        clone(model).fit(*wide_problem(), sample_weight=np.full(60, -1.0))
    with pytest.raises(ValueError, match=r"zero|positive weight"):
        clone(model).fit(*wide_problem(), sample_weight=np.zeros(60))


@fixed
def test_bad_penalties_are_refused(model):
    for name in model.penalties:
        for value in (-1.0, np.nan, np.ones(5)):
            with pytest.raises(SettingError, match=name):
                clone(model).set_params(**{name: value}).fit(*wide_problem())


@chosen
def test_bad_grids_are_refused(model):
    for alphas in ([], [-1.0], 3.0):
        with pytest.raises(SettingError, match="alphas must be"):
            clone(model).set_params(alphas=alphas).fit(*wide_problem())


# ------------------------------------------------------------------ classes in folds


@pytest.mark.parametrize("kind", [GroupLassoCV, TaskLassoCV])
@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_folds_without_a_class_or_a_task_are_silent_and_finite(kind, loss):
    X, Y = problem_of(loss)
    rare = np.zeros(60)
    rare[:4] = 1  # the first of five consecutive folds holds them all
    Y[:, 1] = rare
    Y[12:, 2] = np.nan  # only that fold's rows are labelled
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A task with a penalty of its own is named when nothing tested it.
        warnings.filterwarnings("ignore", "Never tested on any fold: 'y2'", PolytaskWarning)
        fitted = kind(loss=loss, n_alphas=4, eps=0.1).fit(X, Y)
    assert np.isfinite(fitted.coef_).all()
    assert np.isfinite(fitted.deviance_path_[:, :, :2]).all()
    assert np.isnan(fitted.deviance_path_[:, :, 2]).all()


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
def test_without_an_intercept_a_constant_column_has_a_coefficient(loss):
    X, Y = problem_of(loss)
    table = np.column_stack([X - X.mean(axis=0), np.full(len(X), 2.0)])
    for given in (table, sparse.csr_matrix(table), Moments.from_arrays(table, Y)):
        if isinstance(given, Moments) and loss != "squared":
            continue
        data = (given,) if isinstance(given, Moments) else (given, Y)
        model = TaskRidge(1e-6, loss=loss, fit_intercept=False, tol=1e-10).fit(*data)
        free = TaskRidge(1e-6, loss=loss, tol=1e-10).fit(table[:, :-1], Y)
        np.testing.assert_allclose(2 * model.coef_[:, -1], free.intercept_, rtol=1e-3)
        lasso = GroupLasso(1e-3, loss=loss, fit_intercept=False).fit(*data)
        assert np.all(lasso.coef_[:, -1] != 0)
