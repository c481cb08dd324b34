"""Networks side by side whose activations are mixed: what cross-stitch and sluice networks have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from polytask.errors import SettingError
from polytask.sharing.parallel import Parallel, fresh_copies
from polytask.sharing.parts import Part, parameters_of
from polytask.sharing.stacked import Stacked


class Rows(nn.Module):
    """The rows of a stitch that one task takes: a module, so that `Parallel` can hold one per task."""

    def __init__(self, alpha: Tensor) -> None:
        super().__init__()
        self.alpha = nn.Parameter(alpha.clone())


def mix(alpha: Tensor, x: Tensor, channel: int = -1) -> Tensor:
    """``x̃_s = Σ_t α_st x_t``, in one product.

    Parameters
    ----------
    alpha : Tensor of shape (S, T), or (S, T, C) for one matrix per channel
    x : Tensor of shape (T, n, …)
    channel : {1, -1}
        Dimension of one network's output, (n, …), that holds its C channels.

    Returns
    -------
    Tensor of shape (S, n, …)
    """
    if alpha.dim() == 2:
        return torch.mm(alpha, x.reshape(len(x), -1)).view(len(alpha), *x.shape[1:])
    return torch.einsum("stc,tnc...->snc..." if channel == 1 else "stc,tn...c->sn...c", alpha, x)


def initial_stitch(n: int, own: float) -> Tensor:
    """(n, n): `own` on the diagonal, the rest of each row's one shared equally."""
    start = torch.full((n, n), (1 - own) / max(n - 1, 1))
    return start.fill_diagonal_(own)


def check_start(own: float, rate: float) -> None:
    """Raise for a share outside [0, 1], or a learning rate's factor that is not positive."""
    if not 0 <= own <= 1:
        raise SettingError(f"own, a network's part of its own input at first, must be in [0, 1], got {own}.")
    if not rate > 0:
        raise SettingError(f"rate, the factor on the stitches' learning rate, must be positive, got {rate}.")


def tower_blocks(modules: Sequence[nn.Module], n_tasks: int, n_stitched: int) -> nn.ModuleList:
    """Each block once per task: the first `n_stitched` are used by all tasks, those after them by one each."""
    copies = [fresh_copies(module, n_tasks) for module in modules]
    return nn.ModuleList(
        Stacked(members) if i < n_stitched else Parallel(members) for i, members in enumerate(copies)
    )


def typed(blocks: nn.ModuleList) -> list[Stacked | Parallel]:
    """The blocks of `tower_blocks`."""
    return cast("list[Stacked | Parallel]", list(blocks))


def run(block: Stacked | Parallel, x: Tensor, members: Sequence[int] | None, *, first: bool) -> Tensor:
    """A block's networks, all on x where it is the first, else each on an input of its own: (T, n, …)."""
    return block(x, members) if first else block.forward_stacked(x, members)


def tower_parts(
    tasks: tuple[str, ...], blocks: nn.ModuleList, alphas: nn.ParameterList, last_alpha: Parallel | None
) -> tuple[list[Part], dict[str, tuple[str, ...]]]:
    """Parts of blocks and stitches, and the names of those that each task's head would take."""
    out: list[Part] = []
    takes: dict[str, tuple[str, ...]] = dict.fromkeys(tasks, ())
    for i, block in enumerate(typed(blocks), start=1):
        if isinstance(block, Parallel):
            out += own_parts(f"layer {i}", "layer", block, takes)
        else:
            towers = f"layer {i} of {len(tasks)} networks"
            members = tuple(f"layer {i} of {task}" for task in tasks)
            out.append(Part(towers, tasks, "layer", parameters_of(block), takes[tasks[0]], members=members))
            takes = dict.fromkeys(tasks, (towers,))
            if i <= len(alphas):
                out.append(Part(f"stitch {i}", tasks, "stitch", (alphas[i - 1],), (towers,)))
                takes = dict.fromkeys(tasks, (f"stitch {i}",))
                continue
            assert last_alpha is not None
            out += own_parts(f"stitch {i}", "stitch", last_alpha, takes)
        takes = {task: (part.name,) for task, part in zip(tasks, out[-len(tasks) :])}
    return out, takes


def own_parts(name: str, kind: str, members: Parallel, takes: Mapping[str, tuple[str, ...]]) -> list[Part]:
    """A part for each task's member of a `Parallel`; `takes` maps a task to what its member takes."""
    return [
        Part(f"{name} of {task}", (task,), kind, parameters_of(member), below)
        for (task, below), member in zip(takes.items(), members.members)
    ]
