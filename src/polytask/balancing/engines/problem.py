"""The tasks' gradients of one batch: their Gramian, and weighted sums of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.engines.descent import Arrival, descend
from polytask.balancing.engines.find import find_layers
from polytask.balancing.engines.gradients import Gradients, add_to, weighted_gradients
from polytask.balancing.engines.graph import Edge, as_edges, is_common
from polytask.balancing.engines.layers import Layer
from polytask.balancing.engines.plan import check_reached, make_plan
from polytask.balancing.engines.sweep import batches, stacked, sweep
from polytask.balancing.task_losses import TaskLosses


class Problem:
    """The tasks' gradients with respect to shared parameters, or to the shared representation.

    Parameters
    ----------
    losses : TaskLosses
    shared : dict of Tensor to str
        Parameters and their names.
    features : Tensor, optional
        Saves work where heads are computed together; needed for ``at_features``.
    at_features : bool
        Take the Gramian at the representation instead of the parameters.
    scale : float
        Factor of all gradients that come out; the Gramian is without it.
    strict : bool
        Refuse shared parameters that no loss reaches.
    ghost : bool
        False: form all gradients of parameters; for comparison.
    keep : bool
        False: parts of the graph that are gone through for the last time are freed, as a backward pass does.

    Attributes
    ----------
    report : list of dict
        After `sweep`: how each layer was treated.
    """

    def __init__(
        self,
        losses: TaskLosses,
        shared: dict[Tensor, str],
        features: Tensor | None = None,
        *,
        at_features: bool = False,
        scale: float = 1.0,
        strict: bool = True,
        ghost: bool = True,
        keep: bool = True,
    ) -> None:
        self.losses, self.tasks, self.scale, self.at_features = losses, losses.tasks, scale, at_features
        self.shared, self.ghost, self.keep = shared, ghost, keep
        self.plan = make_plan(losses, shared, features, at_features)
        check_reached(self.plan, losses, shared, strict and not at_features, not at_features)
        self.layers: list[Layer] = []
        self.report: list[dict[str, Any]] = []
        self.swept = False
        self._swept_all = False
        #: Gradients of the layer that was asked for last: its weight and bias are asked for one after another.
        self._latest: tuple[Layer, list[Tensor]] | None = None

    @cached_property
    def arrival(self) -> Arrival:
        """What the tasks bring to where they meet."""
        return descend(self.losses, self.plan, self.scale, self.keep)

    # ------------------------------------------------------------------ what balancers ask for

    def sweep(self, last_layer: bool = False) -> None:
        """Bring the tasks' gradients to where the Gramian needs them; of all layers, or of the last one. Once."""
        if self.swept:
            return
        self.swept, arrival = True, self.arrival
        if self.at_features:
            self.report = [{"parameters": ["features"], "way": "features", "sweep": "none"}]
            return
        why = self._why_one_by_one()
        layers = find_layers(
            self.plan.below, self.shared, len(self.tasks), self.ghost, why is None, arrival.alone
        )
        if last_layer and layers:  # weight and bias may be two entries
            layers = [layer for layer in layers if layer.position == layers[0].position]
        self.layers, self._swept_all = layers, not last_layer
        keep = self.keep or last_layer or any(layer.reads_graph for layer in layers)
        edges = [edge for layer in layers for edge in layer.edges]
        grads = iter(self._bring(edges, why is None, keep))
        for layer in layers:
            if layer.edges:
                layer.receive([next(grads) for _ in layer.edges])
            else:
                layer.receive([arrival.alone[p] for p in layer.parameters])
        kind = "all tasks at once" if why is None else f"task by task ({why})"
        self.report = [
            {"parameters": [self.shared[p] for p in layer.parameters], "way": layer.way, "sweep": kind}
            for layer in layers
        ]

    @torch.no_grad()
    def gramian(self) -> Tensor:
        """``G_st = ⟨g_s, g_t⟩``, shape (T, T)."""
        if self.at_features:
            return self.arrival.gramian() / self.scale**2
        out = self.losses.vector.new_zeros(len(self.tasks), len(self.tasks), dtype=torch.float64)
        for layer in self.layers:
            out += layer.gramian()
        return out / self.scale**2

    @torch.no_grad()
    def per_task(self, parameter: Tensor) -> Tensor | None:
        """The tasks' gradients (T, …) of a shared parameter, with the scale; None where it is not reached."""
        for layer in self.layers:
            for i, p in enumerate(layer.parameters):
                if p is parameter:
                    if self._latest is None or self._latest[0] is not layer:
                        self._latest = layer, layer.per_task()
                    return self._latest[1][i]
        return None

    def add_own(self, into: Gradients) -> None:
        """Add the gradients of parameters that are not shared: those of the sum of the losses."""
        for p, g in self.arrival.own.items():
            add_to(into, p, g)

    @torch.no_grad()
    def add_weighted(self, weights: np.ndarray | Tensor, into: Gradients) -> None:
        """Add ``Σ_t w_t g_t`` of the shared parameters, with weights in the order of ``tasks``."""
        w = torch.as_tensor(weights).to(self.losses.vector)
        if self._swept_all:
            for layer in self.layers:
                for p, g in zip(layer.parameters, layer.weighted(w)):
                    add_to(into, p, g)
        else:
            self._add_by_one_pass(w, into)

    # ------------------------------------------------------------------ how

    def _add_by_one_pass(self, w: Tensor, into: Gradients) -> None:
        """From the cut with the weighted gradient there, where the layers have not been gone through."""
        arrival, plan = self.arrival, self.plan
        for p, g in arrival.alone.items():
            add_to(into, p, torch.tensordot(w.to(g.dtype), g, 1))
        targets = [p for p in self.shared if p not in arrival.alone]
        if plan.cut and targets:
            outer = arrival.weighted(w)
            found = torch.autograd.grad(
                as_edges(plan.cut), targets, outer, retain_graph=self.keep, allow_unused=True
            )
            for p, g in zip(targets, found):
                add_to(into, p, g)
        elif targets and not arrival.alone:
            weighted_gradients(self.losses.vector, w * self.scale, targets, into)

    def _why_one_by_one(self) -> str | None:
        """What all tasks cannot go through at once, or None."""
        plan = self.plan
        if not plan.cut and not plan.alone:
            return "tasks meet at several depths"
        # Nodes of single tasks are above the cut where that is where tasks meet.
        own_too = self.losses.scalars is None or plan.below is not plan.graph
        return batches(
            name for node, name in plan.below.names.items() if own_too or is_common(plan.below.tasks[node])
        )

    def _bring(self, edges: list[Edge], batched: bool, keep: bool) -> list[Tensor]:
        """The tasks' gradients at these edges."""
        if self.plan.cut or not edges:
            return sweep(self.plan.cut, self.arrival.stacks, edges, batched, keep)
        losses = self.losses.scalars or (self.losses.vector,)
        ends: Any = as_edges(edges)
        rows = []
        for loss in losses:
            outer = torch.full_like(loss, self.scale)
            rows.append(torch.autograd.grad(loss, ends, outer, retain_graph=True, allow_unused=True))
        return stacked(rows, edges, self.losses.vector)
