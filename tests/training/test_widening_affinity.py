from __future__ import annotations

import numpy as np
import pytest

from polytask.data import TaskData
from polytask.errors import DataError, PolytaskWarning
from polytask.tasks import Task
from polytask.training.widening.affinity import branch_affinity, margin, margins, task_affinity

from .problems import own_rows


def table(n: int = 30, t: int = 4, missing: float = 0.3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = rng.gamma(1.0, size=(n, t))
    out[rng.random(out.shape) < missing] = np.nan
    return out


def literal(values: np.ndarray) -> np.ndarray:
    """P(e_i = 1, e_j = 1) + P(e_i = 0, e_j = 0), pair by pair and sample by sample."""
    n, t = values.shape
    mean = [np.mean([m for m in values[:, i] if not np.isnan(m)]) for i in range(t)]
    out = np.zeros((t, t))
    for i in range(t):
        for j in range(t):
            agree = []
            for k in range(n):
                if not np.isnan(values[k, i]) and not np.isnan(values[k, j]):
                    agree.append((values[k, i] >= mean[i]) == (values[k, j] >= mean[j]))
            out[i, j] = np.mean(agree)
    return out


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.6])
def test_equals_the_formula(missing: float) -> None:
    values = table(missing=missing)
    found = task_affinity(values)
    np.testing.assert_allclose(found, literal(values), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found, found.T, rtol=0, atol=1e-12)
    assert np.array_equal(np.diag(found), np.ones(4))


def test_a_weight_is_that_many_samples() -> None:
    values = table(missing=0.2)
    counts = np.random.default_rng(1).integers(1, 4, size=len(values))
    repeated = np.repeat(values, counts, axis=0)
    weights = np.where(np.isnan(values), 0.0, counts[:, None])
    np.testing.assert_allclose(task_affinity(values, weights), task_affinity(repeated), rtol=0, atol=1e-12)


def test_same_errors_opposite_errors_and_scale() -> None:
    m = np.array([0.1, 0.2, 0.9, 1.0])
    values = np.column_stack([m, 50 * m, m[::-1]])
    expected = [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    np.testing.assert_allclose(task_affinity(values), expected)


def test_tasks_without_common_samples_are_taken_to_be_unrelated() -> None:
    values = np.full((12, 3), np.nan)
    values[:8, 0] = [0, 0, 0, 0, 0, 0, 1, 1]
    values[8:, 1] = [0, 1, 1, 1]
    values[:, 2] = np.arange(12)
    with pytest.warns(PolytaskWarning, match=r"1 pairs of tasks, such as 'a' and 'b'"):
        found = task_affinity(values, names=["a", "b", "c"])
    assert found[0, 1] == pytest.approx(0.25 * 0.75 + 0.75 * 0.25)
    assert found[0, 2] == pytest.approx(np.mean([True] * 6 + [True, True]))


def test_data_that_cannot_be_compared() -> None:
    apart = np.full((4, 2), np.nan)
    apart[:2, 0], apart[2:, 1] = 1.0, 1.0
    with pytest.raises(DataError, match="No two tasks have labels of the same row"):
        task_affinity(apart)
    with pytest.raises(DataError, match="Task 'b' has no labels"):
        task_affinity(np.array([[1.0, np.nan], [2.0, np.nan]]), names=["a", "b"])
    data = own_rows()
    found = {name: np.zeros(len(rows)) for name, rows in data.rows.items()}
    with pytest.raises(DataError, match="common rows"):
        task_affinity(*margins(data, found), data.task_names)


def test_one_task_is_like_itself() -> None:
    assert task_affinity(np.array([[1.0], [2.0]])).tolist() == [[1.0]]


# ---------------------------------------------------------------------- margins


def test_margin_of_each_kind() -> None:
    def found(kind: str, target: object, prediction: object) -> list[float]:
        return margin(Task("t", kind), np.array(target), np.array(prediction)).tolist()

    assert found("binary", [1.0, 0.0, 0.3], [0.75, 0.75, 0.5]) == pytest.approx([0.25, 0.75, 0.2])
    assert found("multiclass", [0, 2], [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]) == pytest.approx([0.5, 0.3])
    assert found("multiclass", [[1.0, 0, 0], [0.5, 0.5, 0]], [[0.5, 0.3, 0.2], [0.4, 0.2, 0.4]]) == (
        pytest.approx([0.5, 0.4])
    )
    labels = [[1.0, 0.0], [np.nan, 1.0], [np.nan, np.nan]]
    first, second, none = found("multilabel", labels, [[0.5, 0.1], [0.9, 0.8], [0.5, 0.5]])
    assert (first, second) == pytest.approx((0.3, 0.2))
    assert np.isnan(none)
    assert found("regression", [3.0, -1.0], [1.0, 1.0]) == [2.0, 2.0]
    assert found("counts", [9.0, 0.0], [4.0, 0.25]) == [2.0, 1.0]


def test_soft_labels_at_the_corners_are_hard_ones() -> None:
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(4), size=9), rng.integers(4, size=9)
    task = Task("t", "multiclass")
    np.testing.assert_allclose(margin(task, y, p), margin(task, np.eye(4)[y], p), atol=1e-12)


def test_large_counts_are_no_more_difficult_for_being_large() -> None:
    rng = np.random.default_rng(0)
    task, n = Task("t", "counts"), 20_000
    means = [
        margin(task, rng.poisson(rate, n).astype(float), np.full(n, rate)).mean() for rate in (5.0, 500.0)
    ]
    assert means[0] == pytest.approx(means[1], rel=0.1)


def test_margins_lie_at_their_rows() -> None:
    columns = {"a": np.array([1.0, np.nan, 3.0, 5.0]), "b": np.array([np.nan, 2.0, 2.5, 1.0])}
    data = TaskData.from_wide(np.eye(4), columns, sample_weight=[1.0, 2.0, 3.0, 4.0])
    found, weights = margins(data, {"a": np.zeros(3), "b": np.ones(3)})
    assert np.array_equal(found, [[1, np.nan], [np.nan, 1], [3, 1.5], [5, 0]], equal_nan=True)
    assert np.array_equal(weights, [[1, 0], [0, 2], [3, 3], [4, 4]])


# ---------------------------------------------------------------------- branches


def literal_branches(A: np.ndarray, branches: list[list[int]]) -> np.ndarray:
    def one_way(k: list[int], l: list[int]) -> float:  # noqa: E741
        return sum(min(A[i, j] for j in l) for i in k) / len(k)

    return np.array([[(one_way(k, l) + one_way(l, k)) / 2 for l in branches] for k in branches])  # noqa: E741


@pytest.mark.parametrize("branches", [[[0], [1], [2], [3], [4]], [[3, 0], [1, 4, 2]], [[0, 1, 2, 3, 4]]])
def test_affinity_of_branches_is_its_formula(branches: list[list[int]]) -> None:
    A = np.random.default_rng(0).random((5, 5))
    A = (A + A.T) / 2
    np.fill_diagonal(A, 1.0)
    found = branch_affinity(A, branches)
    np.testing.assert_allclose(found, literal_branches(A, branches), rtol=0, atol=1e-12)


def test_branches_of_one_task_are_tasks() -> None:
    A = literal(table())
    np.testing.assert_allclose(branch_affinity(A, [[0], [1], [2], [3]]), A, rtol=0, atol=1e-12)
