from __future__ import annotations

import pytest
import torch

from polytask.sharing.mixture.gates import SoftmaxGates, mix, mix_own


def test_dropout_leaves_experts_out_and_scales_the_rest() -> None:
    torch.manual_seed(0)
    gates = SoftmaxGates(3, 4, 5, dropout=0.3).double()
    z = torch.randn(400, 4, dtype=torch.float64)
    dropped, whole = gates(z), gates.eval()(z)
    assert bool((whole > 0).all())
    torch.testing.assert_close(dropped.sum(-1), torch.ones(3, 400, dtype=torch.float64))
    left_out = dropped == 0
    assert abs(float(left_out.double().mean()) - 0.3) < 0.03
    assert not torch.equal(left_out[0], left_out[1])
    expected = whole.masked_fill(left_out, 0)
    torch.testing.assert_close(dropped, expected / expected.sum(-1, keepdim=True), rtol=0, atol=1e-10)


def test_a_row_keeps_its_experts_rather_than_lose_all() -> None:
    torch.manual_seed(0)
    gates = SoftmaxGates(2, 3, 2, dropout=0.9)
    weights = gates(torch.randn(200, 3))
    assert bool(torch.isfinite(weights).all())
    both = (weights > 0).all(-1)
    assert 0.6 < float(both.float().mean()) < 0.95


@pytest.mark.parametrize("common", [False, True])
def test_gates_may_be_chosen_in_any_order(common: bool) -> None:
    torch.manual_seed(0)
    gates = SoftmaxGates(3, 4, 2, common=common).double()
    z = torch.randn(6, 4, dtype=torch.float64)
    torch.testing.assert_close(gates(z, [2, 0, 1]), gates(z)[[2, 0, 1]], rtol=0, atol=1e-10)
    own = torch.randn(2, 6, 4, dtype=torch.float64)
    expected = torch.stack([gates(own[0])[2], gates(own[1])[0]])
    torch.testing.assert_close(gates(own, [2, 0]), expected, rtol=0, atol=1e-10)


def test_mixtures_are_sums() -> None:
    torch.manual_seed(0)
    n_tasks, n_own, n_shared, n, d = 3, 2, 4, 5, 6
    weights = torch.rand(n_tasks, n, n_own + n_shared, dtype=torch.float64)
    own = torch.randn(n_tasks, n_own, n, d, dtype=torch.float64)
    common = torch.randn(n, n_shared, d, dtype=torch.float64)
    expected = torch.zeros(n_tasks, n, d, dtype=torch.float64)
    for t in range(n_tasks):
        for i in range(n_own):
            expected[t] += weights[t, :, i, None] * own[t, i]
        for i in range(n_shared):
            expected[t] += weights[t, :, n_own + i, None] * common[:, i]
    torch.testing.assert_close(mix_own(weights, own, common), expected, rtol=0, atol=1e-10)
    shared = weights[..., n_own:]
    expected = torch.stack([(shared[t].unsqueeze(-1) * common).sum(1) for t in range(n_tasks)])
    torch.testing.assert_close(mix(shared, common), expected, rtol=0, atol=1e-10)
