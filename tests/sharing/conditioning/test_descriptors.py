from __future__ import annotations

from typing import Any

import pytest
import torch

from polytask.errors import SettingError
from polytask.sharing.conditioning.descriptors import Embedding, Features, make_descriptor

TASKS = ("a", "b", "c")


def test_descriptors_are_those_of_the_tasks_asked_for() -> None:
    one_hot = make_descriptor("one-hot", TASKS)
    assert one_hot([2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]
    features = make_descriptor({"b": [3, 4.5], "a": (1, 2), "c": [5, 6]}, TASKS)
    assert features.dimension == 2
    assert features([1, 0]).tolist() == [[3, 4.5], [1, 2]]
    embedding = make_descriptor("embedding", TASKS, 5)
    assert embedding([0, 1, 2]).shape == (3, 5)
    assert torch.equal(embedding([2]), embedding([0, 1, 2])[2:])
    assert make_descriptor("embedding", TASKS).dimension == 8


def test_an_embedding_is_the_tasks_own_parameter() -> None:
    embedding = Embedding(3, 4)
    embedding([0, 2]).square().sum().backward()
    grads = [[p.grad is not None for p in embedding.parameters_of(t)] for t in range(3)]
    assert grads == [[True], [False], [True]]


def test_features_are_in_the_state_and_not_learned() -> None:
    features = make_descriptor({"a": [1.5]}, ("a",))
    assert isinstance(features, Features)
    assert list(features.parameters()) == []
    assert features.state_dict()["values"].tolist() == [[1.5]]


@pytest.mark.parametrize(
    ("descriptor", "dimension", "message"),
    [
        ("onehot", None, "'one-hot', 'embedding' or a mapping.*'onehot'"),
        ("one-hot", 3, "dimension is the length of a learned descriptor"),
        ({"a": [1], "b": [1], "c": [1]}, 3, "dimension is the length of a learned descriptor"),
        ("embedding", 0, "1 or more, got 0"),
        ({"a": [1], "b": [2]}, None, "task 'c' are missing"),
        ({"a": [1], "b": [2], "c": [3], "d": [4]}, None, "no task 'd'"),
        ({"a": [1], "b": [2, 3], "c": [3]}, None, "task 'b' has 2 numbers, task 'a' has 1"),
        ({"a": [1], "b": [float("nan")], "c": [3]}, None, "task 'b' has a number that is not finite"),
        ({"a": [1], "b": ["x"], "c": [3]}, None, "task 'b' needs a list of numbers"),
        ({"a": [1], "b": torch.ones(1), "c": [3]}, None, r"task 'b' needs a list of numbers.*\.tolist\(\)"),
        ({"a": [], "b": [], "c": []}, None, "task 'a' needs a list of numbers"),
    ],
)
def test_bad_descriptors_are_named(descriptor: Any, dimension: int | None, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make_descriptor(descriptor, TASKS, dimension)
