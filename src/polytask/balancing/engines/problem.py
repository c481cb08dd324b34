"""The tasks' gradients of one batch: their Gramian, and weighted sums of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from polytask.balancing.engines.find import find_layers
from polytask.balancing.engines.gradients import Gradients, add_to, weighted_gradients
from polytask.balancing.engines.graph import Edge, as_edges, edge_of
from polytask.balancing.engines.layers import Layer
from polytask.balancing.engines.plan import Plan, make_plan
from polytask.balancing.engines.sweep import batches, stacked, sweep
from polytask.balancing.task_losses import TaskLosses
from polytask.errors import SettingError


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
        self.tasks, self.scale, self.at_features = losses.tasks, scale, at_features
        self.shared, self.ghost, self.keep = shared, ghost, keep
        self.vector = losses.vector
        self.roots = [self.vector] if losses.scalars is None else list(losses.scalars)
        self.plan = make_plan(losses, shared, features, at_features)
        self._check_reached(strict)
        self.own: Gradients = {}
        self.layers: list[Layer] = []
        self.report: list[dict[str, Any]] = []
        self._alone: dict[Tensor, Tensor] = {}
        self._stacks: list[Tensor] = []
        #: Gradients of the layer that was asked for last: its weight and bias are asked for one after another.
        self._latest: tuple[Layer, list[Tensor]] | None = None
        self.swept = self._started = False

    # ------------------------------------------------------------------ what balancers ask for

    def sweep(self, last_layer: bool = False) -> None:
        """Bring the tasks' gradients to where the Gramian needs them; of all layers, or of the last one. Once."""
        self._start()
        if self.swept:
            return
        self.swept = True
        if self.at_features:
            self.report = [{"parameters": ["features"], "way": "features", "sweep": "none"}]
            return
        why = self._why_one_by_one()
        layers = find_layers(self.plan.below, self.shared, len(self.tasks), self.ghost, why is None)
        alone = {id(p) for p in self._alone}
        layers = [layer for layer in layers if not any(id(p) in alone for p in layer.parameters)]
        if last_layer:  # weight and bias may be two entries
            layers = [layer for layer in layers if layer.position == layers[0].position]
        self.layers = layers
        edges = [edge for layer in self.layers for edge in layer.edges]
        grads = self._bring(edges, why is None)
        kind = "all tasks at once" if why is None else f"task by task ({why})"
        self.report = [
            {"parameters": [self.shared[p] for p in layer.parameters], "way": layer.way, "sweep": kind}
            for layer in self.layers
        ]
        for layer in self.layers:
            layer.receive([grads.pop(0) for _ in layer.edges])
        self._swept_all = not last_layer

    @torch.no_grad()
    def gramian(self) -> Tensor:
        """``G_st = ⟨g_s, g_t⟩``, shape (T, T)."""
        if self.at_features:
            flat = self._stacks[0].flatten(1)
            flat = flat.float() if flat.dtype in (torch.bfloat16, torch.float16) else flat
            out = flat @ flat.T
        else:
            terms = [layer.gramian() for layer in self.layers]
            terms += [g.flatten(1) @ g.flatten(1).T for g in self._alone.values()]
            out = self.vector.new_zeros(len(self.tasks), len(self.tasks), dtype=torch.float64)
            for term in terms:
                out += term
        return out / self.scale**2

    @torch.no_grad()
    def per_task(self, parameter: Tensor) -> Tensor | None:
        """The tasks' gradients (T, …) of a shared parameter, with the scale; None where it is not reached."""
        if parameter in self._alone:
            return self._alone[parameter]
        for layer in self.layers:
            for i, p in enumerate(layer.parameters):
                if p is parameter:
                    if self._latest is None or self._latest[0] is not layer:
                        self._latest = layer, layer.per_task()
                    return self._latest[1][i]
        return None

    def add_own(self, into: Gradients) -> None:
        """Add the gradients of parameters that are not shared: those of the sum of the losses."""
        self._start()
        for p, g in self.own.items():
            add_to(into, p, g)

    @torch.no_grad()
    def add_weighted(self, weights: Mapping[str, float] | Tensor, into: Gradients) -> None:
        """Add ``Σ_t w_t g_t`` of the shared parameters."""
        self._start()
        w = self._vector_of(weights)
        for p, g in self._alone.items():
            add_to(into, p, torch.tensordot(w.to(g.dtype), g, 1))
        if self.layers and self._swept_all:
            for layer in self.layers:
                for p, g in zip(layer.parameters, layer.weighted(w)):
                    add_to(into, p, g)
            return
        targets = [p for p in self.shared if p not in self._alone]
        if not targets:
            return
        if self.plan.cut or self._alone:
            if not self.plan.cut:
                return
            tops = as_edges(self.plan.cut)
            outer = [torch.tensordot(w.to(s.dtype), s, 1) for s in self._stacks]
            found = torch.autograd.grad(tops, targets, outer, retain_graph=self.keep, allow_unused=True)
            for p, g in zip(targets, found):
                add_to(into, p, g)
        else:
            weighted_gradients(self.vector, w.to(self.vector.dtype) * self.scale, targets, into)

    # ------------------------------------------------------------------ how

    def _start(self) -> None:
        """From the losses to the cut, with the gradients of what is not shared."""
        if self._started:
            return
        self._started = True
        plan = self.plan
        if plan.rest:
            ones = torch.full_like(self.vector, self.scale)
            weighted_gradients(self.vector, ones, plan.rest, self.own)
        if not plan.cut and not plan.alone:
            return
        if len(self.roots) == 1 and len(self.tasks) > 1:
            self._start_together()
        elif plan.feeders and not plan.alone:
            self._start_apart()
        else:
            self._start_one_by_one()

    def _start_together(self) -> None:
        """All losses have one root: the tasks' gradients are the rows of an identity there."""
        eye = torch.eye(len(self.tasks), dtype=self.vector.dtype, device=self.vector.device) * self.scale
        root = edge_of(self.vector)
        if self.plan.cut == [root]:
            self._stacks = [eye]
            return
        if self.plan.own:
            ones = torch.full_like(self.vector, self.scale)
            weighted_gradients(self.vector, ones, self.plan.own, self.own)
        batched = batches(self._names_above()) is None
        self._stacks = sweep([root], [eye], self.plan.cut, batched)

    def _names_above(self) -> list[str]:
        stop = self.plan.cut[0][0]
        return [name for node, name in self.plan.graph.names.items() if node is not stop]

    def _start_apart(self) -> None:
        """One backward pass for all tasks; their gradients are caught before they meet."""
        caught: list[list[Tensor]] = [[] for _ in self.tasks]
        hooks = [
            node.register_hook(lambda grads, _, t=t, i=i: caught[t].append(grads[i]))
            for node, i, t in self.plan.feeders
        ]
        outer = [torch.full_like(loss, self.scale) for loss in self.roots]
        inputs = [*as_edges(self.plan.cut), *self.plan.own]
        try:
            # What is below the cut is not gone through, and not freed.
            found = torch.autograd.grad(
                self.roots, inputs, outer, retain_graph=self.keep, allow_unused=True
            )
        finally:
            for hook in hooks:
                hook.remove()
        for p, g in zip(self.plan.own, found[1:]):
            add_to(self.own, p, g)
        self._stacks = stacked([[sum(grads) if grads else None] for grads in caught], self.plan.cut, found[0])

    def _start_one_by_one(self) -> None:
        plan, rows = self.plan, []
        wanted: list[Edge] = list(plan.cut)
        alone = {id(p): (p, torch.zeros(0)) for p in plan.alone}
        single: dict[Tensor, list[Tensor | None]] = {p: [None] * len(self.tasks) for p in plan.alone}
        mine = _by_task(plan, len(self.tasks))
        for t, loss in enumerate(self.roots):
            edges = [plan.cut[i] for i in plan.touched[t]]
            inputs = [*as_edges(edges), *mine[t]]
            outer = torch.full_like(loss, self.scale)
            found = torch.autograd.grad(loss, inputs, outer, retain_graph=True, allow_unused=True)
            row: list[Tensor | None] = [None] * len(wanted)
            for i, g in zip(plan.touched[t], found):
                row[i] = g
            rows.append(row)
            for p, g in zip(mine[t], found[len(edges) :]):
                if id(p) in alone:
                    single[p][t] = g
                else:
                    add_to(self.own, p, g)
        self._stacks = stacked(rows, wanted, self.vector)
        for p, column in single.items():
            self._alone[p] = stacked([[g] for g in column], [(self._leaf(p), 0)], self.vector)[0]

    def _leaf(self, parameter: Tensor) -> Any:
        return self.plan.graph.leaves[id(parameter)]

    def _why_one_by_one(self) -> str | None:
        """What all tasks cannot go through at once, or None."""
        if not self.plan.cut and not self._alone:
            return "tasks meet at several depths"
        return batches(name for node, name in self.plan.below.names.items() if self._is_below(node))

    def _bring(self, edges: list[Edge], batched: bool) -> list[Tensor]:
        """The tasks' gradients at these edges."""
        if self.plan.cut or not edges:
            return sweep(self.plan.cut, self._stacks, edges, batched)
        rows = []
        for loss in self.roots:
            outer = torch.full_like(loss, self.scale)
            rows.append(
                torch.autograd.grad(loss, as_edges(edges), outer, retain_graph=True, allow_unused=True)
            )
        return stacked(rows, edges, self.vector)

    def _is_below(self, node: Any) -> bool:
        bits = self.plan.below.tasks[node]
        return len(self.roots) == 1 or self.plan.below is not self.plan.graph or bits & (bits - 1) != 0

    def _vector_of(self, weights: Mapping[str, float] | Tensor) -> Tensor:
        if isinstance(weights, Tensor):
            return weights
        return torch.tensor([weights[task] for task in self.tasks], dtype=torch.float64).to(self.vector)

    def _check_reached(self, strict: bool) -> None:
        reached = set(self.plan.graph.leaves) | set(self.plan.below.leaves)
        missing = [name for p, name in self.shared.items() if id(p) not in reached]
        if not self.at_features and missing and len(missing) == len(self.shared):
            raise SettingError(
                "None of the losses depends on the shared parameters: are these the encoder's, and was its "
                "output detached?"
            )
        if missing and strict:
            raise SettingError(
                f"No loss depends on {len(missing)} of {len(self.shared)} shared parameters: "
                f"{', '.join(missing[:5])}. Leave them out of shared=…, or pass unreached='ignore'."
            )
        if self.shared and len(self.roots) > 1 and self.plan.graph is self.plan.below:
            self._check_attached()

    def _check_attached(self) -> None:
        graph, bits = self.plan.graph, 0
        for p in self.shared:
            if id(p) in graph.leaves:
                bits |= graph.tasks[graph.leaves[id(p)]]
        for t, task in enumerate(self.tasks):
            if not bits >> t & 1:
                raise SettingError(
                    f"The loss of task '{task}' does not depend on the shared parameters: it is not attached "
                    "to the encoder. Train it apart, or use its output."
                )


def _by_task(plan: Plan, n_tasks: int) -> list[list[Tensor]]:
    """Parameters above the cut that each task reaches."""
    out: list[list[Tensor]] = [[] for _ in range(n_tasks)]
    for p in (*plan.own, *plan.alone):
        bits = plan.graph.tasks[plan.graph.leaves[id(p)]]
        for t in range(n_tasks):
            if bits >> t & 1:
                out[t].append(p)
    return out
