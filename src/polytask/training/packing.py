"""A network's parameters in a few blocks of memory, one row per owner.

The shared parameters are one row; the parameters of T equal towers are T rows. Then clipping, the optimizer,
snapshots and leaving out a task that has no labels in a batch are operations on a few tables, and not
on hundreds of small tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polytask.errors import TrainingError
from polytask.sharing import Parallel, Sharing

#: Owner of parameters that several tasks use.
SHARED = -1


@dataclass
class Block:
    """Parameters of R owners, P each.

    Attributes
    ----------
    values, grads : Tensor of shape (R, P)
        `grads` is complete after `collect`.
    owners : int64 Tensor of shape (R,)
        Position of the task that a row belongs to, or `SHARED`.
    buffer : Tensor
        The memory that autograd adds to.
    parts : list of Tensor of shape (R, p)
        Views of `buffer`, side by side they are `grads`; empty where `grads` is `buffer` itself.
    rate : float
        Factor on the learning rate.
    """

    values: Tensor
    grads: Tensor
    owners: Tensor
    buffer: Tensor
    parts: list[Tensor]
    rate: float = 1.0

    def __post_init__(self) -> None:
        self.all_shared = bool((self.owners == SHARED).all())
        self.none_shared = bool((self.owners != SHARED).all())

    def zero_grad(self) -> None:
        self.buffer.zero_()

    def collect(self) -> None:
        """Bring the gradients of the parts, each (R, …) and contiguous, into the table."""
        if self.parts:
            torch.cat(self.parts, 1, out=self.grads)


@contextmanager
def packed(sharing: Sharing, tasks: Sequence[str]) -> Iterator[list[Block]]:
    """Move the trainable parameters of a network into blocks for the duration of a `with`.

    Parameters
    ----------
    sharing : Sharing
    tasks : sequence of str
        The order that `Block.owners` refers to.
    """
    owner_of = {id(p): i for i, task in enumerate(tasks) for p in sharing.task_parameters(task)}
    rates = {id(p): factor for p, factor in sharing.learning_rates()}
    bound: list[Parallel] = []
    blocks: list[Block] = []
    done: set[int] = set()
    for module in sharing.modules():
        if isinstance(module, Parallel) and _can_bind(module, owner_of, rates):
            blocks.append(_bind(module, owner_of))
            bound.append(module)
            done.update(id(p) for p in module.parameters())
    loose = [p for p in sharing.parameters() if p.requires_grad and id(p) not in done]
    blocks += _loose_blocks(loose, owner_of, rates)
    if not blocks:
        raise TrainingError("The network has no parameters to train: all of them are frozen.")
    try:
        yield blocks
    finally:
        for module in bound:
            module.unbind()
        for parameter in loose:
            parameter.data = parameter.data.clone()
            parameter.grad = None


def _can_bind(module: Parallel, owner_of: dict[int, int], rates: dict[int, float]) -> bool:
    """Only members that are equal in type and all trained, and no parameter that two members share.

    Nor members that several tasks use: balancing by gradients is told shared parameters by name, and would not
    see that they have moved.
    """
    parameters = list(module.parameters())
    per_member = sum(1 for _ in module.members[0].parameters())
    same_type = len({(p.dtype, p.device) for p in parameters}) == 1
    return (
        module.path != "loop"
        and same_type
        and len(parameters) == per_member * len(module)
        and all(p.requires_grad and id(p) in owner_of and id(p) not in rates for p in parameters)
    )


def _bind(module: Parallel, owner_of: dict[int, int]) -> Block:
    first = next(iter(module.parameters()))
    width = sum(p.numel() for p in module.members[0].parameters())
    values = first.new_empty(len(module), width).detach()
    buffer = values.new_zeros(values.numel())
    module.bind(values, buffer)
    owners = [owner_of[id(next(iter(m.parameters())))] for m in module.members]
    sizes = [p.numel() * len(module) for p in module.members[0].parameters()]
    parts = [part.view(len(module), -1) for part in buffer.split(sizes)]
    return Block(values, torch.zeros_like(values), torch.tensor(owners, device=values.device), buffer, parts)


def _loose_blocks(
    parameters: list[nn.Parameter], owner_of: dict[int, int], rates: dict[int, float]
) -> list[Block]:
    by_owner: dict[tuple[int, float, torch.dtype, torch.device], list[nn.Parameter]] = {}
    for p in parameters:
        key = owner_of.get(id(p), SHARED), rates.get(id(p), 1.0), p.dtype, p.device
        by_owner.setdefault(key, []).append(p)
    blocks = []
    for (owner, rate, _, device), members in by_owner.items():
        values = torch.cat([p.detach().reshape(-1) for p in members])
        grads = torch.zeros_like(values)
        start = 0
        for p in members:
            stop = start + p.numel()
            p.data, p.grad = values[start:stop].view(p.shape), grads[start:stop].view(p.shape)
            start = stop
        row = grads.unsqueeze(0)
        blocks.append(Block(values.unsqueeze(0), row, torch.tensor([owner], device=device), grads, [], rate))
    return blocks
