"""From the losses to where the tasks meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from polytask.balancing.engines.gradients import Gradients, add_to, weighted_gradients
from polytask.balancing.engines.graph import as_edges, edge_of
from polytask.balancing.engines.heads import Heads, heads_of, linear_weights
from polytask.balancing.engines.layers import wide
from polytask.balancing.engines.plan import Plan
from polytask.balancing.engines.sweep import batches, empty_at, stacked, sweep, zeros_at
from polytask.balancing.task_losses import TaskLosses


@dataclass
class Arrival:
    """What the tasks bring to the cut of a plan.

    Attributes
    ----------
    heads : Heads, optional
        The tasks' gradients at the only place of the cut, where linear layers lead there.
    own : dict of Tensor to Tensor
        Gradients of parameters that are not shared: of the sum of the losses.
    alone : dict of Tensor to Tensor
        The tasks' gradients (T, …) of shared parameters that tasks reach on ways of their own.
    """

    heads: Heads | None = None
    own: Gradients = field(default_factory=dict)
    alone: dict[Tensor, Tensor] = field(default_factory=dict)

    @cached_property
    def stacks(self) -> list[Tensor]:
        """The tasks' gradients (T, …) at each place of the cut."""
        return [] if self.heads is None else [self.heads.stack()]

    def gramian(self) -> Tensor:
        """Of the tasks' gradients at the only place of the cut: (T, T)."""
        if self.heads is not None:
            return self.heads.gramian()
        flat = wide(self.stacks[0]).flatten(1)
        return flat @ flat.T

    def weighted(self, w: Tensor) -> list[Tensor]:
        """``Σ_t w_t g_t`` at each place of the cut."""
        if self.heads is not None:
            return [self.heads.weighted(w)]
        return [torch.tensordot(w.to(stack.dtype), stack, 1) for stack in self.stacks]


def descend(losses: TaskLosses, plan: Plan, scale: float, keep: bool) -> Arrival:
    """Bring the tasks' gradients to the cut, times `scale`; `keep` the graph above it."""
    arrival = Arrival()
    roots = [losses.vector] if losses.scalars is None else list(losses.scalars)
    if plan.rest:
        ones = torch.full_like(losses.vector, scale)
        weighted_gradients(losses.vector, ones, plan.rest, arrival.own)
    if not plan.cut and not plan.alone:
        return arrival
    if len(roots) == 1 and len(losses) > 1:
        _together(losses.vector, plan, scale, arrival)
    elif plan.feeders and not plan.alone:
        _apart(roots, plan, scale, keep, arrival)
    else:
        _one_by_one(roots, plan, scale, arrival)
    return arrival


def _together(vector: Tensor, plan: Plan, scale: float, arrival: Arrival) -> None:
    """All losses have one root: the tasks' gradients are the rows of an identity there."""
    eye = torch.eye(len(vector), dtype=vector.dtype, device=vector.device) * scale
    root = edge_of(vector)
    if plan.cut == [root]:
        arrival.stacks = [eye]
        return
    if plan.own:
        weighted_gradients(vector, torch.full_like(vector, scale), plan.own, arrival.own)
    stop = plan.cut[0][0]
    names = (name for node, name in plan.graph.names.items() if node is not stop)
    arrival.stacks = sweep([root], [eye], plan.cut, batches(names) is None)


def _apart(roots: Sequence[Tensor], plan: Plan, scale: float, keep: bool, arrival: Arrival) -> None:
    """One backward pass for all tasks; their gradients are caught before they meet."""
    weights = linear_weights(plan.feeders, plan.cut[0])
    if weights is None:
        _caught(roots, plan, scale, keep, arrival)
        return
    outer = [torch.full_like(loss, scale) for loss in roots]
    places = [(node, 0) for node, _, _ in plan.feeders]
    inputs: Any = [*as_edges(places), *plan.own]
    found = torch.autograd.grad(roots, inputs, outer, retain_graph=keep, allow_unused=True)
    for p, g in zip(plan.own, found[len(places) :]):
        add_to(arrival.own, p, g)
    arrival.heads = heads_of(found[: len(places)], weights, plan.feeders, len(roots))
    if arrival.heads is None:
        arrival.stacks = [zeros_at(plan.cut[0], len(roots), roots[0])]


def _caught(roots: Sequence[Tensor], plan: Plan, scale: float, keep: bool, arrival: Arrival) -> None:
    """The same through hooks on whatever leads to the cut."""
    stack = empty_at(plan.cut[0], len(roots), roots[0])
    rows, filled = list(stack), [False] * len(roots)

    def catch(task: int, position: int) -> Any:
        def hook(gradients: Sequence[Tensor], _: Any) -> None:
            # Into one table at once: a tensor per task would take fresh memory for each.
            if filled[task]:
                rows[task].add_(gradients[position])
            else:
                rows[task].copy_(gradients[position])
                filled[task] = True

        return hook

    hooks = [node.register_hook(catch(task, position)) for node, position, task in plan.feeders]
    outer = [torch.full_like(loss, scale) for loss in roots]
    inputs: Any = [*as_edges(plan.cut), *plan.own]
    try:
        # What is below the cut is not gone through, and not freed.
        found = torch.autograd.grad(roots, inputs, outer, retain_graph=keep, allow_unused=True)
    finally:
        for hook in hooks:
            hook.remove()
    for p, g in zip(plan.own, found[1:]):
        add_to(arrival.own, p, g)
    for row, done in zip(rows, filled):
        if not done:  # no gradient came this way
            row.zero_()
    arrival.stacks = [stack]


def _one_by_one(roots: Sequence[Tensor], plan: Plan, scale: float, arrival: Arrival) -> None:
    places: list[list[Tensor | None]] = []
    alone: dict[Tensor, list[Tensor | None]] = {p: [None] * len(roots) for p in plan.alone}
    for t, loss in enumerate(roots):
        mine = [p for p in (*plan.own, *plan.alone) if plan.graph.tasks_of(p) >> t & 1]
        inputs: Any = [*as_edges([plan.cut[i] for i in plan.touched[t]]), *mine]
        outer = torch.full_like(loss, scale)
        found = torch.autograd.grad(loss, inputs, outer, retain_graph=True, allow_unused=True)
        row: list[Tensor | None] = [None] * len(plan.cut)
        for i, g in zip(plan.touched[t], found):
            row[i] = g
        places.append(row)
        for p, g in zip(mine, found[len(plan.touched[t]) :]):
            if p in alone:
                alone[p][t] = g
            else:
                add_to(arrival.own, p, g)
    arrival.stacks = stacked(places, plan.cut, roots[0])
    for p, column in alone.items():
        place = (plan.graph.leaves[id(p)], 0)
        arrival.alone[p] = stacked([[g] for g in column], [place], roots[0])[0]
