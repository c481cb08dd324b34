"""Pareto-stationary points of the papers' toy problem, and of three paraboloids whose Pareto set is a triangle."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from polytask.balancing.gradients import MGDA, CAGrad, NashMTL, UPGrad

METHODS: dict[str, Callable[[], Any]] = {
    "mgda": MGDA,
    "cagrad": lambda: CAGrad(0.5),
    "nash_mtl": NashMTL,
    "upgrad": UPGrad,
}
#: Starts of Liu et al. (2021) from which equal weights are caught in a valley, and one from which they are not.
VALLEY, FREE = [(-8.5, 7.5), (9.0, 9.0)], (-8.5, -5.0)
FLOOR = 5e-6


class Equal:
    def weights(self, tasks: tuple[str, ...], losses: np.ndarray, gramian: np.ndarray) -> np.ndarray:
        return np.full(len(tasks), 1 / len(tasks))


def toy(x: float, y: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Losses (2,) and gradients (2, 2) of Liu et al. (2021), appendix; `scale` of the first as Navon et al. (2022).

    ``L_1 = c_1 (log max(|½(−x−7) + tanh y|, 5e-6) + 6) + c_2 (((7−x)² + .1(y+8)²)/10 − 20)``, L_2 its mirror
    image, ``c_1 = max(tanh(y/2), 0)``, ``c_2 = max(tanh(−y/2), 0)``.
    """
    t, h = math.tanh(y), math.tanh(y / 2)
    dt, dh = 1 - t * t, (1 - h * h) / 2
    c1, c2 = max(h, 0.0), max(-h, 0.0)
    dc1, dc2 = (dh if h >= 0 else 0.0), (-dh if h <= 0 else 0.0)
    losses, rows = [], []
    for inside, slope, centre in ((0.5 * (-x - 7) + t, dt, 7.0), (0.5 * (-x + 3) - t + 2, -dt, -7.0)):
        deep = abs(inside) > FLOOR
        log = math.log(max(abs(inside), FLOOR)) + 6
        bowl = ((centre - x) ** 2 + 0.1 * (y + 8) ** 2) / 10 - 20
        losses.append(log * c1 + bowl * c2)
        rows.append(
            (
                (-0.5 / inside if deep else 0.0) * c1 - (centre - x) / 5 * c2,
                (slope / inside if deep else 0.0) * c1 + (y + 8) / 50 * c2 + log * dc1 + bowl * dc2,
            )
        )
    factor = np.array([scale, 1.0])
    return factor * losses, factor[:, None] * rows


def descend(
    balancer: Any, start: tuple[float, float], *, steps: int = 40000, lr: float = 3e-3, scale: float = 1.0
) -> tuple[float, float, int]:
    """The point, and the number of steps, at which Adam stops: at the end, or once it stays Pareto-stationary."""
    point, m, v, stays = list(start), [0.0, 0.0], [0.0, 0.0], 0
    for k in range(1, steps + 1):
        losses, jacobian = toy(*point, scale)
        gramian = jacobian @ jacobian.T
        stays = stays + 1 if criticality(gramian) < 2e-3 else 0
        if stays == 100:
            return *point, k
        direction = (balancer.weights(("a", "b"), losses, gramian) @ jacobian).tolist()
        for i, d in enumerate(direction):
            m[i], v[i] = 0.9 * m[i] + 0.1 * d, 0.999 * v[i] + 0.001 * d * d
            point[i] -= lr * (m[i] / (1 - 0.9**k)) / (math.sqrt(v[i] / (1 - 0.999**k)) + 1e-8)
    return *point, steps


def criticality(gramian: np.ndarray) -> float:
    """Length of the shortest convex combination of two gradients, relative to the shorter of the two."""
    (a, b), (_, c) = gramian
    w = min(max((c - b) / max(a + c - 2 * b, 1e-300), 0.0), 1.0)
    return math.sqrt(max(w * w * a + 2 * w * (1 - w) * b + (1 - w) ** 2 * c, 0.0) / min(a, c))


