"""Saving a training run after an epoch, and going on with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from polytask.errors import ModelFolderError
from polytask.training.checkpoints import load_checkpoint, save_checkpoint
from polytask.training.randomness import random_states, set_random_states

if TYPE_CHECKING:
    from polytask.training.loop import Run


def save_run(run: Run) -> None:
    """Write everything that the next epoch depends on, if the settings name a file."""
    if run.settings.checkpoint is None:
        return
    balancer = run.balancer.state_dict()
    tensors = {f"values.{i}": block.values for i, block in enumerate(run.blocks)}
    tensors |= {f"buffers.{i}": buffer for i, buffer in enumerate(run.sharing.buffers())}
    tensors |= _under("best.", run.best.state_dict())
    tensors |= _under("optimizer.", run.optimizer.state_dict())
    tensors |= _under("balancer.", {k: v for k, v in balancer.items() if isinstance(v, Tensor)})
    tensors |= _under("random.", random_states(run.generator, run.data.device))
    plain = {
        "tasks": list(run.data.tasks),
        "sharing": _network(run),
        "epoch": run.epoch,
        "rate_factor": run.rate_factor,
        "history": run.history,
        "stopping": None if run.stopping is None else run.stopping.state_dict(),
        "balancer": {k: v for k, v in balancer.items() if not isinstance(v, Tensor)},
        "watch": None if run.balancer.watch is None else run.balancer.watch.state_dict(),
    }
    save_checkpoint(run.settings.checkpoint, tensors, plain)


def resume_run(run: Run) -> None:
    """Go on from the checkpoint, if asked to and there is one.

    Raises
    ------
    ModelFolderError
        If the file cannot be read, or belongs to a run with other tasks, another network or other validation.
    """
    path = run.settings.checkpoint
    if not run.settings.resume or path is None or not Path(path).exists():
        return
    tensors, plain = load_checkpoint(path)
    blocks = _part(tensors, "values.")
    same_shapes = {k: v.shape for k, v in blocks.items()} == {
        str(i): block.values.shape for i, block in enumerate(run.blocks)
    }
    same_validation = (plain["stopping"] is None) == (run.stopping is None)
    same_network = same_shapes and plain.get("sharing") == _network(run)
    if plain["tasks"] != list(run.data.tasks) or not same_network or not same_validation:
        raise ModelFolderError(
            f"{path} belongs to a run with other tasks or another network; delete or rename it."
        )
    for i, block in enumerate(run.blocks):
        block.values.copy_(blocks[str(i)])
    for i, buffer in enumerate(run.sharing.buffers()):
        buffer.copy_(tensors[f"buffers.{i}"])
    run.best.load_state_dict(_part(tensors, "best."))
    run.optimizer.load_state_dict(_part(tensors, "optimizer."))
    run.balancer.load_state_dict(plain["balancer"] | _part(tensors, "balancer."))
    if run.balancer.watch is not None and plain.get("watch") is not None:
        run.balancer.watch.load_state_dict(plain["watch"])
    run.epoch, run.rate_factor, run.history = plain["epoch"], plain["rate_factor"], plain["history"]
    if run.stopping is not None:
        run.stopping.load_state_dict(plain["stopping"])
    set_random_states(_part(tensors, "random."), run.generator, run.data.device)


def _network(run: Run) -> dict[str, Any]:
    """Architecture and settings as they come back from JSON."""
    settings = run.sharing.settings
    found: dict[str, Any] = json.loads(json.dumps({"name": run.sharing.name, "settings": settings}))
    return found


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
