import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from polytask.errors import SettingError
from polytask.linear import GroupLasso, GroupLassoCV, TaskLasso, TaskLassoCV

rng = np.random.default_rng(0)
X = rng.normal(size=(80, 12)) * np.geomspace(0.1, 10, 12)
B = np.zeros((12, 3))
B[[1, 5, 7]] = rng.normal(size=(3, 3))
Y = X @ B + 0.5 * rng.normal(size=(80, 3)) + [1.0, -2.0, 0.0]


@pytest.mark.parametrize(("model", "alpha"), [(TaskLasso, 0.3), (GroupLasso, 0.4)])
@pytest.mark.parametrize("standardize", [False, True])
def test_without_penalty_it_is_least_squares_on_the_selected_features(model, alpha, standardize):
    plain = model(alpha, standardize=standardize, tol=1e-10).fit(X, Y)
    relaxed = model(alpha, relax=0.0, standardize=standardize, tol=1e-10).fit(X, Y)
    assert 0 < (plain.coef_ != 0).sum() < plain.coef_.size
    for t in range(3):
        support = np.flatnonzero(plain.coef_[t])
        np.testing.assert_array_equal(support, np.flatnonzero(relaxed.coef_[t]))
        twin = LinearRegression().fit(X[:, support], Y[:, t])
        np.testing.assert_allclose(relaxed.coef_[t, support], twin.coef_, rtol=1e-4)
        np.testing.assert_allclose(relaxed.intercept_[t], twin.intercept_, rtol=1e-4)


def test_between_the_two_it_is_their_mixture():
    full, none, half = (GroupLasso(0.4, relax=r, tol=1e-10).fit(X, Y).coef_ for r in (1.0, 0.0, 0.5))
    np.testing.assert_allclose(half, (full + none) / 2)


def test_missing_targets_are_refitted_on_their_own_rows():
    known = Y.copy()
    known[:30, 1] = np.nan
    relaxed = GroupLasso(0.4, relax=0.0, tol=1e-10).fit(X, known)
    support = np.flatnonzero(relaxed.coef_[1])
    twin = LinearRegression().fit(X[30:][:, support], Y[30:, 1])
    np.testing.assert_allclose(relaxed.coef_[1, support], twin.coef_, rtol=1e-4)


def test_supports_beyond_half_of_the_labels_keep_the_penalised_fit():
    few = slice(0, 12)
    plain, relaxed = (TaskLasso(1e-3, relax=r).fit(X[few], Y[few]) for r in (1.0, 0.0))
    large = (plain.coef_ != 0).sum(axis=1) > 6
    assert large.any()
    np.testing.assert_array_equal(plain.coef_[large], relaxed.coef_[large])


@pytest.mark.parametrize("search", [TaskLassoCV, GroupLassoCV])
def test_relaxing_selects_fewer_features_and_predicts_better_with_a_sparse_truth(search):
    wide = rng.normal(size=(100, 60))
    truth = np.zeros((60, 3))
    truth[:4] = 2.0
    target = wide @ truth + rng.normal(size=(100, 3))
    plain, relaxed = search(cv=4).fit(wide, target), search(cv=4, relax=0.0).fit(wide, target)
    assert (relaxed.coef_ != 0).sum() < (plain.coef_ != 0).sum()
    assert np.sum((relaxed.coef_.T - truth) ** 2) < np.sum((plain.coef_.T - truth) ** 2)


def test_a_weight_outside_zero_to_one_is_refused():
    with pytest.raises(SettingError, match="relax must lie between 0 and 1"):
        GroupLasso(relax=1.5).fit(X, Y)