def test_gradients_of_the_toy_problem() -> None:
    rng = np.random.default_rng(0)
    for x, y in rng.uniform(-9, 9, (40, 2)):
        numeric = [
            (toy(x + e, y + f, 0.1)[0] - toy(x - e, y - f, 0.1)[0]) / 2e-6 for e, f in ((1e-6, 0), (0, 1e-6))
        ]
        np.testing.assert_allclose(toy(x, y, 0.1)[1], np.array(numeric).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", [*VALLEY, FREE])
def test_methods_reach_the_pareto_set_of_the_toy_problem(method: str, start: tuple[float, float]) -> None:
    x, y, steps = descend(METHODS[method](), start)
    assert steps < 40000
    assert -7 <= x <= 7
    assert y == pytest.approx(-8.38, abs=0.12)  # the set: (−7, −8.43) to (0, −8.36) to (7, −8.43)


@pytest.mark.parametrize("start", VALLEY)
def test_equal_weights_stay_in_the_valley(start: tuple[float, float]) -> None:
    """In as many steps as MGDA needs to arrive, and at a worse loss of both."""
    *best, steps = descend(MGDA(), start)
    *point, _ = descend(Equal(), start, steps=steps)
    assert point[1] > 0
    assert (toy(*point, 1.0)[0] > toy(*best, 1.0)[0]).all()


def test_equal_weights_go_to_one_end_where_losses_differ_in_scale() -> None:
    """Navon et al. (2022), figure 1: the first loss counts a tenth; Nash-MTL does not notice."""
    for start in (FREE, (9.0, -1.0)):
        x, y, _ = descend(Equal(), start, scale=0.1, lr=1e-2)
        first = toy(x, y, 1.0)[0][0]
        assert x < -5.5
        assert first > -5  # of −20 at its best
    one, tenth = (descend(NashMTL(), (9.0, -1.0), scale=s, lr=1e-2) for s in (1.0, 0.1))
    np.testing.assert_allclose(one[:2], tenth[:2], atol=0.01)


CORNERS = np.array([[4.0, 0, 0, 0], [0, 4.0, 0, 1.0], [0, 0, 4.0, -1.0]])


def paraboloids(balancer: Any, scales: np.ndarray, decay: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Where steps that shrink as 1/k end on ``L_t = ½ s_t ‖x − a_t‖²``, and the gradients there."""
    x = np.array([-3.0, 6.0, 5.0, 4.0])
    for k in range(3000):
        jacobian = scales[:, None] * (x - CORNERS)
        losses = 0.5 * (jacobian * (x - CORNERS)).sum(1)
        d = balancer.weights(("a", "b", "c"), losses, jacobian @ jacobian.T) @ jacobian
        unit = 1.0 if isinstance(balancer, NashMTL) else scales.mean()  # Nash's steps have no unit
        x = x - min(0.5 / (1 + decay * k), 1.0 / np.linalg.norm(d)) * d / unit
    return x, scales[:, None] * (x - CORNERS)


def share(x: np.ndarray) -> tuple[np.ndarray, float]:
    """Barycentric coordinates (3,) of the point of the corners' plane nearest to x, and the distance."""
    edges = (CORNERS[1:] - CORNERS[0]).T
    b = np.linalg.lstsq(edges, x - CORNERS[0], rcond=None)[0]
    return np.r_[1 - b.sum(), b], float(np.linalg.norm(CORNERS[0] + edges @ b - x))


@pytest.mark.parametrize("method", METHODS)
def test_three_objectives_end_in_their_triangle(method: str) -> None:
    x, _ = paraboloids(METHODS[method](), np.array([1.0, 3.0, 30.0]))
    coordinates, distance = share(x)
    assert coordinates.min() > -0.01
    assert distance < 0.02


def test_three_objectives_and_scale() -> None:
    """Equal weights end next to the corner of the largest loss; Nash-MTL where it ends with equal scales."""
    equal, _ = share(paraboloids(Equal(), np.array([1.0, 3.0, 30.0]))[0])
    np.testing.assert_allclose(equal, np.array([1, 3, 30]) / 34, atol=1e-6)
    one, other = (paraboloids(NashMTL(), np.array(s), 0.1)[0] for s in ([1.0, 1.0, 1.0], [1.0, 3.0, 30.0]))
    np.testing.assert_allclose(one, other, atol=0.01)
    assert share(other)[0].min() > 0.1
