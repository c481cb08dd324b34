import numpy as np

from polytask import Task
from polytask.evaluation.selection import choose, clearly_better

rng = np.random.default_rng(0)
TASKS = [Task("a", "regression"), Task("b", "regression"), Task("c", "binary", classes=(0, 1))]


def losses(a, b, c=None, noise=0.1):
    out = {"a": a + noise * rng.normal(size=200), "b": b + noise * rng.normal(size=200)}
    return out if c is None else {**out, "c": c + noise * rng.normal(size=200)}


def test_one_candidate_for_all_tasks_unless_one_is_clearly_better():
    found = choose({"m": losses(1.0, 1.0, 1.0), "k": losses(1.3, 0.8, 1.3)}, {"a": 1, "b": 1, "c": 1}, TASKS)
    assert found == {"a": "m", "b": "k", "c": "m"}


def test_differences_within_noise_follow_the_joint_choice():
    base = rng.normal(size=200)
    table = {"m": {"a": base, "b": base - 1}, "k": {"a": base - 1e-4 + rng.normal(size=200), "b": base}}
    assert choose(table, {"a": 1, "b": 1}, TASKS[:2])["a"] == "m"


def test_a_candidate_without_a_kind_is_not_chosen_for_it():
    found = choose(
        {"numbers": losses(0.1, 0.1), "all": losses(1.0, 1.0, 1.0)}, {"a": 1, "b": 1, "c": 1}, TASKS
    )
    assert found == {"a": "numbers", "b": "numbers", "c": "all"}


def test_missing_validation_rows_do_not_count():
    a, b = np.array([1.0, 1.1, np.nan, 0.9]), np.array([2.0, 2.1, 0.0, 1.9])
    assert clearly_better(a, b)
    assert not clearly_better(b, a)
