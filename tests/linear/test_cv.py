from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from problems import wide_problem

from polytask.errors import DataError, PolytaskWarning, SettingError
from polytask.linear import GroupLassoCV, Moments, TaskLasso, TaskLassoCV, TaskRidgeCV

X, Y = wide_problem(q=2)
NAMED = pd.DataFrame(Y, columns=["u", "v"])


@pytest.mark.parametrize("kind", [TaskRidgeCV, TaskLassoCV, GroupLassoCV])
@pytest.mark.parametrize("setting", [{"eps": e} for e in (0, 1, -0.1, 2.0, np.nan, "a")]
                         + [{"n_alphas": n} for n in (0, -1, 2.5, "a", True)], ids=str)  # fmt: skip
def test_settings_of_the_grid_are_checked(kind, setting):
    (name,) = setting
    with pytest.raises(SettingError, match=name):
        kind(**setting).fit(X, Y)


def test_a_default_grid_takes_the_same_settings():
    moments = Moments.from_arrays(X, Y)
    with pytest.raises(SettingError, match="whole number"):
        TaskLasso().default_grid(moments, 0)
    with pytest.raises(SettingError, match="eps"):
        TaskLasso().default_grid(moments, 5, 1.5)
    assert len(TaskLasso().default_grid(moments, np.int64(1), 0.5)) == 1


@pytest.mark.parametrize("kind", [TaskRidgeCV, GroupLassoCV])
def test_folds_that_test_nothing_are_refused(kind):
    halves = NAMED.copy()
    halves.loc[30:] = np.nan
    with pytest.raises(DataError, match="nothing to choose penalties by"):
        kind(cv=[(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]).fit(X, halves)


@pytest.mark.parametrize("kind", [TaskRidgeCV, TaskLassoCV])
def test_a_task_that_was_never_tested_is_named(kind):
    rare = NAMED.copy()
    rare.loc[2:, "v"] = np.nan
    folds = [(np.arange(10, 60), np.arange(10)), (np.arange(10), np.arange(10, 60))]
    with pytest.warns(PolytaskWarning, match="Never tested on any fold: 'v'.*summed over the others"):
        kind(cv=folds).fit(X, rare)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(cv=folds, tol=1e-2).fit(X, NAMED)
