"""Properties of methods that see gradients; each method's test file claims its own."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from polytask.errors import SettingError

from .jacobians import direction_of, names, random_jacobian

Make = Callable[[], Any]
SHAPES = [(2, 3, 0), (3, 3, 1), (4, 2, 2), (5, 20, 3), (11, 50, 4)]


def non_conflicting(make: Make, shapes: list[tuple[int, int, int]] = SHAPES) -> None:
    """No task becomes worse: ``⟨g_t, d⟩ ≥ 0``."""
    for m, p, seed in shapes:
        jacobian = random_jacobian(m, p, seed)
        direction = direction_of(make(), jacobian)
        scale = np.linalg.norm(jacobian, axis=1) * np.linalg.norm(direction)
        assert (jacobian @ direction >= -1e-7 * scale - 1e-12).all()


def permutation_equivariant(make: Make) -> None:
    """The order of tasks does not matter."""
    for m, p, seed in SHAPES:
        jacobian, losses = random_jacobian(m, p, seed), np.linspace(0.5, 2, m)
        order = np.random.default_rng(seed).permutation(m)
        tasks = [names(m)[i] for i in order]
        d = direction_of(make(), jacobian, losses)
        permuted = direction_of(make(), jacobian[order], losses[order], tasks)
        np.testing.assert_allclose(permuted, d, rtol=1e-6, atol=1e-7 * np.linalg.norm(jacobian))


def invariant_to_loss_scale(make: Make, *, length: bool) -> None:
    """Scaling each task's loss leaves the direction as it is, and its length if `length`."""
    for m, p, seed in [(2, 3, 0), (3, 5, 1), (5, 20, 3)]:
        jacobian, losses = random_jacobian(m, p, seed), np.linspace(0.5, 2, m)
        factors = np.exp(np.random.default_rng(seed).uniform(-3, 3, m))
        d = direction_of(make(), jacobian, losses)
        scaled = direction_of(make(), factors[:, None] * jacobian, factors * losses)
        if not length:
            d, scaled = d / np.linalg.norm(d), scaled / np.linalg.norm(scaled)
        np.testing.assert_allclose(scaled, d, rtol=1e-6, atol=1e-8)


def equal_for_identical_tasks(make: Make) -> None:
    """Tasks with the same gradient get the direction of equal weights."""
    for m in (2, 3, 7):
        gradient = random_jacobian(1, 6, m)[0]
        d = direction_of(make(), np.tile(gradient, (m, 1)))
        np.testing.assert_allclose(
            d / np.linalg.norm(d), gradient / np.linalg.norm(gradient), rtol=1e-7, atol=1e-9
        )


def zero_only_at_pareto_points(make: Make, *, zero: bool = True) -> None:
    """``d = 0`` (if `zero`) where a convex combination of the gradients vanishes, and only there."""
    for seed in range(5):
        jacobian = random_jacobian(4, 3, seed)
        jacobian[:, 0] = np.abs(jacobian[:, 0]) + 0.1  # all improve along the first axis
        assert np.linalg.norm(direction_of(make(), jacobian)) > 1e-3
        if zero:
            jacobian[3] = -(0.2 * jacobian[0] + 0.7 * jacobian[1] + 0.4 * jacobian[2])
            assert np.linalg.norm(direction_of(make(), jacobian)) < 1e-6 * np.linalg.norm(jacobian)


def resumes_identically(make: Make) -> None:
    """The state in mid-run gives bit-identical directions, with tasks that come and go."""
    whole, first, resumed = make(), make(), make()
    for step in range(8):
        jacobian, losses = random_jacobian(4, 6, 10 + step), np.linspace(1, 2, 4) / (1 + step)
        present = [0, 1, 2, 3] if step % 3 else [0, 2, 3]
        tasks = [names(4)[i] for i in present]
        if step == 4:
            file = io.BytesIO()
            torch.save(first.state_dict(), file)
            file.seek(0)
            resumed.load_state_dict(torch.load(file, weights_only=True))
        expected = direction_of(whole, jacobian[present], losses[present], tasks)
        mine = resumed if step >= 4 else first
        np.testing.assert_array_equal(direction_of(mine, jacobian[present], losses[present], tasks), expected)


def refuses_other_state(make: Make) -> None:
    """Another method's state is an error."""
    with pytest.raises(SettingError, match="cannot go on from the state of"):
        make().load_state_dict({"of_another": {}})
