from __future__ import annotations

import numpy as np
import pytest
from problems import wide_problem
from row_oracles import labelled_problem

from polytask.linear import Moments
from polytask.linear.losses.gram import GramLoss
from polytask.linear.losses.rows import RowLoss
from polytask.linear.penalties.mcp import MCP
from polytask.linear.penalties.scad import SCAD
from polytask.linear.solvers import local_linear
from polytask.linear.solvers.local_linear import Tangent, local_linear_path
from polytask.linear.table import LabelledTable


@pytest.fixture(autouse=True)
def _asserting(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")


#: About the mean weight of a task, which penalties are in units of.
UNIT = 60.0


def _mcp(alpha):
    return MCP(float(alpha), 1.5, np.ones(8), UNIT)


def _loss(kind, seed=0):
    X, Y, w = labelled_problem(kind, seed=seed)
    if kind == "squared":
        return GramLoss(Moments.from_arrays(X, Y, w))
    return RowLoss(LabelledTable.from_arrays(X, Y, w), kind)


def _stationarity(loss, penalty, coef, positive=False):
    """Distance of zero from the subgradients of the objective, entry by entry."""
    slope = loss.at(coef).slope
    norms = np.linalg.norm(coef, axis=0)
    weights = penalty.slopes(norms)
    used = norms > 0
    off = slope - weights * np.where(used, coef / np.where(used, norms, 1), 0.0)
    if positive:
        off = np.where(coef > 0, off, np.maximum(off, 0.0))
    rest = np.maximum(np.linalg.norm(off[:, ~used], axis=0) - weights[~used], 0.0)
    return np.hypot(np.linalg.norm(off[:, used]), np.linalg.norm(rest))


@pytest.mark.parametrize("kind", [MCP, SCAD])
@pytest.mark.parametrize("name", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize("positive", [False, True])
def test_solutions_are_stationary_points_below_the_group_lasso(kind, name, positive):
    loss = _loss(name)
    factors = np.array([0.0, 1, 1, 2, 1, 1, 0.5, 1])
    largest = np.linalg.norm(loss.at(np.zeros(loss.shape)).slope, axis=0).max() / UNIT
    grid = np.geomspace(0.5, 0.03, 4) * largest

    def penalty_at(alpha):
        return kind(float(alpha), 2.5, factors, UNIT)

    path = local_linear_path(loss, penalty_at, grid, positive=positive, tol=1e-9)
    assert np.all(path.residual <= 1e-9 * path.null)
    for alpha, coef in zip(grid, path.coef):
        assert _stationarity(loss, penalty_at(alpha), coef, positive) <= 1e-7 * path.null[0]
        assert not positive or coef.min() >= 0


def test_steps_never_raise_the_objective_and_the_assertion_would_see_it(monkeypatch):
    loss = _loss("squared")
    seen = []
    objective = local_linear._Search._objective

    def recorded(self, coef, here):
        seen.append(objective(self, coef, here))
        return seen[-1]

    monkeypatch.setattr(local_linear._Search, "_objective", recorded)
    local_linear_path(loss, _mcp, np.array([0.3]), tol=1e-10)
    before, after = np.array(seen[::2]), np.array(seen[1::2])
    assert len(after) > 2
    assert np.all(after <= before + 1e-10 * loss.null)

    class Rising(MCP):
        """Its values rise where its slopes say that they level off."""

        def values(self, norms):
            return self.scale * self.level * norms * (1 + norms)

    with pytest.raises(AssertionError):
        local_linear_path(loss, lambda a: Rising(float(a), 1.5, np.ones(8), UNIT), np.array([0.3]), tol=1e-10)


def test_one_orthonormal_feature_has_the_closed_form_of_firm_thresholding():
    # Breheny & Huang (2015), equations for groups of orthonormal columns, features here of unit Gram.
    moments = Moments.from_arrays(*wide_problem(n=40, p=1, q=4))
    scaled = moments.scaled(np.sqrt(moments.gram[0, 0]), np.ones(4))
    loss = GramLoss(scaled)
    z = scaled.xty[:, 0]
    norm = np.linalg.norm(z)
    for share in (0.1, 0.4, 0.8, 1.2):
        alpha, gamma = share * norm, 3.0
        path = local_linear_path(loss, lambda a: MCP(float(a), 3.0, np.ones(1)), np.array([alpha]), tol=1e-12)
        soft = max(norm - alpha, 0.0) * gamma / (gamma - 1)
        np.testing.assert_allclose(
            path.coef[0, :, 0], z if norm > gamma * alpha else soft * z / norm, rtol=1e-9, atol=1e-12
        )
        path = local_linear_path(
            loss, lambda a: SCAD(float(a), 3.7, np.ones(1)), np.array([alpha]), tol=1e-12
        )
        if norm <= 2 * alpha:
            size = max(norm - alpha, 0.0)
        elif norm <= 3.7 * alpha:
            size = (norm - 3.7 * alpha / 2.7) * 2.7 / 1.7
        else:
            size = norm
        np.testing.assert_allclose(path.coef[0, :, 0], size * z / norm, rtol=1e-9, atol=1e-12)


def test_a_path_is_its_points_solved_alone():
    loss = _loss("squared")
    grid = np.array([0.5, 0.2, 0.1])
    together = local_linear_path(loss, _mcp, grid, tol=1e-11)
    for k in range(3):
        alone = local_linear_path(loss, _mcp, grid[k : k + 1], tol=1e-11)
        np.testing.assert_allclose(alone.coef[0], together.coef[k], atol=1e-7)


def test_a_start_takes_the_place_of_the_group_lasso():
    loss = _loss("squared")
    far = local_linear_path(loss, _mcp, np.array([0.2]), tol=1e-11)
    again = local_linear_path(loss, _mcp, np.array([0.2]), start=far.coef[0], tol=1e-10)
    np.testing.assert_allclose(again.coef[0], far.coef[0], atol=1e-12)
    assert again.n_iter[0] == 0


def test_too_few_iterations_leave_a_residual():
    path = local_linear_path(_loss("logistic"), _mcp, np.array([0.05]), tol=1e-12, max_iter=3)
    assert path.residual[0] > 1e-12 * path.null[0]


def test_tangents_are_weighted_group_norms():
    rng = np.random.default_rng(0)
    coef, weights = rng.normal(size=(3, 5)), rng.uniform(0, 2, 5)
    assert Tangent(weights).value(coef) == pytest.approx((weights * np.linalg.norm(coef, axis=0)).sum())
    assert Tangent(weights).dual_norm(coef) is None
