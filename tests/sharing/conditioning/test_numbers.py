from __future__ import annotations

import torch

from polytask.sharing.conditioning.numbers import FixedNumbers, OwnNumbers, ProjectedNumbers


def test_own_numbers_are_columns_of_u() -> None:
    torch.manual_seed(0)
    numbers = OwnNumbers(3, torch.zeros(2, 4), bound=1.0).double()
    z = torch.eye(3, dtype=torch.float64)[[2, 0]]
    u = torch.stack([member.value for member in numbers.columns.members], -1)
    torch.testing.assert_close(numbers([2, 0], z), torch.einsum("abd,td->tab", u, z))
    assert numbers.shape == (2, 4)
    numbers([2, 0], z).square().sum().backward()
    assert [p.grad is not None for t in range(3) for p in numbers.parameters_of(t)] == [True, False, True]


def test_projected_numbers_are_a_product() -> None:
    torch.manual_seed(0)
    numbers = ProjectedNumbers(3, torch.ones(2, 4), bound=1.0)
    z = torch.randn(5, 3)
    torch.testing.assert_close(numbers(range(5), z), 1 + (z @ numbers.weight.T).view(5, 2, 4))
    assert numbers.common_parameters() == (numbers.weight,)
    assert numbers.parameters_of(0) == ()


def test_without_a_bound_they_are_where_they_start() -> None:
    start = torch.tensor([1.0, 0.0])
    assert OwnNumbers(2, start)([1], torch.zeros(1, 2)).tolist() == [[1, 0]]
    assert ProjectedNumbers(3, start)([1], torch.randn(1, 3)).tolist() == [[1, 0]]


def test_fixed_numbers_have_no_parameters() -> None:
    numbers = FixedNumbers(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    assert numbers([1], torch.zeros(1, 2)).tolist() == [[0, 1]]
    assert list(numbers.parameters()) == []
