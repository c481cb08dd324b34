from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from polytask.balancing import solvers
from polytask.balancing.solvers import on_device

from .problems import gramians, objective_cagrad, objective_fair

FORBIDDEN = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique",
    "is_nonzero",
    "equal",
    "_linalg_check_errors",
)

ON_DEVICE: dict[str, Callable[[Tensor], Tensor]] = {
    "min_norm": on_device.min_norm,
    "cagrad": lambda G: on_device.cagrad(G, 0.4),
    "nash": on_device.nash,
    "fair": lambda G: on_device.fair(G, 2.0),
    "dual_cone": on_device.dual_cone,
}


class NoHost(TorchDispatchMode):
    """Raises where an operation hands a value, or a shape that depends on values, to the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        moves = name in ("_to_copy", "copy_", "to") and kwargs.get("device") is not None
        masks = name in ("index", "index_put_") and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        if name in FORBIDDEN or moves or masks:
            raise AssertionError(f"{name} waits for the host")
        return func(*args, **kwargs)


@pytest.mark.parametrize("name", ON_DEVICE)
def test_nothing_waits_for_the_host(name: str) -> None:
    G = torch.from_numpy(gramians(1, 1, 2)[0])
    with NoHost():
        ON_DEVICE[name](G)
        ON_DEVICE[name](G.to(torch.float32))


def test_the_guard_sees_what_waits() -> None:
    for wait in (
        lambda x: bool(x.sum() > 0),
        lambda x: x.sum().item(),
        lambda x: x[x > 0],
        lambda x: x.to("meta"),
    ):
        with pytest.raises(AssertionError, match="waits for the host"), NoHost():
            wait(torch.ones(3))


@pytest.mark.parametrize("name", ON_DEVICE)
def test_no_shape_or_step_depends_on_values(name: str) -> None:
    """It runs on fake tensors, which have no values at all."""
    with torch._subclasses.FakeTensorMode():
        assert ON_DEVICE[name](torch.empty(4, 4, dtype=torch.float64)).shape[-1] == 4


def test_objectives_are_those_of_the_compiled_solvers() -> None:
    for G in gramians(24, 0, 6, seed=3):
        moved = torch.from_numpy(G)

        def close(found: float, best: float) -> None:
            assert abs(found - best) <= 1e-6 * abs(best)

        w, best = on_device.min_norm(moved).numpy(), solvers.min_norm(G)
        close(w @ G @ w, best @ G @ best)
        close(
            objective_cagrad(G, 0.4, on_device.cagrad(moved, 0.4).numpy()),
            objective_cagrad(G, 0.4, solvers.cagrad(G, 0.4)),
        )
        for a in (0.5, 1.0, 2.0, 10.0):
            close(
                objective_fair(G, a, on_device.fair(moved, a).numpy()),
                objective_fair(G, a, solvers.fair(G, a)),
            )
        V, best = on_device.dual_cone(moved).numpy(), solvers.dual_cone(G)
        np.testing.assert_allclose(((V @ G) * V).sum(1), ((best @ G) * best).sum(1), rtol=1e-6)


def test_bounds_of_ones_choice() -> None:
    G = gramians(1, 1, 2)[0]
    U = np.random.default_rng(0).uniform(size=(2, len(G)))
    V = on_device.dual_cone(torch.from_numpy(G), torch.from_numpy(U)).numpy()
    np.testing.assert_allclose(V, solvers.dual_cone(G, U), atol=1e-6)


@pytest.mark.parametrize("name", ON_DEVICE)
def test_hard_gramians_give_finite_weights(name: str) -> None:
    """One task; opposite gradients with one across; duplicates; a stand-in for a task without a gradient."""
    jacobian = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    absent = torch.eye(3, dtype=torch.float64) + torch.diag(torch.tensor([0.0, 0.0, 1e6]).double())
    for G in (torch.eye(1) * 3, jacobian @ jacobian.T, torch.ones(4, 4), absent):
        weights = ON_DEVICE[name](G)
        assert weights.isfinite().all()
        assert (weights > -1e-12).all()


def test_identical_tasks_have_equal_weights() -> None:
    for name, solve in ON_DEVICE.items():
        weights = solve(torch.full((4, 4), 2.5, dtype=torch.float64))
        weights = weights.mean(0) if name == "dual_cone" else weights
        torch.testing.assert_close(weights, weights[0].expand(4), rtol=1e-8, atol=0)


def test_a_minimum_where_the_weighted_gradient_vanishes() -> None:
    jacobian = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    w = on_device.cagrad(jacobian @ jacobian.T, 0.4)
    torch.testing.assert_close(w, torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64), atol=1e-6, rtol=0)
