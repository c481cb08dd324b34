"""AdamW over blocks of parameters, which leaves out the rows of tasks that have no loss in a step.

Loshchilov, I., Hutter, F. (2019). Decoupled weight decay regularization. ICLR.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from polytask.training.packing import SHARED, Block

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class BlockAdamW:
    """AdamW; a row that takes no part keeps its value, its moments and its step count.

    That is what `torch.optim.AdamW` does to a parameter whose gradient is None. A gradient of zero is
    different: momentum and weight decay would still move it.

    Parameters
    ----------
    blocks : sequence of Block
    weight_decay : float
    """

    def __init__(self, blocks: Sequence[Block], weight_decay: float) -> None:
        self.blocks = blocks
        self.weight_decay = weight_decay
        self.first = [torch.zeros_like(b.values) for b in blocks]
        self.second = [torch.zeros_like(b.values) for b in blocks]
        self.steps = [
            torch.zeros(len(b.owners), 1, dtype=torch.float32, device=b.values.device) for b in blocks
        ]
        self._common = [torch.zeros((), dtype=torch.float32, device=b.values.device) for b in blocks]
        #: Whether all rows of a block have taken part in every step so far.
        self._even = [True] * len(blocks)

    def zero_grad(self) -> None:
        for block in self.blocks:
            block.zero_grad()

    def step(self, lr: float, active: Tensor | None = None) -> None:
        """One step.

        Parameters
        ----------
        lr : float
        active : bool Tensor of shape (T,), optional
            Tasks that had a loss; None: all of them.
        """
        for i, block in enumerate(self.blocks):
            if active is None or block.all_shared:
                mask = None
            else:
                mask = self._taking_part(i, active)
            if mask is None and self._even[i]:
                self._step_all(i, lr * block.rate)
            else:
                self._step_rows(i, lr * block.rate, mask)

    def _taking_part(self, i: int, active: Tensor) -> Tensor | None:
        block = self.blocks[i]
        if block.none_shared:
            mask = active[block.owners]
        else:
            mask = active[block.owners.clamp(min=0)] | (block.owners == SHARED)
        return None if bool(mask.all()) else mask

    def _step_all(self, i: int, lr: float) -> None:
        block = self.blocks[i]
        adamw(
            [block.values],
            [block.grads],
            [self.first[i]],
            [self.second[i]],
            [],
            [self._common[i]],
            fused=block.values.device.type in ("cpu", "cuda"),
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=lr,
            weight_decay=self.weight_decay,
            eps=EPS,
            maximize=False,
        )

    def _step_rows(self, i: int, lr: float, mask: Tensor | None) -> None:
        block, first, second = self.blocks[i], self.first[i], self.second[i]
        if self._even[i]:
            self.steps[i].fill_(self._common[i].item())
            self._even[i] = False
        steps = self.steps[i]
        if mask is None:
            steps += 1
            _adamw(block.values, block.grads, first, second, steps, lr, self.weight_decay)
            return
        rows = mask.nonzero().squeeze(1)
        steps[rows] += 1
        tables = (block.values, first, second)
        values, m, v = (table.index_select(0, rows) for table in tables)
        _adamw(values, block.grads.index_select(0, rows), m, v, steps[rows], lr, self.weight_decay)
        for table, changed in zip(tables, (values, m, v)):
            table.index_copy_(0, rows, changed)

    def state_dict(self) -> dict[str, Tensor]:
        state = {}
        for i in range(len(self.blocks)):
            state[f"{i}.first"], state[f"{i}.second"] = self.first[i], self.second[i]
            state[f"{i}.steps"], state[f"{i}.common"] = self.steps[i], self._common[i]
            state[f"{i}.even"] = torch.tensor(self._even[i])
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for i in range(len(self.blocks)):
            self.first[i].copy_(state[f"{i}.first"])
            self.second[i].copy_(state[f"{i}.second"])
            self.steps[i].copy_(state[f"{i}.steps"])
            self._common[i].copy_(state[f"{i}.common"])
            self._even[i] = bool(state[f"{i}.even"])


def _adamw(
    values: Tensor,
    grads: Tensor,
    first: Tensor,
    second: Tensor,
    steps: Tensor,
    lr: float,
    weight_decay: float,
) -> None:
    """A step of AdamW in place; `steps` of shape (R, 1) counts each row's own, with this one."""
    first.lerp_(grads, 1 - BETA1)
    second.mul_(BETA2).addcmul_(grads, grads, value=1 - BETA2)
    # expm1 keeps 1 − βⁿ accurate in single precision, where β₂ⁿ is almost 1.
    first_bias, second_bias = (-torch.expm1(steps * math.log(b)).to(values.dtype) for b in (BETA1, BETA2))
    root = second.sqrt().mul_(second_bias.rsqrt_()).add_(EPS)
    values.mul_(1 - lr * weight_decay).addcdiv_(first * (lr / first_bias), root, value=-1)
