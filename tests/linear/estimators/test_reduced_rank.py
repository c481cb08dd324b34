from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.errors import DataError, PolytaskWarning, SettingError
from polytask.linear import ReducedRank, ReducedRankCV, TaskRidge, TaskRidgeCV


def literal(X, Y, rank, alpha=0.0, w=None, canonical=False):
    """Reduced-rank ridge regression of complete data from the rows, with pseudo-observations for the ridge."""
    w = np.ones(len(Y)) if w is None else w
    X, Y = X - np.average(X, axis=0, weights=w), Y - np.average(Y, axis=0, weights=w)
    X, Y = X * np.sqrt(w)[:, None], Y * np.sqrt(w)[:, None]
    X = np.vstack([X, np.sqrt(alpha) * np.eye(X.shape[1])])
    Y = np.vstack([Y, np.zeros((X.shape[1], Y.shape[1]))])
    B = np.linalg.lstsq(X, Y, rcond=None)[0]
    root = np.eye(Y.shape[1])
    if canonical:
        residual = Y - X @ B
        root = np.linalg.inv(np.linalg.cholesky(residual.T @ residual)).T
    _, _, right = np.linalg.svd(X @ B @ root)
    leading = right[:rank].T
    return (B @ root @ leading @ leading.T @ np.linalg.inv(root)).T


@pytest.mark.parametrize("weight", ["identity", "canonical"])
@pytest.mark.parametrize("alpha", [0.0, 5.0])
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_equals_the_formula_on_the_rows(weight, alpha, rank):
    X, Y = wide_problem(q=4)
    w = np.linspace(0.2, 2, len(X))
    fitted = ReducedRank(rank, alpha, weight=weight).fit(X, Y, w)
    np.testing.assert_allclose(fitted.coef_, literal(X, Y, rank, alpha, w, weight == "canonical"), atol=1e-8)
    assert fitted.rank_ == rank
    assert fitted.n_iter_ == 1


@pytest.mark.parametrize("weight", ["identity", "canonical"])
def test_full_rank_is_least_squares(weight):
    X, Y = wide_problem(q=4)
    fitted = ReducedRank(4, weight=weight).fit(X, Y)
    np.testing.assert_allclose(fitted.coef_, TaskRidge(0.0).fit(X, Y).coef_, atol=1e-9)


@pytest.mark.parametrize("shape", [(60, 8, 4), (60, 3, 6)])
def test_full_rank_is_ridge_with_missing_labels(shape):
    X, Y = wide_problem(*shape, missing=0.3)
    fitted = ReducedRank(min(shape[1:]), 2.0, tol=1e-10).fit(X, Y)
    np.testing.assert_allclose(fitted.coef_, TaskRidge(2.0).fit(X, Y).coef_, atol=1e-7)


def test_canonical_weights_do_not_depend_on_how_targets_are_mixed():
    X, Y = wide_problem(q=3)
    mix = np.random.default_rng(0).normal(size=(3, 3))
    one, other = (ReducedRank(1, weight="canonical").fit(X, T).predict(X) for T in (Y, Y @ mix))
    np.testing.assert_allclose(other, one @ mix, atol=1e-7)


def test_a_ridge_counts_as_in_task_ridge_under_penalty_factors():
    X, Y = wide_problem(q=3)
    factors = np.array([1.0, 2, 0, 1, 1, 3, 1, 0.5])
    ours = ReducedRank(3, 4.0, penalty_factors=factors).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, TaskRidge(4.0, penalty_factors=factors).fit(X, Y).coef_, atol=1e-8)


def test_unpenalised_features_are_not_restricted_in_rank():
    X, Y = wide_problem(q=4)
    factors = np.array([1.0] * 6 + [0.0] * 2)
    fitted = ReducedRank(1, penalty_factors=factors).fit(X, Y)
    assert np.linalg.matrix_rank(fitted.coef_[:, :6], tol=1e-8) == fitted.rank_ == 1
    assert np.linalg.matrix_rank(fitted.coef_[:, 6:], tol=1e-8) == 2


