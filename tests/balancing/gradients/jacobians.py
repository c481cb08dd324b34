"""Gradients to try methods on, and one way to call every method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from polytask.balancing.by_gramian import GramianBalancer


def random_jacobian(m: int, p: int, seed: int) -> np.ndarray:
    """m gradients of p parameters with conflicts and norms that differ by an order of magnitude."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, p)) * np.exp(rng.uniform(-1.2, 1.2, size=(m, 1)))


def names(m: int) -> tuple[str, ...]:
    return tuple(f"task{t}" for t in range(m))


def weights_of(
    balancer: GramianBalancer,
    jacobian: np.ndarray,
    losses: np.ndarray | None = None,
    tasks: Sequence[str] | None = None,
) -> np.ndarray:
    m = len(jacobian)
    return balancer.weights(
        tuple(tasks or names(m)), np.ones(m) if losses is None else losses, jacobian @ jacobian.T
    )


def direction_of(
    balancer: Any,
    jacobian: np.ndarray,
    losses: np.ndarray | None = None,
    tasks: Sequence[str] | None = None,
) -> np.ndarray:
    if isinstance(balancer, GramianBalancer):
        return jacobian.T @ weights_of(balancer, jacobian, losses, tasks)
    m = len(jacobian)
    losses = np.ones(m) if losses is None else losses
    return balancer.direction(tuple(tasks or names(m)), losses, torch.from_numpy(jacobian)).numpy()
