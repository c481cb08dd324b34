from __future__ import annotations

import numpy as np
import pytest
from problems import assert_same_moments, wide_problem

from polytask.errors import DataError
from polytask.linear import Moments


def residuals(table, on, w):
    """Centred columns after weighted least squares on other columns and a constant."""
    root = np.sqrt(w)[:, None]
    design = root * np.column_stack([np.ones(len(on)), on])
    return (
        table - np.column_stack([np.ones(len(on)), on]) @ np.linalg.lstsq(design, root * table, rcond=None)[0]
    )


@pytest.mark.parametrize("features", [np.array([1, 4]), np.arange(8) % 4 == 1])
def test_the_rest_is_that_of_residuals(features):
    X, Y = wide_problem()
    w = np.random.default_rng(0).uniform(0.5, 2, len(X))
    rest = Moments.from_arrays(X, Y, w).partial_out(features)
    U, R = X[:, rest.dropped], X[:, rest.kept]
    assert rest.moments.n_features == 6
    residual = Moments.from_arrays(residuals(R, U, w), residuals(Y, U, w), w)
    for name in ("gram", "xty", "target_gram"):
        np.testing.assert_allclose(getattr(rest.moments, name), getattr(residual, name), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(rest.moments.x_mean, Moments.from_arrays(R, Y, w).x_mean)


def test_least_squares_comes_back_for_every_pattern_of_labels():
    X, Y = wide_problem(q=5, missing=0.3)
    rest = Moments.from_arrays(X, Y).partial_out(np.array([0, 5, 6]))
    coef = rest.recover(
        np.linalg.solve(rest.moments.gram[rest.moments.pattern], rest.moments.xty[:, :, None])[..., 0]
    )
    for task, y in enumerate(Y.T):
        known = ~np.isnan(y)
        design = np.column_stack([X[known], np.ones(known.sum())])
        np.testing.assert_allclose(coef[task], np.linalg.lstsq(design, y[known])[0][:-1], rtol=1e-9)


def test_recovered_coefficients_are_stationary_whatever_the_others_are():
    X, Y = wide_problem(missing=0.3)
    moments = Moments.from_arrays(X, Y)
    rest = moments.partial_out(np.array([2, 3]))
    others = np.random.default_rng(1).normal(size=(4, 3, 6))
    coef = rest.recover(others)
    np.testing.assert_array_equal(coef[..., rest.kept], others)
    slope = np.einsum("tij,ktj->kti", moments.gram[moments.pattern], coef) - moments.xty
    np.testing.assert_allclose(slope[..., rest.dropped], 0, atol=1e-9)


def test_errors_of_the_rest_are_those_of_the_whole():
    X, Y = wide_problem(missing=0.2)
    moments = Moments.from_arrays(X, Y)
    rest = moments.partial_out(np.array([0, 7]))
    others = np.random.default_rng(2).normal(size=(3, 6))
    coef = rest.recover(others)
    whole = moments.squared_error(
        coef, moments.y_mean - np.einsum("tj,tj->t", coef, moments.x_mean[moments.pattern])
    )
    part = rest.moments
    middle = part.y_mean - np.einsum("tj,tj->t", others, part.x_mean[part.pattern])
    np.testing.assert_allclose(part.squared_error(others, middle), whole, rtol=1e-9)


def test_constant_and_collinear_unpenalised_features_change_nothing():
    X, Y = wide_problem()
    plain = Moments.from_arrays(X, Y).partial_out(np.array([0, 1]))
    extra = np.column_stack([X, X[:, 0] - 2e3 * X[:, 1], np.full(len(X), 3.0), 1e-8 * X[:, 1]])
    more = Moments.from_arrays(extra, Y).partial_out(np.array([0, 1, 8, 9, 10]))
    assert_same_moments(more.moments, plain.moments, rtol=1e-8)
    others = np.random.default_rng(3).normal(size=(3, 6))
    prediction = extra @ more.recover(others).T - X @ plain.recover(others).T
    np.testing.assert_allclose(prediction - prediction.mean(axis=0), 0, atol=1e-7)


def test_a_feature_in_the_span_of_the_unpenalised_ones_is_left_exactly_without_variance():
    X, Y = wide_problem()
    X[:, 3] = X[:, 0] - 0.5 * X[:, 1] + 4
    rest = Moments.from_arrays(X, Y).partial_out(np.array([0, 1]))
    assert not rest.moments.gram[:, 1].any()
    assert not rest.moments.xty[:, 1].any()
    assert rest.moments.gram[:, 0].any()


def test_nothing_and_everything_can_be_profiled_out():
    X, Y = wide_problem()
    moments = Moments.from_arrays(X, Y)
    assert_same_moments(moments.partial_out(np.zeros(8, dtype=bool)).moments, moments)
    rest = moments.partial_out(np.ones(8, dtype=bool))
    assert rest.moments.gram.shape == (1, 0, 0)
    design = np.column_stack([X, np.ones(len(X))])
    np.testing.assert_allclose(
        rest.recover(np.zeros((3, 0))), np.linalg.lstsq(design, Y)[0][:-1].T, rtol=1e-9
    )


@pytest.mark.parametrize("features", [np.ones(7, dtype=bool), np.array([8]), np.array([-1])])
def test_features_that_do_not_exist_are_refused(features):
    with pytest.raises(DataError, match="feature"):
        Moments.from_arrays(*wide_problem()).partial_out(features)
