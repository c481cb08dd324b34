from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from polytask.linear.penalties.mcp import MCP
from polytask.linear.penalties.scad import SCAD

both = pytest.mark.parametrize("kind", [MCP, SCAD])


def test_mcp_by_its_definition():
    # Zhang (2010), equation 2.1: λ ∫_0^t (1 − x / (γλ))₊ dx.
    for t in (0.0, 0.3, 1.4, 1.5, 4.0):
        expected = quad(lambda x: 0.5 * max(1 - x / (3 * 0.5), 0.0), 0, t, points=[1.5])[0]
        np.testing.assert_allclose(MCP(0.5, 3.0, np.ones(1)).values(np.array([t])), expected, atol=1e-10)


def test_scad_by_its_definition():
    # Fan & Li (2001), equation 2.7: λ {1(x ≤ λ) + (aλ − x)₊ / ((a − 1)λ) 1(x > λ)}.
    def slope(x):
        return 0.5 if x <= 0.5 else max(3.7 * 0.5 - x, 0.0) / 2.7

    for t in (0.0, 0.3, 0.5, 1.0, 1.85, 4.0):
        expected = quad(slope, 0, t, points=[0.5, 1.85])[0]
        np.testing.assert_allclose(SCAD(0.5, 3.7, np.ones(1)).values(np.array([t])), expected, atol=1e-10)


@both
def test_slopes_are_derivatives_and_fall(kind):
    penalty = kind(0.5, 3.3, np.full(400, 1.7), scale=2.0)
    t = np.linspace(0, 5, 400)
    step = 1e-6
    numeric = (penalty.values(t + step) - penalty.values(np.abs(t - step))) / (
        t + step - np.abs(t - step) + 1e-300
    )
    np.testing.assert_allclose(penalty.slopes(t)[1:], numeric[1:], atol=1e-5)
    assert np.all(np.diff(penalty.slopes(t)) <= 1e-12)
    np.testing.assert_allclose(penalty.slopes(np.zeros(400)), 2 * 0.5 * 1.7)
    assert not penalty.slopes(np.full(400, 3.3 * 0.5 * 1.7)).any()
    np.testing.assert_allclose(penalty.values(np.full(400, 10.0)), penalty.values(np.full(400, 3.0)))


@both
def test_unpenalised_features_cost_nothing(kind):
    penalty = kind(0.5, 3.0, np.array([0.0, 1.0]))
    assert penalty.values(np.ones(2))[0] == 0.0
    assert penalty.slopes(np.ones(2))[0] == 0.0
    assert penalty.values(np.ones(2))[1] > 0.0
