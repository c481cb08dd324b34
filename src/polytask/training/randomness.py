"""Random numbers: from a seed, without touching the caller's, and restorable in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's random numbers from `seed`; the caller's own stream is left as it was."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def random_states(generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    """The states of the generator of batches and of torch's own."""
    states = {"batches": generator.get_state(), "cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, Tensor], generator: torch.Generator, device: torch.device) -> None:
    """Go on where `random_states` was called."""
    generator.set_state(states["batches"])
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
