from __future__ import annotations

import numpy as np
from problems import wide_problem
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from polytask.linear import CVErrors, LabelledTable, TaskRidge, cv_errors, fold_moments


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
