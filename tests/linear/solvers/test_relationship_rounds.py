from __future__ import annotations

import numpy as np
import pytest

from polytask.linear.losses.rows import RowLoss
from polytask.linear.patterns import LabelPattern
from polytask.linear.solvers.mtrl import mtrl_path
from polytask.linear.solvers.mtrl_newton import mtrl_newton_path
from polytask.linear.solvers.relationship_penalty import RelationshipPenalty
from polytask.linear.solvers.relationship_rounds import (
    alternating_rounds,
    fixed_rounds,
    joint_rounds,
    safe_scaling,
)
from polytask.linear.solvers.task_site import Order, TaskSite
from polytask.linear.table import LabelledTable


def own_rows(loss="squared", q=5, p=4, n=20, seed=0):
    """Tasks with their own rows, weights and offsets."""
    rng = np.random.default_rng(seed)
    coef = rng.normal(size=(q, 2)) @ rng.normal(size=(2, p)) / 2
    X = rng.normal(size=(n * q, p)) + 0.5
    patterns = []
    for t in range(q):
        rows = np.arange(n * t, n * (t + 1) - t)
        z = X[rows] @ coef[t]
        y = {
            "squared": z + rng.normal(size=len(z)) + t,
            "logistic": (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(float),
            "poisson": rng.poisson(np.exp(np.minimum(z, 2))).astype(float),
        }[loss]
        patterns.append(LabelPattern(rows, rng.uniform(0.5, 2.0, len(rows)), np.array([t]), y[:, None]))
    return LabelledTable(X, tuple(patterns), tuple("abcdefgh"[:q]), True)


def site_of(table, loss="squared", *, fit_intercept=True, epochs=1):
    site = TaskSite(table, np.arange(table.n_tasks), loss, fit_intercept, epochs, 0)
    return site, site.start(np.zeros((table.n_tasks, table.n_features)))


def centred(table):
    """Gram and Xᵀy of each task about its weighted means."""
    gram, xty = [], []
    for labels in table.patterns:
        X, y, w = table.X[labels.rows], labels.targets[:, 0], labels.weights
        X, y = X - np.average(X, axis=0, weights=w), y - np.average(y, weights=w)
        gram.append((X.T * w) @ X)
        xty.append((X.T * w) @ y)
    return np.stack(gram), np.arange(len(gram)), np.stack(xty)


def optimum(table, loss, penalty):
    """Coefficients and intercepts of the solver that sees all rows."""
    if loss == "squared":
        return mtrl_path(*centred(table), np.array([penalty]), target=1e-11).coef[0], None
    rows = RowLoss(table, loss, True)
    path, intercept = mtrl_newton_path(rows, np.ones(4, dtype=bool), np.array([penalty]), target=1e-10)
    return path.coef[0], intercept[0]


@pytest.fixture(autouse=True)
def _debug_mode(monkeypatch):
    monkeypatch.setenv("POLYTASK_DEBUG", "1")


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
@pytest.mark.parametrize("pair", [(2.0, 0.5), (0.0, 1.0)])
def test_joint_rounds_reach_the_optimum_of_the_whole_problem(loss, pair):
    table, penalty = own_rows(loss), RelationshipPenalty(*pair)
    site, begun = site_of(table, loss)
    done, gap, n_rounds = joint_rounds(
        site, penalty, np.zeros((5, 4)), begun.products, begun.curvature.mean(), target=1e-9, max_rounds=2000
    )
    coef, intercept = optimum(table, loss, pair)
    assert gap <= 1e-9
    assert n_rounds < 400
    np.testing.assert_allclose(done.coef, coef, atol=1e-3)
    if intercept is not None:
        np.testing.assert_allclose(done.intercept, intercept, atol=1e-3)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_papers_alternation_reaches_it_too_in_more_rounds(loss):
    table, pair = own_rows(loss), (1.0, 1.0)
    site, begun = site_of(table, loss)
    penalty, null = RelationshipPenalty(*pair), begun.null.sum()
    done, gap, n_rounds = alternating_rounds(
        site, penalty, begun.products, begun.curvature.max(), target=1e-6 * null, max_rounds=5000
    )
    assert gap <= 1e-6 * null
    np.testing.assert_allclose(done.coef, optimum(table, loss, pair)[0], atol=0.05)
    site, begun = site_of(table, loss)
    _, _, fewer = joint_rounds(
        site, penalty, np.zeros((5, 4)), begun.products, begun.curvature.mean(),
        target=1e-6 * null, max_rounds=5000,
    )  # fmt: skip
    assert fewer < n_rounds


def test_the_gap_bounds_the_distance_from_the_optimum_in_every_round():
    table, penalty = own_rows(), RelationshipPenalty(0.5, 1.0)
    gram, _, xty = centred(table)
    best = optimum(table, "squared", penalty)[0]

    def objective(coef):
        size = np.linalg.svd(coef, compute_uv=False)
        quadratic = np.einsum("ti,tij,tj->", coef, gram, coef) / 2 - np.sum(coef * xty)
        return quadratic + penalty.value(size)

    gaps, above = [], []
    for max_rounds in (1, 2, 3, 5, 8, 12, 20, 30):
        site, begun = site_of(table)
        done, gap, _ = joint_rounds(
            site, penalty, np.zeros((5, 4)), begun.products, begun.curvature.mean(),
            target=0.0, max_rounds=max_rounds,
        )  # fmt: skip
        gaps.append(gap)
        above.append(objective(done.coef) - objective(best))
    assert np.all(np.array(gaps) >= np.array(above) - 1e-9)
    assert gaps[-1] < 1e-3 * gaps[0]


def covariance_of(kind):
    if kind == "independent":
        return np.eye(5) / 5
    if kind == "singular":
        row = np.array([1.0, -1.0, 2.0, 0.0, 1.0])
        return np.outer(row, row) / (row @ row)
    root = np.random.default_rng(0).normal(size=(5, 5)) + 2
    return root @ root.T / np.trace(root @ root.T)


@pytest.mark.parametrize("kind", ["independent", "singular", "related"])
def test_rounds_for_a_fixed_covariance_solve_the_coupled_ridge_problem(kind):
    """And their dual objective never falls, which debug mode asserts."""
    table, covariance = own_rows(), covariance_of(kind)
    penalty = RelationshipPenalty(1.0, 2.0)
    site, begun = site_of(table)
    gaps = []

    def enough(done):
        gaps.append(done.fixed_gap())
        return gaps[-1] <= 1e-10

    done, n_rounds = fixed_rounds(site, penalty, covariance, begun.products, 5000, enough=enough)
    assert gaps[-1] <= 1e-10
    assert n_rounds == len(gaps)
    assert min(gaps) >= -1e-9
    gram, _, xty = centred(table)
    # (S ⊗ I) stationarity: C = S B with B = Xᵀy − G C, all q·p equations at once.
    prior = np.kron(penalty.prior(covariance), np.eye(4))
    blocks = np.zeros((20, 20))
    for t in range(5):
        blocks[4 * t : 4 * t + 4, 4 * t : 4 * t + 4] = gram[t]
    coef = np.linalg.solve(np.eye(20) + prior @ blocks, prior @ xty.ravel()).reshape(5, 4)
    np.testing.assert_allclose(done.coef, coef, atol=1e-4)


def test_the_scaling_is_safe_and_no_larger_than_the_papers():
    rng = np.random.default_rng(1)
    for _ in range(20):
        root = rng.normal(size=(6, 3)) + rng.normal()
        prior = root @ root.T
        rho = safe_scaling(prior)
        assert rho <= np.max(np.abs(prior).sum(axis=1) / prior.diagonal()) + 1e-9
        for _ in range(20):
            products = rng.normal(size=(6, 2))
            apart = np.sum(prior.diagonal() * np.sum(products**2, axis=1))
            assert np.vdot(products, prior @ products) <= rho * apart + 1e-9
    assert safe_scaling(np.diag([1.0, 4.0, 0.0])) == pytest.approx(1.0)
    assert safe_scaling(np.ones((7, 7))) == pytest.approx(7.0)


def test_more_epochs_take_no_more_rounds_to_the_same_solution():
    table, penalty = own_rows(), RelationshipPenalty(1.0, 0.5)
    rounds, coefs = [], []
    for epochs in (1, 8):
        site, begun = site_of(table, epochs=epochs)
        done, _, n_rounds = joint_rounds(
            site, penalty, np.zeros((5, 4)), begun.products, begun.curvature.mean(),
            target=1e-9, max_rounds=2000,
        )  # fmt: skip
        rounds.append(n_rounds)
        coefs.append(done.coef)
    assert rounds[1] <= rounds[0]
    np.testing.assert_allclose(coefs[0], coefs[1], atol=1e-3)


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
def test_a_report_is_what_its_names_say(loss):
    table = own_rows(loss, q=3)
    site, begun = site_of(table, loss)
    rows = RowLoss(table, loss, True)
    np.testing.assert_allclose(begun.products, rows.at(np.zeros((3, 4))).slope, atol=1e-9)
    assert begun.null.sum() == pytest.approx(rows.null)
    coef = 0.3 * np.random.default_rng(2).normal(size=(3, 4))
    report = site.work(Order(coef, np.full(3, 0.1), 0.0))
    assert report.loss.sum() == pytest.approx(rows.at(coef).value)
    np.testing.assert_allclose(report.intercept, rows.intercept(coef), atol=1e-7)
    # Dual variables began as the residuals at zero, where the conjugate is −loss + ⟨0, B⟩.
    assert report.conjugate.sum() == pytest.approx(-rows.at(np.zeros((3, 4))).value)
    now = np.stack([task.rows.X.T @ (task.rows.weights * task.u) for task in site.tasks])
    np.testing.assert_allclose(begun.products + report.products, now, atol=1e-9)


def test_tasks_without_rows_or_with_one_class_only_take_part_with_their_intercept():
    table = own_rows("logistic", q=4)
    ones = table.patterns[1]
    patterns = [
        table.patterns[0],
        LabelPattern(ones.rows, ones.weights, ones.tasks, np.ones_like(ones.targets)),
    ]
    patterns += [LabelPattern(np.arange(0), np.zeros(0), np.array([2]), np.zeros((0, 1))), table.patterns[3]]
    table = LabelledTable(table.X, tuple(patterns), table.task_names, True)
    site, begun = site_of(table, "logistic")
    done, gap, _ = joint_rounds(
        site, RelationshipPenalty(1.0, 1.0), np.zeros((4, 4)), begun.products, begun.curvature.mean(),
        target=1e-8, max_rounds=500,
    )  # fmt: skip
    assert gap <= 1e-8
    np.testing.assert_allclose(done.coef[1:3], 0.0, atol=1e-6)
    assert np.abs(done.coef[[0, 3]]).min() > 1e-3


def test_tasks_of_one_pattern_share_their_rows():
    rng = np.random.default_rng(3)
    table = LabelledTable.from_arrays(rng.normal(size=(30, 4)), rng.normal(size=(30, 3)))
    site, _ = site_of(table)
    assert len({id(task.rows.X) for task in site.tasks}) == 1
