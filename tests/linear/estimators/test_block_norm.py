from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from problems import wide_problem
from row_oracles import labelled_problem, least_objective, objective

from polytask.errors import SettingError
from polytask.linear import BlockNormLasso, BlockNormLassoCV, GroupLasso, Moments, TaskLasso
from polytask.linear.penalties.block_norm import row_norms

FACTORS = np.array([1.0, 0.5, 2.0, 1.0, 0.0, 1.0, 1.0, 3.0])


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize(
    ("order", "factors", "positive"),
    [(np.inf, np.ones(8), False), (np.inf, FACTORS, True), (3.0, FACTORS, False), (1.5, np.ones(8), True)],
)
def test_the_objective_is_the_least_there_is(loss, order, factors, positive):
    X, Y, w = labelled_problem(loss)
    model = BlockNormLasso(
        0.05, order=order, loss=loss, positive=positive, penalty_factors=factors, tol=1e-10, max_iter=50_000
    )
    model.fit(X, Y, sample_weight=w)
    ours = objective(
        X, Y, w, loss, model.coef_, model.intercept_, lambda B: 0.05 * (factors @ row_norms(B, order))
    )
    norm = "inf" if np.isinf(order) else order
    least = least_objective(
        X, Y, w, loss,
        lambda B: 0.05 * sum(f * cp.pnorm(B[:, j], p=order) if norm != "inf" else f * cp.norm_inf(B[:, j])
                             for j, f in enumerate(factors)),
        positive=positive,
    )  # fmt: skip
    assert ours == pytest.approx(least, rel=1e-6, abs=1e-6)
    if not positive and factors.all():
        assert model.dual_gap_ >= ours - least - 1e-7


def test_orders_one_and_two_are_the_lasso_and_the_group_lasso():
    X, Y = wide_problem()
    lasso, group = TaskLasso(0.1, tol=1e-12).fit(X, Y), GroupLasso(0.1, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(
        BlockNormLasso(0.1, order=1, tol=1e-12).fit(X, Y).coef_, lasso.coef_, atol=1e-6
    )
    np.testing.assert_allclose(
        BlockNormLasso(0.1, order=2, tol=1e-12).fit(X, Y).coef_, group.coef_, atol=1e-6
    )


@pytest.mark.parametrize("order", [1.0, 1.7, 2.0, np.inf])
def test_the_grid_starts_where_coefficients_appear(order):
    X, Y = wide_problem(missing=0.3)
    model = BlockNormLasso(order=order, penalty_factors=np.linspace(0.5, 2, 8), tol=1e-12)
    largest = model.default_grid(Moments.from_arrays(X, Y))[0]
    assert not model.set_params(alpha=largest * 1.0001).fit(X, Y).coef_.any()
    assert model.set_params(alpha=largest * 0.99).fit(X, Y).coef_.any()


def test_one_task_is_the_lasso_whatever_the_order():
    X, Y = wide_problem(q=1)
    lasso = TaskLasso(0.1, tol=1e-12).fit(X, Y).coef_
    for order in (1.0, 1.4, 5.0, np.inf):
        np.testing.assert_allclose(
            BlockNormLasso(0.1, order=order, tol=1e-12).fit(X, Y).coef_, lasso, atol=1e-6
        )


def test_shared_features_of_one_size_are_what_the_infinite_order_is_for():
    rng = np.random.default_rng(0)
    B = np.zeros((6, 30))
    B[:, :4] = rng.choice([-1.0, 1.0], size=(6, 4))
    X = rng.normal(size=(60, 30))
    Y = X @ B.T + rng.normal(size=(60, 6))
    found = BlockNormLassoCV(n_alphas=15, eps=0.02).fit(X, Y)
    alone = np.sum((TaskLasso(0.15).fit(X, Y).coef_ - B) ** 2)
    assert set(np.argsort(-np.abs(found.coef_).sum(axis=0))[:4]) == {0, 1, 2, 3}
    assert np.sum((found.coef_ - B) ** 2) < 0.8 * alone
    assert found.alphas_.shape == (15,)
    assert found.alpha_ in found.alphas_


@pytest.mark.parametrize("order", [0.5, -1.0, np.nan])
def test_orders_below_one_are_refused(order):
    with pytest.raises(SettingError, match="order must be between 1 and infinity"):
        BlockNormLasso(order=order).fit(*wide_problem())
    with pytest.raises(SettingError, match="order must be between 1 and infinity"):
        BlockNormLassoCV(order=order).fit(*wide_problem())
