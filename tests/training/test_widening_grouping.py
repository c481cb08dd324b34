from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from polytask.training.widening.grouping import balanced_cost, best, choices, cluster, separation


def blocks(sizes: tuple[int, ...], within: float = 0.9, between: float = 0.5, seed: int = 0) -> np.ndarray:
    """Affinities of branches that fall into groups, with some noise."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    A = np.where(labels[:, None] == labels, within, between)
    noise = np.random.default_rng(seed).uniform(-0.03, 0.03, size=A.shape)
    A = A + (noise + noise.T) / 2
    np.fill_diagonal(A, 1.0)
    return A


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for smaller in partitions(rest):
        yield [[first], *smaller]
        for i, group in enumerate(smaller):
            yield [*smaller[:i], [first, *group], *smaller[i + 1 :]]


def literal_cost(A: np.ndarray, groups: list[list[int]], L0: float, alpha: float, pooling: int) -> float:
    apart = 0.0
    for group in groups:
        apart += 1 - sum(min(A[k, j] for j in group) for k in group) / len(group)
    return (len(groups) - 1) * L0 * 2**pooling + alpha * apart / len(groups)


@pytest.mark.parametrize("pooling", [0, 2])
@pytest.mark.parametrize("alpha", [1.0, 0.4])
def test_costs_are_their_formula(pooling: int, alpha: float) -> None:
    A = blocks((2, 3))
    found = choices(A, unit_cost=0.07, alpha=alpha, n_pooling=pooling)
    assert [len(choice.groups) for choice in found] == [1, 2, 3, 4, 5]
    for choice in found:
        assert choice.cost == pytest.approx(literal_cost(A, choice.groups, 0.07, alpha, pooling), abs=1e-12)
        assert choice.cost == pytest.approx(choice.creation + alpha * choice.separation, abs=1e-12)
        assert sorted(k for group in choice.groups for k in group) == list(range(5))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [(2, 2), (3, 3), (2, 3, 1), (4, 2)])
def test_groups_are_the_best_of_all_partitions_where_there_are_groups(
    sizes: tuple[int, ...], seed: int
) -> None:
    A = blocks(sizes, seed=seed)
    order = np.random.default_rng(seed).permutation(len(A))
    A = A[np.ix_(order, order)]
    found = best(choices(A, unit_cost=0.12))
    least = min(partitions(list(range(len(A)))), key=lambda groups: literal_cost(A, groups, 0.12, 1.0, 0))
    assert {frozenset(g) for g in found.groups} == {frozenset(g) for g in least}
    assert len(found.groups) == len(sizes)


def test_extremes_of_the_cost() -> None:
    A = blocks((2, 2))
    assert len(best(choices(A, unit_cost=10.0)).groups) == 1
    assert len(best(choices(A, unit_cost=0.0)).groups) == 4
    assert len(best(choices(A, unit_cost=0.12, alpha=0.0)).groups) == 1
    # A branch below two pooling layers costs four times as much.
    assert len(best(choices(A, unit_cost=0.12)).groups) == 2
    assert len(best(choices(A, unit_cost=0.12, n_pooling=2)).groups) == 1


@pytest.mark.parametrize("pooling", [0, 1])
def test_the_balanced_cost_favours_neither_extreme(pooling: int) -> None:
    A = blocks((2, 3))
    L0 = balanced_cost(A, alpha=0.7, n_pooling=pooling)
    found = choices(A, unit_cost=L0, alpha=0.7, n_pooling=pooling)
    assert found[0].cost == pytest.approx(found[-1].cost)
    assert {frozenset(g) for g in best(found).groups} == {frozenset({0, 1}), frozenset({2, 3, 4})}
    assert balanced_cost(np.ones((1, 1))) == 0.0


def test_branches_that_agree_in_all_stay_together() -> None:
    A = np.ones((4, 4))
    assert best(choices(A, unit_cost=balanced_cost(A))).groups == [[0, 1, 2, 3]]


def test_separation_is_zero_for_single_tasks_and_counts_a_branch_itself() -> None:
    A = blocks((2, 2))
    assert separation(A, [[0], [1], [2], [3]]) == 0.0
    # A branch of unlike tasks is separated from itself.
    A[0, 0] = 0.4
    assert separation(A, [[0], [1], [2, 3]]) == pytest.approx((0.6 + 0 + 1 - A[2, 3]) / 3)


def test_clustering_is_repeatable_and_ordered() -> None:
    A = blocks((2, 3, 2))
    assert cluster(A, 3, seed=1) == cluster(A, 3, seed=1) == [[0, 1], [2, 3, 4], [5, 6]]
    apart = np.kron(np.eye(2), np.ones((2, 2)))  # no edge between groups
    assert cluster(apart, 2) == [[0, 1], [2, 3]]
    assert cluster(np.ones((1, 1)), 1) == [[0]]
