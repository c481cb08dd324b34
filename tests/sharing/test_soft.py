from __future__ import annotations

import itertools

import pytest
import torch

from polytask.errors import SettingError
from polytask.sharing import SoftSharing
from polytask.sharing.networks import spread

HEADS = {"a": 1, "b": 2, "c": 1}


def network(**settings: object) -> SoftSharing:
    torch.manual_seed(0)
    return SoftSharing.for_table(3, HEADS, hidden=(4, 5), **settings).double()


def literal_penalty(net: SoftSharing, strengths: list[float], distance: str) -> torch.Tensor:
    """The formula, layer by layer and pair by pair."""
    total = torch.zeros((), dtype=torch.float64)
    encoders = list(net.encoders.members)
    for strength, position in zip(strengths, (0, 2)):
        for part in ("weight", "bias"):
            weights = [getattr(e[position], part) for e in encoders]
            if distance == "pairs":
                pairs = itertools.combinations(weights, 2)
                total = total + strength * sum(((s - t) ** 2).sum() for s, t in pairs)
            else:
                mean = sum(weights) / len(weights)
                total = total + strength * sum(((w - mean) ** 2).sum() for w in weights)
    return total


@pytest.mark.parametrize("distance", ["pairs", "mean"])
@pytest.mark.parametrize("strength", [0.3, (0.2, 0.0), (0.1, 2.0)])
def test_penalty_is_its_formula(distance: str, strength: float | tuple[float, float]) -> None:
    net = network(strength=strength, distance=distance)
    strengths = [strength] * 2 if isinstance(strength, float) else list(strength)
    parameters = list(net.parameters())
    penalty = net.penalty()
    expected = literal_penalty(net, strengths, distance)
    torch.testing.assert_close(penalty, expected, rtol=0, atol=1e-10)
    ours = torch.autograd.grad(penalty, parameters, allow_unused=True)
    theirs = torch.autograd.grad(expected, parameters, allow_unused=True)
    for p, a, b in zip(parameters, ours, theirs):
        a, b = (torch.zeros_like(p) if g is None else g for g in (a, b))
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_gradient_of_the_spread() -> None:
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(spread, torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True))


def test_no_strength_is_no_penalty() -> None:
    assert network(strength=0.0).penalty() is None


def test_strength_is_checked() -> None:
    with pytest.raises(SettingError, match="3 values, but the encoder has 2 layers"):
        network(strength=(1.0, 1.0, 1.0))
    with pytest.raises(SettingError, match="zero or more"):
        network(strength=-1.0)
    with pytest.raises(SettingError, match="'pairs' or 'mean'"):
        network(distance="cosine")
