"""The best weights of a run, kept while training goes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from polytask.sharing import Sharing
from polytask.training.packing import SHARED, Block


class BestWeights:
    """A copy of all parameters and buffers.

    Parameters
    ----------
    blocks : sequence of Block
    sharing : Sharing
        Its buffers (running statistics) belong to the weights.
    """

    def __init__(self, blocks: Sequence[Block], sharing: Sharing) -> None:
        self.blocks = blocks
        # Looked up once: a walk through many tasks' networks takes longer than a copy of the weights.
        self._live = list(sharing.buffers())
        self.values = [block.values.clone() for block in blocks]
        self.buffers = [buffer.clone() for buffer in self._live]

    def keep(self, tasks: np.ndarray | None = None) -> None:
        """Copy the present weights: all of them, or those of the tasks in a mask of shape (T,)."""
        for best, block in zip(self.values, self.blocks):
            if tasks is None:
                best.copy_(block.values)
                continue
            chosen = torch.as_tensor(tasks, device=block.owners.device)
            rows = chosen[block.owners.clamp(min=0)] & (block.owners != SHARED)
            best[rows] = block.values[rows]
        for kept, buffer in zip(self.buffers, self._live):
            kept.copy_(buffer)

    def restore(self) -> None:
        """Bring the kept weights back."""
        for best, block in zip(self.values, self.blocks):
            block.values.copy_(best)
        for kept, buffer in zip(self.buffers, self._live):
            buffer.copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        state = {f"values.{i}": values for i, values in enumerate(self.values)}
        return state | {f"buffers.{i}": buffer for i, buffer in enumerate(self.buffers)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for i, values in enumerate(self.values):
            values.copy_(state[f"values.{i}"])
        for i, buffer in enumerate(self.buffers):
            buffer.copy_(state[f"buffers.{i}"])
