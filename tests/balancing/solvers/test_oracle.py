"""Against cvxpy, which knows nothing of our algorithms. Its own accuracy limits the comparison to 1e-6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from polytask.balancing.solvers import cagrad, dual_cone, fair, min_norm, nash

from .problems import gramians, objective_cagrad, objective_fair

#: Share of the problems that the oracle must have been sure of for the comparison to mean something.
SURE = 0.95


def root(G: np.ndarray) -> np.ndarray:
    """R with G = RᵀR, so that cvxpy never sees the square of the condition."""
    values, vectors = np.linalg.eigh(G)
    return np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T


def solved(cp: Any, objective: Any, constraints: list[Any]) -> tuple[float, bool]:
    """The value that cvxpy finds, and whether it is sure of it: hard ones are not always solved to the last digit."""
    problem = cp.Problem(cp.Minimize(objective), constraints)
    for tolerance in (1e-10, 1e-9, 1e-8):
        try:
            problem.solve(solver="CLARABEL", tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance)
        except cp.error.SolverError:
            continue
        if problem.status == "optimal":
            return float(problem.value), True
    return (np.inf if problem.value is None else float(problem.value)), False


def compare(cp: Any, G: np.ndarray, number: int) -> bool:
    """One problem of the five for each Gramian, in turn: never worse than the oracle, equal where that is sure."""
    G = G / G.diagonal().mean()
    n, R = len(G), root(G)
    w = cp.Variable(n)
    on_simplex = [w >= 0, cp.sum(w) == 1]
    if number % 5 == 0:
        x = min_norm(G)
        ours, (theirs, sure) = np.sqrt(x @ G @ x), solved(cp, cp.norm(R @ w), on_simplex)
    elif number % 5 == 1:
        mean = np.full(n, 1 / n)
        ours = objective_cagrad(G, 0.4, cagrad(G, 0.4))
        k = 0.4 * np.linalg.norm(R @ mean)
        theirs, sure = solved(cp, (G @ mean) @ w + k * cp.norm(R @ w), on_simplex)
    elif number % 5 == 2:
        ours = objective_fair(G, 1.0, nash(G))
        theirs, sure = solved(cp, 0.5 * cp.sum_squares(R @ w) - cp.sum(cp.log(w)), [])
    elif number % 5 == 3:
        ours = objective_fair(G, 2.0, fair(G, 2.0))
        theirs, sure = solved(cp, 0.5 * cp.sum_squares(R @ w) - 2 * cp.sum(cp.sqrt(w)), [])
    else:
        i = number % n
        x = dual_cone(G)[i]
        ours, (theirs, sure) = np.sqrt(x @ G @ x), solved(cp, cp.norm(R @ w), [w >= np.eye(n)[i]])
    tolerance = 1e-6 * abs(theirs) + 1e-9
    assert ours - theirs <= tolerance, (number, n, ours, theirs)
    assert not sure or theirs - ours <= tolerance, (number, n, ours, theirs)
    return sure


@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_a_hundred_and_twenty_gramians_of_conditions_up_to_1e6() -> None:
    cp = pytest.importorskip("cvxpy")
    assert sum(compare(cp, G, number) for number, G in enumerate(gramians(120, 0, 6))) >= SURE * 120


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_a_thousand_gramians_of_conditions_up_to_1e8() -> None:
    cp = pytest.importorskip("cvxpy")
    assert sum(compare(cp, G, number) for number, G in enumerate(gramians(1000, 0, 8, seed=1))) >= SURE * 1000
