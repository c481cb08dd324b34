"""What all five solvers promise: units, order, duplicates, warm starts, one task, no surprises in the answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from polytask.balancing import solvers

from .problems import gramians

Solver = Callable[..., np.ndarray]

SOLVERS: dict[str, Solver] = {
    "min_norm": solvers.min_norm,
    "cagrad": lambda G, start=None: solvers.cagrad(G, 0.4, start),
    "nash": solvers.nash,
    "fair": lambda G, start=None: solvers.fair(G, 2.0, start),
    "dual_cone": lambda G, start=None: solvers.dual_cone(G, None, start),
}
each = pytest.mark.parametrize("name", SOLVERS)
#: By which power of a Gramian's units the solution scales.
POWER = {"min_norm": 0.0, "cagrad": 0.0, "nash": -1 / 2, "fair": -2 / 3, "dual_cone": 0.0}


@each
@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_units_change_nothing_but_scale(name: str, unit: float) -> None:
    for G in gramians(20, 0, 5):
        plain, scaled = SOLVERS[name](G), SOLVERS[name](unit * G)
        np.testing.assert_allclose(scaled, unit ** POWER[name] * plain, rtol=1e-7, atol=1e-9)


@each
def test_the_order_of_tasks_does_not_matter(name: str) -> None:
    for seed, G in enumerate(gramians(20, 0, 5)):
        order = np.random.default_rng(seed).permutation(len(G))
        plain, moved = SOLVERS[name](G), SOLVERS[name](G[np.ix_(order, order)])
        expected = plain[np.ix_(order, order)] if plain.ndim == 2 else plain[order]
        np.testing.assert_allclose(moved, expected, rtol=1e-7, atol=1e-9)


@each
def test_a_warm_start_changes_the_cost_alone(name: str) -> None:
    rng = np.random.default_rng(0)
    for G in gramians(20, 0, 5):
        plain = SOLVERS[name](G)
        for start in (plain, 1e3 * plain, -plain, rng.normal(size=plain.shape), np.zeros_like(plain)):
            np.testing.assert_allclose(SOLVERS[name](G, start), plain, rtol=1e-7, atol=1e-9)


@each
def test_neither_gramian_nor_start_is_written_to(name: str) -> None:
    G = gramians(1, 1, 2)[0]
    start = SOLVERS[name](G)
    before = G.copy(), start.copy()
    SOLVERS[name](G, start)
    np.testing.assert_array_equal(G, before[0])
    np.testing.assert_array_equal(start, before[1])


@each
@pytest.mark.parametrize("n", [2, 3, 8])
def test_identical_tasks_have_equal_weights(name: str, n: int) -> None:
    weights = SOLVERS[name](np.full((n, n), 2.5))
    weights = weights.mean(0) if weights.ndim == 2 else weights
    np.testing.assert_allclose(weights, weights[0], rtol=1e-9)
    assert weights[0] > 0


@each
def test_duplicates_share_equally_and_leave_the_direction(name: str) -> None:
    jacobian = np.random.default_rng(0).normal(size=(5, 30))[[0, 1, 2, 0, 3, 4, 0]]
    weights = SOLVERS[name](jacobian @ jacobian.T)
    weights = weights.mean(0) if weights.ndim == 2 else weights
    np.testing.assert_allclose(weights[[3, 6]], weights[0], rtol=1e-9, atol=1e-15)


@each
def test_one_task_has_a_positive_weight(name: str) -> None:
    assert SOLVERS[name](np.array([[4.0]])).ravel() == pytest.approx(4.0 ** POWER[name])


@each
def test_singular_gramians_give_finite_and_repeatable_answers(name: str) -> None:
    rng = np.random.default_rng(0)
    for rank in (1, 2, 4):
        jacobian = rng.normal(size=(9, rank))
        G = jacobian @ jacobian.T
        weights = SOLVERS[name](G)
        assert np.isfinite(weights).all()
        np.testing.assert_array_equal(weights, SOLVERS[name](G))
