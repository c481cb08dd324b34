"""Several ranks make the step of one process that holds the whole batch, under DDP and under FSDP2."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import torch.multiprocessing as mp

from polytask.balancing import BALANCERS

from .workers import train

NAMES = [*BALANCERS, "mgda@features", "upgrad@features"]


def run(world: int, kinds: list[str], names: list[str] = NAMES) -> dict[tuple[str, str], np.ndarray]:
    """Weights after ten steps by kind and balancer, from the first rank; all ranks must have the same bits."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=train, args=(r, world, kinds, names, port, results)) for r in range(world)
    ]
    for worker in workers:
        worker.start()
    try:
        found = {}
        for _ in workers:
            rank, found[rank] = results.get(timeout=300)
            assert not isinstance(found[rank], str), f"rank {rank}: {found[rank]}"
    finally:
        for worker in workers:
            worker.join(10 if len(found) == world else 0)
            worker.kill()
    for rank in range(1, world):
        for key in found[0]:
            assert found[rank][key] == found[0][key], f"{key}: rank {rank} has drifted from rank 0"
    return {key: np.array(values) for key, values in found[0].items()}


@pytest.fixture(scope="module")
def one() -> dict[tuple[str, str], np.ndarray]:
    return run(1, ["alone", "ddp"])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_make_the_step_of_one(one: dict[tuple[str, str], np.ndarray], world: int) -> None:
    found = one if world == 1 else run(world, ["ddp", "fsdp"])
    for (kind, name), weights in found.items():
        assert np.isfinite(weights).all()
        np.testing.assert_allclose(
            weights, one["alone", name], rtol=1e-7, atol=1e-8, err_msg=f"{name}, {kind}, {world} ranks"
        )
    assert not np.allclose(one["alone", "equal"], one["alone", "pcgrad"])
