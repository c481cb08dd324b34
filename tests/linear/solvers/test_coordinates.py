from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem

from polytask.linear import LabelledTable, Moments
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.solvers.coordinates import Bases, Coordinates, Curvature
from polytask.linear.solvers.newton import hessian_product
from polytask.linear.solvers.task_penalty import TaskPenalty, mean_vectors

PENALTIES = {
    "finite": np.array([0.1, 2.0, 30.0]),
    "free": np.array([0.0, 2.0, 2.0]),
    "forbidden": np.array([0.5, np.inf, np.inf]),
}
penalties = pytest.mark.parametrize("values", PENALTIES.values(), ids=PENALTIES)


def loss_of(missing):
    return GramLoss(Moments.from_arrays(*wide_problem(n=40, p=5, missing=missing)))


def system(loss, space):
    """The Hessian in U as a matrix, of the entries that move."""
    times, columns = hessian_product(loss, loss.point(np.zeros(loss.shape))), []
    for unit in np.eye(space.weight.size):
        U = unit.reshape(space.weight.shape)
        columns.append((space.pull_back(times(space.coef(U * space.moves))) + space.weight * U).ravel())
    return np.array(columns)[np.ix_(space.moves.ravel(), space.moves.ravel())]


def preconditioner(space):
    columns = [
        space.precondition(unit.reshape(space.weight.shape)).ravel() for unit in np.eye(space.weight.size)
    ]
    return np.array(columns)[np.ix_(space.moves.ravel(), space.moves.ravel())]


@penalties
@pytest.mark.parametrize("factors", [np.ones(5), np.array([1.0, 0.0, 2.0, 1.0, 0.0])])
def test_the_penalty_is_a_sum_of_squares(values, factors):
    penalty, loss = TaskPenalty(values, mean_vectors(3)), loss_of(0.3)
    space = Coordinates(penalty, factors, Curvature.of(loss, factors))
    U = np.random.default_rng(0).normal(size=(3, 5)) * space.moves
    coef = space.coef(U)
    np.testing.assert_allclose(space.of_coef(coef), U, atol=1e-12)
    expected = np.einsum("sj,st,tj,j->", coef, penalty.matrix, coef, factors)
    np.testing.assert_allclose((space.weight * U**2).sum(), expected)
    assert space.bounded == bool(factors.all() and (values > 0).all())


@penalties
def test_where_tasks_share_a_gram_the_preconditioner_is_the_inverse(values):
    loss, factors = loss_of(0.0), np.ones(5)
    space = Coordinates(TaskPenalty(values, mean_vectors(3)), factors, Curvature.of(loss, factors))
    product = preconditioner(space) @ system(loss, space)
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-7)


@penalties
def test_a_preconditioned_system_is_well_conditioned(values):
    loss, factors = loss_of(0.4), np.array([1.0, 1.0, 0.3, 1.0, 1.0])
    for scale in (1e-4, 1.0, 1e6):
        space = Coordinates(
            TaskPenalty(values * scale, mean_vectors(3)), factors, Curvature.of(loss, factors)
        )
        inverse = preconditioner(space)
        np.testing.assert_allclose(inverse, inverse.T, atol=1e-12 * np.abs(inverse).max())
        spectrum = np.linalg.eigvals(inverse @ system(loss, space)).real
        assert spectrum.min() > 0
        assert spectrum.max() / spectrum.min() < 60


def test_rows_and_moments_are_alike():
    X, Y = wide_problem(n=40, p=5, missing=0.3)
    factors, table = np.ones(5), LabelledTable.from_arrays(X, Y)
    rows = Curvature.of(RowLoss(table, "squared"), factors)
    moments = Curvature.of(GramLoss(Moments.from_table(table)), factors)
    for name in ("share", "values", "own_values"):
        np.testing.assert_allclose(getattr(rows, name), getattr(moments, name), rtol=1e-8)


def test_bases_turn_tasks_by_their_pattern_and_back():
    rng = np.random.default_rng(0)
    vectors = np.stack([np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(3)])
    pattern, rows = np.array([2, 0, 0, -1, 1]), rng.normal(size=(5, 4))
    turned = Bases(vectors, pattern).turn(rows)
    expected = [rows[t] if g < 0 else rows[t] @ vectors[g] for t, g in enumerate(pattern)]
    np.testing.assert_allclose(turned, expected)
    np.testing.assert_allclose(Bases(vectors, pattern).turn_back(turned), rows)
