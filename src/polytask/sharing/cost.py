"""What a forward pass costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from polytask.errors import SettingError
from polytask.sharing.modes import evaluated

if TYPE_CHECKING:
    from polytask.sharing.base import Sharing


def flops_per_row(
    sharing: Sharing, example: torch.Tensor | None = None, tasks: Sequence[str] | None = None
) -> int:
    """Floating-point operations of one row's forward pass, as PyTorch counts them.

    Products and convolutions are counted, a multiplication and an addition as two; what acts on each entry
    alone, and recurrent kernels, are not.

    Parameters
    ----------
    sharing : Sharing
    example : Tensor of shape (n, …), optional
        Rows of input; not needed where the architecture knows its input's shape.
    tasks : sequence of str, optional
        Tasks that are asked for; None: all.
    """
    if example is None:
        if sharing.input_shape is None:
            raise SettingError("The shape of the input is not known: pass a few rows of it, example=x[:2].")
        parameter = next(sharing.parameters())
        example = torch.zeros(2, *sharing.input_shape, dtype=parameter.dtype, device=parameter.device)
    with evaluated(sharing), FlopCounterMode(display=False) as counter:
        sharing(example, None if tasks is None else dict.fromkeys(tasks))
    return int(counter.get_total_flops()) // len(example)
