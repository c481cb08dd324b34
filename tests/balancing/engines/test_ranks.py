"""Several ranks make the step of one process that holds the whole batch, under DDP and under FSDP2."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import torch.multiprocessing as mp

from polytask.balancing import BALANCERS

from .workers import train

NAMES = [*BALANCERS, "mgda@features", "upgrad@features"]


def run(kind: str, world: int, names: list[str] = NAMES) -> dict[str, np.ndarray]:
    """Weights after ten steps by balancer, from the first rank; all ranks must have the same bits."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=train, args=(r, world, kind, names, port, results)) for r in range(world)
    ]
    for worker in workers:
        worker.start()
    try:
        found = dict(results.get(timeout=240) for _ in workers)
    finally:
        for worker in workers:
            worker.join(10)
            worker.kill()
    for rank in range(1, world):
        for name in names:
            assert found[rank][name] == found[0][name], f"{name}: rank {rank} has drifted from rank 0"
    return {name: np.array(values) for name, values in found[0].items()}


@pytest.fixture(scope="module")
def alone() -> dict[str, np.ndarray]:
    return run("alone", 1)


@pytest.mark.parametrize(("kind", "world"), [("ddp", 1), ("ddp", 2), ("ddp", 3), ("fsdp", 2), ("fsdp", 3)])
def test_ranks_make_the_step_of_one(alone: dict[str, np.ndarray], kind: str, world: int) -> None:
    found = run(kind, world)
    for name in NAMES:
        assert np.isfinite(found[name]).all()
        np.testing.assert_allclose(found[name], alone[name], rtol=1e-7, atol=1e-8, err_msg=f"{name}, {kind}")
    assert not np.allclose(alone["equal"], alone["pcgrad"])
