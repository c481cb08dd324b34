from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from problems import wide_problem
from row_oracles import labelled_problem, least_objective, objective

from polytask.errors import SettingError
from polytask.linear import GroupLasso, Moments, SparseGroupLasso, SparseGroupLassoCV, TaskLasso

FACTORS = np.array([1.0, 0.5, 2.0, 1.0, 0.0, 1.0, 1.0, 3.0])


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize(
    ("factors", "positive"), [(np.ones(8), False), (FACTORS, False), (np.linspace(0.5, 2, 8), True)]
)
def test_the_objective_is_the_least_there_is(loss, factors, positive):
    X, Y, w = labelled_problem(loss)
    model = SparseGroupLasso(
        0.05, 0.4, loss=loss, positive=positive, penalty_factors=factors, tol=1e-10, max_iter=50_000
    )
    model.fit(X, Y, sample_weight=w)
    ours = objective(
        X, Y, w, loss, model.coef_, model.intercept_,
        lambda B: 0.05 * factors @ (0.6 * np.linalg.norm(B, axis=0) + 0.4 * np.abs(B).sum(axis=0)),
    )  # fmt: skip
    least = least_objective(
        X, Y, w, loss,
        lambda B: 0.05 * sum(f * (0.6 * cp.norm(B[:, j]) + 0.4 * cp.norm1(B[:, j])) for j, f in enumerate(factors)),
        positive=positive,
    )  # fmt: skip
    assert ours == pytest.approx(least, rel=1e-6, abs=1e-6)
    if factors.all():
        assert model.dual_gap_ >= ours - least - 1e-7


def test_its_ends_are_the_group_lasso_and_the_lasso():
    X, Y = wide_problem()
    group, lasso = GroupLasso(0.1, tol=1e-12).fit(X, Y), TaskLasso(0.1, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(SparseGroupLasso(0.1, 0.0, tol=1e-12).fit(X, Y).coef_, group.coef_, atol=1e-6)
    np.testing.assert_allclose(SparseGroupLasso(0.1, 1.0, tol=1e-12).fit(X, Y).coef_, lasso.coef_, atol=1e-6)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_the_grid_starts_where_coefficients_appear(ratio):
    X, Y = wide_problem(missing=0.3)
    model = SparseGroupLassoCV(
        l1_ratios=[ratio], n_alphas=3, penalty_factors=np.linspace(0.5, 2, 8), cv=2
    ).fit(X, Y)
    largest = model.grid_[0, 0]
    settings = {"penalty_factors": np.linspace(0.5, 2, 8), "tol": 1e-12}
    assert not SparseGroupLasso(largest * 1.0001, ratio, **settings).fit(X, Y).coef_.any()
    assert SparseGroupLasso(largest * 0.99, ratio, **settings).fit(X, Y).coef_.any()


def test_rows_and_entries_are_both_found_zero():
    rng = np.random.default_rng(0)
    B = np.zeros((5, 20))
    B[:3, :4] = 2.0
    X = rng.normal(size=(80, 20))
    Y = X @ B.T + rng.normal(size=(80, 5))
    found = SparseGroupLasso(0.5, 0.6).fit(X, Y).coef_
    np.testing.assert_array_equal(found != 0, B != 0)
    # The group lasso uses a feature in all tasks.
    assert np.all(GroupLasso(0.5).fit(X, Y).coef_[:, :4] != 0)


def test_cross_validation_chooses_both_penalties():
    X, Y = wide_problem(missing=0.2)
    found = SparseGroupLassoCV(l1_ratios=[0.2, 0.9], n_alphas=6, eps=0.01).fit(X, Y)
    assert found.grid_.shape == (12, 2)
    assert (found.alpha_, found.l1_ratio_) in {tuple(row) for row in found.grid_}
    alone = SparseGroupLasso(found.alpha_, found.l1_ratio_, tol=1e-11).fit(X, Y)
    np.testing.assert_allclose(found.coef_, alone.coef_, atol=1e-6)
    grid = SparseGroupLasso().default_grid(Moments.from_arrays(X, Y), 4)
    assert grid.shape == (4, 2)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, np.nan])
def test_ratios_outside_their_range_are_refused(ratio):
    with pytest.raises(SettingError, match="l1_ratio must lie between 0"):
        SparseGroupLasso(0.1, ratio).fit(*wide_problem())
    with pytest.raises(SettingError, match="l1_ratio must lie between 0"):
        SparseGroupLassoCV(l1_ratios=[0.5, ratio]).fit(*wide_problem())