@pytest.mark.parametrize("own_rows", [False, True])
def test_the_rank_is_found_and_predicts_better_than_ridge_per_task(own_rows):
    rng = np.random.default_rng(1)
    B = rng.normal(size=(8, 2)) @ rng.normal(size=(2, 10))
    X = rng.normal(size=(8, 20, 10))
    if own_rows:
        data = ({f"t{t}": (X[t], X[t] @ b + rng.normal(size=20) * 1.5) for t, b in enumerate(B)},)
    else:
        data = (X[0], X[0] @ B.T + rng.normal(size=(20, 8)) * 1.5)
    fitted = ReducedRankCV(n_alphas=4, ranks=[1, 2, 3, 5]).fit(*data)
    apart = TaskRidgeCV().fit(*data)
    assert fitted.rank_ == 2
    assert fitted.grid_.shape == (16, 2)
    assert ((fitted.coef_ - B) ** 2).sum() < 0.7 * ((apart.coef_ - B) ** 2).sum()


def test_ranks_by_default_go_up_to_the_largest():
    X, Y = wide_problem(p=12, q=11)
    fitted = ReducedRankCV(alphas=[0.0, 1.0]).fit(X, Y)
    assert np.unique(fitted.grid_[:, 1]).tolist() == [1, 2, 3, 4, 6, 8, 11]
    assert np.unique(fitted.grid_[:, 0]).tolist() == [0, 1]


def test_a_warm_start_keeps_a_solution():
    X, Y = wide_problem(q=4, missing=0.3)
    model = ReducedRank(2, 1.0, tol=1e-8, warm_start=True).fit(X, Y)
    assert model.n_iter_ > 1
    assert model.fit(X, Y).n_iter_ == 1


def test_too_few_rounds_are_a_warning_that_names_the_residual():
    X, Y = wide_problem(q=4, missing=0.5)
    with pytest.warns(PolytaskWarning, match="optimality residual of"):
        fitted = ReducedRank(2, tol=1e-8, max_iter=1).fit(X, Y)
    assert fitted.residual_ > 0


@pytest.mark.parametrize("rank", [0, -1, 1.5, np.nan])
def test_ranks_that_are_no_number_of_dimensions_are_refused(rank):
    with pytest.raises(SettingError, match="rank must be a whole number from 1"):
        ReducedRank(rank).fit(*wide_problem())


def test_ranks_beyond_the_data_are_refused():
    with pytest.raises(SettingError, match="rank=4 is more than 3 tasks with 8 penalised features"):
        ReducedRank(4).fit(*wide_problem(q=3))
    with pytest.raises(SettingError, match="use at most 3"):
        ReducedRankCV(ranks=[1, 5]).fit(*wide_problem(q=3))


def test_other_settings_that_cannot_be():
    X, Y = wide_problem()
    with pytest.raises(SettingError, match="weight must be 'identity' or 'canonical'"):
        ReducedRank(weight="inverse").fit(X, Y)
    with pytest.raises(SettingError, match="ReducedRank can't take positive=True"):
        ReducedRank(positive=True).fit(X, Y)
    holed = Y.copy()
    holed[:5, 0] = np.nan
    with pytest.raises(DataError, match="weight='canonical' needs the errors of all tasks on the same rows"):
        ReducedRank(weight="canonical").fit(X, holed)
    with pytest.raises(DataError, match="residuals of full rank"):
        ReducedRank(weight="canonical").fit(X, np.column_stack([Y, Y[:, 0] + Y[:, 1]]))


@pytest.mark.parametrize("alpha", [0.0, 5.0])
def test_the_canonical_metric_is_the_documented_one(alpha):
    X, Y = wide_problem(n=60, p=6, q=4)
    Xc, Yc = X - X.mean(axis=0), Y - Y.mean(axis=0)
    ridge = np.linalg.solve(Xc.T @ Xc + alpha * np.eye(6), Xc.T @ Yc)
    residual = Yc - Xc @ ridge
    values, vectors = np.linalg.eigh(residual.T @ residual + alpha * ridge.T @ ridge)
    root = (vectors / np.sqrt(values)) @ vectors.T
    # tr[(Y − XB)Γ(Y − XB)ᵀ] + α tr[BΓBᵀ] is the plain criterion of YΓ^(1/2) and BΓ^(1/2).
    plain = ReducedRank(2, alpha=alpha).fit(X, Y @ root)
    ours = ReducedRank(2, alpha=alpha, weight="canonical").fit(X, Y)
    np.testing.assert_allclose(ours.coef_.T @ root, plain.coef_.T, rtol=1e-7, atol=1e-9)
