"""Looking at a network without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluated(*networks: nn.Module) -> Iterator[None]:
    """Networks in evaluation mode and without gradients, for the duration of a `with`."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for module, _ in modes:
        module.training = False
    try:
        with torch.no_grad():
            yield
    finally:
        # Not `train()`, which would wake up layers that are kept in evaluation mode.
        for module, training in modes:
            module.training = training
