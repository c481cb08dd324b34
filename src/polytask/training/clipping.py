"""Gradient clipping, and the last look before a step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from polytask.errors import TrainingError
from polytask.training.packing import Block


def clip_gradients(blocks: Sequence[Block], limit: float | None, tasks: Sequence[str]) -> None:
    """Collect the gradients of a step and scale them down to a norm of at most `limit`.

    The shared ones are scaled together, each task's own apart: a task with a large
    gradient must not slow down networks that it does not share.

    Raises
    ------
    TrainingError
        For a gradient that is not finite, naming the parameters' owner, before anything moves.
    """
    for block in blocks:
        block.collect()
        norms = torch.linalg.vector_norm(block.grads, dim=1, keepdim=True)
        largest = norms.max().item()
        if not math.isfinite(largest):
            row = int((~torch.isfinite(norms[:, 0])).nonzero()[0])
            owner = int(block.owners[row])
            whose = "the shared parameters" if owner < 0 else f"task '{tasks[owner]}'"
            raise TrainingError(
                f"The gradient of {whose} is not finite. No step was taken. Lower the learning rate, or look "
                "for extreme values in the targets and features."
            )
        if limit is not None and largest > limit:
            block.grads.mul_((limit / norms).clamp(max=1.0))
