from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from polytask.errors import SettingError
from polytask.sharing import SHARINGS, HardSharing, SingleTask

HEADS = {"a": 1, "b": 2}


def test_a_multiplication_and_an_addition_are_two() -> None:
    network = HardSharing.for_table(3, HEADS, hidden=(4, 5))
    shared = 2 * (3 * 4 + 4 * 5)
    assert network.flops() == shared + 2 * 5 * 3
    assert network.flops(["a"]) == shared + 2 * 5
    alone = SingleTask.for_table(3, HEADS, hidden=(4, 5))
    assert alone.flops() == 2 * shared + 2 * 5 * 3
    assert alone.flops(["b"]) == shared + 2 * 5 * 2


def test_the_network_is_left_as_it_was() -> None:
    network = HardSharing.for_table(3, HEADS, dropout=0.5).train()
    assert network.flops() == network.flops()
    assert network.training
    assert all(p.grad is None for p in network.parameters())


def test_images_need_an_example() -> None:
    encoder = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4, 3))
    images = torch.zeros(5, 1, 4, 4)
    network = HardSharing(HEADS, encoder, 3)
    with pytest.raises(SettingError, match=r"example=x\[:2\]"):
        network.flops()
    convolution = 2 * 2 * 9 * 4
    assert network.flops(example=images) == convolution + 2 * 8 * 3 + 2 * 3 * 3
    assert HardSharing(HEADS, encoder, example=images).flops() == network.flops(example=images)


@pytest.mark.parametrize("cls", SHARINGS.values())
def test_a_linear_first_layer_tells_the_input(cls: Any) -> None:
    encoder = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU())
    network = cls(HEADS, encoder).eval()
    assert network.input_shape == (3,)
    assert network.flops() > 0
