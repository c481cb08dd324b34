"""Networks whose parameters are sharded over ranks by FSDP2 (`torch.distributed.fsdp.fully_shard`)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from polytask.balancing.engines.gradients import Gradients


class Shards:
    """Brings whole parameters together for a balanced step, and hands every rank its part of the gradients.

    FSDP would reduce gradients by itself, per backward pass and without knowing of tasks. It is kept from it:
    during the step parameters are whole, and it synchronises nothing. Memory: the whole network's gradients.

    Parameters
    ----------
    model : Module
        Nothing is done for one without FSDP modules.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.modules = [
            m for m in model.modules() if hasattr(m, "set_requires_gradient_sync") and hasattr(m, "unshard")
        ]
        for module in self.modules:
            module.set_requires_gradient_sync(False, recurse=False)
            module.set_reshard_after_backward(False, recurse=False)

    def gather(self) -> list[Tensor]:
        """Whole parameters, which are the leaves of the graph; none without FSDP."""
        for module in self.modules:
            module.unshard()
        return [p for p in self.model.parameters() if p.requires_grad] if self.modules else []

    def release(self, gradients: Gradients) -> Gradients:
        """Shard the parameters again; returns this rank's parts of the gradients."""
        if not self.modules:
            return gradients
        whole = {name: gradients.get(p) for name, p in self.model.named_parameters()}
        for module in self.modules:
            module.reshard()
        out: Gradients = {}
        for name, p in self.model.named_parameters():
            gradient = whole[name]
            if gradient is not None:
                out[p] = _part_of(gradient, p)
        return out


def _is_sharded(module: Any) -> bool:
    # Not isinstance: importing FSDP takes longer than everything else here.
    return all(hasattr(module, name) for name in ("unshard", "reshard", "set_requires_gradient_sync"))


def _part_of(gradient: Tensor, parameter: Any) -> Tensor:
    """The gradient laid out over ranks as the parameter is; every rank has all of it, so nothing is sent."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(parameter, DTensor):
        return gradient
    with torch.no_grad():
        return distribute_tensor(gradient, parameter.device_mesh, parameter.placements, src_data_rank=None)
