from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, TimeSeriesSplit

from polytask.data import TaskData
from polytask.errors import SettingError
from polytask.linear import CVErrors, GroupLassoCV, LabelledTable, Moments, TaskRidge, cv_errors, fold_moments
from polytask.linear.selection import _squared_error


def test_errors_are_those_of_refitted_models_on_held_out_rows():
    X, Y = wide_problem(missing=0.2)
    table = LabelledTable.from_arrays(X, Y)
    folds = list(KFold(4).split(X))
    alphas = np.array([10.0, 0.1])
    errors = cv_errors(
        TaskRidge().coef_path, fold_moments(table, folds), np.repeat(alphas[:, None], 3, axis=1)
    )
    assert errors.squared_error.shape == (4, 2, 3)
    for f, (train, test) in enumerate(folds):
        for t in range(3):
            fit, held = train[~np.isnan(Y[train, t])], test[~np.isnan(Y[test, t])]
            for k, alpha in enumerate(alphas):
                residual = Y[held, t] - Ridge(alpha).fit(X[fit], Y[fit, t]).predict(X[held])
                np.testing.assert_allclose(errors.squared_error[f, k, t], residual @ residual, rtol=1e-8)
            assert errors.weight[f, t] == len(held)


def test_a_task_without_training_labels_in_a_fold_is_not_counted_there():
    X, Y = wide_problem(n=20, q=2)
    Y[2:, 1] = np.nan
    table = LabelledTable.from_arrays(X, Y)
    folds = [(np.arange(10, 20), np.arange(10)), (np.arange(10), np.arange(10, 20))]
    errors = cv_errors(TaskRidge().coef_path, fold_moments(table, folds), np.ones((3, 2)))
    assert errors.weight.tolist() == [[10, 0], [10, 0]]
    assert not errors.squared_error[:, :, 1].any()
    assert np.isnan(errors.mean()[:, 1]).all()


def test_choices():
    squared = np.array([[[4.0, 1.0, 0.0], [1.0, 3.0, 0.0], [3.0, 4.0, 0.0]]])
    errors = CVErrors(squared, np.array([[2.0, 2.0, 0.0]]))
    assert errors.choose_jointly() == 1
    assert errors.choose_jointly(np.array([10.0, 1.0, 1.0])) == 0
    assert errors.choose_per_task().tolist() == [1, 0, 1]
    np.testing.assert_array_equal(errors.mean()[:, 0], [2, 0.5, 1.5])
    assert errors.by_fold().shape == (3, 1, 3)


def one_standard_error_by_hand(error, weight, strength):
    """Of one task: error (F, k) sums of squares, weight (F,) numbers of test labels, strength (k,)."""
    n_folds, total = len(weight), sum(weight)
    mean = [sum(error[f][k] for f in range(n_folds)) / total for k in range(len(strength))]
    best = min(range(len(strength)), key=lambda k: mean[k])
    variance = sum(weight[f] / total * (error[f][best] / weight[f] - mean[best]) ** 2 for f in range(n_folds))
    bar = mean[best] + (variance / (n_folds - 1)) ** 0.5
    return max((k for k in range(len(strength)) if mean[k] <= bar), key=lambda k: strength[k])


def test_one_standard_error_is_that_of_a_literal_twin():
    rng = np.random.default_rng(0)
    strength, moved = np.geomspace(1, 1e-3, 12), 0
    for _ in range(40):
        curve = 1 + 0.1 * (np.arange(12) - rng.integers(3, 10)) ** 2
        weight = rng.integers(3, 9, size=(5, 1)).astype(float)
        error = (
            weight[:, None, 0, None]
            * (curve * rng.uniform(0.5, 1.5, (5, 1)) + 0.01 * rng.random((5, 12)))[:, :, None]
        )
        errors = CVErrors(error, weight)
        expected = one_standard_error_by_hand(error[:, :, 0].tolist(), weight[:, 0].tolist(), strength)
        assert errors.choose_jointly(rule="1se", grid=strength) == expected
        assert errors.choose_per_task("1se", strength[:, None]).tolist() == [expected]
        moved += expected < errors.choose_jointly()
    assert moved > 10


def test_one_standard_error_keeps_the_other_penalties_of_the_best_point():
    rng = np.random.default_rng(0)
    grid = np.array([(level, share) for share in (0.1, 0.9) for level in (1.0, 0.5, 0.1)])
    error = np.array([3.0, 2.0, 2.1, 1.9, 1.5, 1.4]) * rng.uniform(0.7, 1.3, (5, 1))
    errors = CVErrors(error[:, :, None] * 10, np.full((5, 1), 10.0))
    assert errors.choose_jointly() == 5
    chosen = errors.choose_jointly(rule="1se", grid=grid)
    assert grid[chosen, 1] == 0.9
    assert grid[chosen, 0] >= 0.5


def test_the_rule_of_an_estimator_is_that_of_its_errors():
    X, Y = wide_problem(n=40, correlation=0.9)
    least, simple = (GroupLassoCV(n_alphas=20, selection=rule).fit(X, Y) for rule in ("min", "1se"))
    error = least.mse_path_.sum(axis=2).T * 8
    expected = one_standard_error_by_hand(error.tolist(), [8.0 * 3] * 5, least.alphas_)
    assert simple.alpha_ == least.alphas_[expected]
    assert simple.alpha_ > least.alpha_
    with pytest.raises(SettingError, match="selection must be 'min' or '1se'"):
        GroupLassoCV(selection="2se").fit(X, Y)


def test_folds_in_time_choose_for_the_future():
    X, Y = wide_problem(n=60)
    order = np.random.default_rng(0).permutation(60)
    sorted_rows = GroupLassoCV(n_alphas=8, cv=TimeSeriesSplit(4)).fit(X, Y)
    shuffled = TaskData.from_wide(X[order], Y[order], time=np.arange(60)[order])
    for cv in (4, TimeSeriesSplit(4)):
        fitted = GroupLassoCV(n_alphas=8, cv=cv).fit(shuffled)
        np.testing.assert_allclose(fitted.mse_path_, sorted_rows.mse_path_, rtol=1e-3)
        np.testing.assert_allclose(fitted.coef_, sorted_rows.coef_, atol=1e-6)


def test_errors_of_a_path_in_pieces_are_those_of_the_whole():
    """Of many features, of which the first pieces use few and the last piece all."""
    X, Y = wide_problem(n=300, p=230, missing=0.2)
    test, rng = Moments.from_arrays(X, Y), np.random.default_rng(0)
    coef = rng.normal(size=(34, 3, 230))
    for k in range(30):
        coef[k, :, rng.random(230) > k / 34] = 0.0
    intercept = rng.normal(size=(34, 3))
    np.testing.assert_allclose(_squared_error(test, coef, intercept), test.squared_error(coef, intercept))
